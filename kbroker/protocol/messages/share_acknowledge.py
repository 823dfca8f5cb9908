"""ShareAcknowledge (79): acknowledge records acquired for a share group."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int8, int16, int32, int64, string, struct, uuid
from kbroker.types import Uuid


class AcknowledgementBatch(Message):
    """One entry of `acknowledgement_batches` in ShareAcknowledgeRequest."""

    first_offset: int = int64()
    last_offset: int = int64()
    acknowledge_types: list[int] = array(int8())


class AcknowledgePartition(Message):
    """One entry of `partitions` in ShareAcknowledgeRequest."""

    partition_index: int = int32()
    acknowledgement_batches: list[AcknowledgementBatch] = array(AcknowledgementBatch)


class AcknowledgeTopic(Message):
    """One entry of `topics` in ShareAcknowledgeRequest."""

    topic_id: Uuid = uuid()
    partitions: list[AcknowledgePartition] = array(AcknowledgePartition)


class ShareAcknowledgeRequest(Message, api_key=79, versions=(0, 0), flexible=0):
    """What a client asks with ShareAcknowledge."""

    group_id: str | None = string(nullable_since=0, default=None)
    member_id: str | None = string(nullable_since=0)
    share_session_epoch: int = int32()
    topics: list[AcknowledgeTopic] = array(AcknowledgeTopic)


class LeaderIdAndEpoch(Message):
    """The `current_leader` of ShareAcknowledgeResponse."""

    leader_id: int = int32()
    leader_epoch: int = int32()


class PartitionData(Message):
    """One entry of `partitions` in ShareAcknowledgeResponse."""

    partition_index: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable_since=0, default=None)
    current_leader: LeaderIdAndEpoch = struct(LeaderIdAndEpoch)


class ShareAcknowledgeTopicResponse(Message):
    """One entry of `responses` in ShareAcknowledgeResponse."""

    topic_id: Uuid = uuid()
    partitions: list[PartitionData] = array(PartitionData)


class NodeEndpoint(Message):
    """One entry of `node_endpoints` in ShareAcknowledgeResponse."""

    node_id: int = int32()
    host: str = string()
    port: int = int32()
    rack: str | None = string(nullable_since=0, default=None)


class ShareAcknowledgeResponse(Message, api_key=79, versions=(0, 0), flexible=0):
    """What the broker answers to ShareAcknowledge."""

    throttle_time_ms: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable_since=0, default=None)
    responses: list[ShareAcknowledgeTopicResponse] = array(ShareAcknowledgeTopicResponse)
    node_endpoints: list[NodeEndpoint] = array(NodeEndpoint)
