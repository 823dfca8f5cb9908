"""ShareFetch (78): acquire records for a share group, and acknowledge earlier ones."""

from __future__ import annotations

from kbroker.protocol.schema import Message, Payload, array, int8, int16, int32, int64, records, string, struct, uuid
from kbroker.types import Uuid


class AcknowledgementBatch(Message):
    """One entry of `acknowledgement_batches` in ShareFetchRequest."""

    first_offset: int = int64()
    last_offset: int = int64()
    acknowledge_types: list[int] = array(int8())


class FetchPartition(Message):
    """One entry of `partitions` in ShareFetchRequest."""

    partition_index: int = int32()
    partition_max_bytes: int = int32()
    acknowledgement_batches: list[AcknowledgementBatch] = array(AcknowledgementBatch)


class FetchTopic(Message):
    """One entry of `topics` in ShareFetchRequest."""

    topic_id: Uuid = uuid()
    partitions: list[FetchPartition] = array(FetchPartition)


class ForgottenTopic(Message):
    """One entry of `forgotten_topics_data` in ShareFetchRequest."""

    topic_id: Uuid = uuid()
    partitions: list[int] = array(int32())


class ShareFetchRequest(Message, api_key=78, versions=(0, 0), flexible=0):
    """What a client asks with ShareFetch."""

    group_id: str | None = string(nullable_since=0, default=None)
    member_id: str | None = string(nullable_since=0)
    share_session_epoch: int = int32()
    max_wait_ms: int = int32()
    min_bytes: int = int32()
    max_bytes: int = int32(default=0x7FFFFFFF)
    topics: list[FetchTopic] = array(FetchTopic)
    forgotten_topics_data: list[ForgottenTopic] = array(ForgottenTopic)


class LeaderIdAndEpoch(Message):
    """The `current_leader` of ShareFetchResponse."""

    leader_id: int = int32()
    leader_epoch: int = int32()


class AcquiredRecords(Message):
    """One entry of `acquired_records` in ShareFetchResponse."""

    first_offset: int = int64()
    last_offset: int = int64()
    delivery_count: int = int16()


class PartitionData(Message):
    """One entry of `partitions` in ShareFetchResponse."""

    partition_index: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable_since=0, default=None)
    acknowledge_error_code: int = int16()
    acknowledge_error_message: str | None = string(nullable_since=0, default=None)
    current_leader: LeaderIdAndEpoch = struct(LeaderIdAndEpoch)
    records: Payload | None = records(nullable_since=0)
    acquired_records: list[AcquiredRecords] = array(AcquiredRecords)


class ShareFetchableTopicResponse(Message):
    """One entry of `responses` in ShareFetchResponse."""

    topic_id: Uuid = uuid()
    partitions: list[PartitionData] = array(PartitionData)


class NodeEndpoint(Message):
    """One entry of `node_endpoints` in ShareFetchResponse."""

    node_id: int = int32()
    host: str = string()
    port: int = int32()
    rack: str | None = string(nullable_since=0, default=None)


class ShareFetchResponse(Message, api_key=78, versions=(0, 0), flexible=0):
    """What the broker answers to ShareFetch."""

    throttle_time_ms: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable_since=0, default=None)
    responses: list[ShareFetchableTopicResponse] = array(ShareFetchableTopicResponse)
    node_endpoints: list[NodeEndpoint] = array(NodeEndpoint)
