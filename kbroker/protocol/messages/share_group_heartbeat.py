"""ShareGroupHeartbeat (76): a member of a share group joins, lives and leaves."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int16, int32, string, struct, uuid
from kbroker.types import Uuid


class ShareGroupHeartbeatRequest(Message, api_key=76, versions=(0, 0), flexible=0):
    """What a client asks with ShareGroupHeartbeat."""

    group_id: str = string()
    member_id: str = string()
    member_epoch: int = int32()
    rack_id: str | None = string(nullable_since=0, default=None)
    subscribed_topic_names: list[str] | None = array(string(), nullable_since=0, default=None)


class TopicPartitions(Message):
    """One entry of `topic_partitions` in ShareGroupHeartbeatResponse."""

    topic_id: Uuid = uuid()
    partitions: list[int] = array(int32())


class Assignment(Message):
    """The `assignment` of ShareGroupHeartbeatResponse."""

    topic_partitions: list[TopicPartitions] = array(TopicPartitions)


class ShareGroupHeartbeatResponse(Message, api_key=76, versions=(0, 0), flexible=0):
    """What the broker answers to ShareGroupHeartbeat."""

    throttle_time_ms: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable_since=0, default=None)
    member_id: str | None = string(nullable_since=0, default=None)
    member_epoch: int = int32()
    heartbeat_interval_ms: int = int32()
    assignment: Assignment | None = struct(Assignment, nullable_since=0)
