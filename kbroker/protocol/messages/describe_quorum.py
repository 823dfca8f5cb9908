"""DescribeQuorum (55): state of the controller quorum and how far its replicas are."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int16, int32, int64, string, uint16, uuid
from kbroker.types import Uuid


class RequestPartitionData(Message):
    """One entry of `partitions` in DescribeQuorumRequest."""

    partition_index: int = int32()


class RequestTopicData(Message):
    """One entry of `topics` in DescribeQuorumRequest."""

    topic_name: str = string()
    partitions: list[RequestPartitionData] = array(RequestPartitionData)


class DescribeQuorumRequest(Message, api_key=55, versions=(0, 2), flexible=0):
    """What a client asks with DescribeQuorum."""

    topics: list[RequestTopicData] = array(RequestTopicData)


class ReplicaState(Message):
    """One entry of `current_voters` in DescribeQuorumResponse."""

    replica_id: int = int32()
    replica_directory_id: Uuid = uuid(since=2)
    log_end_offset: int = int64()
    last_fetch_timestamp: int = int64(since=1, default=-1)
    last_caught_up_timestamp: int = int64(since=1, default=-1)


class ResponsePartitionData(Message):
    """One entry of `partitions` in DescribeQuorumResponse."""

    partition_index: int = int32()
    error_code: int = int16()
    error_message: str | None = string(since=2, nullable_since=2)
    leader_id: int = int32()
    leader_epoch: int = int32()
    high_watermark: int = int64()
    current_voters: list[ReplicaState] = array(ReplicaState)
    observers: list[ReplicaState] = array(ReplicaState)


class ResponseTopicData(Message):
    """One entry of `topics` in DescribeQuorumResponse."""

    topic_name: str = string()
    partitions: list[ResponsePartitionData] = array(ResponsePartitionData)


class Listener(Message):
    """One entry of `listeners` in DescribeQuorumResponse."""

    name: str = string(since=2)
    host: str = string(since=2)
    port: int = uint16(since=2)


class Node(Message):
    """One entry of `nodes` in DescribeQuorumResponse."""

    node_id: int = int32(since=2)
    listeners: list[Listener] = array(Listener, since=2)


class DescribeQuorumResponse(Message, api_key=55, versions=(0, 2), flexible=0):
    """What the broker answers to DescribeQuorum."""

    error_code: int = int16()
    error_message: str | None = string(since=2, nullable_since=2)
    topics: list[ResponseTopicData] = array(ResponseTopicData)
    nodes: list[Node] = array(Node, since=2)
