"""Vote (52): a candidate of the controller quorum asks for votes."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, boolean, int16, int32, int64, string, uint16, uuid
from kbroker.types import Uuid


class RequestPartitionData(Message):
    """One entry of `partitions` in VoteRequest."""

    partition_index: int = int32()
    replica_epoch: int = int32()
    replica_id: int = int32()
    replica_directory_id: Uuid = uuid(since=1)
    voter_directory_id: Uuid = uuid(since=1)
    last_offset_epoch: int = int32()
    last_offset: int = int64()
    pre_vote: bool = boolean(since=2)


class RequestTopicData(Message):
    """One entry of `topics` in VoteRequest."""

    topic_name: str = string()
    partitions: list[RequestPartitionData] = array(RequestPartitionData)


class VoteRequest(Message, api_key=52, versions=(0, 2), flexible=0):
    """What a client asks with Vote."""

    cluster_id: str | None = string(nullable_since=0, default=None)
    voter_id: int = int32(since=1, default=-1)
    topics: list[RequestTopicData] = array(RequestTopicData)


class ResponsePartitionData(Message):
    """One entry of `partitions` in VoteResponse."""

    partition_index: int = int32()
    error_code: int = int16()
    leader_id: int = int32()
    leader_epoch: int = int32()
    vote_granted: bool = boolean()


class ResponseTopicData(Message):
    """One entry of `topics` in VoteResponse."""

    topic_name: str = string()
    partitions: list[ResponsePartitionData] = array(ResponsePartitionData)


class NodeEndpoint(Message):
    """One entry of `node_endpoints` in VoteResponse."""

    node_id: int = int32(since=1)
    host: str = string(since=1)
    port: int = uint16(since=1)


class VoteResponse(Message, api_key=52, versions=(0, 2), flexible=0):
    """What the broker answers to Vote."""

    error_code: int = int16()
    topics: list[ResponseTopicData] = array(ResponseTopicData)
    node_endpoints: list[NodeEndpoint] = array(NodeEndpoint, since=1, tag=0)
