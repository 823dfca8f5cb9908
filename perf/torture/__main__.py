"""
Torture a broker: real load, processes killed, stopped and resumed in random order, everything checked after each round.

    scripts/torture [--rounds N] [--seed N] [--round-seconds S]

Checked after each round: every acknowledged record is in the log where it was said to be, in order, once for the
idempotent producer; nothing read before has changed; committed offsets of the group have not gone back; producers and
group go on; topics are there or gone as acknowledged; nothing is left in /dev/shm; no process is there but the broker's
own, and none ended but by our hand; no descriptor leaks. At the end: a killed worker served again within 1 s, a killed
broker within 2 s, recovery included (both p95).

Exit code: 0 without a finding, 1 with one (log and data are kept then), 2 when the time limit ended the run early.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ledger import Ledger
from load import EXACTLY_ONCE, GROUP, PRODUCERS, Group, Producer, TopicChurn
from processes import connections, descriptors, session_members, shared_memory_names
from victim import FAULTS, Unserved, Victim

from kbroker.errors import StartupError

TOPIC = "torture"
PARTITIONS = 4
MEMBERS = 2
WORKER_BAR_S = 1.0
BROKER_BAR_S = 2.0
FEWEST_FOR_P95 = 20
"""With fewer samples than this, a percentile is the worst of a busy machine and judges nothing."""

_FULL_READ_EVERY = 25
_MEMBER_REPLACED_EVERY = 7
_PROGRESS_TIMEOUT_S = 20.0
_READ_TIMEOUT_S = 60.0
_SLOW_S = 2.0
_MOST_LOAD_PER_CORE = 2.0
_SETTLE_S = 5.0
_MOST_FAULTS_PER_ROUND = 3
_OTHER_SLACK = 4
_DELETED_S = 30.0


class Torture:
    """One run."""

    def __init__(self, options: argparse.Namespace, directory: Path) -> None:
        self.log_path = directory / "torture.log"
        self._log = self.log_path.open("w", buffering=1)
        self._options = options
        self._began = time.monotonic()
        self._chance = random.Random(options.seed)
        self._faults = [fault for fault in FAULTS if not options.faults or fault.__name__ in options.faults]
        self._first = self._chance.sample(self._faults, len(self._faults))
        self.round = 0
        self.faults: Counter[str] = Counter()
        # The most "other" descriptors of a kind of process, as the first rounds found them.
        self._usual: dict[str, int] = {}
        self._log_read = 0
        # Since when a process has had a deleted file open.
        self._deleted: dict[tuple[int, int], float] = {}
        self.victim = Victim(directory, self._chance, self.say)
        broker = self.victim.broker
        broker.create_topic(TOPIC, PARTITIONS, {"segment.bytes": str(4 * 1024 * 1024)})
        names = list(PRODUCERS)
        self.ledger = Ledger(TOPIC, PARTITIONS, names, EXACTLY_ONCE)
        rate = max(1, options.rate // len(names))
        servers = broker.bootstrap_servers
        self.producers = [Producer(name, servers, self.ledger, index, rate) for index, name in enumerate(names)]
        self.group = Group(servers, TOPIC, PARTITIONS, MEMBERS)
        self.churn = TopicChurn(servers)
        for producer in self.producers:
            producer.start()

    def say(self, text: str) -> None:
        """Write a line to the log."""
        self._log.write(f"{time.strftime('%H:%M:%S')} {time.monotonic() - self._began:9.3f} {text}\n")

    def run_round(self) -> list[str]:
        """Let some faults happen; return the findings."""
        self.round += 1
        began = time.monotonic()
        chance = self._chance
        done = []
        self.say(f"round {self.round}")
        try:
            for _ in range(chance.randint(1, _MOST_FAULTS_PER_ROUND)):
                # Each kind once before chance alone decides.
                weights = [FAULTS[fault] for fault in self._faults]
                fault = self._first.pop() if self._first else chance.choices(self._faults, weights)[0]
                done.append(fault.__name__)
                self.faults[fault.__name__] += 1
                fault(self.victim)
                time.sleep(chance.choice([0.0, chance.uniform(0, 0.3)]))
            if self.round % _MEMBER_REPLACED_EVERY == 0:
                self.group.replace_member(chance.randrange(MEMBERS))
            self.victim.wait_whole()
        except (Unserved, StartupError, TimeoutError, OSError) as error:
            self._show(done, began)
            return [f"{type(error).__name__}: {error}"]
        time.sleep(max(0.0, began + self._options.round_seconds - time.monotonic()))
        findings = self._check(full=self.round % _FULL_READ_EVERY == 0)
        self._show(done, began)
        return findings

    def finish(self) -> list[str]:
        """Stop the load; return what the last look finds."""
        findings = []
        for producer in self.producers:
            findings += producer.stop(_READ_TIMEOUT_S)
        deadline = time.monotonic() + _READ_TIMEOUT_S
        findings += self._check(full=True, quiet=True)
        ends = [len(log) for log in self.ledger.log]
        while self.group.committed != ends and time.monotonic() < deadline:
            time.sleep(0.05)
        if self.group.committed != ends:
            findings.append(f"group {GROUP} committed {self.group.committed} of {ends} in {_READ_TIMEOUT_S} s")
        findings += self.group.check(_READ_TIMEOUT_S)
        self.churn.stop()
        self.group.stop()
        for what, times, bar in self.times():
            judged = judgeable(times)
            if len(judged) >= FEWEST_FOR_P95 and percentile(judged, 95) > bar:
                findings.append(f"{what}: p95 {percentile(judged, 95):.3f} s, more than {bar} s")
        return findings

    def times(self) -> list[tuple[str, list[tuple[float, float]], float]]:
        """Return what was measured: what, (seconds, load average) each, the bar of p95."""
        return [
            ("a killed worker serves again", self.victim.worker_times, WORKER_BAR_S),
            ("a killed broker serves again", self.victim.broker_times, BROKER_BAR_S),
        ]

    # --- checks -----------------------------------------------------------------------------------------------------

    def _check(self, *, full: bool, quiet: bool = False) -> list[str]:
        servers = self.victim.broker.bootstrap_servers
        findings = []
        for producer in self.producers:
            findings += producer.failures
        checks: list[tuple[str, Callable[[], list[str]]]] = [
            ("records", lambda: self.ledger.check(servers, from_start=full, timeout_s=_READ_TIMEOUT_S)),
            ("offsets", lambda: self.group.check(_PROGRESS_TIMEOUT_S)),
            ("topics", lambda: self.churn.check(_PROGRESS_TIMEOUT_S / 2)),
            ("processes", self._check_processes),
            ("descriptors", self._check_descriptors),
        ]
        if not quiet:
            checks.insert(0, ("progress", self._check_progress))
        took = []
        for name, check in checks:
            began = time.monotonic()
            findings += check()
            took.append(f"{name} {time.monotonic() - began:.2f} s")
        self.say(f"checked: {', '.join(took)}")
        findings += self._check_log()
        if names := shared_memory_names(self.victim.supervisors):
            findings.append(f"left in /dev/shm: {names}")
        return findings

    def _check_progress(self) -> list[str]:
        """Return which producers, or whether the group, do not go on after the faults."""
        before = [
            (producer, part, producer.acknowledged[part]) for producer in self.producers for part in range(PARTITIONS)
        ]
        consumed = self.group.consumed
        slow_at = time.monotonic() + _SLOW_S
        deadline = time.monotonic() + _PROGRESS_TIMEOUT_S
        while True:
            stuck = [f"{one.name}/{part}" for one, part, count in before if one.acknowledged[part] <= count]
            if self.group.consumed <= consumed:
                stuck.append(f"group {GROUP}")
            if not stuck:
                return []
            if time.monotonic() > slow_at:
                slow_at = deadline + 1
                self.say(f"no progress {_SLOW_S} s after the faults: {', '.join(stuck)}")
            if time.monotonic() > deadline:
                return [f"no progress in {_PROGRESS_TIMEOUT_S} s after the faults: {', '.join(stuck)}"]
            time.sleep(0.02)

    def _check_log(self) -> list[str]:
        """Return what the broker's log tells of deaths that were none of ours."""
        text = self.victim.broker.log_text()
        new = text[self._log_read :]
        self._log_read = len(text)
        lines = new.splitlines()
        findings = [line for line in lines if " ended with code " in line]
        findings += [
            f"traceback in the broker's log: {lines[i : i + 30]}" for i, line in enumerate(lines) if "Traceback" in line
        ][:1]
        return findings

    def _check_processes(self) -> list[str]:
        victim = self.victim
        expected = {victim.broker.pid, *victim.broker.worker_pids().values()}
        found = session_members(victim.broker.pid)
        findings = [f"stray process {pid}: {command}" for pid, command in found.items() if pid not in expected]
        findings += [f"process {pid} is missing" for pid in expected if pid not in found]
        for supervisor in set(victim.supervisors) - {victim.broker.pid}:
            findings += [f"stray process {pid}: {command}" for pid, command in session_members(supervisor).items()]
        return findings

    def _check_descriptors(self) -> list[str]:
        """Look until what is about to be closed is closed; return what stays."""
        deadline = time.monotonic() + _SETTLE_S
        while True:
            findings = self._look_at_descriptors()
            if not findings or time.monotonic() > deadline:
                return findings
            time.sleep(0.1)

    def _look_at_descriptors(self) -> list[str]:
        victim = self.victim
        broker = victim.broker
        now = time.monotonic()
        findings = []
        inodes, established = connections(broker.port)
        tcp = 0
        counts = []
        deleted: dict[tuple[int, int], str] = {}
        for name, pid in {"supervisor": broker.pid, **broker.worker_pids()}.items():
            found = descriptors(pid, inodes)
            tcp += found.tcp
            kind = name.partition("-")[0]
            usual = self._usual.setdefault(kind, found.other)
            counts.append(f"{name} {found.other}+{len(found.files)}+{found.tcp}")
            if found.other > usual + _OTHER_SLACK:
                findings.append(f"{name}: {found.other} descriptors besides files and connections; {usual} at first")
            deleted |= found.deleted
            often = {path: count for path, count in found.files.items() if count > 2}
            if often:
                findings.append(f"{name}: files open more than twice: {often}")
        self._deleted = {key: self._deleted.get(key, now) for key in deleted}
        findings += [
            f"process {key[0]} has a deleted file open for {now - since:.0f} s: {deleted[key]}"
            for key, since in self._deleted.items()
            if now - since > _DELETED_S
        ]
        if tcp > established:
            findings.append(f"{tcp} connections are open in the broker, {established} have a client")
        self.say("descriptors (other + files + connections): " + ", ".join(counts))
        return findings

    def _show(self, done: list[str], began: float) -> None:
        line = (
            f"round {self.round:3d}/{self._options.rounds}  {time.monotonic() - began:5.1f} s  "
            f"{self.ledger.checked:8d} acknowledged, {self.ledger.duplicates:5d} repeats  "
            f"{', '.join(name.replace('_', ' ') for name in done)}"
        )
        print(line, flush=True)
        self.say(line)


