"""A cluster without quorum is told as what it amounts to: the controller has the one vote."""

from __future__ import annotations

from typing import Any

import pytest

from kbroker.api.kraft import KraftHandlers
from kbroker.clock import ManualClock
from kbroker.protocol.api_keys import ApiKey
from kbroker.protocol.messages.add_raft_voter import AddRaftVoterRequest, AddRaftVoterResponse
from kbroker.protocol.messages.describe_quorum import (
    DescribeQuorumRequest,
    DescribeQuorumResponse,
    RequestPartitionData,
    RequestTopicData,
)
from kbroker.protocol.messages.remove_raft_voter import RemoveRaftVoterRequest, RemoveRaftVoterResponse
from kbroker.protocol.messages.unregister_broker import UnregisterBrokerRequest, UnregisterBrokerResponse
from kbroker.protocol.messages.update_features import (
    FeatureUpdateKey,
    UpdateFeaturesRequest,
    UpdateFeaturesResponse,
)


@pytest.fixture
def ask(world) -> Any:
    table = KraftHandlers(world.view, ManualClock(9_000)).table()
    return lambda api_key, request, version=0: world.send(table[api_key].handle, request, version)


def quorum(ask: Any, version: int, topic: str = "__cluster_metadata", index: int = 0) -> Any:
    asked = RequestTopicData(topic_name=topic, partitions=[RequestPartitionData(partition_index=index)])
    return ask(ApiKey.DESCRIBE_QUORUM, DescribeQuorumRequest(topics=[asked]), version).response(DescribeQuorumResponse)


@pytest.mark.parametrize("version", range(3))
def test_the_controller_is_the_one_voter(world, ask, version: int) -> None:
    response = quorum(ask, version)
    (partition,) = response.topics[0].partitions
    (voter,) = partition.current_voters
    assert (response.error_code, partition.error_code) == (0, 0)
    assert (partition.leader_id, voter.replica_id, partition.observers) == (5, 5, [])
    assert partition.high_watermark == voter.log_end_offset == world.view.image.version
    assert voter.last_caught_up_timestamp == (9_000 if version else -1)
    nodes = [(node.node_id, [(one.name, one.host, one.port) for one in node.listeners]) for node in response.nodes]
    assert nodes == ([(5, [("PLAINTEXT", "192.0.2.7", 19092)])] if version >= 2 else [])


@pytest.mark.parametrize(("topic", "index"), [("t", 0), ("__cluster_metadata", 1)])
def test_nothing_else_has_a_quorum(world, ask, topic: str, index: int) -> None:
    world.add_topic("t")
    assert quorum(ask, 2, topic, index).topics[0].partitions[0].error_code == 3


def test_brokers_cannot_be_unregistered(ask) -> None:
    def unregistered(broker_id: int) -> Any:
        request = UnregisterBrokerRequest(broker_id=broker_id)
        return ask(ApiKey.UNREGISTER_BROKER, request).response(UnregisterBrokerResponse)

    assert unregistered(77).error_code == 102
    alive = unregistered(5)
    assert alive.error_code == 42
    assert "Broker 5 is running" in alive.error_message


@pytest.mark.parametrize("version", range(3))
def test_features_have_no_levels(ask, version: int) -> None:
    updates = [FeatureUpdateKey(feature="metadata.version", max_version_level=20)]
    response = ask(ApiKey.UPDATE_FEATURES, UpdateFeaturesRequest(feature_updates=updates), version).response(
        UpdateFeaturesResponse
    )
    assert response.error_code == 95
    assert "metadata.version has no level 20" in response.error_message
    nothing = ask(ApiKey.UPDATE_FEATURES, UpdateFeaturesRequest(), version).response(UpdateFeaturesResponse)
    assert nothing.error_code == 0


def test_there_are_no_voters_to_add_or_remove(ask) -> None:
    for cluster_id, code, reason in (
        (None, 35, "without a quorum"),
        ("cluster-of-the-test-00", 35, "without a quorum"),
        ("another", 104, "This is cluster cluster-of-the-test-00."),
    ):
        request = AddRaftVoterRequest(cluster_id=cluster_id)
        added = ask(ApiKey.ADD_RAFT_VOTER, request).response(AddRaftVoterResponse)
        removal = RemoveRaftVoterRequest(cluster_id=cluster_id)
        removed = ask(ApiKey.REMOVE_RAFT_VOTER, removal).response(RemoveRaftVoterResponse)
        assert (added.error_code, removed.error_code) == (code, code)
        assert reason in added.error_message
