"""What the controller decides, that it writes what it decides, and that a reborn one finds it again."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from random import Random

import pytest

from kbroker.clock import ManualClock
from kbroker.cluster import nodes
from kbroker.cluster.adoption import AdoptedTopic, AdoptionPlan
from kbroker.cluster.config_rules import ConfigRules
from kbroker.cluster.controller import Controller, ControllerConfig, internal_topics, new_uuid
from kbroker.cluster.embedded import EmbeddedStore
from kbroker.cluster.producer_id_blocks import ProducerIdBlocks
from kbroker.cluster.requests import (
    ConfigChange,
    ConfigOperation,
    MorePartitions,
    NewTopic,
    ResourceChanges,
    ResourceConfig,
    ResourceType,
    TopicReference,
)
from kbroker.cluster.row_allocator import RowAllocator
from kbroker.cluster.store import StoreUnavailable
from kbroker.config.broker_config import load_config
from kbroker.config.live_config import LiveConfig
from kbroker.errors import KafkaError, StartupError
from kbroker.metadata.delta import decode_delta
from kbroker.metadata.image import NO_LEADER, NO_ROW, BrokerState, ConfigKind, Endpoint, MetadataImage, PartitionState
from kbroker.protocol.error_codes import ErrorCode
from kbroker.shared.partition_table import PartitionTable, region_size
from kbroker.types import ZERO_UUID

ROWS = 60
TOPIC, BROKER = ResourceType.TOPIC, ResourceType.BROKER


def broker(broker_id, rack=None):
    return BrokerState(broker_id, (Endpoint("PLAINTEXT", "PLAINTEXT", f"host{broker_id}", 9092),), rack)


class House:
    """A store with live brokers, and a follower that knows only the deltas."""

    def __init__(self, path, brokers=(0,), rows=ROWS, overrides=(), **config):
        self.start = load_config(None, overrides, {"HOME": "/home/me"})
        self.path = str(path)
        self.config = ControllerConfig(internal_topics=internal_topics(offsets_num_partitions=5), **config)
        self.table = PartitionTable(memoryview(bytearray(region_size(rows))), rows)
        self.brokers = brokers
        self.follower = MetadataImage()
        self.open()

    def open(self, **config):
        """Start everything but the partition table anew, as after the death of the cluster worker."""
        self.store = EmbeddedStore(self.path, clock=ManualClock())
        self.store.ensure(nodes.CLUSTER_ID)
        self.store.set(nodes.CLUSTER_ID, nodes.encode_cluster_id("cluster-of-the-test-00"))
        self.store.ensure(nodes.BROKER_IDS)
        for broker_id in self.brokers:
            self.enter(broker_id)
        self.rows = RowAllocator(self.table)
        self.controller = Controller(
            self.store,
            self.config,
            self.rows,
            broker_id=0,
            clock=ManualClock(),
            rules=ConfigRules(LiveConfig(self.start, 0)),
            random=Random(1),
        )
        self.take(self.controller.start())

    def enter(self, broker_id):
        path = nodes.broker_path(broker_id)
        self.store.create(path, nodes.encode_broker(broker(broker_id), 0), ephemeral=True)

    def leave(self, broker_id):
        self.store.delete(nodes.broker_path(broker_id))

    def reopen(self):
        self.store.close()
        self.open()

    def take(self, outcome):
        """Pass what a decision says on to the follower; return the decision's results."""
        delta = getattr(outcome, "delta", outcome)
        if delta is not None:
            self.follower = self.follower.apply(decode_delta(delta.encode()))
        assert self.follower == self.controller.image
        return getattr(outcome, "results", None)

    def create(self, *topics, **options):
        return self.take(self.controller.create_topics(topics, **options))

    def json(self, path):
        return json.loads(self.store.get(path)[0])


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path / "store.sqlite", num_partitions=2)
    yield house
    house.store.close()


@pytest.fixture
def three(tmp_path):
    house = House(tmp_path / "store.sqlite", brokers=(0, 1, 2))
    yield house
    house.store.close()


def codes(results):
    return [ErrorCode(result.error_code) for result in results]


# ---- start


def test_the_whole_image_is_told_at_the_start(house):
    assert house.follower.cluster_id == "cluster-of-the-test-00"
    assert house.follower.controller_id == 0
    assert house.follower.brokers == {0: broker(0)}
    assert house.json("/controller")["brokerid"] == 0
    assert house.store.get("/controller_epoch")[0] == b"1"


def test_a_reborn_controller_finds_everything_again(house):
    house.create(NewTopic("a", 3, configs={"retention.ms": "5"}), NewTopic("b"))
    house.take(house.controller.alter_configs([ResourceConfig(BROKER, "0", [("log.retention.ms", "7")])]))
    before = house.controller.image
    house.reopen()
    after = house.controller.image
    assert after.version > before.version
    assert after.topics == before.topics
    assert after.broker_configs == {"0": {"log.retention.ms": "7"}}
    assert house.store.get("/controller_epoch")[0] == b"2"
    assert codes(house.create(NewTopic("a"), NewTopic("c"))) == [ErrorCode.TOPIC_ALREADY_EXISTS, ErrorCode.NONE]


def test_only_one_controller_at_a_time(house):
    with pytest.raises(KafkaError) as raised:
        house.controller.start()
    assert raised.value.code == ErrorCode.NOT_CONTROLLER


def test_a_replaced_controller_writes_nothing(house):
    house.store.set("/controller_epoch", b"9")
    results = house.create(NewTopic("a"))
    assert codes(results) == [ErrorCode.NOT_CONTROLLER]
    assert house.store.children("/brokers/topics") == []
    assert house.rows.free == ROWS


