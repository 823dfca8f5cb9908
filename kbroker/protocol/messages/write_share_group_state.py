"""WriteShareGroupState (85): write the stored state of share partitions."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int8, int16, int32, int64, string, uuid
from kbroker.types import Uuid


class StateBatch(Message):
    """One entry of `state_batches` in WriteShareGroupStateRequest."""

    first_offset: int = int64()
    last_offset: int = int64()
    delivery_state: int = int8()
    delivery_count: int = int16()


class PartitionData(Message):
    """One entry of `partitions` in WriteShareGroupStateRequest."""

    partition: int = int32()
    state_epoch: int = int32()
    leader_epoch: int = int32()
    start_offset: int = int64()
    delivery_complete_count: int = int32(since=1, default=-1)
    state_batches: list[StateBatch] = array(StateBatch)


class WriteStateData(Message):
    """One entry of `topics` in WriteShareGroupStateRequest."""

    topic_id: Uuid = uuid()
    partitions: list[PartitionData] = array(PartitionData)


class WriteShareGroupStateRequest(Message, api_key=85, versions=(0, 1), flexible=0):
    """What a client asks with WriteShareGroupState."""

    group_id: str = string()
    topics: list[WriteStateData] = array(WriteStateData)


class PartitionResult(Message):
    """One entry of `partitions` in WriteShareGroupStateResponse."""

    partition: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable_since=0, default=None)


class WriteStateResult(Message):
    """One entry of `results` in WriteShareGroupStateResponse."""

    topic_id: Uuid = uuid()
    partitions: list[PartitionResult] = array(PartitionResult)


class WriteShareGroupStateResponse(Message, api_key=85, versions=(0, 1), flexible=0):
    """What the broker answers to WriteShareGroupState."""

    results: list[WriteStateResult] = array(WriteStateResult)
