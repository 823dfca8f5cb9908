"""The directory is Apache Kafka's: its DumpLogSegments reads ours without complaint, and we serve what Kafka wrote."""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import confluent_kafka
import pytest
from apache_kafka import KafkaServer
from clients import Confluent, Record
from kafka_tools import KafkaTools

from kbroker.testing import Broker

COMPRESSIONS = ("none", "gzip", "snappy", "lz4", "zstd")
# What DumpLogSegments writes about a file it does not trust.
COMPLAINTS = re.compile(
    r"mismatch|out of order|isvalid: false|Exception|corrupt|not found in log|sanity check failed", re.IGNORECASE
)

pytestmark = [pytest.mark.java, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def tools() -> KafkaTools:
    return KafkaTools("3.9")


def _dump(tools: KafkaTools, files: list[Path], *flags: str) -> str:
    assert files, "nothing to dump: the broker has written no such file"
    text = tools.run("dump-log", "--files", ",".join(map(str, files)), *flags)
    complaint = COMPLAINTS.search(text)
    assert complaint is None, text[max(0, complaint.start() - 500) : complaint.end() + 500]
    return text


def _fill(client: Confluent, topic: str) -> list[Record]:
    """Produce with every compression, to two partitions, over many small segments; return what was produced."""
    produced = []
    for compression in COMPRESSIONS:
        for part in range(8):
            records = [
                Record(
                    number % 2, -1, b"key", f"{compression} {part} {number} ".encode() * 30, 1_700_000_000_000 + number
                )
                for number in range(50)
            ]
            offsets = client.produce(topic, records, compression=compression, idempotent=compression == "zstd")
            produced += [record._replace(offset=offset) for record, offset in zip(records, offsets, strict=True)]
    return sorted(produced)


def _files(directory: Path, topic: str, suffix: str) -> list[Path]:
    return sorted(directory.glob(f"{topic}-[0-9]*/*{suffix}"))


def test_dump_log_segments_reads_what_we_wrote(tools: KafkaTools, tmp_path: Path) -> None:
    """Deep iteration, both index checks, producer snapshots, decoded group offsets; after a stop and after a kill."""
    with Broker(data_dir=tmp_path) as broker:
        client = Confluent(broker.bootstrap_servers)
        broker.create_topic("filled", 2, {"segment.bytes": "16384", "index.interval.bytes": "1024"})
        produced = _fill(client, "filled")
        client.commit("readers", "filled", {0: 11, 1: 22})
        broker.stop()

        data = broker.data_dir
        logs = _files(data, "filled", ".log")
        assert len(logs) > 6
        text = _dump(tools, logs, "--deep-iteration", "--print-data-log")
        assert len(re.findall(r"^\| offset: ", text, re.MULTILINE)) == len(produced)
        assert set(re.findall(r"compresscodec: (\w+)", text)) == set(COMPRESSIONS)
        indexes = _files(data, "filled", ".index")
        assert sum(path.stat().st_size for path in indexes) > 0
        _dump(tools, indexes + _files(data, "filled", ".timeindex"), "--verify-index-only")
        _dump(tools, indexes + _files(data, "filled", ".timeindex"), "--index-sanity-check")
        snapshots = _dump(tools, _files(data, "filled", ".snapshot"))
        assert "producerId: " in snapshots
        offsets = _dump(
            tools,
            [path for path in _files(data, "__consumer_offsets", ".log") if path.stat().st_size],
            "--offsets-decoder",
            "--deep-iteration",
        )
        assert re.search(r'readers.*"?filled"?.*11', offsets)

        broker.start()
        more = client.produce("filled", [Record(0, -1, None, b"after") for _ in range(20)])
        broker.kill()
        text = _dump(tools, _files(data, "filled", ".log"), "--deep-iteration", "--print-data-log")
        assert len(re.findall(r"^\| offset: ", text, re.MULTILINE)) == len(produced) + len(more)


@pytest.fixture(scope="module")
def kafka_directories(tools: KafkaTools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Yield log directories of a real Kafka: one after an orderly stop, one after kill -9. Both hold `PRODUCED`."""
    directory = tmp_path_factory.mktemp("kafka")
    server = KafkaServer(tools.version, directory)
    try:
        server.start()
        client = Confluent(server.bootstrap_servers)
        client.create_topic("from-kafka", 2, {"segment.bytes": "16384", "index.interval.bytes": "1024"})
        client.create_topic("emptied", 1, {"segment.bytes": "16384"})
        PRODUCED[:] = _fill(client, "from-kafka")
        for _ in range(3):
            client.produce("emptied", [Record(0, -1, None, b"x" * 1000) for _ in range(10)])
        admin = confluent_kafka.admin.AdminClient({"bootstrap.servers": server.bootstrap_servers})
        deleted = admin.delete_records([confluent_kafka.TopicPartition("emptied", 0, 30)])
        assert next(iter(deleted.values())).result(30).low_watermark == 30
        client.commit("kafka-readers", "from-kafka", {0: 33, 1: 44})
        server.end(signal.SIGTERM)
        shutil.copytree(server.log_dir, directory / "stopped")
        server.start()
        client.commit("kafka-readers", "from-kafka", {1: 55})
        server.end(signal.SIGKILL)
        yield {"stopped": directory / "stopped", "killed": server.log_dir}
    finally:
        server.end(signal.SIGKILL)


PRODUCED: list[Record] = []


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_directory_that_kafka_wrote_is_served(how: str, kafka_directories: dict[str, Path], tmp_path: Path) -> None:
    """Records, times, the log's start, committed offsets; and it goes on from there, with Kafka's ids and ours."""
    with Broker({"log.dirs": str(kafka_directories[how])}, data_dir=tmp_path) as broker:
        client = Confluent(broker.bootstrap_servers)
        topics = broker.admin().list_topics(timeout=30).topics
        assert {"from-kafka", "emptied"} <= topics.keys()
        assert len(topics["from-kafka"].partitions) == 2
        assert client.consume("from-kafka", {0: 0, 1: 0}, len(PRODUCED)) == PRODUCED
        assert client.end_offsets("from-kafka", 2) == {0: len(PRODUCED) // 2, 1: len(PRODUCED) // 2}
        assert client.offsets_for_time("from-kafka", 1, 1_700_000_000_049) == 24
        assert client.end_offsets("emptied", 1) == {0: 30}
        assert client.committed("kafka-readers", "from-kafka", 2) == {0: 33, 1: 44 if how == "stopped" else 55}

        ends = len(PRODUCED) // 2
        assert client.produce("from-kafka", [Record(0, -1, None, b"ours")], idempotent=True) == [ends]
        client.commit("kafka-readers", "from-kafka", {0: ends + 1})
        broker.restart()
        (ours,) = client.consume("from-kafka", {0: ends}, 1)
        assert ours.value == b"ours"
        assert client.committed("kafka-readers", "from-kafka", 2)[0] == ends + 1


def test_kafka_goes_on_with_what_we_wrote(
    tools: KafkaTools, kafka_directories: dict[str, Path], tmp_path: Path
) -> None:
    """A directory handed over to us can be handed back: DumpLogSegments finds Kafka's and our batches in one log."""
    copy = tmp_path / "copy"
    shutil.copytree(kafka_directories["stopped"], copy)
    with Broker({"log.dirs": str(copy)}, data_dir=tmp_path) as broker:
        client = Confluent(broker.bootstrap_servers)
        client.produce("from-kafka", [Record(1, -1, None, b"x" * 2000) for _ in range(40)])
        broker.stop()
        text = _dump(tools, _files(copy, "from-kafka", ".log"), "--deep-iteration", "--print-data-log")
        assert len(re.findall(r"^\| offset: ", text, re.MULTILINE)) >= len(PRODUCED) + 40
        _dump(tools, _files(copy, "from-kafka", ".index"), "--index-sanity-check")
        _dump(tools, _files(copy, "from-kafka", ".timeindex"))
