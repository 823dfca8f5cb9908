"""Records: fetched, looked for by time and epoch, deleted, rightly and wrongly."""

from __future__ import annotations

from typing import Any

from differential.actions import Pause, Scenario, Steps
from differential.requests import BASE_TIME, TIMEOUT_MS, UNKNOWN_ID, append, batch, create_topic, request, rows
from differential.world import World
from kbroker.protocol.api_keys import ApiKey
from kbroker.protocol.compression import CompressionType

DAY_MS = 86_400_000


def fetch(world: World) -> Steps:
    """Fetch from everywhere and nowhere."""
    topic_id = yield from create_topic(world, "read", 2)
    empty_id = yield from create_topic(world, "empty", 1)
    for count in (3, 2, 4):
        yield from append("read", batch(count))
    yield from append("read", batch(2, compression=CompressionType.GZIP), 1)

    def asked(
        offset: int = 0, partition: int = 0, topic: str = "read", identity: bytes = topic_id, **options: Any
    ) -> Any:
        row = {
            "partition": partition,
            "fetch_offset": offset,
            "partition_max_bytes": options.pop("partition_max_bytes", 1 << 20),
        }
        row |= {
            name: options.pop(name)
            for name in ("current_leader_epoch", "last_fetched_epoch", "log_start_offset")
            if name in options
        }
        partitions = options.pop("partitions", [row])
        topics = options.pop("topics", [{"topic": topic, "topic_id": identity, "partitions": partitions}])
        return request(
            ApiKey.FETCH, **{"max_wait_ms": 0, "min_bytes": 0, "max_bytes": 1 << 24, "topics": topics, **options}
        )

    for version in world.range(ApiKey.FETCH):
        for offset in (0, 1, 3, 5, 8, 9, 10, 1000, -1, -2, 2**63 - 1, -(2**63)):
            yield world.ask(f"offset {offset}", asked(offset), version)
        yield world.ask("compressed", asked(1, 1), version)
        yield world.ask("an empty partition", asked(0, 0, "empty", empty_id), version)
        yield world.ask("an empty partition from 1", asked(1, 0, "empty", empty_id), version)
        for partition in (2, -1, 2**31 - 1):
            yield world.ask(f"partition {partition}", asked(0, partition), version)
        yield world.ask("an unknown topic", asked(0, 0, "unread", UNKNOWN_ID), version)
        yield world.ask("an empty topic name", asked(0, 0, "", bytes(16)), version)
        yield world.ask("an illegal topic name", asked(0, 0, "a/b", UNKNOWN_ID), version)
        yield world.ask("no topics", asked(topics=[]), version)
        yield world.ask("no partitions", asked(partitions=[]), version)
        row = {"partition": 0, "fetch_offset": 0, "partition_max_bytes": 1 << 20}
        yield world.ask("a partition twice", asked(partitions=[row, {**row, "fetch_offset": 5}]), version)
        yield world.ask("two partitions", asked(partitions=[row, {**row, "partition": 1}]), version)
        for size in (0, 1, 60, 100, -1):
            yield world.ask(f"partition_max_bytes {size}", asked(partition_max_bytes=size), version)
            yield world.ask(f"max_bytes {size}", asked(max_bytes=size), version)
            both = [row, {**row, "partition": 1}]
            yield world.ask(f"two partitions, max_bytes {size}", asked(max_bytes=size, partitions=both), version)
        for milliseconds, least in ((1, 1 << 20), (-1, 1 << 20), (50, 1), (0, -1), (20, 2**31 - 1)):
            yield world.ask(
                f"wait {milliseconds}, min_bytes {least}", asked(9, max_wait_ms=milliseconds, min_bytes=least), version
            )
        for isolation in (0, 1, 2, -1):
            yield world.ask(f"isolation level {isolation}", asked(isolation_level=isolation), version)
        for replica in (-2, 1, 5, -3):
            options = (
                {"replica_id": replica}
                if version < 15
                else {"replica_state": {"replica_id": replica, "replica_epoch": -1}}
            )
            yield world.ask(f"replica {replica}", asked(**options), version)
        if version >= 9:
            for epoch in (-1, 0, 1, 99, -2):
                yield world.ask(f"leader epoch {epoch}", asked(current_leader_epoch=epoch), version)
        if version >= 12:
            for epoch in (-1, 0, 1, 7, -2):
                yield world.ask(f"last fetched epoch {epoch}", asked(5, last_fetched_epoch=epoch), version)
            yield world.ask("a cluster id", asked(cluster_id="abc"), version)
        if version >= 11:
            yield world.ask("a rack", asked(rack_id="r1"), version)
        if version >= 13:
            yield world.ask(
                "a known and an unknown id",
                asked(
                    topics=[{"topic_id": topic_id, "partitions": [row]}, {"topic_id": UNKNOWN_ID, "partitions": [row]}]
                ),
                version,
            )


