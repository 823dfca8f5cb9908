"""
ElectLeaders (43), AlterPartitionReassignments (45), ListPartitionReassignments (46): who leads, and who holds replicas.

One broker holds the one replica of each partition: what leads is what is preferred, and nothing is ever moving.
"""

from __future__ import annotations

from collections.abc import Mapping

from kbroker.api.cluster_view import ClusterView
from kbroker.api.handler import Handler, answering
from kbroker.errors import KafkaError
from kbroker.metadata.image import NO_LEADER, PartitionState
from kbroker.protocol.api_keys import ApiKey
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    AlterPartitionReassignmentsResponse,
    ReassignablePartition,
    ReassignablePartitionResponse,
    ReassignableTopicResponse,
)
from kbroker.protocol.messages.elect_leaders import (
    ElectLeadersRequest,
    ElectLeadersResponse,
    PartitionResult,
    ReplicaElectionResult,
)
from kbroker.protocol.messages.list_partition_reassignments import (
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse,
)

_PREFERRED, _UNCLEAN = 0, 1
"""Elections: the first of the replicas leads; a replica leads that may lack records."""


class ReassignmentHandlers:
    """Answers what is asked about leaders and replicas of partitions."""

    def __init__(self, view: ClusterView) -> None:
        self._view = view

    def table(self) -> Mapping[int, Handler]:
        """Return the handlers by API key."""
        return {
            ApiKey.ELECT_LEADERS: answering(ElectLeadersRequest, self._elect),
            ApiKey.ALTER_PARTITION_REASSIGNMENTS: answering(AlterPartitionReassignmentsRequest, self._reassign),
            ApiKey.LIST_PARTITION_REASSIGNMENTS: answering(ListPartitionReassignmentsRequest, _list),
        }

    def _elect(self, request: ElectLeadersRequest) -> ElectLeadersResponse:
        """
        Answer why no partition got another leader: of those asked for, or of all that have none.

        ELECTION_NOT_NEEDED, for a partition without leader PREFERRED_LEADER_NOT_AVAILABLE or, where it may lack
        records, ELIGIBLE_LEADERS_NOT_AVAILABLE; UNKNOWN_TOPIC_OR_PARTITION.
        """
        election = request.election_type
        known = election in (_PREFERRED, _UNCLEAN)
        if request.topic_partitions is None and not known:
            asked = {}
        elif request.topic_partitions is None:
            asked = {
                topic.name: [part.partition for part in topic.partitions if part.leader == NO_LEADER]
                for topic in self._view.image.topics.values()
            }
        else:
            asked = {}
            for topic in request.topic_partitions:
                asked.setdefault(topic.topic, []).extend(topic.partitions)
        results = []
        for name, indexes in asked.items():
            partitions = []
            for index in indexes:
                error = self._why_not_elected(name, index, election)
                partitions.append(PartitionResult(partition_id=index, error_code=error.code, error_message=str(error)))
            results.append(ReplicaElectionResult(topic=name, partition_result=partitions))
        refused = not known and request.topic_partitions != []
        return ElectLeadersResponse(
            error_code=ErrorCode.INVALID_REQUEST if refused else ErrorCode.NONE, replica_election_results=results
        )

    def _why_not_elected(self, name: str, index: int, election: int) -> KafkaError:
        if election not in (_PREFERRED, _UNCLEAN):
            return KafkaError(ErrorCode.INVALID_REQUEST, f"There is no election of type {election}.")
        topic = self._view.topic(name)
        if topic is None:
            return KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"There is no topic {name}.")
        partition = self._view.image.partition(name, index)
        if partition is None:
            return KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"There is no partition {name}-{index}.")
        if partition.leader != NO_LEADER and (election == _UNCLEAN or partition.leader == partition.replicas[0]):
            error = ErrorCode.ELECTION_NOT_NEEDED
        elif election == _UNCLEAN:
            error = ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE
        else:
            error = ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE
        return KafkaError(error, error.default_message)

    def _reassign(self, request: AlterPartitionReassignmentsRequest) -> AlterPartitionReassignmentsResponse:
        """Answer each partition: nothing to do where its replicas stay as they are, else why they cannot change."""
        return AlterPartitionReassignmentsResponse(
            allow_replication_factor_change=request.allow_replication_factor_change,
            error_message=None,
            responses=[
                ReassignableTopicResponse(
                    name=topic.name, partitions=[self._reassigned(topic.name, asked) for asked in topic.partitions]
                )
                for topic in request.topics
            ],
        )

    def _reassigned(self, name: str, asked: ReassignablePartition) -> ReassignablePartitionResponse:
        result = ReassignablePartitionResponse(partition_index=asked.partition_index, error_message=None)
        try:
            self._check_replicas(self._partition(name, asked.partition_index), asked.replicas)
        except KafkaError as error:
            result.error_code = error.code
            result.error_message = error.message
        return result

    def _partition(self, name: str, index: int) -> PartitionState:
        if self._view.topic(name) is None:
            raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"There is no topic {name}.")
        partition = self._view.image.partition(name, index)
        if partition is None:
            raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"There is no partition {name}-{index}.")
        return partition

    def _check_replicas(self, partition: PartitionState, replicas: list[int] | None) -> None:
        """Raise KafkaError unless `replicas` are those that the partition has; None asks for a move to be given up."""
        if replicas is None:
            error = ErrorCode.NO_REASSIGNMENT_IN_PROGRESS
            raise KafkaError(error, error.default_message)
        if not replicas:
            raise KafkaError(ErrorCode.INVALID_REPLICA_ASSIGNMENT, "The list of replicas is empty.")
        for broker_id in replicas:
            if broker_id not in self._view.image.brokers:
                raise KafkaError(
                    ErrorCode.INVALID_REPLICA_ASSIGNMENT, f"Broker {broker_id} is to hold a replica, and is not known."
                )
        if len(set(replicas)) != len(replicas):
            raise KafkaError(ErrorCode.INVALID_REPLICA_ASSIGNMENT, "A broker is to hold more than one replica.")
        if tuple(replicas) != partition.replicas:
            raise KafkaError(
                ErrorCode.UNSUPPORTED_VERSION, "Replicas do not move to other brokers in this version of the broker."
            )


def _list(_request: ListPartitionReassignmentsRequest) -> ListPartitionReassignmentsResponse:
    return ListPartitionReassignmentsResponse(error_message=None)