def test_what_kafka_left_unfinished_is_finished(house):
    # A topic as tools create it: no states yet, no topic id (before 2.8), no configuration.
    house.store.create("/brokers/topics/old", b'{"version":1,"partitions":{"0":[0],"1":[0]}}')
    house.reopen()
    topic = house.controller.image.topics["old"]
    assert [state.leader for state in topic.partitions] == [0, 0]
    assert topic.topic_id != ZERO_UUID
    house.reopen()
    assert house.controller.image.topics["old"] == topic


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("/brokers/topics/a", b"no JSON"),
        ("/brokers/topics/a", b'{"partitions":{"1":[0]}}'),
        ("/brokers/topics/a/partitions/0/state", b"[]"),
        ("/config/topics/a", b'{"version":1}'),
    ],
)
def test_nodes_that_make_no_sense_are_explained(house, path, data):
    house.create(NewTopic("a"))
    house.store.set(path, data)
    house.store.close()
    with pytest.raises(StartupError, match="the nodes of topic a"):
        house.open()


def test_more_partitions_than_rows_are_explained(tmp_path):
    house = House(tmp_path / "store.sqlite", rows=4)
    house.create(NewTopic("a", 4))
    house.table = PartitionTable(memoryview(bytearray(region_size(3))), 3)
    house.store.close()
    with pytest.raises(StartupError, match="more partitions than the 3"):
        house.open()
    house.store.close()


# ---- create topics


def test_a_topic_is_written_as_kafka_does(house):
    (result,) = house.create(NewTopic("events", 2, 1, configs={"retention.ms": "3600000"}))
    assert (result.error_code, result.error_message) == (0, None)
    assert (result.num_partitions, result.replication_factor) == (2, 1)
    assert result.configs == {"retention.ms": "3600000"}
    document = house.json("/brokers/topics/events")
    assert document["partitions"] == {"0": [0], "1": [0]}
    assert (document["version"], len(document["topic_id"])) == (3, 22)
    assert house.json("/brokers/topics/events/partitions/1/state") == {
        "controller_epoch": 1,
        "leader": 0,
        "version": 1,
        "leader_epoch": 0,
        "isr": [0],
    }
    assert house.json("/config/topics/events") == {"version": 1, "config": {"retention.ms": "3600000"}}
    topic = house.follower.topics["events"]
    assert topic.topic_id == result.topic_id
    assert topic.partitions == tuple(PartitionState(index, index, 0, 0, 0, (0,), (0,)) for index in range(2))
    assert list(house.table.claimed()) == [(0, topic.topic_id, 0), (1, topic.topic_id, 1)]


def test_what_is_not_said_is_the_broker_s_default(house):
    (result,) = house.create(NewTopic("a"))
    assert (result.num_partitions, result.replication_factor) == (2, 1)


@pytest.mark.parametrize(
    ("topic", "code", "message"),
    [
        (NewTopic(""), ErrorCode.INVALID_TOPIC_EXCEPTION, "empty"),
        (NewTopic("."), ErrorCode.INVALID_TOPIC_EXCEPTION, "'.'"),
        (NewTopic(".."), ErrorCode.INVALID_TOPIC_EXCEPTION, "'..'"),
        (NewTopic("a b"), ErrorCode.INVALID_TOPIC_EXCEPTION, "ASCII alphanumerics"),
        (NewTopic("ä"), ErrorCode.INVALID_TOPIC_EXCEPTION, "ASCII alphanumerics"),
        (NewTopic("a\n"), ErrorCode.INVALID_TOPIC_EXCEPTION, "ASCII alphanumerics"),
        (NewTopic("a/b"), ErrorCode.INVALID_TOPIC_EXCEPTION, "ASCII alphanumerics"),
        (NewTopic("x" * 250), ErrorCode.INVALID_TOPIC_EXCEPTION, "max allowed length 249"),
        (NewTopic("__cluster_metadata"), ErrorCode.INVALID_REQUEST, "KRaft"),
        (NewTopic("there.is"), ErrorCode.TOPIC_ALREADY_EXISTS, "already exists"),
        (NewTopic("there_is"), ErrorCode.INVALID_TOPIC_EXCEPTION, "collides with existing topic: there.is"),
        (NewTopic("a", 0), ErrorCode.INVALID_PARTITIONS, "larger than 0"),
        (NewTopic("a", -2), ErrorCode.INVALID_PARTITIONS, "larger than 0"),
        (NewTopic("a", 0, 0), ErrorCode.INVALID_REPLICATION_FACTOR, "larger than 0"),
        (NewTopic("a", 100), ErrorCode.INVALID_PARTITIONS, "can hold in all"),
        (NewTopic("a", 60), ErrorCode.INVALID_PARTITIONS, "at most 60 partitions, of which 59 are free"),
        (NewTopic("a", 1, 0), ErrorCode.INVALID_REPLICATION_FACTOR, "larger than 0"),
        (NewTopic("a", 1, -2), ErrorCode.INVALID_REPLICATION_FACTOR, "larger than 0"),
        (NewTopic("a", 1, 3), ErrorCode.INVALID_REPLICATION_FACTOR, "3 larger than available brokers: 1"),
        (NewTopic("a", 1, assignments={0: [0]}), ErrorCode.INVALID_REQUEST, "must be -1"),
        (NewTopic("a", -1, 1, assignments={0: [0]}), ErrorCode.INVALID_REQUEST, "must be -1"),
        (NewTopic("a", assignments={1: [0]}), ErrorCode.INVALID_REPLICA_ASSIGNMENT, "consecutive 0-based"),
        (NewTopic("a", assignments={0: []}), ErrorCode.INVALID_REPLICA_ASSIGNMENT, "empty replica list"),
        (NewTopic("a", assignments={0: [0, 0]}), ErrorCode.INVALID_REPLICA_ASSIGNMENT, "more than once"),
        (NewTopic("a", assignments={0: [0, 7]}), ErrorCode.INVALID_REPLICA_ASSIGNMENT, r"unknown broker\(s\) 7"),
        (NewTopic("a", configs={"no.such": "1"}), ErrorCode.INVALID_CONFIG, "no.such"),
        (NewTopic("a", configs={"retention.ms": "x"}), ErrorCode.INVALID_CONFIG, "whole number"),
        (NewTopic("a", configs={"retention.ms": None}), ErrorCode.INVALID_CONFIG, "Null value"),
    ],
    ids=lambda value: value.name if isinstance(value, ErrorCode) else "",
)
@pytest.mark.parametrize("validate_only", [False, True])
def test_a_topic_that_cannot_be_is_refused_with_kafka_s_code(house, topic, code, message, validate_only):
    house.create(NewTopic("there.is", 1))
    before = house.controller.image
    bad, good = house.create(topic, NewTopic("good", 1), validate_only=validate_only)
    assert bad.error_code == code
    with pytest.raises(KafkaError, match=message):
        raise KafkaError(code, bad.error_message)
    assert (bad.topic_id, bad.num_partitions, bad.replication_factor) == (ZERO_UUID, -1, -1)
    assert good.error_code == ErrorCode.NONE
    assert set(house.controller.image.topics) == set(before.topics) | (set() if validate_only else {"good"})


