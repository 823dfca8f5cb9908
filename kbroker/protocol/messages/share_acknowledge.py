"""ShareAcknowledge (79): acknowledge records acquired for a share group."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, boolean, int8, int16, int32, int64, string, struct, uuid
from kbroker.types import Uuid


class AcknowledgementBatch(Message):
    """One entry of `acknowledgement_batches` in ShareAcknowledgeRequest."""

    first_offset: int = int64(since=1)
    last_offset: int = int64(since=1)
    acknowledge_types: list[int] = array(int8(), since=1)


class AcknowledgePartition(Message):
    """One entry of `partitions` in ShareAcknowledgeRequest."""

    partition_index: int = int32(since=1)
    acknowledgement_batches: list[AcknowledgementBatch] = array(AcknowledgementBatch, since=1)


class AcknowledgeTopic(Message):
    """One entry of `topics` in ShareAcknowledgeRequest."""

    topic_id: Uuid = uuid(since=1)
    partitions: list[AcknowledgePartition] = array(AcknowledgePartition, since=1)


class ShareAcknowledgeRequest(Message, api_key=79, versions=(1, 2), flexible=0):
    """What a client asks with ShareAcknowledge."""

    group_id: str | None = string(since=1, nullable_since=1, default=None)
    member_id: str | None = string(since=1, nullable_since=1)
    share_session_epoch: int = int32(since=1)
    is_renew_ack: bool = boolean(since=2)
    topics: list[AcknowledgeTopic] = array(AcknowledgeTopic, since=1)


class LeaderIdAndEpoch(Message):
    """The `current_leader` of ShareAcknowledgeResponse."""

    leader_id: int = int32(since=1)
    leader_epoch: int = int32(since=1)


class PartitionData(Message):
    """One entry of `partitions` in ShareAcknowledgeResponse."""

    partition_index: int = int32(since=1)
    error_code: int = int16(since=1)
    error_message: str | None = string(since=1, nullable_since=1, default=None)
    current_leader: LeaderIdAndEpoch = struct(LeaderIdAndEpoch, since=1)


class ShareAcknowledgeTopicResponse(Message):
    """One entry of `responses` in ShareAcknowledgeResponse."""

    topic_id: Uuid = uuid(since=1)
    partitions: list[PartitionData] = array(PartitionData, since=1)


class NodeEndpoint(Message):
    """One entry of `node_endpoints` in ShareAcknowledgeResponse."""

    node_id: int = int32(since=1)
    host: str = string(since=1)
    port: int = int32(since=1)
    rack: str | None = string(since=1, nullable_since=1, default=None)


class ShareAcknowledgeResponse(Message, api_key=79, versions=(1, 2), flexible=0):
    """What the broker answers to ShareAcknowledge."""

    throttle_time_ms: int = int32(since=1)
    error_code: int = int16(since=1)
    error_message: str | None = string(since=1, nullable_since=1, default=None)
    acquisition_lock_timeout_ms: int = int32(since=2)
    responses: list[ShareAcknowledgeTopicResponse] = array(ShareAcknowledgeTopicResponse, since=1)
    node_endpoints: list[NodeEndpoint] = array(NodeEndpoint, since=1)
