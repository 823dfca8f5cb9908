"""DescribeTopicPartitions (75): topics and partitions, page by page."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, boolean, int16, int32, string, struct, uuid
from kbroker.types import Uuid


class TopicRequest(Message):
    """One entry of `topics` in DescribeTopicPartitionsRequest."""

    name: str = string()


class Cursor(Message):
    """The `cursor` of DescribeTopicPartitionsRequest."""

    topic_name: str = string()
    partition_index: int = int32()


class DescribeTopicPartitionsRequest(Message, api_key=75, versions=(0, 0), flexible=0):
    """What a client asks with DescribeTopicPartitions."""

    topics: list[TopicRequest] = array(TopicRequest)
    response_partition_limit: int = int32(default=2000)
    cursor: Cursor | None = struct(Cursor, nullable_since=0)


class DescribeTopicPartitionsResponsePartition(Message):
    """One entry of `partitions` in DescribeTopicPartitionsResponse."""

    error_code: int = int16()
    partition_index: int = int32()
    leader_id: int = int32()
    leader_epoch: int = int32(default=-1)
    replica_nodes: list[int] = array(int32())
    isr_nodes: list[int] = array(int32())
    eligible_leader_replicas: list[int] | None = array(int32(), nullable_since=0, default=None)
    last_known_elr: list[int] | None = array(int32(), nullable_since=0, default=None)
    offline_replicas: list[int] = array(int32())


class DescribeTopicPartitionsResponseTopic(Message):
    """One entry of `topics` in DescribeTopicPartitionsResponse."""

    error_code: int = int16()
    name: str | None = string(nullable_since=0)
    topic_id: Uuid = uuid()
    is_internal: bool = boolean()
    partitions: list[DescribeTopicPartitionsResponsePartition] = array(DescribeTopicPartitionsResponsePartition)
    topic_authorized_operations: int = int32(default=-2147483648)


class DescribeTopicPartitionsResponse(Message, api_key=75, versions=(0, 0), flexible=0):
    """What the broker answers to DescribeTopicPartitions."""

    throttle_time_ms: int = int32()
    topics: list[DescribeTopicPartitionsResponseTopic] = array(DescribeTopicPartitionsResponseTopic)
    next_cursor: Cursor | None = struct(Cursor, nullable_since=0)