def test_a_name_of_249_characters_is_fine(house):
    assert codes(house.create(NewTopic("x" * 249))) == [ErrorCode.NONE]


def test_a_name_given_twice_is_refused_and_the_others_go_on(house):
    results = house.create(NewTopic("a", 1), NewTopic("b", 1), NewTopic("a", 2))
    assert [(result.name, result.error_code) for result in results] == [("a", ErrorCode.INVALID_REQUEST), ("b", 0)]


def test_names_of_one_request_can_collide(house):
    results = house.create(NewTopic("a.b", 1), NewTopic("a_b", 1))
    assert codes(results) == [ErrorCode.NONE, ErrorCode.INVALID_TOPIC_EXCEPTION]
    assert codes(house.create(NewTopic("a.b", 1), NewTopic("a_b", 1), validate_only=True)) == [
        ErrorCode.TOPIC_ALREADY_EXISTS,
        ErrorCode.INVALID_TOPIC_EXCEPTION,
    ]


def test_validating_changes_nothing(house):
    before = house.controller.image
    (result,) = house.create(NewTopic("a", 3), validate_only=True)
    assert (result.error_code, result.num_partitions, result.topic_id) == (0, 3, ZERO_UUID)
    assert house.controller.image is before
    assert house.store.children("/brokers/topics") == []
    assert codes(house.create(NewTopic("b", 40), NewTopic("c", 40), validate_only=True)) == [
        ErrorCode.NONE,
        ErrorCode.INVALID_PARTITIONS,
    ]


def test_a_manual_assignment_is_honoured(three):
    (result,) = three.create(NewTopic("a", assignments={0: [1, 2], 1: [2, 0]}))
    assert (result.num_partitions, result.replication_factor) == (2, 2)
    first, second = three.follower.topics["a"].partitions
    assert (first.leader, first.replicas, first.isr, first.row) == (1, (1, 2), (1, 2), NO_ROW)
    assert (second.leader, second.replicas, second.isr, second.row) == (2, (2, 0), (2, 0), 0)
    (bad,) = three.create(NewTopic("b", assignments={0: [1, 2], 1: [2]}))
    assert bad.error_code == ErrorCode.INVALID_REPLICA_ASSIGNMENT


def test_leaders_and_replicas_are_spread(three):
    three.create(NewTopic("a", 6, 2))
    states = three.follower.topics["a"].partitions
    leaders = [state.leader for state in states]
    assert sorted(leaders) == [0, 0, 1, 1, 2, 2]
    assert len({state.replicas for state in states}) == 6


def test_internal_topics_get_the_settings_they_need(tmp_path):
    house = House(tmp_path / "store.sqlite")
    house.config.internal_topics["__consumer_offsets"]
    results = house.take(house.controller.create_internal_topics(["__consumer_offsets", "mine"]))
    assert {result.name: result.error_code for result in results} == {
        "__consumer_offsets": ErrorCode.NONE,
        "mine": ErrorCode.INVALID_TOPIC_EXCEPTION,
    }
    topic = house.follower.topics["__consumer_offsets"]
    assert topic.internal
    assert len(topic.partitions) == 5
    assert topic.config == {"cleanup.policy": "compact", "compression.type": "producer", "segment.bytes": "104857600"}
    outcome = house.controller.create_internal_topics(["__consumer_offsets"])
    assert (outcome.delta, codes(outcome.results)) == (None, [ErrorCode.NONE])
    house.reopen()
    assert house.follower.topics["__consumer_offsets"].internal
    house.store.close()


def test_internal_topics_have_no_more_replicas_than_there_are_brokers(tmp_path):
    house = House(tmp_path / "store.sqlite", brokers=(0, 1))
    object.__setattr__(house.config, "internal_topics", internal_topics(offsets_replication_factor=3))
    house.take(house.controller.create_internal_topics(["__consumer_offsets"]))
    assert {len(state.replicas) for state in house.follower.topics["__consumer_offsets"].partitions} == {2}
    house.store.close()


def test_a_store_that_cannot_be_written_is_told_per_topic(house, monkeypatch):
    def refuse(_operations):
        raise StoreUnavailable("/", "disk full")

    monkeypatch.setattr(EmbeddedStore, "commit", lambda _store, operations: refuse(operations))
    (result,) = house.create(NewTopic("a"))
    assert (result.error_code, result.error_message) == (ErrorCode.KAFKA_STORAGE_ERROR, "/: disk full")
    monkeypatch.undo()
    assert codes(house.create(NewTopic("a"))) == [ErrorCode.NONE]


