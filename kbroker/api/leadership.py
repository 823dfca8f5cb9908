"""What must hold before a client is told about a partition: it exists, is led here, and the client knows its epoch."""

from __future__ import annotations

from kbroker.api.cluster_view import ClusterView
from kbroker.errors import KafkaError
from kbroker.metadata.image import NO_ROW, PartitionState, TopicState
from kbroker.protocol.error_codes import ErrorCode
from kbroker.types import UNKNOWN_LEADER_EPOCH


def led_partition(
    view: ClusterView,
    name: str,
    index: int,
    current_leader_epoch: int = UNKNOWN_LEADER_EPOCH,
    *,
    leader_only: bool = True,
) -> tuple[TopicState, PartitionState]:
    """
    Return a partition that this broker leads.

    current_leader_epoch  what the client believes; -1: it does not say
    leader_only           False: any replica on this broker will do

    Raises KafkaError: UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH for an epoch that is
    over, UNKNOWN_LEADER_EPOCH for one this broker has not heard of.
    """
    topic = view.topic(name)
    if topic is None or not 0 <= index < len(topic.partitions):
        raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    partition = topic.partitions[index]
    if current_leader_epoch not in {UNKNOWN_LEADER_EPOCH, partition.leader_epoch}:
        fenced = current_leader_epoch < partition.leader_epoch
        raise KafkaError(ErrorCode.FENCED_LEADER_EPOCH if fenced else ErrorCode.UNKNOWN_LEADER_EPOCH)
    if partition.row == NO_ROW or (leader_only and partition.leader != view.broker_id):
        raise KafkaError(ErrorCode.NOT_LEADER_OR_FOLLOWER)
    return topic, partition
