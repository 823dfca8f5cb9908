"""EndQuorumEpoch (54): the leader of the controller quorum steps down."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int16, int32, string, uint16, uuid
from kbroker.types import Uuid


class ReplicaInfo(Message):
    """One entry of `preferred_candidates` in EndQuorumEpochRequest."""

    candidate_id: int = int32(since=1)
    candidate_directory_id: Uuid = uuid(since=1)


class RequestPartitionData(Message):
    """One entry of `partitions` in EndQuorumEpochRequest."""

    partition_index: int = int32()
    leader_id: int = int32()
    leader_epoch: int = int32()
    preferred_successors: list[int] = array(int32(), until=0)
    preferred_candidates: list[ReplicaInfo] = array(ReplicaInfo, since=1)


class RequestTopicData(Message):
    """One entry of `topics` in EndQuorumEpochRequest."""

    topic_name: str = string()
    partitions: list[RequestPartitionData] = array(RequestPartitionData)


class LeaderEndpoint(Message):
    """One entry of `leader_endpoints` in EndQuorumEpochRequest."""

    name: str = string(since=1)
    host: str = string(since=1)
    port: int = uint16(since=1)


class EndQuorumEpochRequest(Message, api_key=54, versions=(0, 1), flexible=1):
    """What a client asks with EndQuorumEpoch."""

    cluster_id: str | None = string(nullable_since=0, default=None)
    topics: list[RequestTopicData] = array(RequestTopicData)
    leader_endpoints: list[LeaderEndpoint] = array(LeaderEndpoint, since=1)


class ResponsePartitionData(Message):
    """One entry of `partitions` in EndQuorumEpochResponse."""

    partition_index: int = int32()
    error_code: int = int16()
    leader_id: int = int32()
    leader_epoch: int = int32()


class ResponseTopicData(Message):
    """One entry of `topics` in EndQuorumEpochResponse."""

    topic_name: str = string()
    partitions: list[ResponsePartitionData] = array(ResponsePartitionData)


class NodeEndpoint(Message):
    """One entry of `node_endpoints` in EndQuorumEpochResponse."""

    node_id: int = int32(since=1)
    host: str = string(since=1)
    port: int = uint16(since=1)


class EndQuorumEpochResponse(Message, api_key=54, versions=(0, 1), flexible=1):
    """What the broker answers to EndQuorumEpoch."""

    error_code: int = int16()
    topics: list[ResponseTopicData] = array(ResponseTopicData)
    node_endpoints: list[NodeEndpoint] = array(NodeEndpoint, since=1, tag=0)
