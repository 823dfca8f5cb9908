"""ShareGroupHeartbeat (76): a member of a share group joins, lives and leaves."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int16, int32, string, struct, uuid
from kbroker.types import Uuid


class ShareGroupHeartbeatRequest(Message, api_key=76, versions=(1, 1), flexible=0):
    """What a client asks with ShareGroupHeartbeat."""

    group_id: str = string(since=1)
    member_id: str = string(since=1)
    member_epoch: int = int32(since=1)
    rack_id: str | None = string(since=1, nullable_since=1, default=None)
    subscribed_topic_names: list[str] | None = array(string(), since=1, nullable_since=1, default=None)


class TopicPartitions(Message):
    """One entry of `topic_partitions` in ShareGroupHeartbeatResponse."""

    topic_id: Uuid = uuid(since=1)
    partitions: list[int] = array(int32(), since=1)


class Assignment(Message):
    """The `assignment` of ShareGroupHeartbeatResponse."""

    topic_partitions: list[TopicPartitions] = array(TopicPartitions, since=1)


class ShareGroupHeartbeatResponse(Message, api_key=76, versions=(1, 1), flexible=0):
    """What the broker answers to ShareGroupHeartbeat."""

    throttle_time_ms: int = int32(since=1)
    error_code: int = int16(since=1)
    error_message: str | None = string(since=1, nullable_since=1, default=None)
    member_id: str | None = string(since=1, nullable_since=1, default=None)
    member_epoch: int = int32(since=1)
    heartbeat_interval_ms: int = int32(since=1)
    assignment: Assignment | None = struct(Assignment, since=1, nullable_since=1)
