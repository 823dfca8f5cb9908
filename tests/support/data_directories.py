"""
Data directories of released versions, kept in tests/vectors/data_directories, each opened by every later version.

    .venv/bin/python tests/support/data_directories.py

makes those of this version, once per release: `<version>-stopped.tar.gz`, after an orderly stop,
`<version>-killed.tar.gz`, after SIGKILL, and `<version>.json`:
what a client found in them, which later versions must find, too (`read_back`).
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource

from kbroker import __version__
from kbroker.testing import Broker

VECTORS = Path(__file__).parents[1] / "vectors" / "data_directories"
GROUP = "readers"
TOPICS: Mapping[str, tuple[int, Mapping[str, str]]] = {
    "orders": (3, {"retention.ms": "-1"}),
    "rolled": (1, {"retention.ms": "-1", "segment.bytes": "4096", "retention.bytes": "-1"}),
    "settings": (1, {"retention.ms": "-1", "cleanup.policy": "compact", "max.message.bytes": "70000"}),
}
"""Partitions and configuration of each topic; their records must not grow old."""
CONFIG = {
    "offsets.topic.num.partitions": "2",
    "offsets.retention.minutes": "2147483647",
    "num.io.threads": "1",
    "num.network.threads": "1",
}
_FIRST_TIMESTAMP_MS = 1_750_000_000_000


def read_back(broker: Broker) -> dict[str, Any]:
    """Return all that the vectors promise, as a client finds it; JSON-able."""
    admin = broker.admin()
    cluster = admin.describe_cluster(request_timeout=30).result(30)
    topics = admin.list_topics(timeout=30).topics
    found: dict[str, Any] = {
        "cluster_id": cluster.cluster_id,
        "broker_id": cluster.nodes[0].id,
        "topics": {},
        "offsets": {},
    }
    for name in sorted(name for name in topics if not name.startswith("__")):
        found["topics"][name] = {
            "config": _configured(admin, name),
            "partitions": {
                str(partition): _records(broker, name, partition) for partition in sorted(topics[name].partitions)
            },
        }
    asked = ConsumerGroupTopicPartitions(GROUP)
    committed = admin.list_consumer_group_offsets([asked], request_timeout=30)[GROUP].result(30)
    for entry in sorted(committed.topic_partitions, key=lambda one: (one.topic, one.partition)):
        found["offsets"][f"{entry.topic}-{entry.partition}"] = [entry.offset, entry.metadata]
    return found


def _configured(admin: AdminClient, topic: str) -> dict[str, str]:
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    entries = admin.describe_configs([resource], request_timeout=30)[resource].result(30)
    return {name: entries[name].value for name in TOPICS.get(topic, (0, {}))[1]}


def _records(broker: Broker, topic: str, partition: int) -> list[Any]:
    """Return the log start offset, then offset, timestamp, key, value (beginning, size, CRC) and headers of each."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "group.id": "vector",
            "enable.auto.commit": False,
            "enable.partition.eof": False,
            "auto.offset.reset": "error",
        }
    )
    low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)
    found: list[Any] = [low]
    consumer.assign([TopicPartition(topic, partition, low)])
    while low < high:
        message = consumer.poll(30)
        assert message is not None, f"{topic}-{partition}: nothing at offset {low} of {high}"
        assert message.error() is None, message.error()
        key, value = message.key(), message.value()
        found.append(
            [
                message.offset(),
                message.timestamp()[1],
                None if key is None else key.decode(),
                None if value is None else [value[:12].decode(), len(value), zlib.crc32(value)],
                [[name, None if data is None else data.decode()] for name, data in message.headers() or []],
            ]
        )
        low = message.offset() + 1
    consumer.close()
    return found


def _fill(broker: Broker) -> None:
    for name, (partitions, config) in TOPICS.items():
        broker.create_topic(name, partitions, config)
    for number, codec in enumerate(("none", "gzip", "snappy", "lz4", "zstd")):
        _produce(broker, codec, number * 100)
    broker.create_topic("deleted")
    broker.delete_topic("deleted")
    broker.admin().delete_records([TopicPartition("rolled", 0, 3)], request_timeout=30)
    for future in broker.admin().delete_records([TopicPartition("rolled", 0, 3)], request_timeout=30).values():
        future.result(30)
    _commit(broker, 2)


def _produce(broker: Broker, codec: str, first: int) -> None:
    """Send a batch of each kind; idempotent, so that producer states lie in the directory, too."""
    producer = Producer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "compression.type": codec,
            "enable.idempotence": True,
            "linger.ms": 50,
        }
    )
    for number in range(first, first + 4):
        timestamp = _FIRST_TIMESTAMP_MS + number
        for partition in range(3):
            producer.produce(
                "orders",
                f"{codec} {number} " + "x" * 80,
                f"key-{number}",
                partition=partition,
                timestamp=timestamp,
                headers=[("codec", codec), ("empty", None)],
            )
        producer.produce("settings", None if number % 2 else f"{codec} {number}", "setting", timestamp=timestamp)
    for number in range(first, first + 4):
        producer.produce("rolled", f"{number} ".ljust(1100, "."), timestamp=_FIRST_TIMESTAMP_MS + number)
        producer.flush(30)
    assert producer.flush(30) == 0


def _commit(broker: Broker, offset: int) -> None:
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": GROUP, "enable.auto.commit": False})
    consumer.commit(
        offsets=[TopicPartition("orders", partition, offset + partition, "by a test") for partition in range(3)],
        asynchronous=False,
    )
    consumer.close()


def _archive(directory: Path, target: Path) -> None:
    """Write all files of a directory, with nothing of this machine in them."""
    with tarfile.open(target, "w:gz", compresslevel=9) as archive:
        for path in sorted(directory.rglob("*")):
            entry = tarfile.TarInfo(str(path.relative_to(directory)))
            entry.mtime = _FIRST_TIMESTAMP_MS // 1000
            if path.is_dir():
                entry.type = tarfile.DIRTYPE
                entry.mode = 0o755
                archive.addfile(entry)
            else:
                data = path.read_bytes()
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))


def main() -> None:
    """Make the vectors of this version, unless they are there: what a release has written does not change."""
    if (VECTORS / f"{__version__}.json").exists():
        sys.exit(f"{VECTORS}: those of {__version__} are there; another version is named in kbroker/__init__.py")
    VECTORS.mkdir(parents=True, exist_ok=True)
    expected = {}
    broker = Broker(CONFIG)
    try:
        broker.start()
        _fill(broker)
        expected["stopped"] = read_back(broker)
        broker.stop()
        _archive(broker.data_dir, VECTORS / f"{__version__}-stopped.tar.gz")
        broker.start()
        _produce(broker, "none", 1000)
        _commit(broker, 4)
        expected["killed"] = read_back(broker)
        broker.kill()
        _archive(broker.data_dir, VECTORS / f"{__version__}-killed.tar.gz")
    finally:
        broker.close()
    (VECTORS / f"{__version__}.json").write_text(json.dumps(expected, separators=(",", ":")) + "\n")
    for path in sorted(VECTORS.glob(f"{__version__}*")):
        sys.stdout.write(f"{path.name}: {path.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main()
