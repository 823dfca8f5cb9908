"""OffsetDelete (47): forget a group's committed offsets."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int16, int32, string


class OffsetDeleteRequestPartition(Message):
    """One entry of `partitions` in OffsetDeleteRequest."""

    partition_index: int = int32()


class OffsetDeleteRequestTopic(Message):
    """One entry of `topics` in OffsetDeleteRequest."""

    name: str = string()
    partitions: list[OffsetDeleteRequestPartition] = array(OffsetDeleteRequestPartition)


class OffsetDeleteRequest(Message, api_key=47, versions=(0, 0)):
    """What a client asks with OffsetDelete."""

    group_id: str = string()
    topics: list[OffsetDeleteRequestTopic] = array(OffsetDeleteRequestTopic)


class OffsetDeleteResponsePartition(Message):
    """One entry of `partitions` in OffsetDeleteResponse."""

    partition_index: int = int32()
    error_code: int = int16()


class OffsetDeleteResponseTopic(Message):
    """One entry of `topics` in OffsetDeleteResponse."""

    name: str = string()
    partitions: list[OffsetDeleteResponsePartition] = array(OffsetDeleteResponsePartition)


class OffsetDeleteResponse(Message, api_key=47, versions=(0, 0)):
    """What the broker answers to OffsetDelete."""

    error_code: int = int16()
    throttle_time_ms: int = int32()
    topics: list[OffsetDeleteResponseTopic] = array(OffsetDeleteResponseTopic)
