"""AlterPartitionReassignments (45): give partitions other replicas, or cancel that."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, boolean, int16, int32, string


class ReassignablePartition(Message):
    """One entry of `partitions` in AlterPartitionReassignmentsRequest."""

    partition_index: int = int32()
    replicas: list[int] | None = array(int32(), nullable_since=0, default=None)


class ReassignableTopic(Message):
    """One entry of `topics` in AlterPartitionReassignmentsRequest."""

    name: str = string()
    partitions: list[ReassignablePartition] = array(ReassignablePartition)


class AlterPartitionReassignmentsRequest(Message, api_key=45, versions=(0, 1), flexible=0):
    """What a client asks with AlterPartitionReassignments."""

    timeout_ms: int = int32(default=60000)
    allow_replication_factor_change: bool = boolean(since=1, default=True)
    topics: list[ReassignableTopic] = array(ReassignableTopic)


class ReassignablePartitionResponse(Message):
    """One entry of `partitions` in AlterPartitionReassignmentsResponse."""

    partition_index: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable_since=0)


class ReassignableTopicResponse(Message):
    """One entry of `responses` in AlterPartitionReassignmentsResponse."""

    name: str = string()
    partitions: list[ReassignablePartitionResponse] = array(ReassignablePartitionResponse)


class AlterPartitionReassignmentsResponse(Message, api_key=45, versions=(0, 1), flexible=0):
    """What the broker answers to AlterPartitionReassignments."""

    throttle_time_ms: int = int32()
    allow_replication_factor_change: bool = boolean(since=1, default=True)
    error_code: int = int16()
    error_message: str | None = string(nullable_since=0)
    responses: list[ReassignableTopicResponse] = array(ReassignableTopicResponse)
