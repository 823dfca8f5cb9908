"""Requests in wire form become the controller's decisions, in every version, and its decisions their answers."""

from __future__ import annotations

import pytest

from kbroker.clock import ManualClock
from kbroker.cluster import nodes
from kbroker.cluster.client_requests import ClusterRequests
from kbroker.cluster.config_rules import ConfigRules
from kbroker.cluster.controller import Controller, ControllerConfig, internal_topics
from kbroker.cluster.embedded import EmbeddedStore
from kbroker.cluster.row_allocator import RowAllocator
from kbroker.cluster.store import StoreUnavailable
from kbroker.config.broker_config import load_config
from kbroker.config.live_config import LiveConfig
from kbroker.config.topic_config import describe_topic
from kbroker.errors import KafkaError, MalformedMessage
from kbroker.metadata.image import BrokerState, Endpoint
from kbroker.protocol.messages import alter_configs, incremental_alter_configs
from kbroker.protocol.messages.create_partitions import (
    CreatePartitionsAssignment,
    CreatePartitionsRequest,
    CreatePartitionsTopic,
)
from kbroker.protocol.messages.create_topics import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
    CreateTopicsResponse,
)
from kbroker.protocol.messages.delete_topics import DeleteTopicsRequest, DeleteTopicState
from kbroker.shared.partition_table import PartitionTable, region_size

TOPIC = 2


