"""Records produced, rightly and wrongly."""

from __future__ import annotations

import time
from typing import Any

from differential.actions import Scenario, Steps
from differential.requests import BASE_TIME, TIMEOUT_MS, UNKNOWN_ID, append, batch, changed, create_topic, request
from differential.world import World
from kbroker.protocol.api_keys import ApiKey
from kbroker.protocol.compression import CompressionType

DAY_MS = 86_400_000


def _produce(topic: str, records: bytes | None, partition: int = 0, **options: Any) -> Any:
    topic_id = options.pop("topic_id", UNKNOWN_ID)
    partitions = options.pop("partition_data", [{"index": partition, "records": records}])
    data = options.pop("topic_data", [{"name": topic, "topic_id": topic_id, "partition_data": partitions}])
    return request(ApiKey.PRODUCE, **{"acks": -1, "timeout_ms": TIMEOUT_MS, "topic_data": data, **options})


def _old_message(magic: int) -> bytes:
    """Return a message of format 0 or 1."""
    import zlib

    body = bytes([magic, 0]) + (BASE_TIME.to_bytes(8, "big") if magic else b"") + b"\xff\xff\xff\xff\0\0\0\1a"
    message = zlib.crc32(body).to_bytes(4, "big") + body
    return bytes(8) + len(message).to_bytes(4, "big") + message


