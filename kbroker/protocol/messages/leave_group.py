"""LeaveGroup (13): members leave a classic group; several per request from version 3."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int16, int32, string


class MemberIdentity(Message):
    """One entry of `members` in LeaveGroupRequest."""

    member_id: str = string(since=3)
    group_instance_id: str | None = string(since=3, nullable_since=3, default=None)
    reason: str | None = string(since=5, nullable_since=5, default=None)


class LeaveGroupRequest(Message, api_key=13, versions=(0, 5), flexible=4):
    """What a client asks with LeaveGroup."""

    group_id: str = string()
    member_id: str = string(until=2)
    members: list[MemberIdentity] = array(MemberIdentity, since=3)


class MemberResponse(Message):
    """One entry of `members` in LeaveGroupResponse."""

    member_id: str = string(since=3)
    group_instance_id: str | None = string(since=3, nullable_since=3)
    error_code: int = int16(since=3)


class LeaveGroupResponse(Message, api_key=13, versions=(0, 5), flexible=4):
    """What the broker answers to LeaveGroup."""

    throttle_time_ms: int = int32(since=1)
    error_code: int = int16()
    members: list[MemberResponse] = array(MemberResponse, since=3)
