"""
What administrators of a KRaft cluster ask its controllers: DescribeQuorum (55), UpdateFeatures (57),
UnregisterBroker (64), AddRaftVoter (80), RemoveRaftVoter (81).

This cluster keeps its metadata without a quorum of controllers. It is told as what it amounts to: the controller alone
has a vote, and what it published last is what all have. Features have no levels here, so none can be raised.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from kbroker.api.cluster_view import ClusterView
from kbroker.api.endpoints import client_endpoint
from kbroker.api.handler import Handler, answering
from kbroker.api.request import ConnectionInfo, RequestContext
from kbroker.clock import Clock
from kbroker.errors import bounded_message
from kbroker.protocol.api_keys import API_VERSIONS, ApiKey
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.add_raft_voter import AddRaftVoterRequest, AddRaftVoterResponse
from kbroker.protocol.messages.describe_quorum import (
    DescribeQuorumRequest,
    DescribeQuorumResponse,
    Listener,
    Node,
    ReplicaState,
    ResponsePartitionData,
    ResponseTopicData,
)
from kbroker.protocol.messages.remove_raft_voter import RemoveRaftVoterRequest, RemoveRaftVoterResponse
from kbroker.protocol.messages.unregister_broker import UnregisterBrokerRequest, UnregisterBrokerResponse
from kbroker.protocol.messages.update_features import (
    FeatureUpdateKey,
    UpdateFeaturesRequest,
    UpdateFeaturesResponse,
)

_METADATA_PARTITION: Final = ("__cluster_metadata", 0)
_LEADER_EPOCH: Final = 1
_NO_VOTERS: Final = "This cluster keeps its metadata without a quorum: voters cannot be added or removed."
_UPGRADE_TYPES: Final = frozenset({1, 2, 3})
"""Upgrade, safe downgrade, unsafe downgrade."""


class KraftHandlers:
    """Answers what a KRaft controller would be asked."""

    def __init__(self, view: ClusterView, clock: Clock) -> None:
        self._view = view
        self._clock = clock

    def table(self) -> Mapping[int, Handler]:
        """Return the handlers by API key."""
        quorum = API_VERSIONS[ApiKey.DESCRIBE_QUORUM]
        return {
            ApiKey.DESCRIBE_QUORUM: Handler(quorum.lowest, quorum.highest, self.handle_describe_quorum),
            ApiKey.UPDATE_FEATURES: answering(UpdateFeaturesRequest, _update_features),
            ApiKey.UNREGISTER_BROKER: answering(UnregisterBrokerRequest, self._unregister),
            ApiKey.ADD_RAFT_VOTER: answering(AddRaftVoterRequest, self._add_voter),
            ApiKey.REMOVE_RAFT_VOTER: answering(RemoveRaftVoterRequest, self._remove_voter),
        }

    def handle_describe_quorum(self, context: RequestContext) -> None:
        """Answer the controller as the one voter; UNKNOWN_TOPIC_OR_PARTITION for all but the metadata's partition."""
        request = context.decode(DescribeQuorumRequest)
        asked = [(topic.topic_name, part.partition_index) for topic in request.topics for part in topic.partitions]
        if asked != [_METADATA_PARTITION]:
            error = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            topics = [
                ResponseTopicData(
                    topic_name=topic.topic_name,
                    partitions=[
                        ResponsePartitionData(
                            partition_index=part.partition_index, error_code=error, error_message=error.default_message
                        )
                        for part in topic.partitions
                    ],
                )
                for topic in request.topics
            ]
            context.respond(DescribeQuorumResponse(topics=topics))
            return
        name, index = _METADATA_PARTITION
        context.respond(
            DescribeQuorumResponse(
                topics=[ResponseTopicData(topic_name=name, partitions=[self._metadata_partition(index)])],
                nodes=list(self._nodes(context.connection)),
            )
        )

    def _metadata_partition(self, index: int) -> ResponsePartitionData:
        image = self._view.image
        now_ms = self._clock.wall_ms()
        controller = ReplicaState(
            replica_id=image.controller_id,
            log_end_offset=image.version,
            last_fetch_timestamp=now_ms,
            last_caught_up_timestamp=now_ms,
        )
        return ResponsePartitionData(
            partition_index=index,
            leader_id=image.controller_id,
            leader_epoch=_LEADER_EPOCH,
            high_watermark=image.version,
            current_voters=[controller],
        )

    def _nodes(self, connection: ConnectionInfo) -> Iterator[Node]:
        image = self._view.image
        broker = image.brokers.get(image.controller_id)
        endpoint = None if broker is None else client_endpoint(broker, self._view.broker_id, connection)
        if broker is not None and endpoint is not None:
            host, port = endpoint
            listener = Listener(name=connection.listener_name, host=host, port=port)
            yield Node(node_id=broker.broker_id, listeners=[listener])

    def _add_voter(self, request: AddRaftVoterRequest) -> AddRaftVoterResponse:
        error, reason = self._no_voters(request.cluster_id)
        return AddRaftVoterResponse(error_code=error, error_message=reason)

    def _remove_voter(self, request: RemoveRaftVoterRequest) -> RemoveRaftVoterResponse:
        error, reason = self._no_voters(request.cluster_id)
        return RemoveRaftVoterResponse(error_code=error, error_message=reason)

    def _no_voters(self, cluster_id: str | None) -> tuple[ErrorCode, str]:
        if cluster_id is not None and cluster_id != self._view.image.cluster_id:
            return ErrorCode.INCONSISTENT_CLUSTER_ID, f"This is cluster {self._view.image.cluster_id}."
        return ErrorCode.UNSUPPORTED_VERSION, _NO_VOTERS

    def _unregister(self, request: UnregisterBrokerRequest) -> UnregisterBrokerResponse:
        """Answer BROKER_ID_NOT_REGISTERED for a broker that is not alive: those leave no trace; the others serve."""
        broker_id = request.broker_id
        if broker_id in self._view.image.brokers:
            return UnregisterBrokerResponse(
                error_code=ErrorCode.INVALID_REQUEST,
                error_message=f"Broker {broker_id} is running, and registered as long as it does: stop it instead.",
            )
        return UnregisterBrokerResponse(
            error_code=ErrorCode.BROKER_ID_NOT_REGISTERED, error_message=f"There is no broker {broker_id}."
        )


def _update_features(request: UpdateFeaturesRequest) -> UpdateFeaturesResponse:
    """Answer that the levels asked for do not exist; one error stands for all, as nothing changes when one cannot."""
    if not request.feature_updates:
        return UpdateFeaturesResponse(error_message=None)
    return UpdateFeaturesResponse(
        error_code=ErrorCode.INVALID_UPDATE_VERSION,
        error_message=bounded_message(f"No feature was changed: {_why_not(request.feature_updates[0])}"),
    )


def _why_not(update: FeatureUpdateKey) -> str:
    if update.upgrade_type not in _UPGRADE_TYPES:
        return f"feature {update.feature}: there is no upgrade of type {update.upgrade_type}."
    return (
        f"feature {update.feature} has no level {update.max_version_level} here; "
        "this version of the broker serves what it can without feature levels."
    )