# ---- delete topics


def test_topics_are_deleted_by_name_and_by_id(house):
    first, second = house.create(NewTopic("a", 2), NewTopic("b", 2))
    results = house.take(
        house.controller.delete_topics([TopicReference("a"), TopicReference(topic_id=second.topic_id)])
    )
    assert [(result.name, result.topic_id, result.error_code) for result in results] == [
        ("a", first.topic_id, 0),
        ("b", second.topic_id, 0),
    ]
    assert house.follower.topics == house.follower.topics_by_id == {}
    for path in ("/brokers/topics", "/config/topics"):
        assert house.store.children(path) == []


@pytest.mark.parametrize("partitions", [10_001, 2**31 - 1])
def test_one_request_makes_at_most_ten_thousand_partitions(house, partitions):
    outcome = house.controller.create_topics([NewTopic("a", partitions), NewTopic("b", 1)])
    assert codes(outcome.results) == [ErrorCode.POLICY_VIOLATION] * 2
    assert "at most 10000" in outcome.results[0].error_message
    assert outcome.delta is None


def test_what_cannot_be_deleted_is_refused_with_kafka_s_code(house):
    (topic, _) = house.create(NewTopic("a", 1), NewTopic("b", 1))
    unknown = new_uuid()
    results = house.take(
        house.controller.delete_topics(
            [
                TopicReference("none"),
                TopicReference(topic_id=unknown),
                TopicReference("a", topic.topic_id),
                TopicReference(),
                TopicReference("b"),
                TopicReference("b"),
            ]
        )
    )
    assert codes(results) == [
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.UNKNOWN_TOPIC_ID,
        ErrorCode.INVALID_REQUEST,
        ErrorCode.INVALID_REQUEST,
        ErrorCode.INVALID_REQUEST,  # of b, which is named twice and told once
    ]
    assert (results[1].name, results[1].topic_id) == (None, unknown)
    assert set(house.follower.topics) == {"a", "b"}


def test_a_topic_named_by_name_and_by_id_in_one_request_is_refused(house):
    (topic,) = house.create(NewTopic("a", 1))
    outcome = house.controller.delete_topics([TopicReference("a"), TopicReference(topic_id=topic.topic_id)])
    assert codes(outcome.results) == [ErrorCode.INVALID_REQUEST]
    assert outcome.delta is None


def test_deletion_can_be_switched_off(tmp_path):
    house = House(tmp_path / "store.sqlite", delete_topic_enable=False)
    house.create(NewTopic("a"))
    results = house.take(house.controller.delete_topics([TopicReference("a"), TopicReference("none")]))
    assert codes(results) == [ErrorCode.TOPIC_DELETION_DISABLED] * 2
    house.store.close()


def test_rows_come_back_when_everybody_let_go_and_not_before(house):
    (topic,) = house.create(NewTopic("a", 3))
    house.take(house.controller.delete_topics([TopicReference("a")]))
    assert house.controller.pending_deletions() == {topic.topic_id: "a"}
    (again,) = house.create(NewTopic("a", 3))
    assert again.topic_id != topic.topic_id
    assert {state.row for state in house.follower.topics["a"].partitions} == {3, 4, 5}
    house.reopen()
    assert house.rows.free == ROWS - 6
    assert house.controller.pending_deletions() == {topic.topic_id: "a"}
    house.controller.finish_deletions([topic.topic_id, again.topic_id, topic.topic_id])
    assert house.controller.pending_deletions() == {}
    assert house.rows.free == ROWS - 3
    assert {row for row, _, _ in house.table.claimed()} == {3, 4, 5}


def test_a_name_is_free_again_after_deletion(house):
    house.create(NewTopic("a.b", 1))
    house.take(house.controller.delete_topics([TopicReference("a.b")]))
    assert codes(house.create(NewTopic("a_b", 1))) == [ErrorCode.NONE]


# ---- create partitions


def test_partitions_are_added(house):
    house.create(NewTopic("a", 2))
    (result,) = house.take(house.controller.create_partitions([MorePartitions("a", 5)]))
    assert (result.error_code, result.num_partitions) == (0, 5)
    states = house.follower.topics["a"].partitions
    assert [state.partition for state in states] == list(range(5))
    assert len({state.row for state in states}) == 5
    assert house.json("/brokers/topics/a")["partitions"] == {str(index): [0] for index in range(5)}
    before = house.controller.image.topics
    house.reopen()
    assert house.controller.image.topics == before


@pytest.mark.parametrize(
    ("wanted", "code", "message"),
    [
        (MorePartitions("none", 3), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "does not exist"),
        (MorePartitions("a", 2), ErrorCode.INVALID_PARTITIONS, "already has 2"),
        (MorePartitions("a", 1), ErrorCode.INVALID_PARTITIONS, "currently has 2"),
        (MorePartitions("a", -1), ErrorCode.INVALID_PARTITIONS, "currently has 2"),
        (MorePartitions("a", 61), ErrorCode.INVALID_PARTITIONS, "58 are free"),
        (MorePartitions("a", 2**31 - 1), ErrorCode.POLICY_VIOLATION, "at most 10000"),
        (MorePartitions("a", 100), ErrorCode.INVALID_PARTITIONS, "can hold in all"),
        (MorePartitions("a", 3, []), ErrorCode.INVALID_REPLICA_ASSIGNMENT, "add 1 additional"),
        (MorePartitions("a", 3, [[0], [0]]), ErrorCode.INVALID_REPLICA_ASSIGNMENT, "2 assignment"),
        (MorePartitions("a", 3, [[]]), ErrorCode.INVALID_REPLICA_ASSIGNMENT, "empty replica list for partition 2"),
        (MorePartitions("a", 3, [[9]]), ErrorCode.INVALID_REPLICA_ASSIGNMENT, "unknown broker"),
    ],
)
@pytest.mark.parametrize("validate_only", [False, True])
def test_partitions_that_cannot_be_are_refused_with_kafka_s_code(house, wanted, code, message, validate_only):
    house.create(NewTopic("a", 2))
    outcome = house.controller.create_partitions([wanted], validate_only=validate_only)
    assert outcome.delta is None
    assert codes(outcome.results) == [code]
    assert message in outcome.results[0].error_message


