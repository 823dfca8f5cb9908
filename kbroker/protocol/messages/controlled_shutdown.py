"""ControlledShutdown (7): a broker asks the controller to move its leaderships away."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int16, int32, int64, string


class ControlledShutdownRequest(Message, api_key=7, versions=(0, 3), flexible=3):
    """What a client asks with ControlledShutdown."""

    broker_id: int = int32()
    broker_epoch: int = int64(since=2, default=-1)


class RemainingPartition(Message):
    """One entry of `remaining_partitions` in ControlledShutdownResponse."""

    topic_name: str = string()
    partition_index: int = int32()


class ControlledShutdownResponse(Message, api_key=7, versions=(0, 3), flexible=3):
    """What the broker answers to ControlledShutdown."""

    error_code: int = int16()
    remaining_partitions: list[RemainingPartition] = array(RemainingPartition)
