"""A delta survives its way through JSON."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kbroker.metadata.delta import MetadataDelta, decode_delta, full_delta
from kbroker.metadata.image import BrokerState, ConfigKind, Endpoint, MetadataImage, PartitionState, TopicState

texts = st.text(max_size=5)
ids = st.integers(-1, 2**31 - 1)
id_tuples = st.lists(ids, max_size=3).map(tuple)
partitions = st.builds(PartitionState, ids, ids, ids, ids, ids, id_tuples, id_tuples, id_tuples)
partition_tuples = st.lists(partitions, max_size=3).map(tuple)
configs = st.dictionaries(texts, texts, max_size=3)
topics = st.builds(
    TopicState, texts, st.binary(min_size=16, max_size=16), partition_tuples, configs, internal=st.booleans()
)
endpoints = st.builds(Endpoint, texts, texts, texts, ids)
brokers = st.builds(BrokerState, ids, st.lists(endpoints, max_size=2).map(tuple), st.none() | texts)
deltas = st.builds(
    MetadataDelta,
    version=st.integers(0, 2**63 - 1),
    full=st.booleans(),
    cluster_id=st.none() | texts,
    controller_id=st.none() | ids,
    brokers=st.lists(brokers, max_size=2).map(tuple),
    removed_brokers=id_tuples,
    topics=st.lists(topics, max_size=2).map(tuple),
    removed_topics=st.lists(texts, max_size=2).map(tuple),
    partitions=st.dictionaries(texts, partition_tuples, max_size=2),
    configs=st.dictionaries(st.sampled_from(ConfigKind), st.dictionaries(texts, configs, max_size=2), max_size=2),
)


@given(deltas)
def test_what_was_encoded_is_decoded(delta):
    data = delta.encode()
    assert decode_delta(data) == delta
    assert decode_delta(memoryview(data)) == delta


def test_a_small_change_in_a_big_topic_is_a_small_message():
    state = PartitionState(1999, 1999, 0, 3, 4, (0,), (0,))
    assert len(MetadataDelta(7, partitions={"big": (state,)}).encode()) < 80


def test_a_full_delta_makes_the_same_image():
    topic = TopicState("a", bytes(range(16)), (PartitionState(0, 0, 0, 0, 0, (0,), (0,)),), {"k": "v"})
    image = MetadataImage().apply(
        MetadataDelta(1, topics=(topic,), cluster_id="c", controller_id=0, brokers=(BrokerState(0, ()),))
    )
    assert MetadataImage().apply(decode_delta(full_delta(image).encode())) == image
