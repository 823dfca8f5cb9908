"""
The first figures of a single broker: start-up, idle memory, one outstanding request, small and large batches, fetch.

    scripts/bench --kbroker-only [--quick] [--kafka] [--write] [--check]

    --quick  a tenth of the load: to see that it works
    --kafka  measure Apache Kafka 4.4 by the same client first (its jars as scripts/test fetches them)
    --write  write perf/single_broker.json
    --check  end with 1 when a figure is over its budget

Client and broker share the machine. CPU is that of the broker's processes alone; latencies are as the client sees them.
Budgets are DESIGN's; where they say "not more than Kafka's in the same run", --kafka makes them exact and without it
the figures of Kafka 4.3.0 on the reference machine stand in.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from process_usage import cpu_seconds, descendants, proportional_set_size_bytes
from raw_client import RawClient, batch_of, batch_of_size

from kbroker.testing import Broker

PROJECT = Path(__file__).resolve().parents[1]
BASELINE = PROJECT / "perf/single_broker.json"
# Kafka 4.3.0, KRaft, flags of its start script, second pass, on the 2-core reference machine.
KAFKA_P50_US = 328.0
KAFKA_P99_US = 2600.0


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value; `budget` is the most it may be, None: only told."""

    name: str
    value: float
    unit: str
    budget: float | None = None

    @property
    def over(self) -> bool:
        """Whether it is more than it may be."""
        return self.budget is not None and self.value > self.budget


class Target(NamedTuple):
    """A running broker: where it listens and which processes it has."""

    address: str
    pids: Callable[[], list[int]]
    create_topic: Callable[[str], object]


def measure_start_up(times: int) -> Iterator[Figure]:
    """From the start of the process to the first answer, on an empty directory."""
    seconds = []
    memory = []
    for _ in range(times):
        begun = time.perf_counter()
        with Broker() as broker:
            client = RawClient(broker.bootstrap_servers)
            client.api_versions()
            seconds.append(time.perf_counter() - begun)
            client.close()
            # Idle is after the last thing that a start leaves to be done later.
            time.sleep(1)
            memory.append(proportional_set_size_bytes(descendants(broker.pid)))
    yield Figure("start to first answer, median", statistics.median(seconds) * 1000, "ms", 400)
    yield Figure("start to first answer, best", min(seconds) * 1000, "ms")
    yield Figure("idle memory, all processes (PSS)", statistics.median(memory) / 2**20, "MiB", 80)


