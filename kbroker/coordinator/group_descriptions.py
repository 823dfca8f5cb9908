"""What administrators are shown of groups: DescribeGroups and ListGroups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kbroker.coordinator.group import Group, GroupState
from kbroker.errors import bounded_message
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.describe_groups import DescribedGroup, DescribedGroupMember
from kbroker.protocol.messages.list_groups import ListedGroup
from kbroker.security.authorized_operations import GROUP_OPERATIONS, NOT_ASKED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kbroker.protocol.messages.list_groups import ListGroupsRequest

CLASSIC_GROUP_TYPE = "classic"
_NOT_FOUND_SINCE = 6


def describe_group(
    group: Group | None, group_id: str, api_version: int, *, authorized_operations: bool = False
) -> DescribedGroup:
    """
    Return a group with its members; their metadata and assignment only while it is Stable.

    A group that does not exist is Dead, and from version 6 on an error as well: nobody may do anything with it then.
    """
    operations = GROUP_OPERATIONS if authorized_operations else NOT_ASKED
    if group is None:
        missing = DescribedGroup(group_id=group_id, group_state=GroupState.DEAD, authorized_operations=operations)
        if api_version >= _NOT_FOUND_SINCE:
            missing.error_code = ErrorCode.GROUP_ID_NOT_FOUND
            missing.error_message = bounded_message(f"Group {group_id} not found.")
            missing.authorized_operations = NOT_ASKED
        return missing
    is_stable = group.state is GroupState.STABLE
    return DescribedGroup(
        group_id=group_id,
        group_state=str(group.state),
        protocol_type=group.protocol_type or "",
        protocol_data=(group.protocol_name or "") if is_stable else "",
        members=[
            DescribedGroupMember(
                member_id=member.member_id,
                group_instance_id=member.group_instance_id,
                client_id=member.client_id,
                client_host=member.client_host,
                member_metadata=member.metadata(group.protocol_name) if is_stable else b"",
                member_assignment=member.assignment if is_stable else b"",
            )
            for member in group.members.values()
        ],
        authorized_operations=operations,
    )


def list_groups(groups: Iterable[Group], request: ListGroupsRequest) -> list[ListedGroup]:
    """Return the groups that pass the request's filters; an empty filter lets everything pass, case does not matter."""
    states = {state.lower() for state in request.states_filter}
    types = {name.lower() for name in request.types_filter}
    if types and CLASSIC_GROUP_TYPE not in types:
        return []
    return [
        ListedGroup(
            group_id=group.group_id,
            protocol_type=group.protocol_type or "",
            group_state=str(group.state),
            group_type=CLASSIC_GROUP_TYPE,
        )
        for group in groups
        if not states or group.state.lower() in states
    ]
