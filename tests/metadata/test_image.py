"""The image after any sequence of deltas is what a plain model says, and old images never change."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kbroker.metadata.delta import MetadataDelta, full_delta
from kbroker.metadata.image import (
    BrokerState,
    ConfigKind,
    Endpoint,
    MetadataImage,
    MissedDelta,
    PartitionState,
    TopicState,
)


def partition(index: int, leader: int = 0, row: int = 0) -> PartitionState:
    return PartitionState(index, row, leader, 0, 0, (0, 1), (0,), (1,))


def topic(name: str, topic_id: int, partitions: int = 1, **config: str) -> TopicState:
    states = tuple(partition(index) for index in range(partitions))
    return TopicState(name, topic_id.to_bytes(16, "big"), states, config)


def test_partitions_are_found_by_name_and_by_id():
    image = MetadataImage().apply(MetadataDelta(1, topics=(topic("a", 7, partitions=3),)))
    assert image.partition("a", 2) == partition(2)
    assert image.partition_by_id((7).to_bytes(16, "big"), 2) == partition(2)
    for index in (-1, 3):
        assert image.partition("a", index) is None
        assert image.partition_by_id((7).to_bytes(16, "big"), index) is None
    assert image.partition("b", 0) is None
    assert image.partition_by_id(bytes(16), 0) is None


def test_a_topic_created_anew_loses_its_old_id():
    image = MetadataImage().apply(MetadataDelta(1, topics=(topic("a", 1),)))
    image = image.apply(MetadataDelta(2, topics=(topic("a", 2),)))
    assert list(image.topics_by_id) == [(2).to_bytes(16, "big")]
    image = image.apply(MetadataDelta(3, removed_topics=("a",), topics=(topic("a", 3),)))
    assert list(image.topics_by_id) == [(3).to_bytes(16, "big")]


def test_single_partitions_are_replaced_and_added():
    image = MetadataImage().apply(MetadataDelta(1, topics=(topic("a", 1, partitions=3),)))
    moved, new = partition(1, leader=1), partition(3)
    after = image.apply(MetadataDelta(2, partitions={"a": (new, moved)}))
    assert after.topics["a"].partitions == (partition(0), moved, partition(2), new)
    assert after.topics_by_id[(1).to_bytes(16, "big")] is after.topics["a"]
    assert image.topics["a"].partitions[1] == partition(1)


def test_what_does_not_change_is_shared():
    image = MetadataImage().apply(MetadataDelta(1, topics=(topic("a", 1), topic("b", 2))))
    after = image.apply(MetadataDelta(2, brokers=(BrokerState(0, ()),)))
    assert after.topics is image.topics
    after = after.apply(MetadataDelta(3, topics=(topic("c", 3),)))
    assert after.topics["a"] is image.topics["a"]
    assert after.brokers[0] == BrokerState(0, ())


def test_an_older_delta_changes_nothing_and_a_gap_is_refused():
    image = MetadataImage(version=5)
    assert image.apply(MetadataDelta(5, topics=(topic("a", 1),))) is image
    assert image.apply(MetadataDelta(4, topics=(topic("a", 1),))) is image
    with pytest.raises(MissedDelta):
        image.apply(MetadataDelta(7))


def test_a_full_delta_replaces_everything_whatever_its_version():
    image = MetadataImage(version=9).apply(MetadataDelta(10, topics=(topic("a", 1),), cluster_id="x", controller_id=3))
    after = image.apply(MetadataDelta(2, full=True, topics=(topic("b", 2),), cluster_id="y", controller_id=0))
    assert (after.version, after.cluster_id, after.controller_id, set(after.topics)) == (2, "y", 0, {"b"})


def test_broker_configurations_are_replaced_and_emptied():
    image = MetadataImage().apply(MetadataDelta(1, configs={ConfigKind.BROKER: {"0": {"a": "1"}, "": {"b": "2"}}}))
    after = image.apply(MetadataDelta(2, configs={ConfigKind.BROKER: {"0": {}, "": {"b": "3"}}}))
    assert after.broker_configs == {"": {"b": "3"}}


def test_configurations_of_one_kind_leave_those_of_others_alone():
    image = MetadataImage().apply(MetadataDelta(1, configs={ConfigKind.GROUP: {"g": {"a": "1"}}}))
    after = image.apply(MetadataDelta(2, configs={ConfigKind.LOGGER: {"": {"root": "DEBUG"}}}))
    assert after.configs[ConfigKind.GROUP] == {"g": {"a": "1"}}
    assert after.log_levels == {"root": "DEBUG"}
    assert (image.log_levels, image.broker_configs) == ({}, {})


def test_a_broker_knows_its_endpoints_by_listener():
    endpoint = Endpoint("INTERNAL", "PLAINTEXT", "h", 1)
    assert BrokerState(0, (endpoint,)).endpoint("INTERNAL") is endpoint
    assert BrokerState(0, (endpoint,)).endpoint("EXTERNAL") is None


names = st.sampled_from(["a", "b", "c.d", "e_f"])
topics = st.builds(
    # No two names ever have the same id.
    lambda name, number, count, leader, config: TopicState(
        name,
        name.encode().ljust(15) + bytes([number]),
        tuple(partition(index, leader, index) for index in range(count)),
        config,
    ),
    names,
    st.integers(0, 255),
    st.integers(1, 4),
    st.integers(-1, 3),
    st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
)
brokers = st.builds(
    BrokerState,
    st.integers(0, 3),
    st.lists(
        st.builds(Endpoint, st.text(max_size=3), st.just("PLAINTEXT"), st.text(max_size=3), st.integers(0, 65535))
    ).map(tuple),
    st.none() | st.text(max_size=3),
)
steps = st.builds(
    lambda **parts: MetadataDelta(version=0, **parts),
    topics=st.lists(topics, max_size=3, unique_by=(lambda t: t.name, lambda t: t.topic_id)).map(tuple),
    removed_topics=st.lists(names, max_size=2, unique=True).map(tuple),
    brokers=st.lists(brokers, max_size=2, unique_by=lambda b: b.broker_id).map(tuple),
    removed_brokers=st.lists(st.integers(0, 3), max_size=2, unique=True).map(tuple),
    cluster_id=st.none() | st.text(max_size=3),
    controller_id=st.none() | st.integers(-1, 3),
    configs=st.dictionaries(
        st.sampled_from(ConfigKind),
        st.dictionaries(
            st.sampled_from(["", "0"]), st.dictionaries(st.text(max_size=2), st.text(max_size=2), max_size=2)
        ),
    ),
)


@given(st.lists(steps, max_size=8))
def test_any_sequence_of_deltas_gives_what_a_plain_model_says(sequence):
    image = MetadataImage()
    topics_model: dict[str, TopicState] = {}
    brokers_model: dict[int, BrokerState] = {}
    configs_model: dict[ConfigKind, dict[str, object]] = {kind: {} for kind in ConfigKind}
    for step in sequence:
        delta = replace(step, version=image.version + 1)
        before = full_delta(image).encode()
        after = image.apply(delta)
        assert full_delta(image).encode() == before
        for name in delta.removed_topics:
            topics_model.pop(name, None)
        topics_model |= {state.name: state for state in delta.topics}
        for broker_id in delta.removed_brokers:
            brokers_model.pop(broker_id, None)
        brokers_model |= {state.broker_id: state for state in delta.brokers}
        for kind, configs in delta.configs.items():
            configs_model[kind] |= configs
        image = after
        assert image.topics == topics_model
        assert {state.name for state in image.topics_by_id.values()} == set(topics_model)
        assert all(image.topics_by_id[state.topic_id] is state for state in image.topics.values())
        assert image.brokers == brokers_model
        for kind, configs in configs_model.items():
            assert image.configs.get(kind, {}) == {name: config for name, config in configs.items() if config}
    assert MetadataImage(version=99).apply(full_delta(image)) == image
