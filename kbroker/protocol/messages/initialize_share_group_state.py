"""InitializeShareGroupState (83): begin the stored state of share partitions."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int16, int32, int64, string, uuid
from kbroker.types import Uuid


class PartitionData(Message):
    """One entry of `partitions` in InitializeShareGroupStateRequest."""

    partition: int = int32()
    state_epoch: int = int32()
    start_offset: int = int64()


class InitializeStateData(Message):
    """One entry of `topics` in InitializeShareGroupStateRequest."""

    topic_id: Uuid = uuid()
    partitions: list[PartitionData] = array(PartitionData)


class InitializeShareGroupStateRequest(Message, api_key=83, versions=(0, 0), flexible=0):
    """What a client asks with InitializeShareGroupState."""

    group_id: str = string()
    topics: list[InitializeStateData] = array(InitializeStateData)


class PartitionResult(Message):
    """One entry of `partitions` in InitializeShareGroupStateResponse."""

    partition: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable_since=0, default=None)


class InitializeStateResult(Message):
    """One entry of `results` in InitializeShareGroupStateResponse."""

    topic_id: Uuid = uuid()
    partitions: list[PartitionResult] = array(PartitionResult)


class InitializeShareGroupStateResponse(Message, api_key=83, versions=(0, 0), flexible=0):
    """What the broker answers to InitializeShareGroupState."""

    results: list[InitializeStateResult] = array(InitializeStateResult)