def broken_batches() -> dict[str, bytes | None]:
    """Return what may stand where a batch should."""
    good = batch(3)
    long = batch([(b"k", b"x" * 100, BASE_TIME)])
    two_records = batch([(b"a", b"1", BASE_TIME), (b"b", b"2", BASE_TIME)])
    return {
        "null": None,
        "no bytes": b"",
        "ten bytes": good[:10],
        "sixteen bytes": good[:16],
        "thirty bytes": good[:30],
        "a header without records": good[:61],
        "without its last byte": good[:-1],
        "half of it": long[: len(long) // 2],
        "with a byte after it": good + b"\0",
        "with twelve bytes after it": good + bytes(12),
        "twice": good + good,
        "and half of another": good + good[:40],
        "of magic 0": _old_message(0),
        "of magic 1": _old_message(1),
        "of magic 3": changed(good, magic=3),
        "of magic -1": changed(good, magic=-1),
        "with a wrong checksum": changed(good, crc=1),
        "with a length too small": changed(good, length=20),
        "with a length of 0": changed(good, length=0),
        "with a negative length": changed(good, length=-1),
        "with a length too large": changed(good, length=len(good)),
        "with base offset 5": changed(good, base_offset=5),
        "with base offset -1": changed(good, base_offset=-1),
        "with a leader epoch": changed(good, leader_epoch=77),
        "with one record too many": changed(good, record_count=4),
        "with one record too few": changed(good, record_count=2),
        "with no records by its count": changed(good, record_count=0),
        "with -1 records": changed(good, record_count=-1),
        "with 2^31-1 records": changed(good, record_count=2**31 - 1, last_offset_delta=2**31 - 2),
        "with a last offset delta of 9": changed(good, last_offset_delta=9),
        "with a last offset delta of -1": changed(good, last_offset_delta=-1),
        "with a control batch's flag": changed(good, attributes=0x20),
        "with a transaction's flag": changed(good, attributes=0x10),
        "with both flags": changed(good, attributes=0x30),
        "with log append time": changed(good, attributes=0x08),
        "with a delete horizon's flag": changed(good, attributes=0x40),
        "with an unknown flag": changed(good, attributes=0x80),
        "with codec 5": changed(good, attributes=5),
        "with codec 7": changed(good, attributes=7),
        "said to be gzip": changed(good, attributes=1),
        "said to be snappy": changed(good, attributes=2),
        "said to be lz4": changed(good, attributes=3),
        "said to be zstd": changed(good, attributes=4),
        "whose records are zeros": changed(good[:61] + bytes(len(good) - 61)),
        "whose records are 0xff": changed(good[:61] + b"\xff" * (len(good) - 61)),
        "whose first record is too long": changed(good[:61] + b"\x7e" + good[62:]),
        "whose offsets are not in order": changed(two_records[:-7] + bytes([two_records[-7]]) + two_records[-6:]),
        "with a producer id and no epoch": changed(good, producer_id=3),
        "with a producer id and no sequence": changed(good, producer_id=3, producer_epoch=0),
        "with a sequence and no producer id": changed(good, base_sequence=0),
        "with producer id -2": changed(good, producer_id=-2),
        "of an unknown producer, sequence 5": batch(1, producer_id=99_991, producer_epoch=0, base_sequence=5),
        "of an unknown producer, sequence 0": batch(1, producer_id=99_992, producer_epoch=0, base_sequence=0),
        "with max timestamp -1": changed(good, max_timestamp=-1),
        "with a wrong max timestamp": changed(good, max_timestamp=BASE_TIME + 77),
        "without timestamps": batch([(b"k", b"v", -1)]),
        "with negative timestamps": batch([(b"k", b"v", -5)]),
        "of the future": batch([(b"k", b"v", int(time.time() * 1000) + 2 * DAY_MS)]),
        "of the near future": batch([(b"k", b"v", int(time.time() * 1000) + 7_200_000)]),
        "with one record of the future": batch(
            [(b"k", b"v", BASE_TIME), (b"k", b"w", int(time.time() * 1000) + DAY_MS)]
        ),
        "with null keys": batch([(None, b"v", BASE_TIME)]),
        "with null values": batch([(b"k", None, BASE_TIME)]),
        "too large": batch([(b"k", b"x" * 1_100_000, BASE_TIME)]),
        "of no records": changed(batch(1)[:61], record_count=0, last_offset_delta=-1, length=49),
    }


def produce(world: World) -> Steps:
    """Produce of everything that is no good batch, and where it does not belong."""
    topic_id = yield from create_topic(world, "written", 2)
    yield from append("written", batch(3), 1)
    for version in world.range(ApiKey.PRODUCE):

        def asked(records: bytes | None, partition: int = 0, version: int = version, **options: Any) -> Any:
            return _produce("written", records, partition, **{"topic_id": topic_id, **options})

        for name, records in broken_batches().items():
            if records is None and version != world.latest(ApiKey.PRODUCE):
                continue  # Kafka says nothing, which takes its time
            yield world.ask(f"a batch {name}", asked(records), version)
        for acks in (1, 0, -1, 2, -2, 32767):
            yield world.ask(f"acks {acks}", asked(batch(2), acks=acks), version, silent=True)
        yield world.ask("acks 0, a broken batch", asked(changed(batch(2), crc=1), acks=0), version, silent=True)
        yield world.ask("acks 0, an unknown partition", asked(batch(2), 9, acks=0), version, silent=True)
        for milliseconds in (0, -1, 1):
            yield world.ask(f"timeout {milliseconds}", asked(batch(1), timeout_ms=milliseconds), version)
        yield world.ask("an unknown partition", asked(batch(1), 2), version)
        yield world.ask("a negative partition", asked(batch(1), -1), version)
        yield world.ask("an unknown topic", _produce("unwritten", batch(1)), version)
        yield world.ask("an empty topic name", _produce("", batch(1), topic_id=bytes(16)), version)
        yield world.ask("an illegal topic name", _produce("a/b", batch(1)), version)
        yield world.ask("no topics", asked(None, topic_data=[]), version)
        yield world.ask("no partitions", asked(None, partition_data=[]), version)
        twice = [{"index": 0, "records": batch(1)}, {"index": 0, "records": batch(2)}]
        yield world.ask("a partition twice", asked(None, partition_data=twice), version)
        both = [{"index": 0, "records": batch(1)}, {"index": 1, "records": batch(2)}]
        yield world.ask("two partitions", asked(None, partition_data=both), version)
        mixed = [
            {"index": 0, "records": batch(1)},
            {"index": 1, "records": changed(batch(1), crc=3)},
            {"index": 7, "records": batch(1)},
        ]
        yield world.ask("a good, a bad and an unknown partition", asked(None, partition_data=mixed), version)
        topics = [
            {"name": "written", "topic_id": topic_id, "partition_data": [{"index": 0, "records": batch(1)}]},
            {"name": "written", "topic_id": topic_id, "partition_data": [{"index": 1, "records": batch(1)}]},
        ]
        yield world.ask("a topic twice", asked(None, topic_data=topics), version)
        for codec in CompressionType:
            if codec != CompressionType.ZSTD or version >= 7:
                yield world.ask(f"compressed by {codec.name}", asked(batch(20, compression=codec)), version)
            yield world.ask(f"{codec.name}, cut off", asked(_cut_compressed(codec)), version)
        yield world.ask("zstd", asked(batch(5, compression=CompressionType.ZSTD)), version)
        if version >= 3:
            yield world.ask("a transactional id", asked(batch(1), transactional_id="t"), version)
            yield world.ask("a transactional id and a plain batch", asked(batch(1), transactional_id=""), version)
            yield world.ask(
                "a transactional batch without id",
                asked(batch(1, is_transactional=True, producer_id=5, producer_epoch=0, base_sequence=0)),
                version,
            )


def _cut_compressed(codec: int) -> bytes:
    good = batch(50, compression=codec)
    cut = good[:-5]
    return changed(cut, length=len(cut) - 12)


def produce_by_config(world: World) -> Steps:
    """Produce to topics whose configuration forbids what others allow."""
    compacted = yield from create_topic(world, "compacted", 1, {"cleanup.policy": "compact"})
    small = yield from create_topic(world, "small", 1, {"max.message.bytes": "200"})
    stamped = yield from create_topic(world, "stamped", 1, {"message.timestamp.type": "LogAppendTime"})
    bounded = yield from create_topic(
        world, "bounded", 1, {"message.timestamp.before.max.ms": "60000", "message.timestamp.after.max.ms": "60000"}
    )
    recompressed = yield from create_topic(world, "recompressed", 1, {"compression.type": "gzip"})
    strict = yield from create_topic(world, "strict", 1, {"min.insync.replicas": "2"})
    now = int(time.time() * 1000)
    for version in world.range(ApiKey.PRODUCE):

        def asked(topic: str, topic_id: bytes, records: bytes, **options: Any) -> Any:
            return _produce(topic, records, topic_id=topic_id, **options)

        no_keys = batch(
            [(b"k", b"v", BASE_TIME), (None, b"v", BASE_TIME), (b"", b"v", BASE_TIME), (None, b"w", BASE_TIME)]
        )
        yield world.ask("compacted, two records without keys", asked("compacted", compacted, no_keys), version)
        yield world.ask("compacted, keys", asked("compacted", compacted, batch(2)), version)
        yield world.ask(
            "compacted, without keys, gzip",
            asked("compacted", compacted, batch([(None, b"v", BASE_TIME)], compression=1)),
            version,
        )
        yield world.ask("small, too large", asked("small", small, batch([(b"k", b"x" * 300, BASE_TIME)])), version)
        yield world.ask("small, small enough", asked("small", small, batch(1)), version)
        yield world.ask(
            "small, compressed to fit",
            asked("small", small, batch([(b"k", b"x" * 300, BASE_TIME)], compression=1)),
            version,
        )
        yield world.ask("append time", asked("stamped", stamped, batch(2)), version)
        yield world.ask(
            "append time, of the future", asked("stamped", stamped, batch([(b"k", b"v", now + 10 * DAY_MS)])), version
        )
        yield world.ask("append time, no timestamps", asked("stamped", stamped, batch([(b"k", b"v", -1)])), version)
        late = batch([(b"k", b"v", now), (b"k", b"v", now - DAY_MS), (b"k", b"v", now + DAY_MS)])
        yield world.ask("timestamps, in time", asked("bounded", bounded, batch([(b"k", b"v", now)])), version)
        yield world.ask("timestamps, two out of bounds", asked("bounded", bounded, late), version)
        yield world.ask("timestamps, all too old", asked("bounded", bounded, batch(3)), version)
        yield world.ask("timestamps, none", asked("bounded", bounded, batch([(b"k", b"v", -1)])), version)
        yield world.ask("recompressed", asked("recompressed", recompressed, batch(3)), version)
        for acks in (1, -1, 0):
            yield world.ask(
                f"too few replicas, acks {acks}", asked("strict", strict, batch(1), acks=acks), version, silent=True
            )


def idempotence(world: World) -> Steps:
    """Sequences of idempotent producers, in order, again, with gaps, of old epochs."""
    topic_id = yield from create_topic(world, "sequenced")
    for version in world.range(ApiKey.PRODUCE):
        if version < 3:
            continue
        producer = 10_000 + version

        def asked(sequence: int, count: int = 1, epoch: int = 1, producer: int = producer) -> Any:
            data = batch(count, producer_id=producer, producer_epoch=epoch, base_sequence=sequence)
            return _produce("sequenced", data, topic_id=topic_id)

        yield world.ask("the first", asked(0, 3), version)
        yield world.ask("the first again", asked(0, 3), version)
        yield world.ask("the second", asked(3, 2), version)
        yield world.ask("the first once more", asked(0, 3), version)
        yield world.ask("half of the second", asked(3, 1), version)
        yield world.ask("the second, longer", asked(3, 3), version)
        yield world.ask("a gap", asked(9), version)
        yield world.ask("an old epoch", asked(5, epoch=0), version)
        yield world.ask("a new epoch, not from 0", asked(5, epoch=2), version)
        yield world.ask("a new epoch", asked(0, epoch=2), version)
        yield world.ask("the old epoch", asked(5, epoch=1), version)
        for sequence in range(1, 8):
            yield world.ask(f"sequence {sequence}", asked(sequence, epoch=2), version)
        yield world.ask("one out of the last five", asked(1, epoch=2), version)
        yield world.ask("sequence 2^31-1", asked(2**31 - 1, epoch=3), version)
        yield world.ask("epoch -1", asked(0, epoch=-1), version)


SCENARIOS = (
    Scenario("produce", (ApiKey.PRODUCE,), produce),
    Scenario("produce by config", (ApiKey.PRODUCE,), produce_by_config),
    Scenario("idempotence", (ApiKey.PRODUCE,), idempotence),
)
