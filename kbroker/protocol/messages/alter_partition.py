"""AlterPartition (56): a partition leader asks the controller to change the in-sync replicas."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int8, int16, int32, int64, string, uuid
from kbroker.types import Uuid


class BrokerState(Message):
    """One entry of `new_isr_with_epochs` in AlterPartitionRequest."""

    broker_id: int = int32(since=3)
    broker_epoch: int = int64(since=3, default=-1)


class RequestPartitionData(Message):
    """One entry of `partitions` in AlterPartitionRequest."""

    partition_index: int = int32()
    leader_epoch: int = int32()
    new_isr: list[int] = array(int32(), until=2)
    new_isr_with_epochs: list[BrokerState] = array(BrokerState, since=3)
    leader_recovery_state: int = int8(since=1)
    partition_epoch: int = int32()


class RequestTopicData(Message):
    """One entry of `topics` in AlterPartitionRequest."""

    topic_name: str = string(until=1)
    topic_id: Uuid = uuid(since=2)
    partitions: list[RequestPartitionData] = array(RequestPartitionData)


class AlterPartitionRequest(Message, api_key=56, versions=(0, 3), flexible=0):
    """What a client asks with AlterPartition."""

    broker_id: int = int32()
    broker_epoch: int = int64(default=-1)
    topics: list[RequestTopicData] = array(RequestTopicData)


class ResponsePartitionData(Message):
    """One entry of `partitions` in AlterPartitionResponse."""

    partition_index: int = int32()
    error_code: int = int16()
    leader_id: int = int32()
    leader_epoch: int = int32()
    isr: list[int] = array(int32())
    leader_recovery_state: int = int8(since=1)
    partition_epoch: int = int32()


class ResponseTopicData(Message):
    """One entry of `topics` in AlterPartitionResponse."""

    topic_name: str = string(until=1)
    topic_id: Uuid = uuid(since=2)
    partitions: list[ResponsePartitionData] = array(ResponsePartitionData)


class AlterPartitionResponse(Message, api_key=56, versions=(0, 3), flexible=0):
    """What the broker answers to AlterPartition."""

    throttle_time_ms: int = int32()
    error_code: int = int16()
    topics: list[ResponseTopicData] = array(ResponseTopicData)