def test_more_partitions_are_only_validated_when_asked(house):
    house.create(NewTopic("a", 2))
    outcome = house.controller.create_partitions([MorePartitions("a", 3)], validate_only=True)
    assert (outcome.delta, codes(outcome.results)) == (None, [ErrorCode.NONE])
    assert len(house.controller.image.topics["a"].partitions) == 2
    outcome = house.controller.create_partitions([MorePartitions("a", 3), MorePartitions("a", 4)])
    assert codes(outcome.results) == [ErrorCode.INVALID_REQUEST]


def test_new_partitions_go_on_round_the_brokers(three):
    three.create(NewTopic("a", 2, 1))
    three.take(three.controller.create_partitions([MorePartitions("a", 6)]))
    leaders = [state.leader for state in three.follower.topics["a"].partitions]
    assert leaders[:3] == leaders[3:]
    assert sorted(leaders[:3]) == [0, 1, 2]
    (bad,) = three.take(three.controller.create_partitions([MorePartitions("a", 7, [[1, 2]])]))
    assert bad.error_code == ErrorCode.INVALID_REPLICA_ASSIGNMENT
    three.take(three.controller.create_partitions([MorePartitions("a", 7, [[2]])]))
    assert three.follower.partition("a", 6).replicas == (2,)


# ---- brokers come and go


def test_a_dead_leader_is_replaced_from_the_in_sync_replicas(three):
    three.create(NewTopic("a", assignments={0: [1, 0, 2], 1: [2, 1, 0]}))
    three.leave(1)
    three.take(three.controller.brokers_changed())
    first, second = three.follower.topics["a"].partitions
    assert (first.leader, first.leader_epoch, first.partition_epoch, first.isr) == (0, 1, 1, (0, 2))
    assert first.offline_replicas == (1,)
    assert (second.leader, second.leader_epoch, second.isr, second.offline_replicas) == (2, 1, (2, 0), (1,))
    assert three.json("/brokers/topics/a/partitions/0/state")["leader"] == 0
    three.enter(1)
    three.take(three.controller.brokers_changed())
    first, second = three.follower.topics["a"].partitions
    assert (first.leader, first.leader_epoch, first.offline_replicas) == (0, 1, ())
    assert three.controller.brokers_changed() is None


def test_without_in_sync_replicas_there_is_no_leader_until_one_returns(three):
    three.create(NewTopic("a", assignments={0: [1]}))
    three.leave(1)
    three.take(three.controller.brokers_changed())
    state = three.follower.partition("a", 0)
    assert (state.leader, state.isr, state.leader_epoch) == (NO_LEADER, (1,), 1)
    three.enter(1)
    three.take(three.controller.brokers_changed())
    state = three.follower.partition("a", 0)
    assert (state.leader, state.isr, state.leader_epoch, state.partition_epoch) == (1, (1,), 2, 2)


def test_an_unclean_leader_is_elected_only_where_allowed(three):
    three.create(
        NewTopic("a", assignments={0: [1, 2]}, configs={"unclean.leader.election.enable": "true"}),
        NewTopic("b", assignments={0: [1, 2]}),
    )
    for broker_id in (2, 1):
        three.leave(broker_id)
        three.take(three.controller.brokers_changed())
    for name in ("a", "b"):
        state = three.follower.partition(name, 0)
        assert (state.leader, state.isr) == (NO_LEADER, (1,))
    three.enter(2)
    three.take(three.controller.brokers_changed())
    unclean, clean = three.follower.partition("a", 0), three.follower.partition("b", 0)
    assert (unclean.leader, unclean.isr) == (2, (2,))
    assert (clean.leader, clean.isr) == (NO_LEADER, (1,))


def test_a_restart_with_a_broker_missing_elects_at_once(three):
    three.create(NewTopic("a", assignments={0: [1, 0]}))
    three.brokers = (0,)
    three.reopen()
    state = three.follower.partition("a", 0)
    assert (state.leader, state.leader_epoch, state.partition_epoch) == (0, 1, 1)
    three.reopen()
    assert three.follower.partition("a", 0) == state


# ---- configurations


def alter(house, resource_type, name, configs, **options):
    return house.take(
        house.controller.alter_configs([ResourceConfig(resource_type, name, [*configs.items()])], **options)
    )[0]


def increment(house, name, *changes, resource_type=TOPIC, **options):
    request = ResourceChanges(resource_type, name, [ConfigChange(*change) for change in changes])
    return house.take(house.controller.incremental_alter_configs([request], **options))[0]


SET, DELETE, APPEND, SUBTRACT = ConfigOperation


def test_a_whole_configuration_is_replaced(house):
    house.create(NewTopic("a", configs={"retention.ms": "1", "segment.bytes": "1048576"}))
    assert alter(house, TOPIC, "a", {"retention.ms": "2"}).error_code == 0
    assert house.follower.topics["a"].config == {"retention.ms": "2"}
    assert house.json("/config/topics/a")["config"] == {"retention.ms": "2"}
    assert alter(house, TOPIC, "a", {"retention.ms": "3"}, validate_only=True).error_code == 0
    assert house.follower.topics["a"].config == {"retention.ms": "2"}


