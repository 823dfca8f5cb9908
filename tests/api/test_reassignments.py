"""One broker's leaders are those preferred, and its replicas stay."""

from __future__ import annotations

from typing import Any

import pytest

from kbroker.api.reassignments import ReassignmentHandlers
from kbroker.protocol.api_keys import ApiKey
from kbroker.protocol.messages.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    AlterPartitionReassignmentsResponse,
    ReassignablePartition,
    ReassignableTopic,
)
from kbroker.protocol.messages.elect_leaders import ElectLeadersRequest, ElectLeadersResponse, TopicPartitions
from kbroker.protocol.messages.list_partition_reassignments import (
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse,
    ListPartitionReassignmentsTopics,
)

PREFERRED, UNCLEAN = 0, 1


@pytest.fixture
def ask(world) -> Any:
    table = ReassignmentHandlers(world.view).table()
    return lambda api_key, request, version: world.send(table[api_key].handle, request, version)


def elected(ask: Any, asked: list[TopicPartitions] | None, election: int, version: int = 2) -> Any:
    request = ElectLeadersRequest(election_type=election, topic_partitions=asked)
    return ask(ApiKey.ELECT_LEADERS, request, version).response(ElectLeadersResponse)


def codes(response: Any) -> list[tuple[str, list[tuple[int, int]]]]:
    return [
        (topic.topic, [(one.partition_id, one.error_code) for one in topic.partition_result])
        for topic in response.replica_election_results
    ]


@pytest.mark.parametrize(("election", "leaderless"), [(PREFERRED, 80), (UNCLEAN, 83)])
def test_no_election_is_needed_where_the_one_replica_leads(world, ask, election: int, leaderless: int) -> None:
    world.add_topic("t", 2)
    world.add_topic("offline", leader=-1)
    asked = [
        TopicPartitions(topic="t", partitions=[0, 1, 9]),
        TopicPartitions(topic="offline", partitions=[0]),
        TopicPartitions(topic="unknown", partitions=[0]),
    ]
    response = elected(ask, asked, election)
    assert response.error_code == 0
    assert codes(response) == [
        ("t", [(0, 84), (1, 84), (9, 3)]),
        ("offline", [(0, leaderless)]),
        ("unknown", [(0, 3)]),
    ]
    assert all(one.error_message for topic in response.replica_election_results for one in topic.partition_result)


@pytest.mark.parametrize("version", range(3))
def test_of_all_partitions_only_those_without_leader_are_told(world, ask, version: int) -> None:
    world.add_topic("t", 2)
    world.add_topic("offline", leader=-1)
    assert codes(elected(ask, None, PREFERRED, version)) == [("t", []), ("offline", [(0, 80)])]


def test_there_are_two_kinds_of_election(world, ask) -> None:
    world.add_topic("t")
    response = elected(ask, [TopicPartitions(topic="t", partitions=[0])], 7)
    assert (response.error_code, codes(response)) == (42, [("t", [(0, 42)])])
    everywhere, nowhere = elected(ask, None, 7), elected(ask, [], 7)
    assert (everywhere.error_code, codes(everywhere)) == (42, [])
    assert (nowhere.error_code, codes(nowhere)) == (0, [])


@pytest.mark.parametrize("version", range(2))
@pytest.mark.parametrize(
    ("name", "index", "replicas", "error"),
    [
        pytest.param("t", 0, [5], 0, id="where they are"),
        pytest.param("t", 0, None, 85, id="nothing to give up"),
        pytest.param("t", 0, [6], 39, id="a broker not known"),
        pytest.param("t", 0, [5, 6], 39, id="one more, not known"),
        pytest.param("t", 0, [5, 5], 39, id="twice on a broker"),
        pytest.param("t", 0, [], 39, id="nowhere"),
        pytest.param("t", 4, [5], 3, id="no such partition"),
        pytest.param("unknown", 0, [5], 3, id="no such topic"),
        pytest.param("unknown", 0, None, 3, id="no such topic to give up"),
    ],
)
def test_replicas_stay_where_they_are(
    world, ask, version: int, name: str, index: int, replicas: list[int] | None, error: int
) -> None:
    world.add_topic("t")
    asked = ReassignablePartition(partition_index=index, replicas=replicas)
    request = AlterPartitionReassignmentsRequest(topics=[ReassignableTopic(name=name, partitions=[asked])])
    exchange = ask(ApiKey.ALTER_PARTITION_REASSIGNMENTS, request, version)
    response = exchange.response(AlterPartitionReassignmentsResponse)
    assert response.error_code == 0
    (topic,) = response.responses
    (result,) = topic.partitions
    assert (topic.name, result.partition_index, result.error_code) == (name, index, error)
    assert bool(result.error_message) == bool(error)


@pytest.mark.parametrize("topics", [None, [ListPartitionReassignmentsTopics(name="t", partition_indexes=[0])]])
def test_nothing_is_ever_moving(world, ask, topics: Any) -> None:
    world.add_topic("t")
    exchange = ask(ApiKey.LIST_PARTITION_REASSIGNMENTS, ListPartitionReassignmentsRequest(topics=topics), 0)
    response = exchange.response(ListPartitionReassignmentsResponse)
    assert (response.error_code, response.topics) == (0, [])