def judgeable(times: list[tuple[float, float]]) -> list[float]:
    """Return the seconds measured while the machine was not busy with other work: the rest tells more of that."""
    most = _MOST_LOAD_PER_CORE * (os.cpu_count() or 1)
    return [took for took, load in times if load <= most]


def describe(what: str, times: list[tuple[float, float]], bar: float) -> str:
    """Return p50 and p95 of what the bar judges, and of all."""
    parts = []
    for name, values in (("judged", judgeable(times)), ("all", [took for took, _ in times])):
        if values:
            parts.append(
                f"{name} {len(values)}: p50 {percentile(values, 50):.3f} s, p95 {percentile(values, 95):.3f} s, "
                f"most {max(values):.3f} s"
            )
    return (
        f"{what} (bar of p95: {bar} s; judged: load average up to {_MOST_LOAD_PER_CORE} per core): {'; '.join(parts)}"
    )


def percentile(values: list[float], percent: int) -> float:
    """Return the percentile by nearest rank."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def main() -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/torture", description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=200, help="how many rounds of faults and checks (200)")
    parser.add_argument("--seed", type=int, default=None, help="of the random order of faults; printed (random)")
    parser.add_argument("--round-seconds", type=float, default=4.0, help="how long a round lasts at least (4)")
    parser.add_argument("--rate", type=int, default=2000, help="records per second of all producers together (2000)")
    parser.add_argument("--time-limit", type=float, default=None, help="seconds (twice the expected time and a minute)")
    parser.add_argument(
        "--faults", nargs="+", choices=[fault.__name__ for fault in FAULTS], help="only these (default: all)"
    )
    parser.add_argument("--log", type=Path, default=None, help="where to keep the log of a run without a finding")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.randrange(1_000_000)
    limit = options.time_limit or options.rounds * (options.round_seconds + 3) * 2 + 60
    directory = Path(tempfile.mkdtemp(prefix="kbroker-torture-"))
    print(f"seed {options.seed}, {options.rounds} rounds, at most {limit:.0f} s, data in {directory}", flush=True)
    # What runs has to be ended, whatever ends us.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    torture = Torture(options, directory)
    torture.say(f"seed {options.seed}, {options}")
    findings: list[str] = []
    in_time = True
    try:
        while torture.round < options.rounds and not findings and in_time:
            findings = torture.run_round()
            in_time = time.monotonic() - began < limit
        if not findings:
            findings = torture.finish()
    except BaseException:
        torture.say("ended by an exception or the user")
        torture.victim.crash()
        print(f"log and data kept in {directory}", flush=True)
        raise
    for what, times, bar in torture.times():
        if times:
            text = describe(what, times, bar)
            print(text)
            torture.say(text)
    text = (
        f"{torture.ledger.records()} records in the log; {torture.churn.acknowledged} topics made or deleted; "
        f"faults: {dict(torture.faults.most_common())}"
    )
    print(text)
    torture.say(text)
    for finding in findings:
        print(f"FINDING: {finding}")
        torture.say(f"FINDING: {finding}")
    print(f"seed {options.seed}: {torture.round} rounds in {time.monotonic() - began:.0f} s, {len(findings)} findings")
    if findings:
        torture.victim.crash()
        print(f"log: {torture.log_path}; the broker's: {directory / 'broker.log'}; its data beside them")
        return 1
    torture.victim.close()
    if options.log is not None:
        shutil.copy(torture.log_path, options.log)
    shutil.rmtree(directory, ignore_errors=True)
    if torture.round < options.rounds:
        print(f"only {torture.round} of {options.rounds} rounds within {limit:.0f} s")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
