"""
kbroker and Apache Kafka in the same run, on the same disk, driven by the same compiled clients.

    scripts/bench                  all rows, three rounds: a quarter of an hour; writes baseline.json, README.md
    scripts/bench --quick          a twentieth of the load, one round: to see that it works; writes nothing
    scripts/bench --rows NAME,...  some rows (--list tells their names)
    scripts/bench --rounds N       how often the two take turns
    scripts/bench --kbroker-only   kbroker's own figures against its budgets (perf/single_broker.py)

A round starts each broker afresh on an empty directory, gives it one whole pass of the load to warm up and measures the
second pass; the next round begins with the other one. Between the rows topics are deleted and the disk is synced, so
that each row finds the same page cache. Figures are medians of the rounds; CPU is that of all of a broker's processes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import mmap
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import NoReturn

import native_clients
import report
from brokers import BrokerUnderTest, Kafka, Kbroker
from rows import IDLE_S, ROWS, Load, Row, measure_many_partitions

QUICK_SCALE = 0.05
PROJECT = Path(__file__).resolve().parents[1]

Values = dict[str, dict[str, dict[str, list[float]]]]
"""By row, figure and broker: one value per round."""


class Progress:
    """Lines with the time since the start."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def say(self, text: str) -> None:
        """Print a line."""
        seconds = int(self.seconds)
        print(f"[{seconds // 60:2}:{seconds % 60:02}] {text}", flush=True)

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._begun


def touch_memory(gigabytes: float) -> None:
    """
    Write to free memory once.

    A virtual machine gets its memory from the host when it first writes to it, at up to 2.4 s per GB: whichever broker
    happened to run first would pay for it. (Where the host takes back what is free, both pay.)
    """
    size = int(gigabytes * 2**30)
    with mmap.mmap(-1, size) as memory:
        for position in range(0, size, mmap.PAGESIZE):
            memory[position] = 1


def run_rows(rows: list[Row], load: Load, progress: Progress, label: str) -> dict[str, dict[str, float]]:
    """Return the results of each row that loads a running broker."""
    results = {}
    for row in rows:
        if row.measure is None:
            continue
        begun = time.monotonic()
        result = dict(row.measure(load))
        results[row.name] = result
        figures = ", ".join(f"{one.label} {report.number(result[one.key])} {one.unit}" for one in row.figures[:2])
        progress.say(f"{label} {row.name}: {figures} ({time.monotonic() - begun:.1f} s)")
    return results


def measure_life(
    make: type[BrokerUnderTest], rows: list[Row], scale: float, work: Path, progress: Progress, label: str
) -> dict[str, dict[str, float]]:
    """Start a broker, warm it up with one pass, measure the next; return the figures of all rows."""
    results: dict[str, dict[str, float]] = {}
    names = {row.name for row in rows}
    if names - {"partitions-2000"}:
        broker = make(work / f"{make.name}-load")
        try:
            life = {"start_s": broker.start()}
            time.sleep(IDLE_S)
            life["idle_mib"] = broker.memory_mib()
            progress.say(f"{label} started in {life['start_s']:.2f} s, {life['idle_mib']:.0f} MiB idle; warming up")
            load = Load(broker, scale, work)
            run_rows(rows, load, progress, f"{label} warm-up")
            results = run_rows(rows, load, progress, label)
            life["loaded_mib"] = broker.memory_mib()
            progress.say(f"{label} {life['loaded_mib']:.0f} MiB after the load")
            results["life"] = life
        finally:
            end(broker)
    if "partitions-2000" in names:
        broker = make(work / f"{make.name}-many")
        try:
            broker.start()
            many = dict(measure_many_partitions(Load(broker, scale, work)))
            results["partitions-2000"] = many
            told = ", ".join(f"{key} {report.number(value)}" for key, value in many.items())
            progress.say(f"{label} partitions-2000: {told}")
        finally:
            end(broker)
    return results


def end(broker: BrokerUnderTest) -> None:
    """Stop a broker and remove its files; leave nothing for the disk to write while the other is measured."""
    try:
        broker.stop()
    finally:
        broker.remove()
        os.sync()


