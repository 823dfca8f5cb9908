"""ReadShareGroupState (84): read the stored state of share partitions."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int8, int16, int32, int64, string, uuid
from kbroker.types import Uuid


class PartitionData(Message):
    """One entry of `partitions` in ReadShareGroupStateRequest."""

    partition: int = int32()
    leader_epoch: int = int32()


class ReadStateData(Message):
    """One entry of `topics` in ReadShareGroupStateRequest."""

    topic_id: Uuid = uuid()
    partitions: list[PartitionData] = array(PartitionData)


class ReadShareGroupStateRequest(Message, api_key=84, versions=(0, 0), flexible=0):
    """What a client asks with ReadShareGroupState."""

    group_id: str = string()
    topics: list[ReadStateData] = array(ReadStateData)


class StateBatch(Message):
    """One entry of `state_batches` in ReadShareGroupStateResponse."""

    first_offset: int = int64()
    last_offset: int = int64()
    delivery_state: int = int8()
    delivery_count: int = int16()


class PartitionResult(Message):
    """One entry of `partitions` in ReadShareGroupStateResponse."""

    partition: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable_since=0, default=None)
    state_epoch: int = int32()
    start_offset: int = int64()
    state_batches: list[StateBatch] = array(StateBatch)


class ReadStateResult(Message):
    """One entry of `results` in ReadShareGroupStateResponse."""

    topic_id: Uuid = uuid()
    partitions: list[PartitionResult] = array(PartitionResult)


class ReadShareGroupStateResponse(Message, api_key=84, versions=(0, 0), flexible=0):
    """What the broker answers to ReadShareGroupState."""

    results: list[ReadStateResult] = array(ReadStateResult)
