"""Records before an offset are forgotten by the partition's owner; what must stay is refused before it is asked."""

from __future__ import annotations

import pytest

from kbroker.api.delete_records import DeleteRecordsHandler
from kbroker.api.log_readers import LogReaders
from kbroker.protocol.messages.delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
    DeleteRecordsTopic,
)
from kbroker.shared.partition_table import PartitionRow, PartitionRowState


@pytest.fixture
def handler(world) -> DeleteRecordsHandler:
    return DeleteRecordsHandler(
        world.view,
        world.channel,
        workers=world.workers,
        readers=LogReaders(world.partitions, ["/nowhere"], 1),
        may_delete=lambda topic: topic.name != "compacted",
    )


def add(world, name: str, partitions: int = 1, **row):
    topic = world.add_topic(name, partitions)
    for state in topic.partitions:
        world.partitions.publish(
            state.row,
            PartitionRow(**{"state": PartitionRowState.ONLINE, "high_watermark": 10, "log_end_offset": 12, **row}),
        )
    return topic


def delete(world, handler, *wanted: tuple[str, int, int], version: int = 2, timeout_ms: int = 3000):
    topics = [
        DeleteRecordsTopic(name=name, partitions=[DeleteRecordsPartition(partition_index=index, offset=offset)])
        for name, index, offset in wanted
    ]
    request = DeleteRecordsRequest(topics=topics, timeout_ms=timeout_ms)
    return world.send(handler.handle_delete_records, request, version)


def results(exchange) -> list[tuple[int, int]]:
    response = exchange.response(DeleteRecordsResponse)
    return [(part.error_code, part.low_watermark) for topic in response.topics for part in topic.partitions]


@pytest.mark.parametrize("version", range(3))
def test_owners_are_asked_and_their_answers_collected(world, handler, version: int) -> None:
    topic = add(world, "t", 2)
    exchange = delete(world, handler, ("t", 0, 4), ("t", 1, -1), version=version)
    first, second = world.channel.calls
    owners = [world.workers.io_worker(world.view.owner(topic, state)) for state in topic.partitions]
    assert [first.peer, second.peer] == owners
    assert first.name == "delete_records"
    assert first.arguments == {"row": topic.partitions[0].row, "topic": "t", "partition": 0, "offset": 4}
    assert second.arguments["offset"] == 10, "-1 stands for the high watermark"
    second.done({"error": 0, "low_watermark": 10})
    assert not exchange.answered
    first.done({"error": 0, "low_watermark": 4})
    assert results(exchange) == [(0, 4), (0, 10)]


@pytest.mark.parametrize(
    ("name", "index", "offset", "error"),
    [
        pytest.param("unknown", 0, 0, 3, id="no such topic"),
        pytest.param("t", 7, 0, 3, id="no such partition"),
        pytest.param("__consumer_offsets", 0, 0, 17, id="internal topic"),
        pytest.param("compacted", 0, 0, 44, id="only compacted"),
        pytest.param("t", 0, 11, 1, id="past the high watermark"),
        pytest.param("t", 0, -2, 1, id="negative"),
        pytest.param("failed", 0, 0, 56, id="its directory failed"),
    ],
)
def test_refused_without_asking(world, handler, name: str, index: int, offset: int, error: int) -> None:
    for topic in ("t", "__consumer_offsets", "compacted"):
        add(world, topic)
    add(world, "failed", state=PartitionRowState.OFFLINE)
    assert results(delete(world, handler, (name, index, offset))) == [(error, -1)]
    assert world.channel.calls == []


def test_owner_that_died_or_refused(world, handler) -> None:
    add(world, "t", 2)
    exchange = delete(world, handler, ("t", 0, 4), ("t", 1, 4))
    world.channel.calls[0].done(None)
    world.channel.calls[1].done({"error": 56, "low_watermark": -1})
    assert results(exchange) == [(6, -1), (56, -1)]


@pytest.mark.parametrize("timeout_ms", [-1, 0, 1])
def test_no_time_limit_is_too_short_for_the_one_replica(world, handler, timeout_ms: int) -> None:
    """The limit is for replicas elsewhere to follow."""
    add(world, "t")
    exchange = delete(world, handler, ("t", 0, 4), timeout_ms=timeout_ms)
    world.timers.fire()
    assert not exchange.answered
    world.channel.calls[0].done({"error": 0, "low_watermark": 4})
    assert results(exchange) == [(0, 4)]


def test_of_a_partition_named_twice_the_last_wish_counts(world, handler) -> None:
    add(world, "t", 2)
    exchange = delete(world, handler, ("t", 0, 4), ("t", 1, 2), ("t", 0, 99))
    (call,) = world.channel.calls
    call.done({"error": 0, "low_watermark": 2})
    (topic,) = exchange.response(DeleteRecordsResponse).topics
    assert [(part.partition_index, part.error_code) for part in topic.partitions] == [(0, 1), (1, 0)]
