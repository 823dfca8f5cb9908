"""DeleteRecords (21): move the start of partitions forward."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int16, int32, int64, string


class DeleteRecordsPartition(Message):
    """One entry of `partitions` in DeleteRecordsRequest."""

    partition_index: int = int32()
    offset: int = int64()


class DeleteRecordsTopic(Message):
    """One entry of `topics` in DeleteRecordsRequest."""

    name: str = string()
    partitions: list[DeleteRecordsPartition] = array(DeleteRecordsPartition)


class DeleteRecordsRequest(Message, api_key=21, versions=(0, 2), flexible=2):
    """What a client asks with DeleteRecords."""

    topics: list[DeleteRecordsTopic] = array(DeleteRecordsTopic)
    timeout_ms: int = int32()


class DeleteRecordsPartitionResult(Message):
    """One entry of `partitions` in DeleteRecordsResponse."""

    partition_index: int = int32()
    low_watermark: int = int64()
    error_code: int = int16()


class DeleteRecordsTopicResult(Message):
    """One entry of `topics` in DeleteRecordsResponse."""

    name: str = string()
    partitions: list[DeleteRecordsPartitionResult] = array(DeleteRecordsPartitionResult)


class DeleteRecordsResponse(Message, api_key=21, versions=(0, 2), flexible=2):
    """What the broker answers to DeleteRecords."""

    throttle_time_ms: int = int32()
    topics: list[DeleteRecordsTopicResult] = array(DeleteRecordsTopicResult)