def fetch_sessions(world: World) -> Steps:
    """Fetch sessions: opened, continued, forgotten, closed, mistaken."""
    topic_id = yield from create_topic(world, "session", 2)
    yield from append("session", batch(3))

    def asked(
        session: int, epoch: int, rows: list[tuple[int, int]], forgotten: list[int] | None = None, **options: Any
    ) -> Any:
        topics = (
            [
                {
                    "topic": "session",
                    "topic_id": topic_id,
                    "partitions": [{"partition": p, "fetch_offset": o, "partition_max_bytes": 1000} for p, o in rows],
                }
            ]
            if rows
            else []
        )
        gone = [{"topic": "session", "topic_id": topic_id, "partitions": forgotten}] if forgotten else []
        return request(
            ApiKey.FETCH,
            max_wait_ms=0,
            min_bytes=0,
            max_bytes=1 << 20,
            session_id=session,
            session_epoch=epoch,
            topics=topics,
            forgotten_topics_data=gone,
            **options,
        )

    for version in world.range(ApiKey.FETCH):
        if version < 7:
            continue
        yield world.ask("no session", asked(0, -1, [(0, 0)]), version)
        opened = yield world.ask("opened", asked(0, 0, [(0, 0), (1, 0)]), version)
        if opened is None:
            continue
        session = opened.session_id
        yield world.ask("continued, nothing new", asked(session, 1, []), version)
        yield world.ask("continued, further on", asked(session, 2, [(0, 3)]), version)
        yield world.ask("nothing to tell", asked(session, 3, []), version)
        yield world.ask("forgotten", asked(session, 4, [], [1]), version)
        yield world.ask("an unknown one forgotten", asked(session, 5, [], [9]), version)
        yield world.ask("an unknown partition added", asked(session, 6, [(9, 0)]), version)
        yield world.ask("the unknown partition again", asked(session, 7, []), version)
        yield world.ask("an old epoch", asked(session, 3, []), version)
        yield world.ask("an epoch to come", asked(session, 30, []), version)
        yield world.ask("an unknown session", asked(12345, 1, []), version)
        yield world.ask("session 0, epoch 5", asked(0, 5, [(0, 0)]), version)
        yield world.ask("a negative session", asked(-5, 1, [(0, 0)]), version)
        yield world.ask("epoch -2", asked(0, -2, [(0, 0)]), version)
        yield world.ask("closed", asked(session, -1, [(0, 0)]), version)
        yield world.ask("after closing", asked(session, 8, []), version)
        yield world.ask("an empty session", asked(0, 0, []), version)


