"""Replicas are spread evenly, over brokers and racks, as Kafka does it."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from kbroker.cluster.replica_assignment import Start, assign_replicas, broker_order, random_start
from kbroker.metadata.image import BrokerState


def cluster(*racks):
    return [BrokerState(broker_id, (), rack) for broker_id, rack in enumerate(racks)]


def test_ten_partitions_on_five_brokers_as_kafka_documents_it():
    assert assign_replicas(cluster(*[None] * 5), 10, 3, Start(0, 0)) == [
        (0, 1, 2),
        (1, 2, 3),
        (2, 3, 4),
        (3, 4, 0),
        (4, 0, 1),
        (0, 2, 3),
        (1, 3, 4),
        (2, 4, 0),
        (3, 0, 1),
        (4, 1, 2),
    ]


def test_brokers_of_all_racks_take_turns():
    # Kafka's own example: 0, 1 and 2 and so on are interleaved by rack.
    racks = {0: "rack1", 1: "rack3", 2: "rack3", 3: "rack2", 4: "rack2", 5: "rack1"}
    brokers = [BrokerState(broker_id, (), rack) for broker_id, rack in racks.items()]
    assert broker_order(brokers) == [0, 3, 1, 5, 4, 2]
    assert assign_replicas(brokers, 7, 3, Start(0, 0)) == [
        (0, 3, 1),
        (3, 1, 5),
        (1, 5, 4),
        (5, 4, 2),
        (4, 2, 0),
        (2, 0, 3),
        (0, 4, 2),
    ]


def test_new_partitions_continue_the_topic():
    brokers = cluster(*[None] * 4)
    whole = assign_replicas(brokers, 9, 2, Start(3, 1))
    assert assign_replicas(brokers, 5, 2, Start(3, 1), 4) == whole[4:]


def test_one_unknown_rack_makes_racks_meaningless():
    assert broker_order(cluster("b", None, "a")) == [0, 1, 2]


clusters = st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=8).map(lambda racks: cluster(*racks))


@given(clusters, st.data())
def test_every_assignment_is_fair(brokers, data):
    factor = data.draw(st.integers(1, len(brokers)))
    rounds = data.draw(st.integers(1, 3))
    start = random_start(len(brokers), Random(data.draw(st.integers())))
    placed = assign_replicas(brokers, rounds * len(brokers), factor, start)
    racks = {broker.broker_id: broker.rack for broker in brokers}
    for replicas in placed:
        assert len(set(replicas)) == len(replicas) == factor
        if all(racks.values()):
            assert len({racks[broker] for broker in replicas}) == min(factor, len(set(racks.values())))
    assert set(Counter(replicas[0] for replicas in placed).values()) == {rounds}
    if None in racks.values():
        assert set(Counter(broker for replicas in placed for broker in replicas).values()) == {rounds * factor}
