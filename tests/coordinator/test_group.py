"""The arithmetic of a group: leaders, votes, topics, and from when on an offset's retention counts."""

from __future__ import annotations

from typing import Any

import pytest

from kbroker.coordinator.group import ClientInfo, Group, GroupState, Member, ParkedRequest, fill_assignment
from kbroker.coordinator.group_descriptions import describe_group
from kbroker.coordinator.group_offsets import GroupOffsets
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.describe_groups import DescribeGroupsResponse

NOW = 1_700_000_000_000


def member(name: str, *protocols: str, metadata: bytes = b"", timeout: int = 1_000) -> Member:
    return Member(
        name,
        None,
        ClientInfo("c", "/h"),
        rebalance_timeout_ms=timeout,
        session_timeout_ms=6_000,
        protocols=tuple((protocol, metadata) for protocol in protocols),
    )


def test_a_client_with_an_endless_name_fills_no_log() -> None:
    shown = Member(
        "m", None, ClientInfo("n" * 30_000, "/h"), rebalance_timeout_ms=1, session_timeout_ms=1, protocols=()
    ).in_words()
    assert shown.startswith("'nnn")
    assert len(shown) < 200


def group_of(*members: Member, protocol_type: str = "consumer") -> Group:
    group = Group("group", 0, GroupOffsets())
    for each in members:
        group.add(each, protocol_type)
    return group


def test_the_first_member_leads_and_the_next_follows_it() -> None:
    """Without members there is no leader."""
    first, second = member("a", "range"), member("b", "range")
    group = group_of(first, second)
    assert group.leader_id == "a"
    group.remove(first)
    assert group.leader_id == "b"
    group.remove(second)
    assert group.leader_id is None


def test_only_who_has_joined_can_be_elected() -> None:
    """The old leader first, if it is there."""
    group = group_of(member("a", "range"), member("b", "range"))
    assert not group.elect_joined_leader()
    group.awaiting_join["b"] = ParkedRequest(1, 9)
    assert group.elect_joined_leader()
    assert group.leader_id == "b"


def test_votes_go_to_protocols_of_all() -> None:
    """What one does not support cannot be chosen, however many like it best."""
    group = group_of(member("a", "x", "y", "z"), member("b", "x", "z", "y"), member("c", "z", "y"))
    assert group.select_protocol() == "z"
    assert not group.supports_protocols("consumer", ["x"])
    assert group.supports_protocols("consumer", ["x", "y"])
    assert not group.supports_protocols("connect", ["y"])


def test_the_slowest_member_sets_the_pace() -> None:
    """Rebalance timeouts: the longest counts."""
    assert group_of().rebalance_timeout_ms() == 0
    assert group_of(member("a", "x", timeout=5), member("b", "x", timeout=9)).rebalance_timeout_ms() == 9


@pytest.mark.parametrize(
    ("metadata", "topics"),
    [
        pytest.param(None, frozenset({"orders", "audit"}), id="subscription"),
        pytest.param(b"", None, id="empty"),
        pytest.param(b"\x00\x01\x00", None, id="cut off"),
        pytest.param(b"\xff\xff\x00\x00\x00\x00", None, id="impossible version"),
    ],
)
def test_subscribed_topics_are_read_from_the_metadata(
    subscribe: Any, metadata: bytes | None, topics: frozenset[str] | None
) -> None:
    """What cannot be read is not known, which is not the same as nothing."""
    group = group_of(
        member("a", "range", metadata=subscribe("orders")),
        member("b", "range", metadata=subscribe("audit") if metadata is None else metadata),
    )
    group.begin_generation(NOW)
    assert group.subscribed_topics == topics
    assert group.is_subscribed("orders")
    assert group.is_subscribed("others") == (topics is None), "who cannot be read may be reading it"


def test_other_protocol_types_have_no_topics() -> None:
    """Only consumers say what they subscribe to."""
    group = group_of(member("a", "v1"), protocol_type="connect")
    group.begin_generation(NOW)
    assert group.subscribed_topics is None
    assert not group.is_subscribed("orders")


def test_retention_counts_from_the_right_moment(subscribe: Any) -> None:
    """The commit for groups that only store; the end of the group for others; never while it is in use."""
    group = group_of()
    assert group.offset_base_timestamp("orders", 5) == 5
    only = member("a", "range", metadata=subscribe("orders"))
    group.add(only, "consumer")
    group.begin_generation(NOW)
    assert group.offset_base_timestamp("audit", 5) is None
    group.transition_to(GroupState.STABLE, NOW)
    assert group.offset_base_timestamp("orders", 5) is None
    assert group.offset_base_timestamp("audit", 5) == 5
    group.remove(only)
    group.begin_generation(NOW + 1)
    assert group.offset_base_timestamp("orders", 5) == NOW + 1
    group.current_state_timestamp_ms = None
    assert group.offset_base_timestamp("orders", 5) == 5


def test_everybody_gets_an_assignment() -> None:
    """Members the leader left out get an empty one; strangers none."""
    assert fill_assignment(["a", "b"], {"a": b"1", "x": b"2"}) == {"a": b"1", "b": b""}


def test_a_group_with_the_longest_name_is_told_missing() -> None:
    name = "g" * 32_767
    described = DescribeGroupsResponse(groups=[describe_group(None, name, 6)]).encode(6)
    assert DescribeGroupsResponse.decode(described, 6)[0].groups[0].error_code == ErrorCode.GROUP_ID_NOT_FOUND