def measure_one_outstanding(target: Target, requests: int, budget_us: tuple[float, float]) -> Iterator[Figure]:
    """One record of 100 bytes, acks=1, the next when it is acknowledged."""
    target.create_topic("outstanding")
    client = RawClient(target.address)
    batch = batch_of(1)
    client.produce_one_by_one("outstanding", batch, requests // 10)
    times = sorted(client.produce_one_by_one("outstanding", batch, requests))
    client.close()
    for name, fraction, budget in (("p50", 0.5, budget_us[0]), ("p99", 0.99, budget_us[1]), ("p99.9", 0.999, None)):
        yield Figure(f"one outstanding acks=1 produce, {name}", times[int(fraction * len(times))] * 1e6, "µs", budget)


def measure_pipelined(target: Target, requests: int) -> Iterator[Figure]:
    """Requests of one record, 50 of them under way."""
    target.create_topic("pipelined")
    client = RawClient(target.address)
    batch = batch_of(1)
    client.produce_pipelined("pipelined", batch, requests // 10, 50)
    before = cpu_seconds(target.pids())
    seconds = client.produce_pipelined("pipelined", batch, requests, 50)
    cpu = cpu_seconds(target.pids()) - before
    client.close()
    yield Figure("1-record requests, 50 in flight", requests / seconds, "requests/s")
    yield Figure("1-record requests, broker CPU each", cpu / requests * 1e6, "µs", 40)


def measure_large(
    target: Target, label: str, batch_bytes: int, total_bytes: int, in_flight: int, budget: float | None
) -> Iterator[Figure]:
    """
    Batches of 100-byte records; then all of it fetched.

    budget  CPU seconds per GB produced (docs/decisions/0008); None: only told

    Five requests under way are what a Java producer has; with many (librdkafka) a wake-up is shared by more of them.
    """
    label = f"{label} batches"
    topic = f"large-{batch_bytes}-{in_flight}"
    target.create_topic(topic)
    client = RawClient(target.address)
    batch, records = batch_of_size(batch_bytes)
    count = total_bytes // len(batch)
    gigabytes = count * len(batch) / 1e9
    client.produce_pipelined(topic, batch, max(1, count // 10), in_flight)
    bare = write_scratch(count * len(batch))
    before = cpu_seconds(target.pids())
    seconds = client.produce_pipelined(topic, batch, count, in_flight)
    cpu = cpu_seconds(target.pids()) - before
    yield Figure(f"{label}, a bare write loop's CPU", bare / gigabytes, "s/GB")
    yield Figure(f"{label}, produce, {in_flight} in flight", count * records / seconds / 1e6, "M records/s")
    yield Figure(f"{label}, produce, {in_flight} in flight, broker CPU", cpu / gigabytes, "s/GB", budget)

    end_offset = client.end_offset(topic)
    client.fetch_all(topic, end_offset // 10, len(batch), records)
    before = cpu_seconds(target.pids())
    seconds, fetched = client.fetch_all(topic, end_offset, len(batch), records)
    cpu = cpu_seconds(target.pids()) - before
    client.close()
    yield Figure(f"{label}, fetch", end_offset / seconds / 1e6, "M records/s")
    yield Figure(f"{label}, fetch, broker CPU", cpu / (fetched / 1e9), "s/GB", 0.7)


def write_scratch(total_bytes: int) -> float:
    """
    Write so many bytes to a file that is removed at once; return the CPU seconds of a second time.

    In a virtual machine the first use of a page of memory costs ten times what the next one does, and pages that lie
    idle go back to the host after seconds. Neither is a broker's affair: what it is about to fill is used before.
    """
    chunk = os.urandom(1_000_000)
    with tempfile.TemporaryDirectory(prefix="kbroker-bench-") as directory:
        path = Path(directory, "scratch")
        for _ in range(2):
            with path.open("wb", buffering=0) as file:
                begun = time.process_time()
                for _ in range(total_bytes // len(chunk)):
                    file.write(chunk)
                cpu = time.process_time() - begun
            path.unlink()
    return cpu


def measure_load(target: Target, scale: float, budget_us: tuple[float, float]) -> Iterator[Figure]:
    """Everything that is asked of a running broker."""
    yield from measure_one_outstanding(target, int(10_000 * scale), budget_us)
    yield from measure_pipelined(target, int(200_000 * scale))
    yield from measure_large(target, "16 KB", 16 * 1024, int(400_000_000 * scale), 5, None)
    yield from measure_large(target, "16 KB", 16 * 1024, int(600_000_000 * scale), 50, 3.5)
    yield from measure_large(target, "1 MB", 1_000_000, int(1_500_000_000 * scale), 5, 1.5)
    yield Figure("memory after the load (PSS)", proportional_set_size_bytes(target.pids()) / 2**20, "MiB")


@contextlib.contextmanager
def running_kbroker() -> Iterator[Target]:
    """Yield a kbroker with its default configuration."""
    with Broker() as broker:
        yield Target(broker.bootstrap_servers, lambda: descendants(broker.pid), broker.create_topic)


@contextlib.contextmanager
def running_kafka() -> Iterator[Target]:
    """Yield an Apache Kafka 4.4 with the flags of its own start script."""
    sys.path.insert(0, str(PROJECT / "tests/support"))
    from apache_kafka import CURRENT, SERVER_JVM_OPTIONS, KafkaServer  # noqa: PLC0415
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415
    from confluent_kafka.cimpl import NewTopic  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="kbroker-bench-") as directory:
        server = KafkaServer(CURRENT, Path(directory), jvm_options=SERVER_JVM_OPTIONS)
        server.start()
        try:
            admin = AdminClient({"bootstrap.servers": server.bootstrap_servers, "log_level": 2})

            def create(name: str) -> None:
                if name in admin.list_topics(timeout=30).topics:
                    return  # of the pass that warms up
                admin.create_topics([NewTopic(name, 1, 1)])[name].result(30)
                while name not in admin.list_topics(timeout=30).topics:
                    time.sleep(0.05)

            yield Target(server.bootstrap_servers, lambda: descendants(server.pid), create)
        finally:
            server.end(9)


def machine() -> dict[str, str | int]:
    """Return what the figures were measured on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    return {
        "cpu": model,
        "cores": os.cpu_count() or 0,
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def commit() -> str:
    """Return the commit that was measured, with a mark when the tree differs from it."""
    done = subprocess.run(
        ["git", "-C", str(PROJECT), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


def table(title: str, figures: Sequence[Figure]) -> str:
    """Return the figures as a table for people."""
    lines = [f"{title:<52}{'measured':>12} {'':<12}{'budget':>10}"]
    for figure in figures:
        budget = "" if figure.budget is None else f"{figure.budget:>10,.4g}" + ("   OVER" if figure.over else "   ok")
        lines.append(f"{figure.name:<52}{figure.value:>12,.4g} {figure.unit:<12}{budget}")
    return "\n".join(lines)


def main() -> int:
    """Measure, print, and write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for flag in ("quick", "kafka", "write", "check"):
        parser.add_argument(f"--{flag}", action="store_true")
    arguments = parser.parse_args()
    scale = 0.1 if arguments.quick else 1.0

    kafka: list[Figure] = []
    p50_us, p99_us = KAFKA_P50_US, KAFKA_P99_US
    if arguments.kafka:
        with running_kafka() as target:
            # The first pass is for its compiler, as in every comparison with a JVM that is meant to be fair.
            list(measure_one_outstanding(target, int(10_000 * scale), (0, 0)))
            list(measure_pipelined(target, int(200_000 * scale)))
            kafka = [Figure(one.name, one.value, one.unit) for one in measure_load(target, scale, (0, 0))]
        print(table("Apache Kafka 4.4", kafka), end="\n\n", flush=True)
        p50_us = next(one.value for one in kafka if one.name.endswith("p50"))
        p99_us = next(one.value for one in kafka if one.name.endswith("p99"))

    figures = list(measure_start_up(3 if arguments.quick else 7))
    with running_kbroker() as target:
        figures += measure_load(target, scale, (p50_us, p99_us / 2))
    print(table("kbroker", figures), flush=True)
    if arguments.write:
        content = {
            "machine": machine(),
            "commit": commit(),
            "date": dt.datetime.now(dt.UTC).date().isoformat(),
            "figures": [asdict(figure) for figure in figures],
            "kafka_4_3": [asdict(figure) for figure in kafka],
        }
        BASELINE.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        print(f"\nwritten to {BASELINE.relative_to(PROJECT)}")
    return int(arguments.check and any(figure.over for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
