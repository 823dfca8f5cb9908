"""Members of groups that come later end with an error to read; such groups are not found."""

from __future__ import annotations

import pytest

from kbroker.api.later_groups import HANDLERS
from kbroker.protocol.api_keys import API_VERSIONS, ApiKey
from kbroker.protocol.messages.consumer_group_describe import (
    ConsumerGroupDescribeRequest,
    ConsumerGroupDescribeResponse,
)
from kbroker.protocol.messages.describe_share_group_offsets import (
    DescribeShareGroupOffsetsRequest,
    DescribeShareGroupOffsetsRequestGroup,
    DescribeShareGroupOffsetsResponse,
)
from kbroker.protocol.messages.registry import request_class, response_class

UNSUPPORTED_VERSION, GROUP_ID_NOT_FOUND, INVALID_GROUP_ID = 35, 69, 24


@pytest.mark.parametrize(
    ("api_key", "reason"),
    [
        (ApiKey.CONSUMER_GROUP_HEARTBEAT, "group.protocol=classic"),
        (ApiKey.STREAMS_GROUP_HEARTBEAT, "group.protocol=classic"),
        (ApiKey.SHARE_GROUP_HEARTBEAT, "Share groups"),
        (ApiKey.SHARE_FETCH, "Share groups"),
        (ApiKey.SHARE_ACKNOWLEDGE, "Share groups"),
    ],
)
def test_members_are_told_why_they_cannot_be(world, api_key: ApiKey, reason: str) -> None:
    lowest, highest, _ = API_VERSIONS[api_key]
    for version in range(lowest, highest + 1):
        exchange = world.send(HANDLERS[api_key].handle, request_class(api_key)(), version)
        response = exchange.response(response_class(api_key))
        assert response.error_code == UNSUPPORTED_VERSION
        assert reason in response.error_message


@pytest.mark.parametrize(
    "api_key", [ApiKey.CONSUMER_GROUP_DESCRIBE, ApiKey.SHARE_GROUP_DESCRIBE, ApiKey.STREAMS_GROUP_DESCRIBE]
)
def test_a_group_that_is_described_is_not_found(world, api_key: ApiKey) -> None:
    lowest, highest, _ = API_VERSIONS[api_key]
    for version in range(lowest, highest + 1):
        request = request_class(api_key)(group_ids=["g", ""])
        groups = world.send(HANDLERS[api_key].handle, request, version).response(response_class(api_key)).groups
        assert [(group.group_id, group.error_code) for group in groups] == [
            ("g", GROUP_ID_NOT_FOUND),
            ("", INVALID_GROUP_ID),
        ]
        assert "g" in groups[0].error_message


def test_who_mistypes_a_consumer_group_is_told_so(world) -> None:
    """Clients show this answer when there is no classic group of that name either."""
    request = ConsumerGroupDescribeRequest(group_ids=["raeders"])
    exchange = world.send(HANDLERS[ApiKey.CONSUMER_GROUP_DESCRIBE].handle, request, 1)
    assert exchange.response(ConsumerGroupDescribeResponse).groups[0].error_message == "Group raeders not found."


@pytest.mark.parametrize("version", range(2))
def test_share_groups_have_no_offsets(world, version: int) -> None:
    request = DescribeShareGroupOffsetsRequest(groups=[DescribeShareGroupOffsetsRequestGroup(group_id="g")])
    exchange = world.send(HANDLERS[ApiKey.DESCRIBE_SHARE_GROUP_OFFSETS].handle, request, version)
    (group,) = exchange.response(DescribeShareGroupOffsetsResponse).groups
    assert (group.group_id, group.error_code) == ("g", GROUP_ID_NOT_FOUND)
    for api_key in (ApiKey.ALTER_SHARE_GROUP_OFFSETS, ApiKey.DELETE_SHARE_GROUP_OFFSETS):
        exchange = world.send(HANDLERS[api_key].handle, request_class(api_key)(group_id="g"), 0)
        assert exchange.response(response_class(api_key)).error_code == GROUP_ID_NOT_FOUND


def test_the_longest_name_of_a_group_gets_its_answer(world) -> None:
    """A message that repeats it has to be one that the protocol can carry."""
    name = "g" * 32_767
    for api_key in (ApiKey.CONSUMER_GROUP_DESCRIBE, ApiKey.SHARE_GROUP_DESCRIBE, ApiKey.STREAMS_GROUP_DESCRIBE):
        request = request_class(api_key)(group_ids=[name])
        response = world.send(HANDLERS[api_key].handle, request, API_VERSIONS[api_key][1])
        (group,) = response.response(response_class(api_key)).groups
        assert (group.group_id, group.error_code) == (name, GROUP_ID_NOT_FOUND)
