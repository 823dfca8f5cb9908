"""AlterShareGroupOffsets (91): set where a share group starts."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int16, int32, int64, string, uuid
from kbroker.types import Uuid


class AlterShareGroupOffsetsRequestPartition(Message):
    """One entry of `partitions` in AlterShareGroupOffsetsRequest."""

    partition_index: int = int32()
    start_offset: int = int64()


class AlterShareGroupOffsetsRequestTopic(Message):
    """One entry of `topics` in AlterShareGroupOffsetsRequest."""

    topic_name: str = string()
    partitions: list[AlterShareGroupOffsetsRequestPartition] = array(AlterShareGroupOffsetsRequestPartition)


class AlterShareGroupOffsetsRequest(Message, api_key=91, versions=(0, 0), flexible=0):
    """What a client asks with AlterShareGroupOffsets."""

    group_id: str = string()
    topics: list[AlterShareGroupOffsetsRequestTopic] = array(AlterShareGroupOffsetsRequestTopic)


class AlterShareGroupOffsetsResponsePartition(Message):
    """One entry of `partitions` in AlterShareGroupOffsetsResponse."""

    partition_index: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable_since=0, default=None)


class AlterShareGroupOffsetsResponseTopic(Message):
    """One entry of `responses` in AlterShareGroupOffsetsResponse."""

    topic_name: str = string()
    topic_id: Uuid = uuid()
    partitions: list[AlterShareGroupOffsetsResponsePartition] = array(AlterShareGroupOffsetsResponsePartition)


class AlterShareGroupOffsetsResponse(Message, api_key=91, versions=(0, 0), flexible=0):
    """What the broker answers to AlterShareGroupOffsets."""

    throttle_time_ms: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable_since=0, default=None)
    responses: list[AlterShareGroupOffsetsResponseTopic] = array(AlterShareGroupOffsetsResponseTopic)
