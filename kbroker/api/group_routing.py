"""Which worker decides for a group: the IO worker that owns the group's partition of __consumer_offsets."""

from __future__ import annotations

from collections.abc import Callable

from kbroker.api.cluster_view import ClusterView
from kbroker.errors import KafkaError
from kbroker.protocol.error_codes import ErrorCode
from kbroker.shared.worker_table import WorkerTable

OFFSETS_TOPIC = "__consumer_offsets"


class GroupRouting:
    """
    Finds the coordinator of a group.

    partition_for  (group id, partitions of __consumer_offsets) → partition, as Kafka hashes it
    """

    def __init__(self, view: ClusterView, workers: WorkerTable, partition_for: Callable[[str, int], int]) -> None:
        self._view = view
        self._workers = workers
        self._partition_for = partition_for

    def leader(self, group_id: str) -> int | None:
        """Return the broker that coordinates a group, or NO_LEADER; None while __consumer_offsets does not exist."""
        topic = self._view.topic(OFFSETS_TOPIC)
        if topic is None or not topic.partitions:
            return None
        return topic.partitions[self._partition_for(group_id, len(topic.partitions))].leader

    def peer(self, group_id: str) -> int:
        """
        Return the table number of the IO worker that coordinates a group.

        Raises KafkaError: COORDINATOR_NOT_AVAILABLE while __consumer_offsets does not exist, NOT_COORDINATOR when
        another broker, or none, leads the group's partition.
        """
        topic = self._view.topic(OFFSETS_TOPIC)
        if topic is None or not topic.partitions:
            raise KafkaError(ErrorCode.COORDINATOR_NOT_AVAILABLE)
        partition = topic.partitions[self._partition_for(group_id, len(topic.partitions))]
        if partition.leader != self._view.broker_id:
            raise KafkaError(ErrorCode.NOT_COORDINATOR)
        return self._workers.io_worker(self._view.owner(topic, partition))

    def all_peers(self) -> list[int]:
        """Return the table numbers of the IO workers that coordinate any group on this broker."""
        topic = self._view.topic(OFFSETS_TOPIC)
        if topic is None:
            return []
        own = {
            self._view.owner(topic, partition)
            for partition in topic.partitions
            if partition.leader == self._view.broker_id
        }
        return [self._workers.io_worker(index) for index in sorted(own)]