def test_single_keys_are_changed(house):
    house.create(NewTopic("a", configs={"retention.ms": "1", "segment.bytes": "1048576"}))
    increment(house, "a", (SET, "retention.ms", "2"), (DELETE, "segment.bytes"), (DELETE, "flush.ms"))
    assert house.follower.topics["a"].config == {"retention.ms": "2"}
    increment(house, "a", (APPEND, "cleanup.policy", "compact"))
    assert house.follower.topics["a"].config["cleanup.policy"] == "delete,compact"
    increment(house, "a", (APPEND, "cleanup.policy", "compact"))
    increment(house, "a", (SUBTRACT, "cleanup.policy", "delete"))
    assert house.follower.topics["a"].config["cleanup.policy"] == "compact"
    house.reopen()
    assert house.follower.topics["a"].config == {"retention.ms": "2", "cleanup.policy": "compact"}


def test_a_change_that_changes_nothing_is_not_published(house):
    house.create(NewTopic("a", configs={"retention.ms": "1"}))
    outcome = house.controller.alter_configs([ResourceConfig(TOPIC, "a", [("retention.ms", "1")])])
    assert (codes(outcome.results), outcome.delta) == ([ErrorCode.NONE], None)


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ([(SET, "retention.ms", "1"), (DELETE, "retention.ms")], ErrorCode.INVALID_REQUEST, "duplicate config keys"),
        ([(SET, "retention.ms", None)], ErrorCode.INVALID_REQUEST, "Null value not supported for : retention.ms"),
        ([(APPEND, "cleanup.policy", None)], ErrorCode.INVALID_REQUEST, "Null value"),
        ([(9, "retention.ms", "1")], ErrorCode.INVALID_REQUEST, "Unknown operation 9"),
        ([(APPEND, "retention.ms", "1")], ErrorCode.INVALID_CONFIG, "not LIST"),
        ([(SUBTRACT, "no.such", "1")], ErrorCode.INVALID_CONFIG, "no.such"),
        ([(SET, "no.such", "1")], ErrorCode.INVALID_CONFIG, "no.such"),
        ([(SET, "flush.ms", "5"), (SET, "retention.ms", "x")], ErrorCode.INVALID_CONFIG, "whole number"),
    ],
)
def test_changes_that_cannot_be_are_refused_as_a_whole(house, changes, code, message):
    house.create(NewTopic("a", configs={"segment.bytes": "1048576"}))
    result = increment(house, "a", *changes)
    assert (result.error_code, message in result.error_message) == (code, True)
    assert house.follower.topics["a"].config == {"segment.bytes": "1048576"}


def test_resources_that_cannot_be_altered_are_refused_and_the_others_go_on(house):
    house.create(NewTopic("a"), NewTopic("b"))
    results = house.take(
        house.controller.alter_configs(
            [
                ResourceConfig(TOPIC, "none", []),
                ResourceConfig(TOPIC, "no name", []),
                ResourceConfig(TOPIC, "", []),
                ResourceConfig(8, "0", []),
                ResourceConfig(BROKER, "x", []),
                ResourceConfig(BROKER, "7", []),
                ResourceConfig(BROKER, "9" * 5000, []),
                ResourceConfig(TOPIC, "a", [("retention.ms", "1")]),
                ResourceConfig(TOPIC, "a", [("retention.ms", "2")]),
                ResourceConfig(TOPIC, "b", [("retention.ms", "3")]),
                ResourceConfig(TOPIC, "b2", [("retention.ms", None)]),
                ResourceConfig(TOPIC, "b3", [("no.such", "1")]),
            ]
        )
    )
    assert {(result.resource_type, result.resource_name): result.error_code for result in results} == {
        (TOPIC, "none"): ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        (TOPIC, "no name"): ErrorCode.INVALID_TOPIC_EXCEPTION,
        (TOPIC, ""): ErrorCode.INVALID_REQUEST,
        (8, "0"): ErrorCode.INVALID_REQUEST,
        (BROKER, "x"): ErrorCode.INVALID_REQUEST,
        (BROKER, "7"): ErrorCode.INVALID_REQUEST,
        (BROKER, "9" * 5000): ErrorCode.INVALID_REQUEST,
        (TOPIC, "a"): ErrorCode.INVALID_REQUEST,
        (TOPIC, "b"): ErrorCode.NONE,
        (TOPIC, "b2"): ErrorCode.INVALID_REQUEST,
        (TOPIC, "b3"): ErrorCode.INVALID_CONFIG,
    }
    assert [result.resource_name for result in results].count("a") == 2  # each time it was named
    assert house.follower.topics["b"].config == {"retention.ms": "3"}


def test_broker_settings_are_kept_per_broker_and_for_all(house):
    alter(house, BROKER, "0", {"log.retention.ms": "1"})
    increment(house, "", (SET, "log.retention.ms", "2"), resource_type=BROKER)
    increment(house, "00", (SET, "log.retention.ms", "1"), resource_type=BROKER)
    assert house.follower.broker_configs == {"0": {"log.retention.ms": "1"}, "": {"log.retention.ms": "2"}}
    assert house.json("/config/brokers/<default>")["config"] == {"log.retention.ms": "2"}
    increment(house, "0", (DELETE, "log.retention.ms"), resource_type=BROKER)
    assert house.follower.broker_configs == {"": {"log.retention.ms": "2"}}
    house.reopen()
    assert house.follower.broker_configs == {"": {"log.retention.ms": "2"}}


def test_a_broker_named_in_two_ways_in_one_request_keeps_both_changes(house):
    changes = [
        ResourceChanges(BROKER, name, [ConfigChange(SET, key, "1000")])
        for name, key in (("0", "log.retention.ms"), ("00", "log.flush.interval.ms"))
    ]
    house.take(house.controller.incremental_alter_configs(changes))
    assert house.follower.broker_configs == {"0": {"log.retention.ms": "1000", "log.flush.interval.ms": "1000"}}


