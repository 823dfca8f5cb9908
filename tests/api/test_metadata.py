"""A client learns from Metadata whom to ask, under an address it can reach, and makes topics by naming them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kbroker.api.metadata import MetadataHandlers
from kbroker.api.request import ConnectionInfo
from kbroker.api.topic_creation import TopicCreation
from kbroker.metadata.image import BrokerState, Endpoint
from kbroker.protocol.messages.describe_topic_partitions import (
    Cursor,
    DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse,
    TopicRequest,
)
from kbroker.protocol.messages.metadata import (
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
    MetadataResponseBroker,
)
from kbroker.shared.partition_table import PartitionRow, PartitionRowState

NOT_ASKED = -(2**31)


@pytest.fixture
def make(world):
    def make_handlers(*, auto_create: bool = True) -> MetadataHandlers:
        creation = TopicCreation(world.channel, world.timers)
        return MetadataHandlers(world.view, world.partitions, creation, auto_create_topics=auto_create)

    return make_handlers


def asking(*names: str, **more) -> MetadataRequest:
    return MetadataRequest(topics=[MetadataRequestTopic(name=name) for name in names], **more)


def ask(world, handlers, request, version=13, **more):
    return world.send(handlers.handle_metadata, request, version, **more).response(MetadataResponse)


@pytest.mark.parametrize("version", range(14))
def test_all_topics(world, make, version: int) -> None:
    """Version 0 says "all" with an empty list, later ones with null."""
    world.add_topic("one", 2)
    world.add_topic("__consumer_offsets")
    response = ask(world, make(), MetadataRequest(topics=[] if version == 0 else None), version)
    assert [(topic.name, len(topic.partitions), topic.error_code) for topic in response.topics] == [
        ("one", 2, 0),
        ("__consumer_offsets", 1, 0),
    ]
    assert response.brokers[0].node_id == 5
    if version >= 1:
        assert [topic.is_internal for topic in response.topics] == [False, True]
        assert response.controller_id == 5
        assert response.brokers[0].rack == "rack-a"
    if version >= 2:
        assert response.cluster_id == "cluster-of-the-test-00"
    if version >= 7:
        assert response.topics[0].partitions[1].leader_epoch == 3
    if version >= 10:
        assert response.topics[0].topic_id == world.view.topic("one").topic_id


def test_no_topics_from_version_1_on(world, make) -> None:
    world.add_topic("one")
    assert ask(world, make(), MetadataRequest(topics=[]), 1).topics == []


def test_partitions_name_leader_replicas_and_isr(world, make) -> None:
    world.add_topic("one")
    partition = ask(world, make(), asking("one")).topics[0].partitions[0]
    assert (partition.partition_index, partition.leader_id) == (0, 5)
    assert (partition.replica_nodes, partition.isr_nodes, partition.offline_replicas) == ([5], [5], [])


def test_topics_by_id(world, make) -> None:
    topic = world.add_topic("one")
    unknown = b"?" * 16
    request = MetadataRequest(
        topics=[
            MetadataRequestTopic(topic_id=topic.topic_id, name=None),
            MetadataRequestTopic(topic_id=unknown, name=None),
        ]
    )
    topics = ask(world, make(), request, 12).topics
    assert [(found.error_code, found.name, found.topic_id) for found in topics] == [
        (0, "one", topic.topic_id),
        (100, None, unknown),
    ]
    assert world.channel.calls == []


@pytest.mark.parametrize("version", [10, 11])
def test_ids_and_null_names_are_refused_before_version_12(world, make, version: int) -> None:
    topic = world.add_topic("one")
    by_id = MetadataRequest(topics=[MetadataRequestTopic(topic_id=topic.topic_id, name="one")])
    nameless = MetadataRequest(topics=[MetadataRequestTopic(name=None)])
    for request in (by_id, nameless):
        assert [topic.error_code for topic in ask(world, make(), request, version).topics] == [42]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        pytest.param("unknown", 3, id="no such topic"),
        pytest.param("", 17, id="empty name"),
        pytest.param("..", 17, id="not a directory's name"),
        pytest.param("a/b", 17, id="illegal character"),
        pytest.param("x" * 250, 17, id="too long"),
    ],
)
def test_topics_that_do_not_exist_and_are_not_made(world, make, name: str, error: int) -> None:
    request = asking(name, allow_auto_topic_creation=False)
    assert ask(world, make(), request).topics[0].error_code == error
    assert ask(world, make(auto_create=False), asking(name)).topics[0].error_code == error
    assert world.channel.calls == []


def test_missing_topics_are_made_and_then_answered(world, make) -> None:
    world.add_topic("there")
    exchange = world.send(make().handle_metadata, asking("there", "new", "a b", "new"), 13)
    assert not exchange.answered
    (call,) = world.channel.calls
    assert (call.peer, call.name, call.arguments) == (0, "create_topics", {"topics": ["new"], "internal": False})
    world.add_topic("new", 3)
    call.done({"topics": {"new": {"error": 0, "message": None}}})
    topics = exchange.response(MetadataResponse).topics
    assert [(topic.name, topic.error_code, len(topic.partitions)) for topic in topics] == [
        ("there", 0, 1),
        ("new", 0, 3),
        ("a b", 17, 0),
    ]
    world.timers.fire()
    assert exchange.answers == 1


def test_topic_somebody_else_made_meanwhile_is_no_error(world, make) -> None:
    exchange = world.send(make().handle_metadata, asking("new"), 13)
    world.add_topic("new")
    world.channel.calls[0].done({"topics": {"new": {"error": 36, "message": "exists"}}})
    assert exchange.response(MetadataResponse).topics[0].error_code == 0


def test_topic_made_but_not_yet_seen_here(world, make) -> None:
    exchange = world.send(make().handle_metadata, asking("new"), 13)
    world.channel.calls[0].done({"topics": {"new": {"error": 0, "message": None}}})
    assert exchange.response(MetadataResponse).topics[0].error_code == 5


def test_refused_creation_tells_why(world, make) -> None:
    exchange = world.send(make().handle_metadata, asking("new_topic"), 13)
    world.channel.calls[0].done({"topics": {"new_topic": {"error": 17, "message": "collides"}}})
    assert exchange.response(MetadataResponse).topics[0].error_code == 17


def test_cluster_worker_that_died_or_is_slow_leaves_leader_not_available(world, make) -> None:
    """The client asks again; it never waits longer than a second."""
    died = world.send(make().handle_metadata, asking("new"), 13)
    world.channel.calls[0].done(None)
    slow = world.send(make().handle_metadata, asking("new"), 13)
    assert world.timers.timers[-1].delay_ms == 1000
    world.timers.fire()
    for exchange in (died, slow):
        assert exchange.response(MetadataResponse).topics[0].error_code == 5
    world.channel.calls[1].done({"topics": {"new": {"error": 0, "message": None}}})
    assert slow.answers == 1


@pytest.mark.parametrize("version", [0, 1, 3])
def test_old_versions_always_allow_creation(world, make, version: int) -> None:
    """The field came with version 4; before, naming a topic was enough."""
    world.send(make().handle_metadata, asking("new"), version)
    assert [call.name for call in world.channel.calls] == ["create_topics"]


def test_internal_topics_are_made_with_their_own_settings(world, make) -> None:
    exchange = world.send(make().handle_metadata, asking("__consumer_offsets", "new"), 13)
    own, other = world.channel.calls
    assert own.arguments == {"topics": ["__consumer_offsets"], "internal": True}
    assert other.arguments == {"topics": ["new"], "internal": False}
    other.done(None)
    assert not exchange.answered
    own.done({"topics": {"__consumer_offsets": {"error": 0, "message": None}}})
    topics = exchange.response(MetadataResponse).topics
    assert [(topic.name, topic.is_internal, topic.error_code) for topic in topics] == [
        ("__consumer_offsets", True, 5),
        ("new", False, 5),
    ]


def test_clients_are_told_the_address_they_dialled(world, make) -> None:
    """IPv4 in its own form, where the socket serves both families."""
    assert ask(world, make(), asking()).brokers == [
        MetadataResponseBroker(node_id=5, host="192.0.2.7", port=19092, rack="rack-a")
    ]
    over_ipv6 = ConnectionInfo("PLAINTEXT", "2001:db8::1", 9092, "/x")
    (broker,) = ask(world, make(), asking(), connection=over_ipv6).brokers
    assert (broker.host, broker.port) == ("2001:db8::1", 9092)


def test_a_name_is_told_unless_it_does_not_lead_back(world, make) -> None:
    """`localhost` where it means the other loopback, or nothing: the address that was dialled is right in any case."""
    named = BrokerState(5, (Endpoint("PLAINTEXT", "PLAINTEXT", "localhost", 9092),))
    other = BrokerState(6, (Endpoint("PLAINTEXT", "PLAINTEXT", "six", 9092),))
    world.view.image = replace(world.view.image, brokers={5: named, 6: other})
    (broker, _) = ask(world, make(), asking(), connection=ConnectionInfo("PLAINTEXT", "127.0.0.1", 9092, "/x")).brokers
    assert (broker.host, broker.port) == ("localhost", 9092)
    apart = ConnectionInfo("PLAINTEXT", "127.0.0.1", 9092, "/x", by_name=False)
    assert [one.host for one in ask(world, make(), asking(), connection=apart).brokers] == ["127.0.0.1", "six"]


def test_advertised_listeners_are_honoured_per_listener(world, make) -> None:
    endpoints = (
        Endpoint("INSIDE", "PLAINTEXT", "kafka.internal", 9094),
        Endpoint("PLAINTEXT", "PLAINTEXT", "kafka.example.org", 9092),
    )
    other = BrokerState(6, (Endpoint("INSIDE", "PLAINTEXT", "six.internal", 9094),))
    world.view.image = replace(world.view.image, brokers={5: BrokerState(5, endpoints), 6: other})
    (broker,) = ask(world, make(), asking()).brokers
    assert (broker.node_id, broker.host, broker.port) == (5, "kafka.example.org", 9092)
    inside = ConnectionInfo("INSIDE", "192.0.2.7", 9094, "/x")
    found = ask(world, make(), asking(), connection=inside).brokers
    assert [(broker.node_id, broker.host) for broker in found] == [(5, "kafka.internal"), (6, "six.internal")]


def test_authorized_operations_only_when_asked(world, make) -> None:
    world.add_topic("one")
    response = ask(world, make(), asking("one"), 10)
    assert response.cluster_authorized_operations == NOT_ASKED
    assert response.topics[0].topic_authorized_operations == NOT_ASKED
    request = asking("one", include_cluster_authorized_operations=True, include_topic_authorized_operations=True)
    response = ask(world, make(), request, 10)
    assert response.cluster_authorized_operations == 8096
    assert response.topics[0].topic_authorized_operations == 3576


def test_partition_whose_directory_failed_has_no_leader(world, make) -> None:
    topic = world.add_topic("one", 2)
    handlers = make()
    assert ask(world, handlers, asking("one")).topics[0].partitions[1].leader_id == 5
    world.partitions.publish(topic.partitions[1].row, PartitionRow(state=PartitionRowState.OFFLINE))
    healthy, failed = ask(world, handlers, asking("one")).topics[0].partitions
    assert (healthy.error_code, healthy.leader_id, healthy.offline_replicas) == (0, 5, [])
    assert (failed.error_code, failed.leader_id, failed.offline_replicas) == (5, -1, [5])


def test_partition_without_leader(world, make) -> None:
    world.add_topic("one", leader=-1)
    (partition,) = ask(world, make(), asking("one")).topics[0].partitions
    assert (partition.error_code, partition.leader_id) == (5, -1)


def test_new_image_is_answered_at_once(world, make) -> None:
    """What was kept of the old image must not be told after a change."""
    handlers = make()
    topic = world.add_topic("one")
    assert len(ask(world, handlers, asking("one")).topics[0].partitions) == 1
    more = replace(topic.partitions[0], partition=1, row=9)
    world.put(replace(topic, partitions=(*topic.partitions, more)))
    assert len(ask(world, handlers, asking("one")).topics[0].partitions) == 2


# DescribeTopicPartitions


def describe(world, handlers, **fields) -> DescribeTopicPartitionsResponse:
    request = DescribeTopicPartitionsRequest(**fields)
    return world.send(handlers.handle_describe_topic_partitions, request, 0).response(DescribeTopicPartitionsResponse)


def test_pages_follow_each_other_through_all_partitions(world, make) -> None:
    for name in ("c", "a", "b"):
        world.add_topic(name, 3)
    handlers = make()
    seen = []
    cursor = None
    for _ in range(20):
        response = describe(world, handlers, response_partition_limit=2, cursor=cursor)
        page = [(topic.name, part.partition_index) for topic in response.topics for part in topic.partitions]
        assert 1 <= len(page) <= 2
        seen += page
        cursor = response.next_cursor
        if cursor is None:
            break
    assert seen == [(name, partition) for name in "abc" for partition in range(3)]


def test_described_topics_by_name(world, make) -> None:
    world.add_topic("one")
    response = describe(world, make(), topics=[TopicRequest(name=name) for name in ("one", "none", "a/b")])
    assert [(topic.name, topic.error_code) for topic in response.topics] == [("a/b", 17), ("none", 3), ("one", 0)]
    one = response.topics[2]
    assert one.topic_authorized_operations == 3576
    assert (one.partitions[0].leader_id, one.partitions[0].eligible_leader_replicas) == (5, [])
    assert response.next_cursor is None


def test_cursor_before_the_first_partition_is_refused(world, make) -> None:
    world.add_topic("one")
    response = describe(
        world, make(), topics=[TopicRequest(name="one")], cursor=Cursor(topic_name="one", partition_index=-1)
    )
    assert response.topics[0].error_code == 42


def test_cursor_in_a_topic_that_was_not_asked_for_is_refused(world, make) -> None:
    world.add_topic("one")
    world.add_topic("two")
    response = describe(
        world, make(), topics=[TopicRequest(name="one")], cursor=Cursor(topic_name="two", partition_index=0)
    )
    assert [(topic.name, topic.error_code, topic.partitions) for topic in response.topics] == [("one", 42, [])]


def test_cursor_behind_a_deleted_topic_goes_on_with_the_next(world, make) -> None:
    world.add_topic("a")
    world.add_topic("z")
    response = describe(world, make(), cursor=Cursor(topic_name="m", partition_index=4))
    assert [topic.name for topic in response.topics] == ["z"]
