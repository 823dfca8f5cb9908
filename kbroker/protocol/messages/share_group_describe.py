"""ShareGroupDescribe (77): state and members of share groups."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, boolean, int16, int32, string, struct, uuid
from kbroker.types import Uuid


class ShareGroupDescribeRequest(Message, api_key=77, versions=(0, 0), flexible=0):
    """What a client asks with ShareGroupDescribe."""

    group_ids: list[str] = array(string())
    include_authorized_operations: bool = boolean()


class TopicPartitions(Message):
    """One entry of `topic_partitions` in ShareGroupDescribeResponse."""

    topic_id: Uuid = uuid()
    topic_name: str = string()
    partitions: list[int] = array(int32())


class Assignment(Message):
    """The `assignment` of ShareGroupDescribeResponse."""

    topic_partitions: list[TopicPartitions] = array(TopicPartitions)


class Member(Message):
    """One entry of `members` in ShareGroupDescribeResponse."""

    member_id: str = string()
    rack_id: str | None = string(nullable_since=0, default=None)
    member_epoch: int = int32()
    client_id: str = string()
    client_host: str = string()
    subscribed_topic_names: list[str] = array(string())
    assignment: Assignment = struct(Assignment)


class DescribedGroup(Message):
    """One entry of `groups` in ShareGroupDescribeResponse."""

    error_code: int = int16()
    error_message: str | None = string(nullable_since=0, default=None)
    group_id: str = string()
    group_state: str = string()
    group_epoch: int = int32()
    assignment_epoch: int = int32()
    assignor_name: str = string()
    members: list[Member] = array(Member)
    authorized_operations: int = int32(default=-2147483648)


class ShareGroupDescribeResponse(Message, api_key=77, versions=(0, 0), flexible=0):
    """What the broker answers to ShareGroupDescribe."""

    throttle_time_ms: int = int32()
    groups: list[DescribedGroup] = array(DescribedGroup)