def chosen_rows(names: str | None) -> list[Row]:
    """Return the rows that were asked for, in the table's order; ends the program when a name is unknown."""
    if not names:
        return list(ROWS)
    wanted = set(names.split(","))
    if unknown := wanted - {row.name for row in ROWS}:
        sys.exit(f"unknown rows: {', '.join(sorted(unknown))}; --list tells what there is")
    return [row for row in ROWS if row.name in wanted]


def parse_arguments() -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a twentieth of the load, one round, nothing written")
    parser.add_argument("--rows", metavar="NAME,...", help="only these rows")
    parser.add_argument("--rounds", type=int, help="how often the brokers take turns (default 3)")
    parser.add_argument("--scale", type=float, help="share of the full load (default 1)")
    parser.add_argument("--only", choices=("kbroker", "kafka"), help="measure one of the two; nothing is written")
    parser.add_argument(
        "--directory", help="where the brokers keep their data (default: the directory for temporary files)"
    )
    parser.add_argument(
        "--warm-memory-gb", type=float, help="memory to touch at the start (default: 4 or half of what is free)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the results there, too")
    parser.add_argument("--check", action="store_true", help="end with 1 when a bar is not met")
    parser.add_argument("--list", action="store_true", help="list the rows")
    return parser.parse_args()


def free_gigabytes() -> float:
    """Return how much memory could be had without taking it from anybody."""
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(fields["MemAvailable"].split()[0]) / 2**20


def main() -> int:
    """Measure, print, and write what a complete run is for."""
    arguments = parse_arguments()
    if arguments.list:
        for row in ROWS:
            print(f"{row.name:<18}{row.title}")
        return 0
    rows = chosen_rows(arguments.rows)
    scale = arguments.scale or (QUICK_SCALE if arguments.quick else 1.0)
    rounds = arguments.rounds or (1 if arguments.quick else 3)
    makers: list[type[BrokerUnderTest]] = [Kbroker, Kafka]
    if arguments.only:
        makers = [one for one in makers if one.name == arguments.only]
    if Kafka in makers and (message := Kafka.missing()):
        sys.exit(message)
    native_clients.build()
    progress = Progress()
    signal.signal(signal.SIGTERM, _interrupt)
    # A broker keeps three files open per partition.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    gigabytes = arguments.warm_memory_gb
    if gigabytes is None:
        gigabytes = 0.5 if arguments.quick else min(4.0, free_gigabytes() / 2)
    touch_memory(gigabytes)
    progress.say(f"{len(rows)} rows, {rounds} rounds, scale {scale:g}; {gigabytes:.1f} GB of memory touched")

    values: Values = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    versions: dict[str, str] = {}
    load_before = os.getloadavg()
    work = Path(tempfile.mkdtemp(prefix="kbroker-bench-", dir=arguments.directory))
    failure = None
    try:
        for number in range(1, rounds + 1):
            for make in makers if number % 2 else reversed(makers):
                label = f"round {number}/{rounds} {make.name}"
                try:
                    measured = measure_life(make, rows, scale, work, progress, label)
                except (RuntimeError, TimeoutError, subprocess.SubprocessError) as error:
                    # Once: ten minutes of figures should not be lost to a hiccup. It is told; the second try counts.
                    progress.say(f"{label} failed: {error}; once more")
                    measured = measure_life(make, rows, scale, work, progress, f"{label} again")
                for row, figures in measured.items():
                    for key, value in figures.items():
                        values[row][key][make.name].append(value)
                versions[make.name] = make.version()
    except KeyboardInterrupt:
        sys.exit("interrupted; nothing written")
    except (RuntimeError, TimeoutError, OSError, subprocess.SubprocessError) as error:
        # What was measured before is told all the same.
        failure = error
    finally:
        shutil.rmtree(work, ignore_errors=True)

    results = report.results(rows, values, versions, rounds, scale, progress.seconds, load_before)
    print("\n" + report.text_table(results), flush=True)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    if failure:
        progress.say(f"ended by a failure, nothing is written: {failure}")
        return 1
    if len(rows) == len(ROWS) and len(makers) == 2 and scale >= 1 and rounds >= 3:
        for path in report.write(results):
            progress.say(f"written {path.relative_to(PROJECT)}")
    else:
        progress.say("a part only: perf/baseline.json and perf/README.md stay as they are")
    missed = report.missed(results)
    if missed:
        progress.say(f"{len(missed)} bars not met: {'; '.join(missed)}")
    return int(arguments.check and bool(missed))


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
