"""JoinGroup (11): a member enters a classic consumer group, or a rebalance of it."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, boolean, bytes_, int16, int32, string
from kbroker.types import Buffer


class JoinGroupRequestProtocol(Message):
    """One entry of `protocols` in JoinGroupRequest."""

    name: str = string()
    metadata: Buffer = bytes_()


class JoinGroupRequest(Message, api_key=11, versions=(0, 9), flexible=6):
    """What a client asks with JoinGroup."""

    group_id: str = string()
    session_timeout_ms: int = int32()
    rebalance_timeout_ms: int = int32(since=1, default=-1)
    member_id: str = string()
    group_instance_id: str | None = string(since=5, nullable_since=5, default=None)
    protocol_type: str = string()
    protocols: list[JoinGroupRequestProtocol] = array(JoinGroupRequestProtocol)
    reason: str | None = string(since=8, nullable_since=8, default=None)


class JoinGroupResponseMember(Message):
    """One entry of `members` in JoinGroupResponse."""

    member_id: str = string()
    group_instance_id: str | None = string(since=5, nullable_since=5, default=None)
    metadata: Buffer = bytes_()


class JoinGroupResponse(Message, api_key=11, versions=(0, 9), flexible=6):
    """What the broker answers to JoinGroup."""

    throttle_time_ms: int = int32(since=2)
    error_code: int = int16()
    generation_id: int = int32(default=-1)
    protocol_type: str | None = string(since=7, nullable_since=7, default=None)
    protocol_name: str | None = string(nullable_since=7)
    leader: str = string()
    skip_assignment: bool = boolean(since=9)
    member_id: str = string()
    members: list[JoinGroupResponseMember] = array(JoinGroupResponseMember)
