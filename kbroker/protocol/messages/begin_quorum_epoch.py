"""BeginQuorumEpoch (53): a new leader of the controller quorum makes itself known."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int16, int32, string, uint16, uuid
from kbroker.types import Uuid


class RequestPartitionData(Message):
    """One entry of `partitions` in BeginQuorumEpochRequest."""

    partition_index: int = int32()
    voter_directory_id: Uuid = uuid(since=1)
    leader_id: int = int32()
    leader_epoch: int = int32()


class RequestTopicData(Message):
    """One entry of `topics` in BeginQuorumEpochRequest."""

    topic_name: str = string()
    partitions: list[RequestPartitionData] = array(RequestPartitionData)


class LeaderEndpoint(Message):
    """One entry of `leader_endpoints` in BeginQuorumEpochRequest."""

    name: str = string(since=1)
    host: str = string(since=1)
    port: int = uint16(since=1)


class BeginQuorumEpochRequest(Message, api_key=53, versions=(0, 1), flexible=1):
    """What a client asks with BeginQuorumEpoch."""

    cluster_id: str | None = string(nullable_since=0, default=None)
    voter_id: int = int32(since=1, default=-1)
    topics: list[RequestTopicData] = array(RequestTopicData)
    leader_endpoints: list[LeaderEndpoint] = array(LeaderEndpoint, since=1)


class ResponsePartitionData(Message):
    """One entry of `partitions` in BeginQuorumEpochResponse."""

    partition_index: int = int32()
    error_code: int = int16()
    leader_id: int = int32()
    leader_epoch: int = int32()


class ResponseTopicData(Message):
    """One entry of `topics` in BeginQuorumEpochResponse."""

    topic_name: str = string()
    partitions: list[ResponsePartitionData] = array(ResponsePartitionData)


class NodeEndpoint(Message):
    """One entry of `node_endpoints` in BeginQuorumEpochResponse."""

    node_id: int = int32(since=1)
    host: str = string(since=1)
    port: int = uint16(since=1)


class BeginQuorumEpochResponse(Message, api_key=53, versions=(0, 1), flexible=1):
    """What the broker answers to BeginQuorumEpoch."""

    error_code: int = int16()
    topics: list[ResponseTopicData] = array(ResponseTopicData)
    node_endpoints: list[NodeEndpoint] = array(NodeEndpoint, since=1, tag=0)