def test_settings_of_brokers_that_cannot_be_are_bad_requests_that_say_why(house):
    for name in ("", "0"):
        result = increment(house, name, (SET, "num.partitions", "5"), resource_type=BROKER)
        assert (result.error_code, "[num.partitions]" in result.error_message) == (ErrorCode.INVALID_REQUEST, True)
        assert increment(house, name, (DELETE, "num.partitions"), resource_type=BROKER).error_code == 0
        result = alter(house, BROKER, name, {"log.retention.ms": None})
        assert (result.error_code, "log.retention.ms" in result.error_message) == (ErrorCode.INVALID_REQUEST, True)
    assert house.follower.broker_configs == {}


def test_a_key_given_twice_is_a_bad_request(house):
    house.create(NewTopic("a"))
    twice = [("retention.ms", "1"), ("retention.ms", "2")]
    (result,) = house.take(house.controller.alter_configs([ResourceConfig(TOPIC, "a", twice)]))
    assert (result.error_code, "retention.ms" in result.error_message) == (ErrorCode.INVALID_REQUEST, True)


def test_many_keys_hold_up_nobody_for_long(house):
    house.create(NewTopic("a"))
    begin = time.process_time()
    (result,) = house.take(
        house.controller.alter_configs([ResourceConfig(TOPIC, "a", [(f"key.{n}", "1") for n in range(100_000)])])
    )
    assert result.error_code == ErrorCode.INVALID_CONFIG
    many = ",".join(map(str, range(100_000)))
    for operation in (SET, APPEND, SUBTRACT):
        increment(house, "m", (operation, "metrics", many), resource_type=ResourceType.CLIENT_METRICS)
    assert time.process_time() - begin < 20


def test_only_validating_changes_nothing(house):
    for resource_type, name, key, value in (
        (BROKER, "0", "log.retention.ms", "1"),
        (ResourceType.GROUP, "g", "consumer.session.timeout.ms", "46000"),
        (ResourceType.CLIENT_METRICS, "m", "interval.ms", "1000"),
        (ResourceType.BROKER_LOGGER, "0", "kbroker.cluster.config_rules", "DEBUG"),
    ):
        result = increment(house, name, (SET, key, value), resource_type=resource_type, validate_only=True)
        assert result.error_code == 0
        result = increment(house, name, (SET, key, "nonsense"), resource_type=resource_type, validate_only=True)
        assert result.error_code != 0
    assert not any(house.follower.configs.values())


def test_the_smallest_number_of_replicas_in_sync_is_the_clusters(house):
    """KIP-966: it can be set for all brokers, but not on one of them, and not be taken away."""
    result = increment(house, "", (DELETE, "min.insync.replicas"), resource_type=BROKER)
    assert result.error_code == ErrorCode.INVALID_CONFIG
    assert increment(house, "0", (SET, "min.insync.replicas", "2"), resource_type=BROKER).error_code == 40
    assert alter(house, BROKER, "", {"log.retention.ms": "1"}).error_code == ErrorCode.INVALID_CONFIG
    assert alter(house, BROKER, "", {"min.insync.replicas": "1"}).error_code == 0
    assert increment(house, "", (SET, "min.insync.replicas", "1"), resource_type=BROKER).error_code == 0
    assert house.follower.broker_configs == {}  # what the file says anyway: a later change of the file counts
    assert increment(house, "", (SET, "min.insync.replicas", "2"), resource_type=BROKER).error_code == 0
    assert house.follower.broker_configs == {"": {"min.insync.replicas": "2"}}


@pytest.mark.parametrize(
    ("resource_type", "kind", "key", "value"),
    [
        (ResourceType.GROUP, ConfigKind.GROUP, "consumer.session.timeout.ms", "46000"),
        (ResourceType.CLIENT_METRICS, ConfigKind.CLIENT_METRICS, "match", "client_id=a/b.*"),
    ],
)
def test_settings_of_groups_and_subscriptions_are_kept_by_name(house, resource_type, kind, key, value):
    assert increment(house, "", (SET, key, value), resource_type=resource_type).error_code == ErrorCode.INVALID_REQUEST
    assert increment(house, "a/b", (SET, key, value), resource_type=resource_type).error_code == 0
    assert increment(house, "a/b", (SET, "no.such", "1"), resource_type=resource_type).error_code in {40, 42}
    house.reopen()
    assert house.follower.configs[kind] == {"a/b": {key: value}}
    assert increment(house, "a/b", (DELETE, key), resource_type=resource_type).error_code == 0
    house.reopen()
    assert house.follower.configs[kind] == {}


LOGGER = ResourceType.BROKER_LOGGER


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        (
            [(SET, "kbroker.cluster.config_rules", "debug")],
            ErrorCode.INVALID_CONFIG,
            "DEBUG, ERROR, FATAL, INFO, TRACE",
        ),
        ([(SET, "kbroker.no.such", "DEBUG")], ErrorCode.INVALID_CONFIG, "Logger kbroker.no.such does not exist!"),
        ([(DELETE, "kbroker.no.such")], ErrorCode.INVALID_CONFIG, "does not exist"),
        ([(DELETE, "root")], ErrorCode.INVALID_REQUEST, "root logger is not allowed"),
        ([(APPEND, "root", "DEBUG")], ErrorCode.INVALID_REQUEST, "APPEND"),
        ([(SUBTRACT, "root", "DEBUG")], ErrorCode.INVALID_REQUEST, "SUBTRACT"),
        ([(SET, "root", None)], ErrorCode.INVALID_REQUEST, "root"),
        ([(SET, "root", "INFO"), (SET, "root", "WARN")], ErrorCode.INVALID_REQUEST, "duplicate"),
        ([(SET, "root", "WARN"), (SET, "no.such", "WARN")], ErrorCode.INVALID_CONFIG, "no.such"),
    ],
)
def test_levels_that_cannot_be_set_are_refused_as_kafka_refuses_them(house, changes, code, message):
    result = increment(house, "0", *changes, resource_type=LOGGER)
    assert (result.error_code, message in result.error_message) == (code, True)
    assert house.follower.log_levels == {}


