"""Unmodified Python clients at their daily work: topics, every compression, offsets, time, seek, a restart between."""

from __future__ import annotations

import time

import pytest
from clients import CLIENTS, Client, Record

from kbroker.testing import Broker

COMPRESSIONS = ("none", "gzip", "snappy", "lz4", "zstd")
PARTITIONS = 3
START_MS = 1_700_000_000_000


@pytest.fixture(params=CLIENTS)
def client_type(request: pytest.FixtureRequest) -> type[Client]:
    return CLIENTS[request.param]


def _records(label: str, count: int) -> list[Record]:
    """Return records that compress well enough to be compressed, a second apart, over all partitions."""
    return [
        Record(
            number % PARTITIONS,
            -1,
            f"{label}-{number}".encode(),
            f"{label} {number} ".encode() * 20,
            START_MS + 1000 * number,
        )
        for number in range(count)
    ]


def test_what_each_compression_stored_is_read_again_after_a_restart(client_type: type[Client]) -> None:
    """The client's own codec wrote it, stored as sent; another process of the broker serves it."""
    with Broker() as broker:
        client = client_type(broker.bootstrap_servers)
        client.create_topic("compressed", PARTITIONS, {"compression.type": "producer"})
        expected: list[Record] = []
        for compression in COMPRESSIONS:
            records = _records(compression, 300)
            offsets = client.produce("compressed", records, compression=compression)
            expected += [record._replace(offset=offset) for record, offset in zip(records, offsets, strict=True)]
        positions = dict.fromkeys(range(PARTITIONS), 0)
        assert client.consume("compressed", positions, len(expected)) == sorted(expected)

        broker.restart()

        assert client.consume("compressed", positions, len(expected)) == sorted(expected)
        assert client.end_offsets("compressed", PARTITIONS) == dict.fromkeys(range(PARTITIONS), 100 * len(COMPRESSIONS))


def test_offsets_are_found_by_time_and_reading_starts_anywhere(client_type: type[Client]) -> None:
    """Over several segments: the right segment, then the right batch, then the right record."""
    with Broker() as broker:
        client = client_type(broker.bootstrap_servers)
        client.create_topic("timed", 1, {"segment.bytes": "4096", "index.interval.bytes": "256"})
        for first in range(0, 200, 10):
            records = [Record(0, -1, None, b"x" * 100, START_MS + 1000 * number) for number in range(first, first + 10)]
            client.produce("timed", records)
        assert len(list((broker.data_dir / "timed-0").glob("*.log"))) > 3

        for number in (0, 1, 77, 110, 199):
            assert client.offsets_for_time("timed", 0, START_MS + 1000 * number) == number
            assert client.offsets_for_time("timed", 0, START_MS + 1000 * number - 999) == number
        assert client.offsets_for_time("timed", 0, START_MS + 1000 * 199 + 1) is None
        for offset in (0, 5, 99, 100, 198):
            found = client.consume("timed", {0: offset}, 200 - offset)
            assert [record.offset for record in found] == list(range(offset, 200))


def test_committed_offsets_outlive_the_broker(client_type: type[Client]) -> None:
    """They lie in __consumer_offsets and are replayed at the start."""
    with Broker() as broker:
        client = client_type(broker.bootstrap_servers)
        client.create_topic("read", PARTITIONS, {})
        client.produce("read", _records("a", 30))
        assert client.committed("readers", "read", PARTITIONS) == {}
        client.commit("readers", "read", {0: 3, 2: 7})
        client.commit("readers", "read", {0: 4})
        assert client.committed("readers", "read", PARTITIONS) == {0: 4, 2: 7}
        for clean in (True, False):
            broker.restart(clean=clean)
            assert client.committed("readers", "read", PARTITIONS) == {0: 4, 2: 7}


def test_an_idempotent_producer_writes_each_record_once(client_type: type[Client]) -> None:
    """Its sequence numbers are checked; a second producer gets an id of its own, also after a restart."""
    with Broker() as broker:
        client = client_type(broker.bootstrap_servers)
        client.create_topic("once", PARTITIONS, {})
        expected: list[Record] = []
        for label in ("first", "second", "third"):
            records = _records(label, 150)
            offsets = client.produce("once", records, compression="lz4", idempotent=True)
            expected += [record._replace(offset=offset) for record, offset in zip(records, offsets, strict=True)]
            if label == "second":
                broker.restart()
        assert client.consume("once", dict.fromkeys(range(PARTITIONS), 0), len(expected)) == sorted(expected)
        assert client.end_offsets("once", PARTITIONS) == dict.fromkeys(range(PARTITIONS), 150)


def test_a_topic_that_does_not_exist_is_made_by_producing_to_it(client_type: type[Client]) -> None:
    with Broker({"num.partitions": str(PARTITIONS)}) as broker:
        client = client_type(broker.bootstrap_servers)
        records = _records("auto", 9)
        offsets = client.produce("made-by-itself", records)
        expected = sorted(record._replace(offset=offset) for record, offset in zip(records, offsets, strict=True))
        assert client.consume("made-by-itself", dict.fromkeys(range(PARTITIONS), 0), 9) == expected


def test_a_record_without_a_timestamp_carries_the_producers_time(client_type: type[Client]) -> None:
    with Broker() as broker:
        client = client_type(broker.bootstrap_servers)
        client.create_topic("now", 1, {})
        before = time.time_ns() // 1_000_000
        client.produce("now", [Record(0, -1, None, b"value")])
        (found,) = client.consume("now", {0: 0}, 1)
        assert before <= found.timestamp_ms <= time.time_ns() // 1_000_000


def test_log_append_time_is_the_brokers_time(client_type: type[Client]) -> None:
    """message.timestamp.type=LogAppendTime: the producer's own timestamp is replaced."""
    with Broker() as broker:
        client = client_type(broker.bootstrap_servers)
        client.create_topic("stamped", 1, {"message.timestamp.type": "LogAppendTime"})
        before = time.time_ns() // 1_000_000
        client.produce("stamped", [Record(0, -1, None, b"value", START_MS)])
        (found,) = client.consume("stamped", {0: 0}, 1)
        assert before <= found.timestamp_ms <= time.time_ns() // 1_000_000
