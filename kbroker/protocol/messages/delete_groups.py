"""DeleteGroups (42): delete groups without members."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int16, int32, string


class DeleteGroupsRequest(Message, api_key=42, versions=(0, 2), flexible=2):
    """What a client asks with DeleteGroups."""

    groups_names: list[str] = array(string())


class DeletableGroupResult(Message):
    """One entry of `results` in DeleteGroupsResponse."""

    group_id: str = string()
    error_code: int = int16()


class DeleteGroupsResponse(Message, api_key=42, versions=(0, 2), flexible=2):
    """What the broker answers to DeleteGroups."""

    throttle_time_ms: int = int32()
    results: list[DeletableGroupResult] = array(DeletableGroupResult)
