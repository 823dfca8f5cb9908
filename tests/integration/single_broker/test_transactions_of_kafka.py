"""Transactions that Kafka wrote, committed, aborted and open: a consumer with read_committed gets only what counts."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import confluent_kafka
import pytest
from apache_kafka import KafkaServer
from clients import Confluent
from confluent_kafka.admin import AdminClient, OffsetSpec
from kafka_tools import KafkaTools

from kbroker.testing import Broker

TOPIC, GROUP = "accounts", "bookkeepers"

pytestmark = [pytest.mark.java, pytest.mark.timeout(240)]


def _producer(address: str, name: str, **config: str) -> confluent_kafka.Producer:
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": address, "transactional.id": name, "linger.ms": 0, "log_level": 2, **config}
    )
    producer.init_transactions(30)
    return producer


def _write(producer: confluent_kafka.Producer, values: list[str], end: str) -> None:
    """Write a transaction of one batch per value, and end it."""
    producer.begin_transaction()
    for value in values:
        producer.produce(TOPIC, value.encode() * 20, partition=0)
        assert producer.flush(30) == 0
    if end == "commit":
        producer.commit_transaction(30)
    elif end == "abort":
        producer.abort_transaction(30)


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Yield log directories of a real Kafka, after an orderly stop and after kill -9, over several segments."""
    tools = KafkaTools("3.9")
    directory = tmp_path_factory.mktemp("kafka")
    server = KafkaServer(tools.version, directory)
    try:
        server.start()
        address = server.bootstrap_servers
        Confluent(address).create_topic(TOPIC, 1, {"segment.bytes": "4096"})
        one, other, left_open = (_producer(address, name) for name in ("one", "other", "left open"))
        for number in range(12):
            _write(one, [f"aborted {number} "], "abort")
            _write(one, [f"committed {number} "], "commit")
        # One that spans segments while another one ends within it.
        other.begin_transaction()
        other.produce(TOPIC, b"aborted across segments", partition=0)
        assert other.flush(30) == 0
        for number in range(12, 24):
            _write(one, [f"committed {number} "], "commit")
        other.abort_transaction(30)
        # Offsets committed within transactions, one of which is aborted.
        consumer = confluent_kafka.Consumer(
            {"bootstrap.servers": address, "group.id": GROUP, "enable.auto.commit": False, "log_level": 2}
        )
        for offset, end in ((7, one.commit_transaction), (9, one.abort_transaction)):
            one.begin_transaction()
            one.send_offsets_to_transaction(
                [confluent_kafka.TopicPartition(TOPIC, 0, offset)], consumer.consumer_group_metadata(), 30
            )
            end(30)
        consumer.close()
        left_open.begin_transaction()
        left_open.produce(TOPIC, b"open", partition=0)
        assert left_open.flush(30) == 0
        _write(one, ["committed behind an open one "], "commit")
        server.end(signal.SIGTERM)
        shutil.copytree(server.log_dir, directory / "stopped")
        server.start()
        server.end(signal.SIGKILL)
        # What the last checkpoint does not vouch for: everything, as if Kafka had never flushed.
        for checkpoint in server.log_dir.glob("recovery-point-offset-checkpoint*"):
            checkpoint.unlink()
        yield {"stopped": directory / "stopped", "killed": server.log_dir}
    finally:
        server.end(signal.SIGKILL)


def _read(address: str, isolation: str, until: int) -> list[str]:
    """Return the values a consumer gets before it reaches an offset."""
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "reader",
            "isolation.level": isolation,
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 100,
            "log_level": 2,
        }
    )
    try:
        consumer.assign([confluent_kafka.TopicPartition(TOPIC, 0, 0)])
        values: list[str] = []
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for message in consumer.consume(1000, 0.2):
                assert message.error() is None, message.error()
                values.append((message.value() or b"").decode())
            (place,) = consumer.position([confluent_kafka.TopicPartition(TOPIC, 0)])
            if place.offset >= until:
                break
        return values
    finally:
        consumer.close()


def _end(address: str, isolation: confluent_kafka.IsolationLevel) -> int:
    """Return where a consumer of that isolation finds the end: the last stable offset, or the high watermark."""
    admin = AdminClient({"bootstrap.servers": address, "log_level": 2})
    asked = {confluent_kafka.TopicPartition(TOPIC, 0): OffsetSpec.latest()}
    (found,) = admin.list_offsets(asked, isolation_level=isolation).values()
    return int(found.result(30).offset)


@pytest.mark.parametrize("how", ["stopped", "killed", "killed without its transaction indexes"])
def test_read_committed_gets_neither_aborted_nor_open_transactions_of_kafka(
    how: str, directories: dict[str, Path], tmp_path: Path
) -> None:
    log_dir = tmp_path / "copy"
    shutil.copytree(directories[how.partition(" ")[0]], log_dir)
    indexes = list((log_dir / f"{TOPIC}-0").glob("*.txnindex"))
    assert len(indexes) > 3
    if "without" in how:
        for index in indexes:
            index.unlink()
    with Broker({"log.dirs": str(log_dir)}, data_dir=tmp_path) as broker:
        for life in range(2):
            address = broker.bootstrap_servers
            end = _end(address, confluent_kafka.IsolationLevel.READ_UNCOMMITTED)
            stable = _end(address, confluent_kafka.IsolationLevel.READ_COMMITTED)
            assert stable < end
            everything = _read(address, "read_uncommitted", end)
            assert sum(value.startswith("aborted") for value in everything) == 13
            assert "open" in everything
            committed = _read(address, "read_committed", stable)
            assert committed == [f"committed {number} " * 20 for number in range(24)]
            assert Confluent(address).committed(GROUP, TOPIC, 1) == {0: 7}
            log = broker.log_text()
            assert f"{TOPIC}-0: transactions are open from offset {stable} on" in log
            assert "Traceback" not in log
            if life == 0:
                broker.restart()
