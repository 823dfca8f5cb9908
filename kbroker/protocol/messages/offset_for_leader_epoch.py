"""OffsetForLeaderEpoch (23): where a leader epoch ends, to find out how far two logs agree."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int16, int32, int64, string


class OffsetForLeaderPartition(Message):
    """One entry of `partitions` in OffsetForLeaderEpochRequest."""

    partition: int = int32()
    current_leader_epoch: int = int32(since=2, default=-1)
    leader_epoch: int = int32()


class OffsetForLeaderTopic(Message):
    """One entry of `topics` in OffsetForLeaderEpochRequest."""

    topic: str = string()
    partitions: list[OffsetForLeaderPartition] = array(OffsetForLeaderPartition)


class OffsetForLeaderEpochRequest(Message, api_key=23, versions=(0, 4), flexible=4):
    """What a client asks with OffsetForLeaderEpoch."""

    replica_id: int = int32(since=3, default=-2)
    topics: list[OffsetForLeaderTopic] = array(OffsetForLeaderTopic)


class EpochEndOffset(Message):
    """One entry of `partitions` in OffsetForLeaderEpochResponse."""

    error_code: int = int16()
    partition: int = int32()
    leader_epoch: int = int32(since=1, default=-1)
    end_offset: int = int64(default=-1)


class OffsetForLeaderTopicResult(Message):
    """One entry of `topics` in OffsetForLeaderEpochResponse."""

    topic: str = string()
    partitions: list[EpochEndOffset] = array(EpochEndOffset)


class OffsetForLeaderEpochResponse(Message, api_key=23, versions=(0, 4), flexible=4):
    """What the broker answers to OffsetForLeaderEpoch."""

    throttle_time_ms: int = int32(since=2)
    topics: list[OffsetForLeaderTopicResult] = array(OffsetForLeaderTopicResult)
