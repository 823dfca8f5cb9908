"""ConsumerGroupDescribe (69): state and members of KIP-848 groups."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, boolean, int8, int16, int32, string, struct, uuid
from kbroker.types import Uuid


class ConsumerGroupDescribeRequest(Message, api_key=69, versions=(0, 1), flexible=0):
    """What a client asks with ConsumerGroupDescribe."""

    group_ids: list[str] = array(string())
    include_authorized_operations: bool = boolean()


class TopicPartitions(Message):
    """One entry of `topic_partitions` in ConsumerGroupDescribeResponse."""

    topic_id: Uuid = uuid()
    topic_name: str = string()
    partitions: list[int] = array(int32())


class Assignment(Message):
    """The `assignment` of ConsumerGroupDescribeResponse."""

    topic_partitions: list[TopicPartitions] = array(TopicPartitions)


class Member(Message):
    """One entry of `members` in ConsumerGroupDescribeResponse."""

    member_id: str = string()
    instance_id: str | None = string(nullable_since=0, default=None)
    rack_id: str | None = string(nullable_since=0, default=None)
    member_epoch: int = int32()
    client_id: str = string()
    client_host: str = string()
    subscribed_topic_names: list[str] = array(string())
    subscribed_topic_regex: str | None = string(nullable_since=0, default=None)
    assignment: Assignment = struct(Assignment)
    target_assignment: Assignment = struct(Assignment)
    member_type: int = int8(since=1, default=-1)


class DescribedGroup(Message):
    """One entry of `groups` in ConsumerGroupDescribeResponse."""

    error_code: int = int16()
    error_message: str | None = string(nullable_since=0, default=None)
    group_id: str = string()
    group_state: str = string()
    group_epoch: int = int32()
    assignment_epoch: int = int32()
    assignor_name: str = string()
    members: list[Member] = array(Member)
    authorized_operations: int = int32(default=-2147483648)


class ConsumerGroupDescribeResponse(Message, api_key=69, versions=(0, 1), flexible=0):
    """What the broker answers to ConsumerGroupDescribe."""

    throttle_time_ms: int = int32()
    groups: list[DescribedGroup] = array(DescribedGroup)