def list_offsets(world: World) -> Steps:
    """ListOffsets by time and by the numbers that mean something else."""
    yield from create_topic(world, "timed", 2)
    yield from append("timed", batch(rows(3)))
    yield from append("timed", batch(rows(2, BASE_TIME + 10_000)))
    yield from append("timed", batch(rows(2, BASE_TIME + 5_000)))
    yield from create_topic(world, "trimmed", 1)
    yield from append("trimmed", batch(rows(4)))
    deleted = request(
        ApiKey.DELETE_RECORDS,
        topics=[{"name": "trimmed", "partitions": [{"partition_index": 0, "offset": -1}]}],
        timeout_ms=TIMEOUT_MS,
    )
    yield world.ask("all records deleted", deleted)

    def asked(timestamp: int, partition: int = 0, topic: str = "timed", **options: Any) -> Any:
        row = {
            "partition_index": partition,
            "timestamp": timestamp,
            "max_num_offsets": options.pop("max_num_offsets", 1),
        }
        if "current_leader_epoch" in options:
            row["current_leader_epoch"] = options.pop("current_leader_epoch")
        partitions = options.pop("partitions", [row])
        topics = options.pop("topics", [{"name": topic, "partitions": partitions}])
        return request(ApiKey.LIST_OFFSETS, **{"replica_id": -1, "topics": topics, "timeout_ms": TIMEOUT_MS, **options})

    for version in world.range(ApiKey.LIST_OFFSETS):
        times = (
            -1,
            -2,
            -3,
            -4,
            -5,
            -6,
            -7,
            -100,
            0,
            BASE_TIME - 1,
            BASE_TIME,
            BASE_TIME + 1,
            BASE_TIME + 2000,
            BASE_TIME + 3000,
            BASE_TIME + 6000,
            BASE_TIME + 10_000,
            BASE_TIME + 11_000,
            BASE_TIME + 12_000,
            2**63 - 1,
            -(2**63),
        )
        for timestamp in times:
            yield world.ask(f"time {timestamp}", asked(timestamp), version)
        for timestamp in (-1, -2, -3, -4, -5, -6, BASE_TIME):
            yield world.ask(f"time {timestamp} of an empty partition", asked(timestamp, 1), version)
            yield world.ask(f"time {timestamp} of a trimmed partition", asked(timestamp, 0, "trimmed"), version)
        for partition in (2, -1, 2**31 - 1):
            yield world.ask(f"partition {partition}", asked(-1, partition), version)
        yield world.ask("an unknown topic", asked(-1, 0, "untimed"), version)
        yield world.ask("an empty topic name", asked(-1, 0, ""), version)
        yield world.ask("no topics", asked(-1, topics=[]), version)
        yield world.ask("no partitions", asked(-1, partitions=[]), version)
        row = {"partition_index": 0, "timestamp": -1}
        yield world.ask("a partition twice", asked(-1, partitions=[row, row]), version)
        yield world.ask(
            "a partition twice, differently", asked(-1, partitions=[row, {**row, "timestamp": -2}]), version
        )
        topics = [
            {"name": "timed", "partitions": [row]},
            {"name": "timed", "partitions": [{**row, "partition_index": 1}]},
        ]
        yield world.ask("a topic twice", asked(-1, topics=topics), version)
        for replica in (-2, -3, 0, 1, 5):
            yield world.ask(f"replica {replica}", asked(-1, replica_id=replica), version)
        for isolation in (1, 2, -1):
            yield world.ask(f"isolation level {isolation}", asked(-1, isolation_level=isolation), version)
        if version >= 4:
            for epoch in (-1, 0, 1, 99, -2):
                yield world.ask(f"leader epoch {epoch}", asked(-1, current_leader_epoch=epoch), version)
        if version >= 10:
            for milliseconds in (0, -1):
                yield world.ask(f"timeout {milliseconds}", asked(-1, timeout_ms=milliseconds), version)
        if version == 0:
            for most in (0, 2, 5, -1):
                yield world.ask(f"{most} offsets", asked(-1, max_num_offsets=most), version)


def offset_for_leader_epoch(world: World) -> Steps:
    """OffsetForLeaderEpoch of epochs there are and are not."""
    yield from create_topic(world, "epochs", 2)
    yield from append("epochs", batch(3))

    def asked(epoch: int, current: int = -1, partition: int = 0, topic: str = "epochs", **options: Any) -> Any:
        row = {"partition": partition, "leader_epoch": epoch, "current_leader_epoch": current}
        topics = options.pop("topics", [{"topic": topic, "partitions": options.pop("partitions", [row])}])
        return request(ApiKey.OFFSET_FOR_LEADER_EPOCH, topics=topics, **options)

    for version in world.range(ApiKey.OFFSET_FOR_LEADER_EPOCH):
        for epoch in (0, 1, 5, -1, -2, 2**31 - 1):
            yield world.ask(f"epoch {epoch}", asked(epoch), version)
            yield world.ask(f"epoch {epoch} of an empty partition", asked(epoch, partition=1), version)
        for current in (0, 1, 9, -2):
            yield world.ask(f"current epoch {current}", asked(0, current), version)
        for partition in (2, -1):
            yield world.ask(f"partition {partition}", asked(0, partition=partition), version)
        yield world.ask("an unknown topic", asked(0, topic="nowhere"), version)
        yield world.ask("no topics", asked(0, topics=[]), version)
        row = {"partition": 0, "leader_epoch": 0}
        yield world.ask("a partition twice", asked(0, partitions=[row, row]), version)
        for replica in (-1, -2, 1, 5):
            yield world.ask(f"replica {replica}", asked(0, replica_id=replica), version)


