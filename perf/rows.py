"""What scripts/bench measures: the rows of its table, each a few figures with the bar they are held to."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import native_clients
from brokers import BrokerUnderTest

RECORD_BYTES = 100
IDLE_S = 3.0
"""After a start, before memory is looked at: what a start leaves to be done later is done by then."""


class Bar(NamedTuple):
    """What is to be shown: `of` the ratio to Kafka, or of kbroker's own value, is at most or at least the limit."""

    kind: Literal["at most", "at least"]
    limit: float
    of: Literal["ratio", "value"] = "ratio"

    def met_by(self, ratio: float, value: float) -> bool:
        """Return whether the figure is as good as it must be."""
        shown = ratio if self.of == "ratio" else value
        return shown <= self.limit if self.kind == "at most" else shown >= self.limit

    def __str__(self) -> str:
        """Return the bar as people write it."""
        sign = "≤" if self.kind == "at most" else "≥"
        return f"{sign} {self.limit:g}" + (" (own value)" if self.of == "value" else "")


class Figure(NamedTuple):
    """A value to measure: `key` within its row, `bar` None when it is only told."""

    key: str
    label: str
    unit: str
    bar: Bar | None = None


def at_most(limit: float) -> Bar:
    """Return the bar of a figure whose ratio to Kafka must not be larger."""
    return Bar("at most", limit)


def at_least(limit: float) -> Bar:
    """Return the bar of a figure whose ratio to Kafka must not be smaller."""
    return Bar("at least", limit)


