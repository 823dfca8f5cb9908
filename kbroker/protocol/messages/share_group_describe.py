"""ShareGroupDescribe (77): state and members of share groups."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, boolean, int16, int32, string, struct, uuid
from kbroker.types import Uuid


class ShareGroupDescribeRequest(Message, api_key=77, versions=(1, 1), flexible=0):
    """What a client asks with ShareGroupDescribe."""

    group_ids: list[str] = array(string(), since=1)
    include_authorized_operations: bool = boolean(since=1)


class TopicPartitions(Message):
    """One entry of `topic_partitions` in ShareGroupDescribeResponse."""

    topic_id: Uuid = uuid(since=1)
    topic_name: str = string(since=1)
    partitions: list[int] = array(int32(), since=1)


class Assignment(Message):
    """The `assignment` of ShareGroupDescribeResponse."""

    topic_partitions: list[TopicPartitions] = array(TopicPartitions, since=1)


class Member(Message):
    """One entry of `members` in ShareGroupDescribeResponse."""

    member_id: str = string(since=1)
    rack_id: str | None = string(since=1, nullable_since=1, default=None)
    member_epoch: int = int32(since=1)
    client_id: str = string(since=1)
    client_host: str = string(since=1)
    subscribed_topic_names: list[str] = array(string(), since=1)
    assignment: Assignment = struct(Assignment, since=1)


class DescribedGroup(Message):
    """One entry of `groups` in ShareGroupDescribeResponse."""

    error_code: int = int16(since=1)
    error_message: str | None = string(since=1, nullable_since=1, default=None)
    group_id: str = string(since=1)
    group_state: str = string(since=1)
    group_epoch: int = int32(since=1)
    assignment_epoch: int = int32(since=1)
    assignor_name: str = string(since=1)
    members: list[Member] = array(Member, since=1)
    authorized_operations: int = int32(since=1, default=-2147483648)


class ShareGroupDescribeResponse(Message, api_key=77, versions=(1, 1), flexible=0):
    """What the broker answers to ShareGroupDescribe."""

    throttle_time_ms: int = int32(since=1)
    groups: list[DescribedGroup] = array(DescribedGroup, since=1)
