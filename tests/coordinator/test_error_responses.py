"""Each request has an answer for "not here", in every version, in the fields that version has."""

from __future__ import annotations

import pytest

from kbroker.coordinator.error_responses import error_response
from kbroker.errors import KafkaError
from kbroker.protocol.messages.delete_groups import DeleteGroupsRequest
from kbroker.protocol.messages.describe_groups import DescribeGroupsRequest
from kbroker.protocol.messages.fetch import FetchRequest
from kbroker.protocol.messages.heartbeat import HeartbeatRequest
from kbroker.protocol.messages.join_group import JoinGroupRequest
from kbroker.protocol.messages.leave_group import LeaveGroupRequest
from kbroker.protocol.messages.list_groups import ListGroupsRequest
from kbroker.protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from kbroker.protocol.messages.offset_delete import OffsetDeleteRequest
from kbroker.protocol.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopic,
)
from kbroker.protocol.messages.sync_group import SyncGroupRequest
from kbroker.protocol.schema import Message

NOT_COORDINATOR = 16
REQUESTS = [
    JoinGroupRequest(),
    SyncGroupRequest(),
    HeartbeatRequest(),
    LeaveGroupRequest(),
    ListGroupsRequest(),
    OffsetDeleteRequest(),
    DeleteGroupsRequest(groups_names=["g"]),
    DescribeGroupsRequest(groups=["g"]),
    OffsetCommitRequest(topics=[OffsetCommitRequestTopic(name="t", partitions=[OffsetCommitRequestPartition()])]),
    OffsetFetchRequest(
        topics=[OffsetFetchRequestTopic(name="t", partition_indexes=[0])],
        groups=[OffsetFetchRequestGroup(group_id="g", topics=None)],
    ),
]


@pytest.mark.parametrize("request_", [pytest.param(each, id=type(each).__name__) for each in REQUESTS])
def test_the_error_reaches_the_client_in_every_version(request_: Message) -> None:
    """Encoded, decoded, and found again in one of the fields."""
    assert request_.VERSIONS is not None
    for version in range(request_.VERSIONS[0], request_.VERSIONS[1] + 1):
        response = error_response(request_, version, NOT_COORDINATOR)
        decoded, _ = type(response).decode(response.encode(version), version)
        assert f"error_code={NOT_COORDINATOR}" in repr(decoded), version


def test_other_requests_are_none_of_the_coordinators() -> None:
    """A request that came here by mistake is refused by name."""
    with pytest.raises(KafkaError):
        error_response(FetchRequest(), 12, NOT_COORDINATOR)
