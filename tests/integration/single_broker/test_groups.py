"""
Groups of three, over 13 and 19 partitions: everybody has a share, nobody shares one, and what one leaves others take.

Members are processes: one leaves in order, one is killed and found dead by its silence, the broker is restarted under
the last. Every record reaches the group, and the committed offsets are the end offsets.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import pytest
from clients import Confluent, Record
from group_members import GroupMember, Kcat, VerifiableConsumer, python_member
from kafka_tools import KafkaTools
from waiting import eventually

from kbroker.testing import Broker

TOPICS = {"thirteen": 13, "nineteen": 19}
CONFIG = {"group.min.session.timeout.ms": "1000"}

StartMember = Callable[[str], GroupMember]


def _produce(client: Confluent, topics: Sequence[str], label: str) -> set[tuple[str, int, str]]:
    """Produce three records to each partition; return what was produced."""
    produced = set()
    for topic in topics:
        records = [
            Record(partition, -1, None, f"{label}-{topic}-{partition}-{number}".encode())
            for partition in range(TOPICS[topic])
            for number in range(3)
        ]
        client.produce(topic, records)
        produced |= {(topic, record.partition, record.value.decode()) for record in records}
    return produced


def _shared_out(members: Sequence[GroupMember], topics: Sequence[str]) -> bool:
    """Whether each member has a part and all partitions have exactly one member."""
    shares = [member.assignment for member in members]
    for member in members:
        assert member.alive, f"a member has ended: {member.errors()}"
    if not all(shares):
        return False
    everything = {(topic, partition) for topic in topics for partition in range(TOPICS[topic])}
    return sum(map(len, shares)) == len(everything) and set().union(*shares) == everything


def _seen(members: Sequence[GroupMember]) -> set[tuple[str, int, str]]:
    return {(topic, partition, value) for member in members for topic, partition, _, value in list(member.records)}


def _check_group_of_three(broker: Broker, topics: Sequence[str], starts: Sequence[StartMember], group: str) -> None:
    client = Confluent(broker.bootstrap_servers)
    for topic in topics:
        broker.create_topic(topic, TOPICS[topic])
    produced = _produce(client, topics, "before")
    with contextlib.ExitStack() as stack:
        members = [stack.enter_context(start(group)) for start in starts]

        def told() -> str:
            return f"{[member.assignment for member in members]} {[member.errors() for member in members]}"

        eventually(lambda: _shared_out(members, topics), lambda: f"three shares: {told()}")
        eventually(lambda: _seen(members) >= produced, lambda: f"{len(produced - _seen(members))} records missing")

        first, second, third = members
        third.leave()
        eventually(lambda: _shared_out([first, second], topics), lambda: f"two shares after a leave: {told()}")
        produced |= _produce(client, topics, "two")
        eventually(lambda: _seen(members) >= produced, "the records for two")

        second.kill()
        eventually(lambda: _shared_out([first], topics), lambda: f"everything with one, after a kill: {told()}")
        produced |= _produce(client, topics, "one")
        eventually(lambda: _seen(members) >= produced, "the records for one")

        broker.restart()
        produced |= _produce(client, topics, "after")
        eventually(lambda: _seen(members) >= produced, "the records after the broker's restart", 60)
        for topic in topics:
            ends = client.end_offsets(topic, TOPICS[topic])
            eventually(
                lambda: client.committed(group, topic, TOPICS[topic]) == ends,  # noqa: B023 - asked before the next topic
                lambda: f"committed {client.committed(group, topic, TOPICS[topic])}, end {ends}",  # noqa: B023
            )
        # A rebalance may bring a record twice, to the next owner; but an offset is one record, whoever reads it.
        values = {(topic, part, offset, value) for member in members for topic, part, offset, value in member.records}
        assert len(values) == len({(topic, part, offset) for topic, part, offset, _ in values}) == len(produced)


@pytest.mark.parametrize(
    ("library", "strategy"),
    [
        ("confluent-kafka", "range"),
        ("confluent-kafka", "cooperative-sticky"),
        ("kafka-python", "roundrobin"),
        ("aiokafka", "sticky"),
    ],
)
def test_three_members_of_one_library(library: str, strategy: str) -> None:
    with Broker(CONFIG) as broker:

        def start(group: str) -> GroupMember:
            return python_member(library, strategy, broker.bootstrap_servers, group, list(TOPICS))

        _check_group_of_three(broker, list(TOPICS), [start, start, start], "readers")


def test_three_members_of_three_libraries() -> None:
    """The group's protocol is between the members: the broker passes on what it does not understand."""
    with Broker(CONFIG) as broker:

        def start_kcat(group: str) -> GroupMember:
            return Kcat(broker.bootstrap_servers, group, list(TOPICS))

        def start_kafka_python(group: str) -> GroupMember:
            return python_member("kafka-python", "range", broker.bootstrap_servers, group, list(TOPICS))

        def start_aiokafka(group: str) -> GroupMember:
            return python_member("aiokafka", "range", broker.bootstrap_servers, group, list(TOPICS))

        _check_group_of_three(broker, list(TOPICS), [start_kafka_python, start_aiokafka, start_kcat], "mixed")


@pytest.mark.java
@pytest.mark.parametrize(("version", "topic"), [("3.9", "thirteen"), ("4.4", "nineteen")])
def test_three_members_in_java(version: str, topic: str) -> None:
    tools = KafkaTools(version)
    with Broker(CONFIG) as broker:

        def start(group: str) -> GroupMember:
            return VerifiableConsumer(tools, broker.bootstrap_servers, group, [topic])

        _check_group_of_three(broker, [topic], [start, start, start], "java")