@dataclass(frozen=True, slots=True)
class Load:
    """
    The load on a running broker.

    broker  the one that is measured
    scale   share of the full load
    work    directory for files of the script's own
    """

    broker: BrokerUnderTest
    scale: float
    work: Path

    def count(self, full: int, least: int = 1) -> int:
        """Return a number of records or requests at this scale."""
        return max(least, int(full * self.scale))

    def produce(
        self,
        topic: str,
        count: int,
        *settings: str,
        record_bytes: int = RECORD_BYTES,
        producers: int = 1,
        text: bool = False,
    ) -> dict[str, float]:
        """Produce to an existing topic with librdkafka; return msg/s and broker CPU seconds per million."""
        arguments = [
            "produce",
            self.broker.address,
            topic,
            count,
            record_bytes,
            producers,
            "text" if text else "random",
        ]
        return _per_million(native_clients.run("librdkafka_client", [*arguments, *settings], self.broker.cpu_seconds))

    def consume(self, topic: str, count: int) -> dict[str, float]:
        """Read a topic from its beginning with librdkafka; return msg/s and broker CPU seconds per million."""
        arguments = ["consume", self.broker.address, topic, count]
        return _per_million(native_clients.run("librdkafka_client", arguments, self.broker.cpu_seconds))

    def requests(self, topic: str, count: int, in_flight: int, partitions: int = 1) -> dict[str, float]:
        """Send Produce requests of one record over one raw socket, to the partitions in turn."""
        frames = self.work / "frames"
        error_position = native_clients.write_produce_frames(frames, topic, range(partitions))
        host, _, port = self.broker.address.rpartition(":")
        # Each partition's files have been written to before anything is timed.
        warm_up = max(count // 10, partitions)
        result = native_clients.run(
            "raw_sockets", [host, port, frames, error_position, in_flight, warm_up, count], self.broker.cpu_seconds
        )
        return {
            **result,
            "per_s": result["count"] / result["seconds"],
            "cpu_us": result["broker_cpu_s"] / result["count"] * 1e6,
        }


@dataclass(frozen=True, slots=True)
class Row:
    """
    One load and what is told of it.

    name     to choose it by
    title    of the table's line
    figures  what `measure` returns, in the order of the table
    measure  loads a running broker; creates and deletes its topics. None: measured by the life of the broker itself
    """

    name: str
    title: str
    figures: tuple[Figure, ...]
    measure: Callable[[Load], Mapping[str, float]] | None


def _per_million(result: dict[str, float]) -> dict[str, float]:
    return {
        **result,
        "per_s": result["count"] / result["seconds"],
        "cpu_s_per_million": result["broker_cpu_s"] / result["count"] * 1e6,
        "client_cpu_s_per_million": result["client_cpu_s"] / result["count"] * 1e6,
    }


def _one_outstanding(load: Load) -> Mapping[str, float]:
    load.broker.create_topic("outstanding")
    result = load.requests("outstanding", load.count(10_000, 1000), 1)
    load.broker.delete_topic("outstanding")
    return result


def _pipelined(load: Load) -> Mapping[str, float]:
    load.broker.create_topic("pipelined")
    result = load.requests("pipelined", load.count(50_000, 1000), 50)
    load.broker.delete_topic("pipelined")
    return result


def _produce(
    name: str,
    full: int,
    *settings: str,
    partitions: int = 1,
    record_bytes: int = RECORD_BYTES,
    producers: int = 1,
    text: bool = False,
) -> Callable[[Load], Mapping[str, float]]:
    def measure(load: Load) -> Mapping[str, float]:
        load.broker.create_topic(name, partitions)
        count = load.count(full, 1000)
        result = load.produce(name, count, *settings, record_bytes=record_bytes, producers=producers, text=text)
        load.broker.delete_topic(name)
        return result

    return measure


def _produce_and_consume(name: str, full: int, *settings: str) -> Callable[[Load], Mapping[str, float]]:
    """Return what produces batches, then reads them: the consumer's figures have the prefix `consume_`."""

    def measure(load: Load) -> Mapping[str, float]:
        load.broker.create_topic(name)
        count = load.count(full, 1000)
        result = load.produce(name, count, *settings)
        read = load.consume(name, count)
        load.broker.delete_topic(name)
        return {**result, **{f"consume_{key}": value for key, value in read.items()}}

    return measure


def _end_to_end(load: Load) -> Mapping[str, float]:
    load.broker.create_topic("end-to-end")
    seconds = max(1, round(6 * load.scale))
    # Nothing waits for company, and no more requests are under way than a broker is asked to keep in order: what comes
    # while they are makes the next batch.
    settings = ("linger.ms=0", "max.in.flight.requests.per.connection=5")
    arguments = ["latency", load.broker.address, "end-to-end", 10_000, seconds, RECORD_BYTES, *settings]
    result = native_clients.run("librdkafka_client", arguments, load.broker.cpu_seconds)
    load.broker.delete_topic("end-to-end")
    return result


MANY_PARTITIONS = 2000


def measure_many_partitions(load: Load) -> Mapping[str, float]:
    """
    Return start, memory and small produce of a broker with MANY_PARTITIONS; it is restarted on the way.

    Its load is compared with the same on one partition, measured just before.
    """
    broker = load.broker
    broker.create_topic("one")
    count = load.count(20_000, 1000)
    load.requests("one", count, 50)  # warms up
    single = load.requests("one", load.count(5000, 1000), 1)
    pipelined = load.requests("one", count, 50)
    begun = time.perf_counter()
    broker.create_topic("many", load.count(MANY_PARTITIONS, 20))
    created_s = time.perf_counter() - begun
    partitions = load.count(MANY_PARTITIONS, 20)
    # The same partition as before, with many others beside it; then all of them in turn.
    single_beside = load.requests("one", load.count(5000, 1000), 1)
    pipelined_beside = load.requests("one", count, 50)
    spread = load.requests("many", count, 50, partitions)
    broker.stop()
    start_s = broker.start()
    time.sleep(IDLE_S)
    return {
        "create_s": created_s,
        "start_s": start_s,
        "memory_mib": broker.memory_mib(),
        "single_to_own": single_beside["p50_us"] / single["p50_us"],
        "pipelined_to_own": pipelined["per_s"] / pipelined_beside["per_s"],
        "spread_to_own": pipelined["per_s"] / spread["per_s"],
        "spread_per_s": spread["per_s"],
    }


_PRODUCE_CPU = "broker CPU per million"
_S_PER_M = "s"
_CLIENT_CPU = Figure("client_cpu_s_per_million", "client CPU per million", "s")


def _batch_figures(rate: float, cpu: float | None, consume: bool = False) -> tuple[Figure, ...]:
    figures: tuple[Figure, ...] = (
        Figure("per_s", "produced", "msg/s", at_least(rate)),
        Figure("cpu_s_per_million", _PRODUCE_CPU, _S_PER_M, None if cpu is None else at_most(cpu)),
        _CLIENT_CPU,
    )
    if consume:
        figures += (
            Figure("consume_per_s", "consumed", "msg/s", at_least(1.2)),
            Figure("consume_cpu_s_per_million", "broker CPU per million consumed", _S_PER_M, at_most(1.0)),
            Figure("consume_client_cpu_s_per_million", "client CPU per million consumed", "s"),
        )
    return figures


ROWS: tuple[Row, ...] = (
    Row(
        "outstanding",
        "one outstanding acks=1 produce of 100 B",
        (
            Figure("p50_us", "p50", "µs", at_most(1.0)),
            Figure("p99_us", "p99", "µs", at_most(0.5)),
            Figure("p999_us", "p99.9", "µs"),
            Figure("cpu_us", "broker CPU per request", "µs"),
        ),
        _one_outstanding,
    ),
    Row(
        "pipelined",
        "1-record requests, 50 in flight on one connection",
        (
            Figure("per_s", "requests", "1/s", at_least(3)),
            Figure("cpu_us", "broker CPU per request", "µs", at_most(0.4)),
        ),
        _pipelined,
    ),
    Row(
        "batch-2",
        "librdkafka, 2-record batches",
        _batch_figures(4, None),
        _produce("batch-2", 80_000, "batch.num.messages=2"),
    ),
    Row(
        "batch-16k",
        "16 KB batches of 100 B",
        _batch_figures(2, 0.3, consume=True),
        _produce_and_consume("batch-16k", 4_000_000, "batch.size=16384", "linger.ms=5"),
    ),
    Row(
        "batch-1m",
        "1 MB batches of 100 B",
        _batch_figures(1.5, 0.35, consume=True),
        _produce_and_consume("batch-1m", 6_000_000, "batch.size=1000000", "linger.ms=50"),
    ),
    Row(
        "record-1k",
        "1 KB records, librdkafka's own batching",
        _batch_figures(1.2, None),
        _produce("record-1k", 400_000, record_bytes=1000),
    ),
    Row(
        "lz4",
        "lz4, librdkafka's own batching",
        _batch_figures(1.2, None),
        _produce("lz4", 4_000_000, "compression.codec=lz4", text=True),
    ),
    Row(
        "partitions-12",
        "12 partitions, librdkafka's own batching",
        _batch_figures(1.2, None),
        _produce("partitions-12", 4_000_000, partitions=12),
    ),
    Row(
        "producers-4",
        "4 producers at once, librdkafka's own batching",
        _batch_figures(1.2, None),
        _produce("producers-4", 4_000_000, producers=4),
    ),
    Row(
        "end-to-end",
        "end-to-end produce → consume at 10 k msg/s",
        (
            Figure("p50_us", "p50", "µs", at_most(1.0)),
            Figure("p99_us", "p99", "µs", at_most(0.5)),
            Figure("p999_us", "p99.9", "µs"),
        ),
        _end_to_end,
    ),
    Row(
        "life",
        "start and memory",
        (
            Figure("start_s", "start to first answer", "s", at_most(0.1)),
            Figure("idle_mib", "memory, idle (PSS)", "MiB", at_most(0.2)),
            Figure("loaded_mib", "memory, after the load (PSS)", "MiB", at_most(0.12)),
        ),
        None,
    ),
    Row(
        "partitions-2000",
        "2,000 partitions",
        (
            Figure("start_s", "start to first answer", "s", at_most(0.3)),
            Figure("memory_mib", "memory, idle (PSS)", "MiB"),
            Figure("create_s", "create the topic", "s"),
            Figure("single_to_own", "one outstanding p50, relative to without them", "×", Bar("at most", 1.2, "value")),
            Figure("pipelined_to_own", "pipelined, time relative to without them", "×", Bar("at most", 1.2, "value")),
            Figure("spread_to_own", "pipelined to all in turn, time relative to one", "×"),
        ),
        None,
    ),
)
