"""Produce (0): append record batches to partitions."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int16, int32, int64, records, string, struct, uuid
from kbroker.types import Uuid


class PartitionProduceData(Message):
    """One entry of `partition_data` in ProduceRequest."""

    index: int = int32()
    records: memoryview | None = records(nullable_since=0)


class TopicProduceData(Message):
    """One entry of `topic_data` in ProduceRequest."""

    name: str = string(until=12)
    topic_id: Uuid = uuid(since=13)
    partition_data: list[PartitionProduceData] = array(PartitionProduceData)


class ProduceRequest(Message, api_key=0, versions=(0, 13), flexible=9):
    """What a client asks with Produce."""

    transactional_id: str | None = string(since=3, nullable_since=3, default=None)
    acks: int = int16()
    timeout_ms: int = int32()
    topic_data: list[TopicProduceData] = array(TopicProduceData)


class BatchIndexAndErrorMessage(Message):
    """One entry of `record_errors` in ProduceResponse."""

    batch_index: int = int32(since=8)
    batch_index_error_message: str | None = string(since=8, nullable_since=8, default=None)


class LeaderIdAndEpoch(Message):
    """The `current_leader` of ProduceResponse."""

    leader_id: int = int32(since=10, default=-1)
    leader_epoch: int = int32(since=10, default=-1)


class PartitionProduceResponse(Message):
    """One entry of `partition_responses` in ProduceResponse."""

    index: int = int32()
    error_code: int = int16()
    base_offset: int = int64()
    log_append_time_ms: int = int64(since=2, default=-1)
    log_start_offset: int = int64(since=5, default=-1)
    record_errors: list[BatchIndexAndErrorMessage] = array(BatchIndexAndErrorMessage, since=8)
    error_message: str | None = string(since=8, nullable_since=8, default=None)
    current_leader: LeaderIdAndEpoch | None = struct(LeaderIdAndEpoch, since=10, tag=0)


class TopicProduceResponse(Message):
    """One entry of `responses` in ProduceResponse."""

    name: str = string(until=12)
    topic_id: Uuid = uuid(since=13)
    partition_responses: list[PartitionProduceResponse] = array(PartitionProduceResponse)


class NodeEndpoint(Message):
    """One entry of `node_endpoints` in ProduceResponse."""

    node_id: int = int32(since=10)
    host: str = string(since=10)
    port: int = int32(since=10)
    rack: str | None = string(since=10, nullable_since=10, default=None)


class ProduceResponse(Message, api_key=0, versions=(0, 13), flexible=9):
    """What the broker answers to Produce."""

    responses: list[TopicProduceResponse] = array(TopicProduceResponse)
    throttle_time_ms: int = int32(since=1)
    node_endpoints: list[NodeEndpoint] = array(NodeEndpoint, since=10, tag=0)
