"""AssignReplicasToDirs (73): a broker tells in which log directory its replicas lie."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int16, int32, int64, uuid
from kbroker.types import Uuid


class RequestPartitionData(Message):
    """One entry of `partitions` in AssignReplicasToDirsRequest."""

    partition_index: int = int32()


class RequestTopicData(Message):
    """One entry of `topics` in AssignReplicasToDirsRequest."""

    topic_id: Uuid = uuid()
    partitions: list[RequestPartitionData] = array(RequestPartitionData)


class RequestDirectoryData(Message):
    """One entry of `directories` in AssignReplicasToDirsRequest."""

    id: Uuid = uuid()
    topics: list[RequestTopicData] = array(RequestTopicData)


class AssignReplicasToDirsRequest(Message, api_key=73, versions=(0, 0), flexible=0):
    """What a client asks with AssignReplicasToDirs."""

    broker_id: int = int32()
    broker_epoch: int = int64(default=-1)
    directories: list[RequestDirectoryData] = array(RequestDirectoryData)


class ResponsePartitionData(Message):
    """One entry of `partitions` in AssignReplicasToDirsResponse."""

    partition_index: int = int32()
    error_code: int = int16()


class ResponseTopicData(Message):
    """One entry of `topics` in AssignReplicasToDirsResponse."""

    topic_id: Uuid = uuid()
    partitions: list[ResponsePartitionData] = array(ResponsePartitionData)


class ResponseDirectoryData(Message):
    """One entry of `directories` in AssignReplicasToDirsResponse."""

    id: Uuid = uuid()
    topics: list[ResponseTopicData] = array(ResponseTopicData)


class AssignReplicasToDirsResponse(Message, api_key=73, versions=(0, 0), flexible=0):
    """What the broker answers to AssignReplicasToDirs."""

    throttle_time_ms: int = int32()
    error_code: int = int16()
    directories: list[ResponseDirectoryData] = array(ResponseDirectoryData)
