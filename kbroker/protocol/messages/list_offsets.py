"""ListOffsets (2): the offset that belongs to a timestamp or to a named place such as earliest or latest."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int8, int16, int32, int64, string


class ListOffsetsPartition(Message):
    """One entry of `partitions` in ListOffsetsRequest."""

    partition_index: int = int32()
    current_leader_epoch: int = int32(since=4, default=-1)
    timestamp: int = int64()
    max_num_offsets: int = int32(until=0, default=1)


class ListOffsetsTopic(Message):
    """One entry of `topics` in ListOffsetsRequest."""

    name: str = string()
    partitions: list[ListOffsetsPartition] = array(ListOffsetsPartition)


class ListOffsetsRequest(Message, api_key=2, versions=(0, 11), flexible=6):
    """What a client asks with ListOffsets."""

    replica_id: int = int32()
    isolation_level: int = int8(since=2)
    topics: list[ListOffsetsTopic] = array(ListOffsetsTopic)
    timeout_ms: int = int32(since=10)


class ListOffsetsPartitionResponse(Message):
    """One entry of `partitions` in ListOffsetsResponse."""

    partition_index: int = int32()
    error_code: int = int16()
    old_style_offsets: list[int] = array(int64(), until=0)
    timestamp: int = int64(since=1, default=-1)
    offset: int = int64(since=1, default=-1)
    leader_epoch: int = int32(since=4, default=-1)


class ListOffsetsTopicResponse(Message):
    """One entry of `topics` in ListOffsetsResponse."""

    name: str = string()
    partitions: list[ListOffsetsPartitionResponse] = array(ListOffsetsPartitionResponse)


class ListOffsetsResponse(Message, api_key=2, versions=(0, 11), flexible=6):
    """What the broker answers to ListOffsets."""

    throttle_time_ms: int = int32(since=2)
    topics: list[ListOffsetsTopicResponse] = array(ListOffsetsTopicResponse)
