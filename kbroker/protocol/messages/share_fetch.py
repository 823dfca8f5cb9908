"""ShareFetch (78): acquire records for a share group, and acknowledge earlier ones."""

from __future__ import annotations

from kbroker.protocol.schema import (
    Message,
    Payload,
    array,
    boolean,
    int8,
    int16,
    int32,
    int64,
    records,
    string,
    struct,
    uuid,
)
from kbroker.types import Uuid


class AcknowledgementBatch(Message):
    """One entry of `acknowledgement_batches` in ShareFetchRequest."""

    first_offset: int = int64(since=1)
    last_offset: int = int64(since=1)
    acknowledge_types: list[int] = array(int8(), since=1)


class FetchPartition(Message):
    """One entry of `partitions` in ShareFetchRequest."""

    partition_index: int = int32(since=1)
    acknowledgement_batches: list[AcknowledgementBatch] = array(AcknowledgementBatch, since=1)


class FetchTopic(Message):
    """One entry of `topics` in ShareFetchRequest."""

    topic_id: Uuid = uuid(since=1)
    partitions: list[FetchPartition] = array(FetchPartition, since=1)


class ForgottenTopic(Message):
    """One entry of `forgotten_topics_data` in ShareFetchRequest."""

    topic_id: Uuid = uuid(since=1)
    partitions: list[int] = array(int32(), since=1)


class ShareFetchRequest(Message, api_key=78, versions=(1, 2), flexible=0):
    """What a client asks with ShareFetch."""

    group_id: str | None = string(since=1, nullable_since=1, default=None)
    member_id: str | None = string(since=1, nullable_since=1)
    share_session_epoch: int = int32(since=1)
    max_wait_ms: int = int32(since=1)
    min_bytes: int = int32(since=1)
    max_bytes: int = int32(since=1, default=0x7FFFFFFF)
    max_records: int = int32(since=1)
    batch_size: int = int32(since=1)
    share_acquire_mode: int = int8(since=2)
    is_renew_ack: bool = boolean(since=2)
    topics: list[FetchTopic] = array(FetchTopic, since=1)
    forgotten_topics_data: list[ForgottenTopic] = array(ForgottenTopic, since=1)


class LeaderIdAndEpoch(Message):
    """The `current_leader` of ShareFetchResponse."""

    leader_id: int = int32(since=1)
    leader_epoch: int = int32(since=1)


class AcquiredRecords(Message):
    """One entry of `acquired_records` in ShareFetchResponse."""

    first_offset: int = int64(since=1)
    last_offset: int = int64(since=1)
    delivery_count: int = int16(since=1)


class PartitionData(Message):
    """One entry of `partitions` in ShareFetchResponse."""

    partition_index: int = int32(since=1)
    error_code: int = int16(since=1)
    error_message: str | None = string(since=1, nullable_since=1, default=None)
    acknowledge_error_code: int = int16(since=1)
    acknowledge_error_message: str | None = string(since=1, nullable_since=1, default=None)
    current_leader: LeaderIdAndEpoch = struct(LeaderIdAndEpoch, since=1)
    records: Payload = records(since=1, default=b"")
    acquired_records: list[AcquiredRecords] = array(AcquiredRecords, since=1)


class ShareFetchableTopicResponse(Message):
    """One entry of `responses` in ShareFetchResponse."""

    topic_id: Uuid = uuid(since=1)
    partitions: list[PartitionData] = array(PartitionData, since=1)


class NodeEndpoint(Message):
    """One entry of `node_endpoints` in ShareFetchResponse."""

    node_id: int = int32(since=1)
    host: str = string(since=1)
    port: int = int32(since=1)
    rack: str | None = string(since=1, nullable_since=1, default=None)


class ShareFetchResponse(Message, api_key=78, versions=(1, 2), flexible=0):
    """What the broker answers to ShareFetch."""

    throttle_time_ms: int = int32(since=1)
    error_code: int = int16(since=1)
    error_message: str | None = string(since=1, nullable_since=1, default=None)
    acquisition_lock_timeout_ms: int = int32(since=1)
    responses: list[ShareFetchableTopicResponse] = array(ShareFetchableTopicResponse, since=1)
    node_endpoints: list[NodeEndpoint] = array(NodeEndpoint, since=1)
