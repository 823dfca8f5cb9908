"""DescribeGroups (15): state and members of classic groups."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, boolean, bytes_, int16, int32, string
from kbroker.types import Buffer


class DescribeGroupsRequest(Message, api_key=15, versions=(0, 6), flexible=5):
    """What a client asks with DescribeGroups."""

    groups: list[str] = array(string())
    include_authorized_operations: bool = boolean(since=3)


class DescribedGroupMember(Message):
    """One entry of `members` in DescribeGroupsResponse."""

    member_id: str = string()
    group_instance_id: str | None = string(since=4, nullable_since=4, default=None)
    client_id: str = string()
    client_host: str = string()
    member_metadata: Buffer = bytes_()
    member_assignment: Buffer = bytes_()


class DescribedGroup(Message):
    """One entry of `groups` in DescribeGroupsResponse."""

    error_code: int = int16()
    error_message: str | None = string(since=6, nullable_since=6, default=None)
    group_id: str = string()
    group_state: str = string()
    protocol_type: str = string()
    protocol_data: str = string()
    members: list[DescribedGroupMember] = array(DescribedGroupMember)
    authorized_operations: int = int32(since=3, default=-2147483648)


class DescribeGroupsResponse(Message, api_key=15, versions=(0, 6), flexible=5):
    """What the broker answers to DescribeGroups."""

    throttle_time_ms: int = int32(since=1)
    groups: list[DescribedGroup] = array(DescribedGroup)
