"""ReadShareGroupStateSummary (87): read the start offset and epoch of share partitions."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int16, int32, int64, string, uuid
from kbroker.types import Uuid


class PartitionData(Message):
    """One entry of `partitions` in ReadShareGroupStateSummaryRequest."""

    partition: int = int32()
    leader_epoch: int = int32()


class ReadStateSummaryData(Message):
    """One entry of `topics` in ReadShareGroupStateSummaryRequest."""

    topic_id: Uuid = uuid()
    partitions: list[PartitionData] = array(PartitionData)


class ReadShareGroupStateSummaryRequest(Message, api_key=87, versions=(0, 1), flexible=0):
    """What a client asks with ReadShareGroupStateSummary."""

    group_id: str = string()
    topics: list[ReadStateSummaryData] = array(ReadStateSummaryData)


class PartitionResult(Message):
    """One entry of `partitions` in ReadShareGroupStateSummaryResponse."""

    partition: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable_since=0, default=None)
    state_epoch: int = int32()
    leader_epoch: int = int32()
    start_offset: int = int64()
    delivery_complete_count: int = int32(since=1, default=-1)


class ReadStateSummaryResult(Message):
    """One entry of `results` in ReadShareGroupStateSummaryResponse."""

    topic_id: Uuid = uuid()
    partitions: list[PartitionResult] = array(PartitionResult)


class ReadShareGroupStateSummaryResponse(Message, api_key=87, versions=(0, 1), flexible=0):
    """What the broker answers to ReadShareGroupStateSummary."""

    results: list[ReadStateSummaryResult] = array(ReadStateSummaryResult)
