"""ListPartitionReassignments (46): the reassignments under way."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int16, int32, string


class ListPartitionReassignmentsTopics(Message):
    """One entry of `topics` in ListPartitionReassignmentsRequest."""

    name: str = string()
    partition_indexes: list[int] = array(int32())


class ListPartitionReassignmentsRequest(Message, api_key=46, versions=(0, 0), flexible=0):
    """What a client asks with ListPartitionReassignments."""

    timeout_ms: int = int32(default=60000)
    topics: list[ListPartitionReassignmentsTopics] | None = array(
        ListPartitionReassignmentsTopics, nullable_since=0, default=None
    )


class OngoingPartitionReassignment(Message):
    """One entry of `partitions` in ListPartitionReassignmentsResponse."""

    partition_index: int = int32()
    replicas: list[int] = array(int32())
    adding_replicas: list[int] = array(int32())
    removing_replicas: list[int] = array(int32())


class OngoingTopicReassignment(Message):
    """One entry of `topics` in ListPartitionReassignmentsResponse."""

    name: str = string()
    partitions: list[OngoingPartitionReassignment] = array(OngoingPartitionReassignment)


class ListPartitionReassignmentsResponse(Message, api_key=46, versions=(0, 0), flexible=0):
    """What the broker answers to ListPartitionReassignments."""

    throttle_time_ms: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable_since=0)
    topics: list[OngoingTopicReassignment] = array(OngoingTopicReassignment)
