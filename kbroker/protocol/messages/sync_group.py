"""SyncGroup (14): the leader hands in the assignment, every member gets its part."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, bytes_, int16, int32, string
from kbroker.types import Buffer


class SyncGroupRequestAssignment(Message):
    """One entry of `assignments` in SyncGroupRequest."""

    member_id: str = string()
    assignment: Buffer = bytes_()


class SyncGroupRequest(Message, api_key=14, versions=(0, 5), flexible=4):
    """What a client asks with SyncGroup."""

    group_id: str = string()
    generation_id: int = int32()
    member_id: str = string()
    group_instance_id: str | None = string(since=3, nullable_since=3, default=None)
    protocol_type: str | None = string(since=5, nullable_since=5, default=None)
    protocol_name: str | None = string(since=5, nullable_since=5, default=None)
    assignments: list[SyncGroupRequestAssignment] = array(SyncGroupRequestAssignment)


class SyncGroupResponse(Message, api_key=14, versions=(0, 5), flexible=4):
    """What the broker answers to SyncGroup."""

    throttle_time_ms: int = int32(since=1)
    error_code: int = int16()
    protocol_type: str | None = string(since=5, nullable_since=5, default=None)
    protocol_name: str | None = string(since=5, nullable_since=5, default=None)
    assignment: Buffer = bytes_()