def test_levels_of_loggers_outlive_the_controller(house):
    assert increment(house, "0", (SET, "kbroker.cluster", "WARN"), resource_type=LOGGER).error_code == 0
    assert increment(house, "0", (SET, "root", "ERROR"), resource_type=LOGGER).error_code == 0
    house.reopen()
    assert house.follower.log_levels == {"kbroker.cluster": "WARN", "root": "ERROR"}
    assert increment(house, "0", (DELETE, "kbroker.cluster"), resource_type=LOGGER).error_code == 0
    assert house.follower.log_levels == {"root": "ERROR"}
    for name in ("", "7", "x"):
        assert increment(house, name, (SET, "root", "INFO"), resource_type=LOGGER).error_code == 42
    assert alter(house, LOGGER, "0", {"root": "INFO"}).error_code == ErrorCode.INVALID_REQUEST


def test_what_is_set_is_told_without_what_might_be_a_secret(house, caplog):
    with caplog.at_level("INFO"):
        increment(house, "", (SET, "log.roll.ms", "7"), (SET, "plugin.secret", "geheim"), resource_type=BROKER)
        increment(house, "", (DELETE, "log.roll.ms"), resource_type=BROKER)
        increment(house, "0", (SET, "kbroker", "ERROR"), resource_type=LOGGER)
    assert "Configuration of brokers <default>: log.roll.ms=7, plugin.secret set" in caplog.messages
    assert "Configuration of brokers <default>: log.roll.ms removed" in caplog.messages
    assert "Configuration of loggers: kbroker=ERROR" in caplog.messages
    assert "geheim" not in caplog.text


def test_nobody_writes_lines_of_his_own_into_the_log(house, caplog):
    value = "t\nERROR all is lost" + "!" * 30_000
    with caplog.at_level("INFO"):
        increment(house, "", (SET, "x\nERROR", "1"), resource_type=BROKER)
        result = increment(
            house, "g\nERROR", (SET, "errors.deadletterqueue.topic.name", value), resource_type=ResourceType.GROUP
        )
    assert result.error_code == 0
    lines = [message for message in caplog.messages if "ERROR" in message]
    assert len(lines) == 3
    assert all("\n" not in line and len(line) < 1_000 for line in lines)


# ---- adoption


def test_an_adopted_topic_is_a_topic_like_any_other(house):
    topic_id = new_uuid()
    house.create(NewTopic("known", 1))
    plan = AdoptionPlan(
        (
            AdoptedTopic("found", topic_id, (4, 0, 7), frozenset({0, 2})),
            AdoptedTopic("known", house.follower.topics["known"].topic_id, (0, 0, 3), frozenset({2})),
            AdoptedTopic("__consumer_offsets", None, (1,), frozenset({0})),
        )
    )
    house.take(house.controller.adopt(plan))
    assert house.follower.topics["found"].topic_id == topic_id
    assert [state.leader_epoch for state in house.follower.topics["found"].partitions] == [4, 0, 7]
    assert [state.leader_epoch for state in house.follower.topics["known"].partitions] == [0, 0, 3]
    offsets = house.follower.topics["__consumer_offsets"]
    assert offsets.internal
    assert offsets.config["cleanup.policy"] == "compact"
    # Their logs may know any producer id Kafka gave out, one after the other from 0.
    assert ProducerIdBlocks(house.store, broker_id=0).allocate().first > 10**12
    before = house.controller.image.topics
    house.reopen()
    assert house.controller.image.topics == before
    assert codes(house.create(NewTopic("found"))) == [ErrorCode.TOPIC_ALREADY_EXISTS]
    assert house.controller.adopt(AdoptionPlan()) is None


def test_more_logs_than_rows_are_explained(house):
    plan = AdoptionPlan((AdoptedTopic("found", None, (0,) * 61, frozenset({60})),))
    with pytest.raises(StartupError, match=r"topic found has 61 partition\(s\) on disk"):
        house.controller.adopt(plan)


def test_topic_ids_never_look_like_an_option():
    assert all(nodes.encode_topic(new_uuid(), [])[:1] == b"{" for _ in range(10))
    assert not any(nodes.encode_uuid(new_uuid()).startswith("-") for _ in range(2000))


def churn(path, ready):
    """Create and delete topics until killed."""
    house = House(path, rows=10_000)
    os.write(ready, b"!")
    for number in range(1_000_000):
        house.controller.create_topics([NewTopic(f"t{number}", 3, configs={"retention.ms": "5"})])
        if number % 2:
            house.controller.delete_topics([TopicReference(f"t{number}")])


def test_a_killed_controller_leaves_each_topic_whole_or_gone(tmp_path):
    path = tmp_path / "store.sqlite"
    chance = Random(5)
    for _ in range(6):
        path.unlink(missing_ok=True)
        told, ready = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                churn(path, ready)
            finally:
                os._exit(1)
        assert os.read(told, 1) == b"!"
        select.select([], [], [], chance.uniform(0.0, 0.1))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(told)
        os.close(ready)
        house = House(path, rows=10_000)
        topics = house.controller.image.topics
        deleted = house.controller.pending_deletions()
        for name, topic in topics.items():
            assert len(topic.partitions) == 3
            assert topic.config == {"retention.ms": "5"}
            assert topic.topic_id not in deleted
            assert house.store.children(f"/brokers/topics/{name}/partitions") == ["0", "1", "2"]
        assert set(house.store.children("/config/topics")) == set(topics)
        numbers = sorted(int(name[1:]) for name in [*topics, *deleted.values()])
        assert numbers == list(range(len(numbers)))
        house.store.close()
