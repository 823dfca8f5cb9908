"""DescribeProducers (61): the producers that are active in partitions."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int16, int32, int64, string


class TopicRequest(Message):
    """One entry of `topics` in DescribeProducersRequest."""

    name: str = string()
    partition_indexes: list[int] = array(int32())


class DescribeProducersRequest(Message, api_key=61, versions=(0, 0), flexible=0):
    """What a client asks with DescribeProducers."""

    topics: list[TopicRequest] = array(TopicRequest)


class ProducerState(Message):
    """One entry of `active_producers` in DescribeProducersResponse."""

    producer_id: int = int64()
    producer_epoch: int = int32()
    last_sequence: int = int32(default=-1)
    last_timestamp: int = int64(default=-1)
    coordinator_epoch: int = int32()
    current_txn_start_offset: int = int64(default=-1)


class PartitionResponse(Message):
    """One entry of `partitions` in DescribeProducersResponse."""

    partition_index: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable_since=0, default=None)
    active_producers: list[ProducerState] = array(ProducerState)


class TopicResponse(Message):
    """One entry of `topics` in DescribeProducersResponse."""

    name: str = string()
    partitions: list[PartitionResponse] = array(PartitionResponse)


class DescribeProducersResponse(Message, api_key=61, versions=(0, 0), flexible=0):
    """What the broker answers to DescribeProducers."""

    throttle_time_ms: int = int32()
    topics: list[TopicResponse] = array(TopicResponse)
