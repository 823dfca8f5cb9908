"""What changes topics goes to the cluster worker as the client sent it; the client always gets an answer."""

from __future__ import annotations

import pytest

from kbroker.api.topics import TopicHandlers
from kbroker.protocol.messages.create_partitions import (
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreatePartitionsTopic,
)
from kbroker.protocol.messages.create_topics import (
    CreatableTopic,
    CreatableTopicResult,
    CreateTopicsRequest,
    CreateTopicsResponse,
)
from kbroker.protocol.messages.delete_topics import DeleteTopicsRequest, DeleteTopicsResponse, DeleteTopicState


@pytest.fixture
def handlers(world) -> TopicHandlers:
    return TopicHandlers(world.channel, world.timers)


CREATE = CreateTopicsRequest(
    topics=[CreatableTopic(name="a", num_partitions=1, replication_factor=1)], timeout_ms=5_000
)


def test_answer_of_the_cluster_worker_goes_out_as_it_is(world, handlers) -> None:
    exchange = world.send(handlers.handle_create_topics, CREATE, 7)
    (sent,) = world.channel.forwards
    assert sent.peer == 0
    assert (sent.request.api_key, sent.request.api_version) == (19, 7)
    assert (sent.request.client_id, sent.request.client_host) == ("test-client", "/192.0.2.99")
    assert sent.request.body == CREATE.encode(7)
    answer = CreateTopicsResponse(topics=[CreatableTopicResult(name="a", num_partitions=1)])
    sent.done(answer.encode(7))
    assert exchange.response(CreateTopicsResponse) == answer


@pytest.mark.parametrize("version", range(8))
def test_cluster_worker_died_while_creating(world, handlers, version: int) -> None:
    """NOT_CONTROLLER makes the client look again and repeat its request."""
    exchange = world.send(handlers.handle_create_topics, CREATE, version)
    world.channel.forwards[0].done(None)
    (result,) = exchange.response(CreateTopicsResponse).topics
    assert (result.name, result.error_code) == ("a", 41)


def test_cluster_worker_failed_for_a_fault_of_its_own(world, handlers) -> None:
    """It says so with an empty answer; the client must not wait for ever."""
    exchange = world.send(handlers.handle_create_topics, CREATE, 7)
    world.channel.forwards[0].done(b"")
    (result,) = exchange.response(CreateTopicsResponse).topics
    assert (result.name, result.error_code) == ("a", -1)


@pytest.mark.parametrize("version", range(7))
def test_cluster_worker_died_while_deleting(world, handlers, version: int) -> None:
    request = DeleteTopicsRequest(
        topics=[DeleteTopicState(name="a"), DeleteTopicState(topic_id=b"1" * 16)],
        topic_names=["a", "b"],
        timeout_ms=500,
    )
    exchange = world.send(handlers.handle_delete_topics, request, version)
    world.channel.forwards[0].done(None)
    results = exchange.response(DeleteTopicsResponse).responses
    assert [result.error_code for result in results] == [41, 41]
    assert [result.name for result in results] == (["a", None] if version == 6 else ["a", "b"])


@pytest.mark.parametrize("version", range(4))
def test_cluster_worker_died_while_adding_partitions(world, handlers, version: int) -> None:
    request = CreatePartitionsRequest(
        topics=[CreatePartitionsTopic(name="a", count=2, assignments=None)], timeout_ms=500
    )
    exchange = world.send(handlers.handle_create_partitions, request, version)
    world.channel.forwards[0].done(None)
    (result,) = exchange.response(CreatePartitionsResponse).results
    assert (result.name, result.error_code) == ("a", 41)


def test_timeout_of_the_request_is_honoured(world, handlers) -> None:

    exchange = world.send(handlers.handle_create_topics, CREATE, 7)
    assert [timer.delay_ms for timer in world.timers.timers] == [5_000]
    world.timers.fire()
    assert exchange.response(CreateTopicsResponse).topics[0].error_code == 7
    world.channel.forwards[0].done(CreateTopicsResponse().encode(7))
    assert exchange.answers == 1


def test_answer_in_time_stops_the_clock(world, handlers) -> None:
    exchange = world.send(handlers.handle_create_topics, CREATE, 7)
    world.channel.forwards[0].done(CreateTopicsResponse().encode(7))
    world.timers.fire()
    assert exchange.answers == 1


@pytest.mark.parametrize("timeout_ms", [0, -1])
def test_a_request_without_any_time_is_not_begun(world, handlers, timeout_ms: int) -> None:
    requests = (
        (handlers.handle_create_topics, CreateTopicsRequest(topics=[CreatableTopic(name="a")], timeout_ms=timeout_ms)),
        (handlers.handle_delete_topics, DeleteTopicsRequest(topic_names=["a"], timeout_ms=timeout_ms)),
        (
            handlers.handle_create_partitions,
            CreatePartitionsRequest(topics=[CreatePartitionsTopic(name="a", count=2)], timeout_ms=timeout_ms),
        ),
    )
    answers = [world.send(handle, request, 2) for handle, request in requests]
    assert not world.channel.forwards
    codes = [
        answers[0].response(CreateTopicsResponse).topics[0].error_code,
        answers[1].response(DeleteTopicsResponse).responses[0].error_code,
        answers[2].response(CreatePartitionsResponse).results[0].error_code,
    ]
    assert codes == [7, 7, 7]


def test_a_short_time_is_enough_to_begin(world, handlers) -> None:
    """Kafka's controller only has to begin in it."""
    request = CreateTopicsRequest(topics=[CreatableTopic(name="a")], timeout_ms=1)
    world.send(handlers.handle_create_topics, request, 7)
    assert len(world.channel.forwards) == 1
    assert [timer.delay_ms for timer in world.timers.timers] == [1_000]
