"""DeleteShareGroupState (86): delete the stored state of share partitions."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int16, int32, string, uuid
from kbroker.types import Uuid


class PartitionData(Message):
    """One entry of `partitions` in DeleteShareGroupStateRequest."""

    partition: int = int32()


class DeleteStateData(Message):
    """One entry of `topics` in DeleteShareGroupStateRequest."""

    topic_id: Uuid = uuid()
    partitions: list[PartitionData] = array(PartitionData)


class DeleteShareGroupStateRequest(Message, api_key=86, versions=(0, 0), flexible=0):
    """What a client asks with DeleteShareGroupState."""

    group_id: str = string()
    topics: list[DeleteStateData] = array(DeleteStateData)


class PartitionResult(Message):
    """One entry of `partitions` in DeleteShareGroupStateResponse."""

    partition: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable_since=0, default=None)


class DeleteStateResult(Message):
    """One entry of `results` in DeleteShareGroupStateResponse."""

    topic_id: Uuid = uuid()
    partitions: list[PartitionResult] = array(PartitionResult)


class DeleteShareGroupStateResponse(Message, api_key=86, versions=(0, 0), flexible=0):
    """What the broker answers to DeleteShareGroupState."""

    results: list[DeleteStateResult] = array(DeleteStateResult)