def delete_records(world: World) -> Steps:
    """DeleteRecords up to offsets there are and are not."""
    yield from create_topic(world, "shrinks", 2)
    yield from create_topic(world, "kept", 1, {"cleanup.policy": "compact"})
    yield from create_topic(world, "kept-and-deleted", 1, {"cleanup.policy": "compact,delete"})
    yield from append("kept", batch(3))
    yield from append("kept-and-deleted", batch(3))
    for _ in range(6):
        yield from append("shrinks", batch(5))

    def asked(offset: int, partition: int = 0, topic: str = "shrinks", **options: Any) -> Any:
        row = {"partition_index": partition, "offset": offset}
        topics = options.pop("topics", [{"name": topic, "partitions": options.pop("partitions", [row])}])
        return request(ApiKey.DELETE_RECORDS, **{"topics": topics, "timeout_ms": TIMEOUT_MS, **options})

    start = 0
    for version in world.range(ApiKey.DELETE_RECORDS):
        for offset in (0, start, -2, -100, 31, 2**63 - 1, -(2**63)):
            name = {0: "0", start: "the start"}.get(offset, str(offset))
            if (offset, name) != (0, "the start") or start:
                yield world.ask(f"to {name}{' itself' if offset == start else ''}", asked(offset), version)
        start += 3
        yield world.ask("three records", asked(start), version)
        yield world.ask("to before the start", asked(start - 1), version)
        for milliseconds in (0, 1, -1):
            start += 1
            yield world.ask(f"timeout {milliseconds}", asked(start, timeout_ms=milliseconds), version)
        for partition in (2, -1):
            yield world.ask(f"partition {partition}", asked(1, partition), version)
        yield world.ask("an empty partition", asked(0, 1), version)
        yield world.ask("all of an empty partition", asked(-1, 1), version)
        yield world.ask("an unknown topic", asked(0, 0, "nowhere"), version)
        yield world.ask("an empty topic name", asked(0, 0, ""), version)
        yield world.ask("an internal topic", asked(0, 0, "__consumer_offsets"), version)
        yield world.ask("a compacted topic", asked(1, 0, "kept"), version)
        yield world.ask("a compacted topic that deletes, too", asked(1, 0, "kept-and-deleted"), version)
        yield world.ask("no topics", asked(0, topics=[]), version)
        yield world.ask("no partitions", asked(0, partitions=[]), version)
        row = {"partition_index": 0, "offset": start}
        yield world.ask("a partition twice", asked(0, partitions=[row, row]), version)
        yield world.ask(
            "a partition twice, differently", asked(0, partitions=[row, {**row, "offset": start + 1}]), version
        )
        start += 1
    yield Pause(0.05)
    for version in (4, world.latest(ApiKey.FETCH)):
        fetched = request(
            ApiKey.FETCH,
            max_wait_ms=0,
            max_bytes=1 << 20,
            topics=[
                {
                    "topic": "shrinks",
                    "topic_id": UNKNOWN_ID,
                    "partitions": [{"partition": 0, "fetch_offset": 0, "partition_max_bytes": 1000}],
                }
            ],
        )
        yield world.ask("what was deleted", fetched, version)


SCENARIOS = (
    Scenario("fetch", (ApiKey.FETCH,), fetch),
    Scenario("fetch sessions", (ApiKey.FETCH,), fetch_sessions),
    Scenario("list offsets", (ApiKey.LIST_OFFSETS,), list_offsets),
    Scenario("offset for leader epoch", (ApiKey.OFFSET_FOR_LEADER_EPOCH,), offset_for_leader_epoch),
    Scenario("delete records", (ApiKey.DELETE_RECORDS,), delete_records),
)
