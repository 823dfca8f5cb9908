"""A group's coordinator is the leader of its partition of __consumer_offsets, which is made by the first who asks."""

from __future__ import annotations

import pytest

from kbroker.api.find_coordinator import FindCoordinatorHandler
from kbroker.api.group_routing import GroupRouting
from kbroker.api.topic_creation import TopicCreation
from kbroker.coordinator.group_partition import partition_for
from kbroker.protocol.messages.find_coordinator import FindCoordinatorRequest, FindCoordinatorResponse

MADE = {"topics": {"__consumer_offsets": {"error": 0, "message": None}}}


@pytest.fixture
def handler(world) -> FindCoordinatorHandler:
    routing = GroupRouting(world.view, world.workers, partition_for)
    return FindCoordinatorHandler(world.view, routing, TopicCreation(world.channel, world.timers))


def find(world, handler, version, **fields):
    return world.send(handler.handle_find_coordinator, FindCoordinatorRequest(**fields), version)


@pytest.mark.parametrize("version", range(4))
def test_one_group(world, handler, version: int) -> None:
    world.add_topic("__consumer_offsets", 4)
    response = find(world, handler, version, key="group").response(FindCoordinatorResponse)
    assert (response.error_code, response.node_id, response.host, response.port) == (0, 5, "192.0.2.7", 19092)


@pytest.mark.parametrize("version", [4, 5, 6])
def test_several_groups(world, handler, version: int) -> None:
    world.add_topic("__consumer_offsets", 4)
    response = find(world, handler, version, coordinator_keys=["a", "b"]).response(FindCoordinatorResponse)
    assert [(one.key, one.error_code, one.node_id) for one in response.coordinators] == [("a", 0, 5), ("b", 0, 5)]


def test_first_question_makes_the_offsets_topic(world, handler) -> None:
    exchange = find(world, handler, 4, coordinator_keys=["a"])
    (call,) = world.channel.calls
    assert call.arguments == {"topics": ["__consumer_offsets"], "internal": True}
    assert not exchange.answered
    world.add_topic("__consumer_offsets", 4)
    call.done(MADE)
    assert exchange.response(FindCoordinatorResponse).coordinators[0].node_id == 5


@pytest.mark.parametrize("answer", [None, MADE], ids=["cluster worker died", "news not here yet"])
def test_coordinator_not_available_while_the_topic_is_not_there(world, handler, answer) -> None:
    exchange = find(world, handler, 4, coordinator_keys=["a"])
    world.channel.calls[0].done(answer)
    (one,) = exchange.response(FindCoordinatorResponse).coordinators
    assert (one.error_code, one.node_id, one.host, one.port) == (15, -1, "", -1)
    assert one.error_message


def test_leaderless_partition(world, handler) -> None:
    world.add_topic("__consumer_offsets", leader=-1)
    assert find(world, handler, 2, key="a").response(FindCoordinatorResponse).error_code == 15


@pytest.mark.parametrize(
    ("version", "error"),
    [
        pytest.param(1, 53, id="what librdkafka takes for the end"),
        pytest.param(4, 35, id="what Java takes for the end"),
    ],
)
def test_transactions_are_refused_with_a_reason(world, handler, version: int, error: int) -> None:
    exchange = find(world, handler, version, key="tx", coordinator_keys=["tx"], key_type=1)
    response = exchange.response(FindCoordinatorResponse)
    found = response if version < 4 else response.coordinators[0]
    assert found.error_code == error
    assert "ransactions are not served" in found.error_message
    assert world.channel.calls == []


def test_share_groups_and_unknown_kinds_are_refused(world, handler) -> None:
    for key_type in (2, 9):
        response = find(world, handler, 6, coordinator_keys=["x"], key_type=key_type).response(FindCoordinatorResponse)
        assert response.coordinators[0].error_code == 42
