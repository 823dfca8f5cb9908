"""What administrators see: groups by state and type, members with their assignment once it is certain."""

from __future__ import annotations

from typing import Any

import pytest

from kbroker.protocol.messages.describe_groups import DescribeGroupsRequest
from kbroker.protocol.messages.list_groups import ListGroupsRequest


@pytest.mark.parametrize("version", range(7))
def test_a_stable_group_is_described_with_its_members(coordinator: Any, subscribe: Any, version: int) -> None:
    """Metadata and assignment of each member, and who it is."""
    member = coordinator.stable_group(client_id="reader")[0]
    group = coordinator.ask(DescribeGroupsRequest(groups=["group"]), version).groups[0]
    assert (group.error_code, group.group_state, group.protocol_type, group.protocol_data) == (
        0,
        "Stable",
        "consumer",
        "range",
    )
    found = group.members[0]
    assert (found.member_id, found.client_id, found.client_host) == (member.member_id, "reader", "/127.0.0.1")
    assert bytes(found.member_metadata) == subscribe("orders")
    assert bytes(found.member_assignment) == b"for " + member.member_id.encode()


def test_a_rebalancing_group_shows_no_assignment(coordinator: Any) -> None:
    """What is about to change is not shown."""
    coordinator.stable_group()
    coordinator.join()
    group = coordinator.ask(DescribeGroupsRequest(groups=["group"]), 6).groups[0]
    assert (group.group_state, group.protocol_data) == ("PreparingRebalance", "")
    assert {bytes(member.member_assignment) for member in group.members} == {b""}


def test_an_unknown_group_is_dead(coordinator: Any) -> None:
    """Since version 6 it is an error too."""
    for version, code in ((5, 0), (6, 69)):
        group = coordinator.ask(DescribeGroupsRequest(groups=["nobody"]), version).groups[0]
        assert (group.group_state, group.error_code) == ("Dead", code)


@pytest.mark.parametrize("version", range(6))
def test_groups_are_listed(coordinator: Any, version: int) -> None:
    """Groups that only store offsets too."""
    coordinator.stable_group()
    coordinator.send_commit({("orders", 0): 1}, group="simple")
    answer = coordinator.ask(ListGroupsRequest(), version)
    assert {(group.group_id, group.protocol_type) for group in answer.groups} == {("group", "consumer"), ("simple", "")}
    if version >= 4:
        assert {group.group_state for group in answer.groups} == {"Stable", "Empty"}
    if version >= 5:
        assert {group.group_type for group in answer.groups} == {"classic"}


@pytest.mark.parametrize(
    ("states", "types", "names"),
    [
        pytest.param(["stable"], [], {"group"}, id="state, whatever its case"),
        pytest.param(["Empty", "Dead"], ["Classic"], {"simple"}, id="several states, and type"),
        pytest.param([], ["consumer"], set(), id="another type"),
    ],
)
def test_lists_are_filtered(coordinator: Any, states: list[str], types: list[str], names: set[str]) -> None:
    """Both filters have to let a group pass."""
    coordinator.stable_group()
    coordinator.send_commit({("orders", 0): 1}, group="simple")
    answer = coordinator.ask(ListGroupsRequest(states_filter=states, types_filter=types), 5)
    assert {group.group_id for group in answer.groups} == names
