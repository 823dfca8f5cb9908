"""DescribeShareGroupOffsets (90): where share groups start in their partitions."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int16, int32, int64, string, uuid
from kbroker.types import Uuid


class DescribeShareGroupOffsetsRequestTopic(Message):
    """One entry of `topics` in DescribeShareGroupOffsetsRequest."""

    topic_name: str = string()
    partitions: list[int] = array(int32())


class DescribeShareGroupOffsetsRequestGroup(Message):
    """One entry of `groups` in DescribeShareGroupOffsetsRequest."""

    group_id: str = string()
    topics: list[DescribeShareGroupOffsetsRequestTopic] | None = array(
        DescribeShareGroupOffsetsRequestTopic, nullable_since=0
    )


class DescribeShareGroupOffsetsRequest(Message, api_key=90, versions=(0, 1), flexible=0):
    """What a client asks with DescribeShareGroupOffsets."""

    groups: list[DescribeShareGroupOffsetsRequestGroup] = array(DescribeShareGroupOffsetsRequestGroup)


class DescribeShareGroupOffsetsResponsePartition(Message):
    """One entry of `partitions` in DescribeShareGroupOffsetsResponse."""

    partition_index: int = int32()
    start_offset: int = int64()
    leader_epoch: int = int32()
    lag: int = int64(since=1, default=-1)
    error_code: int = int16()
    error_message: str | None = string(nullable_since=0, default=None)


class DescribeShareGroupOffsetsResponseTopic(Message):
    """One entry of `topics` in DescribeShareGroupOffsetsResponse."""

    topic_name: str = string()
    topic_id: Uuid = uuid()
    partitions: list[DescribeShareGroupOffsetsResponsePartition] = array(DescribeShareGroupOffsetsResponsePartition)


class DescribeShareGroupOffsetsResponseGroup(Message):
    """One entry of `groups` in DescribeShareGroupOffsetsResponse."""

    group_id: str = string()
    topics: list[DescribeShareGroupOffsetsResponseTopic] = array(DescribeShareGroupOffsetsResponseTopic)
    error_code: int = int16()
    error_message: str | None = string(nullable_since=0, default=None)


class DescribeShareGroupOffsetsResponse(Message, api_key=90, versions=(0, 1), flexible=0):
    """What the broker answers to DescribeShareGroupOffsets."""

    throttle_time_ms: int = int32()
    groups: list[DescribeShareGroupOffsetsResponseGroup] = array(DescribeShareGroupOffsetsResponseGroup)