class ProducerIds:
    """Blocks as the test wants them."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def allocate(self) -> tuple[int, int]:
        if self.error is not None:
            raise self.error
        return 4000, 1000


class House:
    """A controller over a real store, and the requests before it."""

    def __init__(self, directory, **config) -> None:
        store = EmbeddedStore(f"{directory}/store.sqlite", clock=ManualClock())
        store.ensure(nodes.CLUSTER_ID)
        store.set(nodes.CLUSTER_ID, nodes.encode_cluster_id("cluster-of-the-test-00"))
        store.ensure(nodes.BROKER_IDS)
        broker = BrokerState(0, (Endpoint("PLAINTEXT", "PLAINTEXT", "host", 9092),))
        store.create(nodes.broker_path(0), nodes.encode_broker(broker, 0), ephemeral=True)
        settings = load_config(None, [f"log.dirs={directory}"])
        self.store = store
        self.controller = Controller(
            store,
            ControllerConfig(internal_topics=internal_topics(offsets_num_partitions=5), **config),
            RowAllocator(PartitionTable(memoryview(bytearray(region_size(60))), 60)),
            broker_id=0,
            clock=ManualClock(),
            rules=ConfigRules(LiveConfig(settings, 0)),
        )
        self.controller.start()
        self.producer_ids = ProducerIds()
        self.requests = ClusterRequests(
            self.controller,
            self.producer_ids,
            lambda own: describe_topic(settings.settings, settings.topic_defaults, own),
        )

    def ask(self, request, version):
        """Return response and delta; the response has been through the wire."""
        decision = self.requests.handle(type(request).API_KEY, version, request.encode(version))
        response_class = type(decision.response)
        response, _ = response_class.decode(decision.response.encode(version), version)
        return response, decision.delta


@pytest.fixture
def make_house(tmp_path):
    houses = []

    def make(**config) -> House:
        houses.append(House(tmp_path, **config))
        return houses[-1]

    yield make
    for house in houses:
        house.store.close()


@pytest.fixture
def house(make_house) -> House:
    return make_house()


def creating(*topics: CreatableTopic, **fields) -> CreateTopicsRequest:
    return CreateTopicsRequest(topics=list(topics), **fields)


def simple(name: str = "t", partitions: int = 2, **fields) -> CreatableTopic:
    return CreatableTopic(name=name, num_partitions=partitions, replication_factor=1, **fields)


@pytest.mark.parametrize("version", [1, 7])
def test_the_longest_name_there_is_gets_its_error(house, version: int) -> None:
    """A message that repeats it has to be one that the protocol can carry."""
    response, _ = house.ask(creating(simple("n" * 32_767)), version)
    (refused,) = response.topics
    assert refused.error_code == 17
    assert refused.error_message.startswith("Topic name is invalid")


@pytest.mark.parametrize("version", range(8))
def test_topics_are_created(house, version: int) -> None:
    configs = [CreatableTopicConfig(name="retention.ms", value="1000")]
    response, delta = house.ask(creating(simple(configs=configs), simple("a b")), version)
    created, refused = response.topics
    assert (created.name, created.error_code) == ("t", 0)
    assert (refused.name, refused.error_code) == ("a b", 17)
    if version >= 1:
        assert created.error_message is None
        assert "illegal" in refused.error_message or "invalid" in refused.error_message
    if version >= 5:
        assert (created.num_partitions, created.replication_factor) == (2, 1)
        told = {config.name: (config.value, config.config_source) for config in created.configs}
        assert told["retention.ms"] == ("1000", 1)
        assert told["cleanup.policy"] == ("delete", 5)
        assert (refused.num_partitions, refused.configs) == (-1, [])
    topic = house.controller.image.topics["t"]
    if version >= 7:
        assert created.topic_id == topic.topic_id
    assert delta.topics == (topic,)
    assert topic.config == {"retention.ms": "1000"}


def test_validate_only_changes_nothing(house) -> None:
    response, delta = house.ask(creating(simple(), validate_only=True), 7)
    assert (response.topics[0].error_code, response.topics[0].num_partitions) == (0, 2)
    assert delta is None
    assert house.controller.image.topics == {}


def test_manual_assignment(house) -> None:
    assignments = [CreatableReplicaAssignment(partition_index=index, broker_ids=[0]) for index in (1, 0)]
    topic = CreatableTopic(name="t", num_partitions=-1, replication_factor=-1, assignments=assignments)
    response, _ = house.ask(creating(topic), 7)
    assert (response.topics[0].error_code, response.topics[0].num_partitions) == (0, 2)


def test_partition_assigned_twice_is_refused_and_the_others_are_created(house) -> None:
    """A mapping would have swallowed the first; the client must hear of it."""
    assignments = [CreatableReplicaAssignment(partition_index=0, broker_ids=[0])] * 2
    topic = CreatableTopic(name="bad", num_partitions=-1, replication_factor=-1, assignments=assignments)
    response, _ = house.ask(creating(topic, simple("good")), 7)
    assert [(one.name, one.error_code) for one in response.topics] == [("bad", 39), ("good", 0)]


def test_name_given_twice_is_answered_once(house) -> None:
    response, delta = house.ask(creating(simple(), simple()), 7)
    assert [(one.name, one.error_code) for one in response.topics] == [("t", 42)]
    assert delta is None


@pytest.mark.parametrize("version", range(7))
def test_topics_are_deleted(house, version: int) -> None:
    house.ask(creating(simple(), simple("u")), 7)
    topic_id = house.controller.image.topics["u"].topic_id
    if version >= 6:
        wanted = [
            DeleteTopicState(name="t"),
            DeleteTopicState(topic_id=topic_id),
            DeleteTopicState(topic_id=b"?" * 16),
        ]
        response, delta = house.ask(DeleteTopicsRequest(topics=wanted), version)
        assert [(one.name, one.error_code) for one in response.responses] == [("t", 0), ("u", 0), (None, 100)]
        assert response.responses[1].topic_id == topic_id
    else:
        response, delta = house.ask(DeleteTopicsRequest(topic_names=["t", "u", "gone", "v", "v"]), version)
        assert [(one.name, one.error_code) for one in response.responses] == [
            ("t", 0),
            ("u", 0),
            ("gone", 3),
            ("v", 42),
        ]
    assert delta.removed_topics == ("t", "u")


@pytest.mark.parametrize(("version", "error"), [(2, 42), (3, 73)])
def test_deletion_disabled(make_house, version: int, error: int) -> None:
    house = make_house(delete_topic_enable=False)
    house.ask(creating(simple()), 7)
    response, delta = house.ask(DeleteTopicsRequest(topic_names=["t"]), version)
    assert (response.responses[0].error_code, delta) == (error, None)


@pytest.mark.parametrize("version", range(4))
def test_partitions_are_added(house, version: int) -> None:
    house.ask(creating(simple()), 7)
    topics = [
        CreatePartitionsTopic(name="t", count=4, assignments=None),
        CreatePartitionsTopic(name="gone", count=4, assignments=[CreatePartitionsAssignment(broker_ids=[0])]),
    ]
    response, delta = house.ask(CreatePartitionsRequest(topics=topics), version)
    assert [(one.name, one.error_code) for one in response.results] == [("t", 0), ("gone", 3)]
    assert [state.partition for state in delta.partitions["t"]] == [2, 3]


def test_added_partitions_with_assignments(house) -> None:
    house.ask(creating(simple()), 7)
    assignments = [CreatePartitionsAssignment(broker_ids=[0]), CreatePartitionsAssignment(broker_ids=[9])]
    topic = CreatePartitionsTopic(name="t", count=4, assignments=assignments)
    response, delta = house.ask(CreatePartitionsRequest(topics=[topic], validate_only=True), 3)
    assert (response.results[0].error_code, delta) == (39, None)


@pytest.mark.parametrize("version", range(3))
def test_whole_configurations_are_replaced(house, version: int) -> None:
    house.ask(creating(simple(configs=[CreatableTopicConfig(name="retention.ms", value="1")])), 7)
    configs = [alter_configs.AlterableConfig(name="segment.bytes", value="1048576")]
    resources = [
        alter_configs.AlterConfigsResource(resource_type=TOPIC, resource_name="t", configs=configs),
        alter_configs.AlterConfigsResource(resource_type=TOPIC, resource_name="gone", configs=configs),
    ]
    response, delta = house.ask(alter_configs.AlterConfigsRequest(resources=resources), version)
    assert [(one.resource_type, one.resource_name, one.error_code) for one in response.responses] == [
        (TOPIC, "t", 0),
        (TOPIC, "gone", 3),
    ]
    assert house.controller.image.topics["t"].config == {"segment.bytes": "1048576"}
    assert delta is not None


@pytest.mark.parametrize("version", range(2))
def test_single_keys_are_changed(house, version: int) -> None:
    house.ask(creating(simple(configs=[CreatableTopicConfig(name="retention.ms", value="1")])), 7)
    change = incremental_alter_configs.AlterableConfig
    configs = [
        change(name="retention.ms", config_operation=1, value=None),
        change(name="cleanup.policy", config_operation=2, value="compact"),
    ]
    resource = incremental_alter_configs.AlterConfigsResource(resource_type=TOPIC, resource_name="t", configs=configs)
    request = incremental_alter_configs.IncrementalAlterConfigsRequest(resources=[resource])
    response, _ = house.ask(request, version)
    assert response.responses[0].error_code == 0
    assert house.controller.image.topics["t"].config == {"cleanup.policy": "delete,compact"}
    bad = [change(name="retention.ms", config_operation=0, value="soon")]
    resource.configs = bad
    response, delta = house.ask(request, version)
    assert (response.responses[0].error_code, delta) == (40, None)
    assert "soon" in response.responses[0].error_message


def test_malformed_body(house) -> None:
    with pytest.raises(MalformedMessage):
        house.requests.handle(19, 7, b"\x7f")


# Calls


def test_topics_for_those_who_name_them(house) -> None:
    answer, delta = house.requests.call("create_topics", {"topics": ["new", "a b"], "internal": False})
    assert answer["topics"]["new"] == {"error": 0, "message": None}
    assert answer["topics"]["a b"]["error"] == 17
    assert [topic.name for topic in delta.topics] == ["new"]
    answer, delta = house.requests.call("create_topics", {"topics": ["new"], "internal": False})
    assert (answer["topics"]["new"]["error"], delta) == (36, None)


def test_offsets_topic_has_settings_of_its_own(house) -> None:
    answer, delta = house.requests.call("create_topics", {"topics": ["__consumer_offsets"], "internal": True})
    assert answer == {"topics": {"__consumer_offsets": {"error": 0, "message": None}}}
    (topic,) = delta.topics
    assert (len(topic.partitions), topic.config["cleanup.policy"], topic.internal) == (5, "compact", True)
    answer, delta = house.requests.call("create_topics", {"topics": ["__consumer_offsets"], "internal": True})
    assert (answer["topics"]["__consumer_offsets"]["error"], delta) == (0, None)


def test_producer_ids(house) -> None:
    assert house.requests.call("allocate_producer_ids", {}) == ({"first": 4000, "count": 1000}, None)
    house.producer_ids.error = KafkaError(-1, "used up")
    assert house.requests.call("allocate_producer_ids", {})[0] == {"error": -1, "message": "used up"}
    house.producer_ids.error = StoreUnavailable("disk full")
    assert house.requests.call("allocate_producer_ids", {})[0]["error"] == 56


def test_response_of_creation_survives_every_version(house) -> None:
    """A configuration of more than a hundred keys in the answer, not only in the newest version."""
    for version in range(8):
        response, _ = house.ask(creating(simple(f"t{version}")), version)
        assert isinstance(response, CreateTopicsResponse)
        assert response.topics[0].error_code == 0
