"""OffsetCommit (8): a consumer group notes how far it has read."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int16, int32, int64, string, uuid
from kbroker.types import Uuid


class OffsetCommitRequestPartition(Message):
    """One entry of `partitions` in OffsetCommitRequest."""

    partition_index: int = int32()
    committed_offset: int = int64()
    committed_leader_epoch: int = int32(since=6, default=-1)
    commit_timestamp: int = int64(since=1, until=1, default=-1)
    committed_metadata: str | None = string(nullable_since=0)


class OffsetCommitRequestTopic(Message):
    """One entry of `topics` in OffsetCommitRequest."""

    name: str = string(until=9)
    topic_id: Uuid = uuid(since=10)
    partitions: list[OffsetCommitRequestPartition] = array(OffsetCommitRequestPartition)


class OffsetCommitRequest(Message, api_key=8, versions=(0, 10), flexible=8):
    """What a client asks with OffsetCommit."""

    group_id: str = string()
    generation_id_or_member_epoch: int = int32(since=1, default=-1)
    member_id: str = string(since=1)
    group_instance_id: str | None = string(since=7, nullable_since=7, default=None)
    retention_time_ms: int = int64(since=2, until=4, default=-1)
    topics: list[OffsetCommitRequestTopic] = array(OffsetCommitRequestTopic)


class OffsetCommitResponsePartition(Message):
    """One entry of `partitions` in OffsetCommitResponse."""

    partition_index: int = int32()
    error_code: int = int16()


class OffsetCommitResponseTopic(Message):
    """One entry of `topics` in OffsetCommitResponse."""

    name: str = string(until=9)
    topic_id: Uuid = uuid(since=10)
    partitions: list[OffsetCommitResponsePartition] = array(OffsetCommitResponsePartition)


class OffsetCommitResponse(Message, api_key=8, versions=(0, 10), flexible=8):
    """What the broker answers to OffsetCommit."""

    throttle_time_ms: int = int32(since=3)
    topics: list[OffsetCommitResponseTopic] = array(OffsetCommitResponseTopic)
