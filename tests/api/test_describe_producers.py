"""The producers of a partition are told by its owner."""

from __future__ import annotations

from typing import Any

import pytest

from kbroker.api.describe_producers import DescribeProducersHandler
from kbroker.protocol.messages.describe_producers import (
    DescribeProducersRequest,
    DescribeProducersResponse,
    TopicRequest,
)

PRODUCER = {
    "producer_id": 7,
    "producer_epoch": 2,
    "last_sequence": 41,
    "last_timestamp": 1_700_000_000_000,
    "coordinator_epoch": -1,
    "current_txn_start_offset": -1,
}


@pytest.fixture
def describe(world) -> Any:
    handler = DescribeProducersHandler(world.view, world.channel, world.workers)

    def send(*topics: tuple[str, list[int]]) -> Any:
        asked = [TopicRequest(name=name, partition_indexes=indexes) for name, indexes in topics]
        return world.send(handler.handle_describe_producers, DescribeProducersRequest(topics=asked), 0)

    return send


def codes(exchange: Any) -> list[tuple[str, list[tuple[int, int]]]]:
    response = exchange.response(DescribeProducersResponse)
    return [
        (topic.name, [(one.partition_index, one.error_code) for one in topic.partitions]) for topic in response.topics
    ]


def test_owners_are_asked_and_their_answers_collected(world, describe) -> None:
    topic = world.add_topic("t", 2)
    exchange = describe(("t", [1, 0]))
    second, first = world.channel.calls
    assert (first.name, first.peer) == (
        "describe_producers",
        world.workers.io_worker(world.view.owner(topic, topic.partitions[0])),
    )
    assert first.arguments == {"row": topic.partitions[0].row, "topic": "t", "partition": 0}
    first.done({"error": 0, "producers": [PRODUCER]})
    assert not exchange.answered
    second.done({"error": 0, "producers": []})
    one, zero = exchange.response(DescribeProducersResponse).topics[0].partitions
    assert one.active_producers == []
    (producer,) = zero.active_producers
    assert {name: getattr(producer, name) for name in PRODUCER} == PRODUCER


def test_what_cannot_be_asked_is_told_beside_what_can(world, describe) -> None:
    world.add_topic("t")
    world.add_topic("elsewhere", leader=7)
    exchange = describe(("t", [0, 9]), ("unknown", [0]), ("", [0]), ("a b", [0]), ("elsewhere", [0]))
    world.channel.calls[0].done({"error": 56, "producers": []})
    assert codes(exchange) == [
        ("t", [(0, 56), (9, 3)]),
        ("unknown", [(0, 3)]),
        ("", [(0, 17)]),
        ("a b", [(0, 17)]),
        ("elsewhere", [(0, 6)]),
    ]


def test_an_owner_that_dies_is_one_that_leads_no_more(world, describe) -> None:
    world.add_topic("t")
    exchange = describe(("t", [0]))
    world.channel.calls[0].done(None)
    assert codes(exchange) == [("t", [(0, 6)])]


def test_nothing_asked_is_answered_at_once(describe) -> None:
    assert codes(describe()) == []
