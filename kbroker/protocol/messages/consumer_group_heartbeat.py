"""ConsumerGroupHeartbeat (68): a member of a KIP-848 group joins, lives, subscribes and leaves."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int16, int32, string, struct, uuid
from kbroker.types import Uuid


class TopicPartitions(Message):
    """One entry of `topic_partitions` in ConsumerGroupHeartbeatRequest."""

    topic_id: Uuid = uuid()
    partitions: list[int] = array(int32())


class ConsumerGroupHeartbeatRequest(Message, api_key=68, versions=(0, 1), flexible=0):
    """What a client asks with ConsumerGroupHeartbeat."""

    group_id: str = string()
    member_id: str = string()
    member_epoch: int = int32()
    instance_id: str | None = string(nullable_since=0, default=None)
    rack_id: str | None = string(nullable_since=0, default=None)
    rebalance_timeout_ms: int = int32(default=-1)
    subscribed_topic_names: list[str] | None = array(string(), nullable_since=0, default=None)
    subscribed_topic_regex: str | None = string(since=1, nullable_since=1, default=None)
    server_assignor: str | None = string(nullable_since=0, default=None)
    topic_partitions: list[TopicPartitions] | None = array(TopicPartitions, nullable_since=0, default=None)


class Assignment(Message):
    """The `assignment` of ConsumerGroupHeartbeatResponse."""

    topic_partitions: list[TopicPartitions] = array(TopicPartitions)


class ConsumerGroupHeartbeatResponse(Message, api_key=68, versions=(0, 1), flexible=0):
    """What the broker answers to ConsumerGroupHeartbeat."""

    throttle_time_ms: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable_since=0, default=None)
    member_id: str | None = string(nullable_since=0, default=None)
    member_epoch: int = int32()
    heartbeat_interval_ms: int = int32()
    assignment: Assignment | None = struct(Assignment, nullable_since=0)
