"""ListGroups (16): the groups a broker coordinates."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int16, int32, string


class ListGroupsRequest(Message, api_key=16, versions=(0, 5), flexible=3):
    """What a client asks with ListGroups."""

    states_filter: list[str] = array(string(), since=4)
    types_filter: list[str] = array(string(), since=5)


class ListedGroup(Message):
    """One entry of `groups` in ListGroupsResponse."""

    group_id: str = string()
    protocol_type: str = string()
    group_state: str = string(since=4)
    group_type: str = string(since=5)


class ListGroupsResponse(Message, api_key=16, versions=(0, 5), flexible=3):
    """What the broker answers to ListGroups."""

    throttle_time_ms: int = int32(since=1)
    error_code: int = int16()
    groups: list[ListedGroup] = array(ListedGroup)
