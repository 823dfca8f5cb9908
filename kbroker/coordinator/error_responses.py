"""
The answer to a coordinator request that could not be handled: each error in the field its version has for it.

Used by the coordinator itself, and by whoever has to answer in its place, when its process is not there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kbroker.coordinator.offset_store import commit_error
from kbroker.errors import KafkaError
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.delete_groups import DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse
from kbroker.protocol.messages.describe_groups import DescribedGroup, DescribeGroupsRequest, DescribeGroupsResponse
from kbroker.protocol.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from kbroker.protocol.messages.join_group import JoinGroupRequest, JoinGroupResponse
from kbroker.protocol.messages.leave_group import LeaveGroupRequest, LeaveGroupResponse
from kbroker.protocol.messages.list_groups import ListGroupsRequest, ListGroupsResponse
from kbroker.protocol.messages.offset_commit import OffsetCommitRequest
from kbroker.protocol.messages.offset_delete import OffsetDeleteRequest, OffsetDeleteResponse
from kbroker.protocol.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchResponse,
    OffsetFetchResponseGroup,
    OffsetFetchResponsePartition,
    OffsetFetchResponseTopic,
)
from kbroker.protocol.messages.sync_group import SyncGroupRequest, SyncGroupResponse

if TYPE_CHECKING:
    from kbroker.protocol.schema import Message

_NULL_PROTOCOL_NAME_SINCE = 7
_FETCH_GROUPS_SINCE = 8
_FETCH_TOP_LEVEL_ERROR_SINCE = 2


def error_response(request: Message, api_version: int, error_code: int) -> Message:
    """
    Return the response that says `error_code` to a whole request.

    Raises KafkaError(UNSUPPORTED_VERSION) for a request that is no coordinator request.
    """
    if isinstance(request, JoinGroupRequest):
        return JoinGroupResponse(
            error_code=error_code,
            member_id=request.member_id,
            protocol_name=None if api_version >= _NULL_PROTOCOL_NAME_SINCE else "",
        )
    if isinstance(request, SyncGroupRequest):
        return SyncGroupResponse(error_code=error_code)
    if isinstance(request, HeartbeatRequest):
        return HeartbeatResponse(error_code=error_code)
    if isinstance(request, LeaveGroupRequest):
        return LeaveGroupResponse(error_code=error_code)
    if isinstance(request, OffsetCommitRequest):
        return commit_error(request, error_code)
    if isinstance(request, OffsetFetchRequest):
        return _fetch_error(request, api_version, error_code)
    if isinstance(request, OffsetDeleteRequest):
        return OffsetDeleteResponse(error_code=error_code)
    if isinstance(request, DescribeGroupsRequest):
        return DescribeGroupsResponse(
            groups=[DescribedGroup(group_id=group_id, error_code=error_code) for group_id in request.groups]
        )
    if isinstance(request, ListGroupsRequest):
        return ListGroupsResponse(error_code=error_code)
    if isinstance(request, DeleteGroupsRequest):
        return DeleteGroupsResponse(
            results=[
                DeletableGroupResult(group_id=group_id, error_code=error_code) for group_id in request.groups_names
            ]
        )
    raise KafkaError(ErrorCode.UNSUPPORTED_VERSION, f"{type(request).__name__} is no coordinator request")


def _fetch_error(request: OffsetFetchRequest, api_version: int, error_code: int) -> OffsetFetchResponse:
    if api_version >= _FETCH_GROUPS_SINCE:
        return OffsetFetchResponse(
            groups=[
                OffsetFetchResponseGroup(group_id=asked.group_id, error_code=error_code) for asked in request.groups
            ]
        )
    if api_version >= _FETCH_TOP_LEVEL_ERROR_SINCE:
        return OffsetFetchResponse(error_code=error_code)
    return OffsetFetchResponse(
        topics=[
            OffsetFetchResponseTopic(
                name=topic.name,
                partitions=[
                    OffsetFetchResponsePartition(
                        partition_index=partition, committed_offset=-1, metadata="", error_code=error_code
                    )
                    for partition in topic.partition_indexes
                ],
            )
            for topic in request.topics or []
        ]
    )
