"""The classic group protocol as clients of every age know it: who is let in, who leads, who waits, who is dropped."""

from __future__ import annotations

import logging
from typing import Any

import pytest

UNKNOWN_MEMBER, ILLEGAL_GENERATION, INCONSISTENT, REBALANCE, INVALID_SESSION = 25, 22, 23, 27, 26
MEMBER_ID_REQUIRED, FENCED, MAX_SIZE, INVALID_GROUP, NOT_COORDINATOR = 79, 82, 81, 24, 16


# -- JoinGroup: first contact


def test_a_first_join_gets_an_id_and_has_to_come_back_with_it(coordinator: Any) -> None:
    """From version 4 on nobody becomes a member before it knows its id."""
    first = coordinator.joined(coordinator.send_join())
    assert first.error_code == MEMBER_ID_REQUIRED
    assert first.member_id.startswith("client-")
    assert first.generation_id == -1
    second = coordinator.send_join(first.member_id)
    coordinator.advance(0)
    joined = coordinator.joined(second)
    assert (joined.error_code, joined.generation_id, joined.leader) == (0, 1, first.member_id)
    assert (joined.protocol_type, joined.protocol_name) == ("consumer", "range")
    assert [member.member_id for member in joined.members] == [first.member_id]


@pytest.mark.parametrize("version", range(10))
def test_every_version_of_join_leads_to_a_stable_group(coordinator: Any, version: int) -> None:
    """Old clients join at once, newer ones in two steps; the answer fits on the wire in each version."""
    token = coordinator.join(version=version)
    coordinator.advance(0)
    joined = coordinator.joined(token)
    assert joined.error_code == 0
    sync = coordinator.send_sync(joined, version=min(version, 5))
    assert coordinator.synced(sync).assignment == b"for " + joined.member_id.encode()
    assert coordinator.heartbeat(joined.member_id, 1, version=min(version, 4)) == 0


def test_an_id_not_used_in_time_is_forgotten(coordinator: Any) -> None:
    """The group that nobody entered leaves nothing behind."""
    first = coordinator.joined(coordinator.send_join(session=10_000))
    coordinator.advance(10_000)
    assert coordinator.state() == ""
    assert coordinator.joined(coordinator.send_join(first.member_id)).error_code == UNKNOWN_MEMBER


def test_an_id_given_out_holds_the_rebalance_up(coordinator: Any) -> None:
    """Whoever was just told its id is waited for; when it does not come, the others go on."""
    member = coordinator.stable_group()[0]
    coordinator.send_join(session=10_000)
    again = coordinator.send_join(member.member_id)
    assert again not in coordinator.replies
    coordinator.advance(10_000)
    assert coordinator.joined(again).generation_id == 2


@pytest.mark.parametrize("session", [pytest.param(5_999, id="too short"), pytest.param(1_800_001, id="too long")])
def test_session_timeouts_have_bounds(coordinator: Any, session: int) -> None:
    """group.min.session.timeout.ms and group.max.session.timeout.ms."""
    assert coordinator.joined(coordinator.send_join(session=session)).error_code == INVALID_SESSION


def test_nonsense_is_refused(coordinator: Any) -> None:
    """No group id, no protocols, no protocol type, an id nobody gave out."""
    assert coordinator.joined(coordinator.send_join(group="")).error_code == INVALID_GROUP
    assert coordinator.joined(coordinator.send_join(protocols={})).error_code == INCONSISTENT
    assert coordinator.joined(coordinator.send_join(protocol_type="")).error_code == INCONSISTENT
    assert coordinator.joined(coordinator.send_join("made-up")).error_code == UNKNOWN_MEMBER
    assert coordinator.state() == ""


# -- protocols


def test_the_protocol_with_most_votes_that_all_support_wins(coordinator: Any) -> None:
    """Each member votes for the first of its list among those everybody has."""
    first = coordinator.join(protocols={"sticky": b"1s", "range": b"1r", "own": b""})
    coordinator.advance(0)
    joined = coordinator.joined(first)
    assert joined.protocol_name == "sticky"
    second = coordinator.join(protocols={"range": b"2r", "sticky": b"2s"})
    again = coordinator.send_join(joined.member_id, protocols={"own": b"", "range": b"1r", "sticky": b"1s"})
    assert coordinator.joined(second).protocol_name == "range"
    assert {bytes(member.metadata) for member in coordinator.joined(again).members} == {b"1r", b"2r"}


def test_whoever_shares_no_protocol_stays_out(coordinator: Any) -> None:
    """Neither another assignor nor another type of group is let in."""
    coordinator.stable_group()
    assert coordinator.joined(coordinator.join(protocols={"other": b""})).error_code == INCONSISTENT
    assert coordinator.joined(coordinator.join(protocol_type="connect")).error_code == INCONSISTENT
    assert coordinator.state() == "Stable"


def test_an_empty_group_may_change_its_type(coordinator: Any) -> None:
    """With the last member the protocol type is gone."""
    member = coordinator.stable_group()[0]
    coordinator.leave((member.member_id, None))
    token = coordinator.join(protocol_type="connect", protocols={"v1": b""})
    coordinator.advance(0)
    assert coordinator.joined(token).protocol_type == "connect"


# -- rebalances


def test_a_new_member_makes_the_others_join_again(coordinator: Any) -> None:
    """Heartbeats tell them; when the last has joined all are answered with the next generation."""
    old = coordinator.stable_group()[0]
    new = coordinator.join()
    assert new not in coordinator.replies
    assert coordinator.state() == "PreparingRebalance"
    assert coordinator.heartbeat(old.member_id, 1) == REBALANCE
    again = coordinator.send_join(old.member_id)
    leader, follower = coordinator.joined(again), coordinator.joined(new)
    assert leader.generation_id == follower.generation_id == 2
    assert leader.leader == follower.leader == old.member_id
    assert (len(leader.members), len(follower.members)) == (2, 0)
    assert coordinator.state() == "CompletingRebalance"
    waiting = coordinator.send_sync(follower)
    assert waiting not in coordinator.replies
    assert coordinator.heartbeat(follower.member_id, 2) == 0
    coordinator.send_sync(leader)
    assert coordinator.synced(waiting).assignment == b"for " + follower.member_id.encode()
    assert coordinator.state() == "Stable"


def test_who_does_not_join_again_in_time_is_dropped(coordinator: Any) -> None:
    """The longest rebalance timeout of the members decides."""
    first, second = coordinator.stable_group(2, rebalance=20_000, session=60_000)
    again = coordinator.send_join(first.member_id, rebalance=20_000, session=60_000)
    coordinator.advance(19_999)
    assert again not in coordinator.replies
    coordinator.advance(1)
    assert [member.member_id for member in coordinator.joined(again).members] == [first.member_id]
    assert coordinator.heartbeat(second.member_id, 3) == UNKNOWN_MEMBER


def test_a_dead_leader_is_replaced(coordinator: Any) -> None:
    """Among those who joined another one leads."""
    leader, follower = coordinator.stable_group(2)
    coordinator.leave((leader.member_id, None))
    joined = coordinator.joined(coordinator.send_join(follower.member_id))
    assert joined.leader == follower.member_id
    assert len(joined.members) == 1


def test_a_silent_member_is_dropped_after_its_session(coordinator: Any) -> None:
    """Heartbeats keep it; without them the others rebalance."""
    leader, follower = coordinator.stable_group(2, session=10_000)
    for _ in range(4):
        coordinator.advance(5_000)
        assert coordinator.heartbeat(leader.member_id, 2) == 0
        assert coordinator.heartbeat(follower.member_id, 2) == 0
    coordinator.advance(5_000)
    assert coordinator.heartbeat(leader.member_id, 2) == 0
    coordinator.advance(5_000)
    assert coordinator.state() == "PreparingRebalance"
    assert coordinator.heartbeat(leader.member_id, 2) == REBALANCE
    assert coordinator.heartbeat(follower.member_id, 2) == UNKNOWN_MEMBER


def test_the_last_member_leaves_an_empty_group(coordinator: Any) -> None:
    """The generation counts on, and is written, so that a late SyncGroup of the old one is refused."""
    member = coordinator.stable_group()[0]
    written = len(coordinator.log)
    coordinator.advance(10_000)
    assert coordinator.state() == "Empty"
    assert len(coordinator.log) == written + 1
    assert coordinator.restarted().snapshot() == coordinator.snapshot()
    assert coordinator.synced(coordinator.send_sync(member)).error_code == UNKNOWN_MEMBER


def test_a_joining_member_does_not_die_while_it_waits(coordinator: Any) -> None:
    """A parked JoinGroup is a sign of life, however long the others take."""
    first, second = coordinator.stable_group(2, session=10_000, rebalance=60_000)
    again = coordinator.send_join(first.member_id, session=10_000, rebalance=60_000)
    for _ in range(5):
        coordinator.advance(9_000)
        assert coordinator.heartbeat(second.member_id, 2) == REBALANCE
    other = coordinator.send_join(second.member_id, session=10_000, rebalance=60_000)
    assert coordinator.joined(again).generation_id == coordinator.joined(other).generation_id == 3


def test_a_new_member_that_went_away_while_parked_is_dropped_in_the_end(coordinator: Any) -> None:
    """Nobody sees it go, and it cannot heartbeat: five minutes are the limit."""
    old = coordinator.stable_group(rebalance=600_000, session=10_000)[0]
    ghost = coordinator.join(rebalance=600_000)
    for _ in range(60):
        coordinator.advance(5_000)
        coordinator.heartbeat(old.member_id, 1)
    answer = coordinator.joined(ghost)
    assert (answer.error_code, answer.member_id) == (UNKNOWN_MEMBER, "")


def test_a_follower_that_joins_again_unchanged_gets_the_current_generation(coordinator: Any) -> None:
    """It may have lost the answer; no rebalance for that."""
    leader, follower = coordinator.stable_group(2)
    again = coordinator.joined(coordinator.send_join(follower.member_id))
    assert (again.generation_id, again.leader, again.members) == (2, leader.member_id, [])
    assert coordinator.state() == "Stable"


@pytest.mark.parametrize("which", [pytest.param(0, id="leader"), pytest.param(1, id="follower with other metadata")])
def test_a_join_that_changes_something_begins_a_rebalance(coordinator: Any, which: int) -> None:
    """A leader that joins again wants one; so does a member that subscribes to something else."""
    members = coordinator.stable_group(2)
    token = coordinator.send_join(members[which].member_id, protocols={"range": b"" if which else b"changed"})
    assert token not in coordinator.replies
    assert coordinator.state() == "PreparingRebalance"


def test_a_join_repeated_before_sync_gets_the_same_answer(coordinator: Any) -> None:
    """In CompletingRebalance the leader is told the members once more."""
    token = coordinator.join()
    coordinator.advance(0)
    first = coordinator.joined(token)
    assert coordinator.joined(coordinator.send_join(first.member_id)) == first


def test_a_join_during_sync_sends_the_waiting_back(coordinator: Any) -> None:
    """Whoever waits for an assignment of a generation that is over is told so."""
    first, second = coordinator.stable_group(2)
    tokens = [coordinator.send_join(first.member_id), coordinator.send_join(second.member_id)]
    waiting = coordinator.send_sync(coordinator.joined(tokens[1]))
    coordinator.join()
    assert coordinator.synced(waiting).error_code == REBALANCE
    assert coordinator.synced(coordinator.send_sync(coordinator.joined(tokens[0]))).error_code == REBALANCE


def test_who_never_syncs_is_dropped(coordinator: Any) -> None:
    """A leader that joined and then hangs may not keep the others waiting for ever."""
    leader, follower = coordinator.stable_group(2, session=60_000, rebalance=20_000)
    options = {"session": 60_000, "rebalance": 20_000}
    tokens = [coordinator.send_join(member.member_id, **options) for member in (leader, follower)]
    waiting = coordinator.send_sync(coordinator.joined(tokens[1]))
    coordinator.advance(20_000)
    assert coordinator.synced(waiting).error_code == REBALANCE
    alone = coordinator.joined(coordinator.send_join(follower.member_id, **options))
    assert [member.member_id for member in alone.members] == [follower.member_id]


def test_a_repeated_request_frees_the_parked_one(coordinator: Any) -> None:
    """No request stays unanswered, even when a client sends a second one without waiting."""
    first, second = coordinator.stable_group(2)
    one = coordinator.send_join(first.member_id)
    two = coordinator.send_join(first.member_id)
    assert coordinator.joined(one).error_code == REBALANCE
    last = coordinator.send_join(second.member_id)
    assert coordinator.joined(two).error_code == 0
    sync = coordinator.send_sync(coordinator.joined(last))
    coordinator.send_sync(coordinator.joined(last))
    assert coordinator.synced(sync).error_code == REBALANCE


# -- the initial delay


def test_an_empty_group_waits_for_more_members(coordinator_class: Any) -> None:
    """The delay is extended while somebody new came in it, up to the rebalance timeout."""
    coordinator = coordinator_class(group_initial_rebalance_delay_ms=3_000)
    first = coordinator.join(rebalance=8_000)
    coordinator.advance(2_000)
    second = coordinator.join(rebalance=8_000)
    coordinator.advance(2_000)
    assert first not in coordinator.replies
    third = coordinator.join(rebalance=8_000)
    coordinator.advance(3_999)
    assert third not in coordinator.replies
    coordinator.advance(1)
    assert {coordinator.joined(token).generation_id for token in (first, second, third)} == {1}


def test_nobody_new_ends_the_initial_delay(coordinator_class: Any) -> None:
    """One member waits once."""
    coordinator = coordinator_class(group_initial_rebalance_delay_ms=3_000)
    token = coordinator.join()
    coordinator.advance(2_999)
    assert token not in coordinator.replies
    coordinator.advance(1)
    assert coordinator.joined(token).error_code == 0


def test_everybody_may_leave_during_the_initial_delay(coordinator_class: Any) -> None:
    """The parked JoinGroup is answered, the group ends up empty."""
    coordinator = coordinator_class(group_initial_rebalance_delay_ms=3_000)
    first = coordinator.joined(coordinator.send_join())
    token = coordinator.send_join(first.member_id)
    coordinator.leave((first.member_id, None))
    assert coordinator.joined(token).error_code == UNKNOWN_MEMBER
    coordinator.advance(3_000)
    assert coordinator.state() == "Empty"


# -- group.max.size


def test_a_full_group_takes_nobody_in(coordinator_class: Any) -> None:
    """A member of it may join again."""
    coordinator = coordinator_class(group_max_size=2)
    first, second = coordinator.stable_group(2)
    refused = coordinator.joined(coordinator.send_join())
    assert (refused.error_code, refused.member_id) == (MAX_SIZE, "")
    tokens = [coordinator.send_join(member.member_id) for member in (first, second)]
    assert {coordinator.joined(token).generation_id for token in tokens} == {3}


def test_a_rebalance_gives_places_to_who_comes_first(coordinator_class: Any) -> None:
    """A smaller limit after a restart: the group shrinks at its next rebalance."""
    before = coordinator_class()
    members = before.stable_group(3)
    coordinator = coordinator_class(before.log, before.clock, group_max_size=2)
    assert coordinator.state() == "PreparingRebalance"
    tokens = [coordinator.send_join(member.member_id) for member in members]
    assert coordinator.joined(tokens[2]).error_code == MAX_SIZE
    assert coordinator.joined(tokens[0]).generation_id == coordinator.joined(tokens[1]).generation_id == 4


def test_a_static_member_returns_to_a_full_group(coordinator_class: Any) -> None:
    """It takes its own place, not another one."""
    coordinator = coordinator_class(group_max_size=1)
    coordinator.stable_group(instance="one")
    assert coordinator.joined(coordinator.send_join(instance="one")).error_code == 0


# -- SyncGroup


def test_sync_is_checked(coordinator: Any) -> None:
    """Group, member, generation, protocol type and name."""
    member = coordinator.stable_group()[0]

    def error(**changes: object) -> int:
        return coordinator.synced(coordinator.send_sync(member, **changes)).error_code

    assert error(group="") == INVALID_GROUP
    assert error(group="other") == UNKNOWN_MEMBER
    assert error(member_id="other") == UNKNOWN_MEMBER
    assert error(generation_id=2) == ILLEGAL_GENERATION
    assert error(protocol_type="connect") == INCONSISTENT
    assert error(protocol_name="sticky") == INCONSISTENT
    assert error(protocol_type=None, protocol_name=None) == 0


def test_members_the_leader_forgot_get_nothing(coordinator: Any) -> None:
    """An empty assignment, not an unanswered request."""
    leader, follower = coordinator.stable_group(2)
    tokens = [coordinator.send_join(member.member_id) for member in (leader, follower)]
    waiting = coordinator.send_sync(coordinator.joined(tokens[1]))
    coordinator.send_sync(coordinator.joined(tokens[0]), {leader.member_id: b"all", "stranger": b"none"})
    assert coordinator.synced(waiting).error_code == 0
    assert coordinator.synced(waiting).assignment == b""


def test_sync_in_a_stable_group_repeats_the_assignment(coordinator: Any) -> None:
    """It also counts as a sign of life."""
    member = coordinator.stable_group(session=10_000)[0]
    coordinator.advance(9_000)
    assert coordinator.synced(coordinator.send_sync(member)).assignment == b"for " + member.member_id.encode()
    coordinator.advance(9_000)
    assert coordinator.state() == "Stable"


@pytest.mark.parametrize(
    ("cause", "told"),
    [
        pytest.param(56, NOT_COORDINATOR, id="failing disk"),
        pytest.param(6, NOT_COORDINATOR, id="not leader any more"),
        pytest.param(19, 15, id="not enough replicas"),
        pytest.param(10, -1, id="too large"),
    ],
)
def test_an_assignment_that_cannot_be_written_is_not_given_out(coordinator: Any, cause: int, told: int) -> None:
    """Everybody waiting is told why, and a rebalance begins."""
    token = coordinator.join()
    coordinator.advance(0)
    coordinator.error = cause
    sync = coordinator.send_sync(coordinator.joined(token))
    assert coordinator.synced(sync).error_code == told
    assert coordinator.state() == "PreparingRebalance"


def test_an_assignment_counts_only_when_it_is_committed(coordinator: Any) -> None:
    """While the write is under way nobody is told; a join in between makes it void."""
    token = coordinator.join()
    coordinator.advance(0)
    coordinator.hold = True
    sync = coordinator.send_sync(coordinator.joined(token))
    assert sync not in coordinator.replies
    coordinator.join()
    assert coordinator.synced(sync).error_code == REBALANCE
    coordinator.commit_held()
    assert coordinator.state() == "PreparingRebalance"


# -- Heartbeat, LeaveGroup


def test_heartbeats_are_checked(coordinator: Any) -> None:
    """Group, member, generation."""
    member = coordinator.stable_group()[0]
    assert coordinator.heartbeat(member.member_id, 1) == 0
    assert coordinator.heartbeat(member.member_id, 1, group="") == INVALID_GROUP
    assert coordinator.heartbeat(member.member_id, 1, group="other") == UNKNOWN_MEMBER
    assert coordinator.heartbeat("other", 1) == UNKNOWN_MEMBER
    assert coordinator.heartbeat(member.member_id, 2) == ILLEGAL_GENERATION
    assert coordinator.heartbeat(member.member_id, 1, instance="static") == UNKNOWN_MEMBER


@pytest.mark.parametrize("version", range(6))
def test_a_member_leaves(coordinator: Any, version: int) -> None:
    """Old versions have one error code, newer ones one per member."""
    member = coordinator.stable_group()[0]
    assert coordinator.leave(("other", None), version=version).error_code == (UNKNOWN_MEMBER if version < 3 else 0)
    assert coordinator.leave((member.member_id, None), version=version).error_code == 0
    assert coordinator.state() == "Empty"


def test_several_members_leave_at_once(coordinator: Any) -> None:
    """Each has its own result: members, static ones by their instance id, ids not yet used, strangers."""
    coordinator.stable_group(instance="one")
    pending = coordinator.joined(coordinator.send_join())
    answer = coordinator.leave(("", "one"), (pending.member_id, None), ("", "two"), ("stranger", None), ("x", "one"))
    assert [member.error_code for member in answer.members] == [0, 0, UNKNOWN_MEMBER, UNKNOWN_MEMBER, UNKNOWN_MEMBER]
    assert coordinator.leave(("a", None), group="other").members[0].error_code == UNKNOWN_MEMBER
    assert coordinator.leave(("a", None), group="").error_code == INVALID_GROUP


def test_a_leaving_member_frees_its_parked_sync(coordinator: Any) -> None:
    """Another connection may let it leave, as administrators do."""
    leader, follower = coordinator.stable_group(2)
    tokens = [coordinator.send_join(member.member_id) for member in (leader, follower)]
    waiting = coordinator.send_sync(coordinator.joined(tokens[1]))
    coordinator.leave((follower.member_id, None))
    assert coordinator.synced(waiting).error_code == UNKNOWN_MEMBER


# -- static members


def test_a_restarted_static_member_keeps_its_place(coordinator: Any) -> None:
    """No rebalance: it is given its old assignment under a new member id."""
    old = coordinator.stable_group(instance="one")[0]
    new = coordinator.joined(coordinator.send_join(instance="one"))
    assert (new.error_code, new.generation_id) == (0, 1)
    assert new.member_id != old.member_id
    assert new.member_id.startswith("one-")
    assert coordinator.state() == "Stable"
    sync = coordinator.send_sync(new, instance="one")
    assert coordinator.synced(sync).assignment == b"for " + old.member_id.encode()
    assert coordinator.restarted().snapshot() == coordinator.snapshot()


@pytest.mark.parametrize("version", range(5, 10))
def test_a_restarted_static_leader_does_not_assign(coordinator: Any, version: int) -> None:
    """Told by the old leader's id up to version 8, and by skip_assignment, with all members, from version 9."""
    old = coordinator.stable_group(instance="one")[0]
    new = coordinator.joined(coordinator.send_join(instance="one", version=version))
    if version < 9:
        assert (new.leader, new.members, new.skip_assignment) == (old.member_id, [], False)
    else:
        assert (new.leader, new.skip_assignment) == (new.member_id, True)
        assert [member.group_instance_id for member in new.members] == ["one"]


def test_the_old_incarnation_of_a_static_member_is_fenced(coordinator: Any) -> None:
    """Two processes with one instance id: the older one has to stop."""
    old = coordinator.stable_group(instance="one")[0]
    coordinator.send_join(instance="one")
    assert coordinator.heartbeat(old.member_id, 1, "one") == FENCED
    assert coordinator.joined(coordinator.send_join(old.member_id, instance="one")).error_code == FENCED
    assert coordinator.synced(coordinator.send_sync(old, instance="one")).error_code == FENCED
    assert coordinator.committed(
        coordinator.send_commit({("orders", 0): 1}, member_id=old.member_id, generation=1, instance="one")
    ) == [FENCED]
    assert coordinator.leave((old.member_id, "one")).members[0].error_code == FENCED
    assert coordinator.heartbeat(old.member_id, 1) == UNKNOWN_MEMBER


def test_a_parked_static_member_is_fenced_by_its_successor(coordinator: Any) -> None:
    """The answer goes out at once; the successor waits in its place."""
    member = coordinator.stable_group(instance="one", session=60_000)[0]
    coordinator.join(instance="two")
    parked = coordinator.send_join(member.member_id, instance="one")
    assert parked in coordinator.replies
    coordinator.join(instance="three")
    parked = coordinator.send_join(member.member_id, instance="one")
    successor = coordinator.send_join(instance="one")
    assert coordinator.joined(parked).error_code == FENCED
    assert successor not in coordinator.replies


def test_a_static_member_is_waited_for_until_its_session_ends(coordinator: Any) -> None:
    """A rebalance does not drop it: it may be restarting."""
    options = {"session": 50_000, "rebalance": 10_000}
    coordinator.stable_group(instance="one", **options)
    new = coordinator.join(instance="two", **options)
    coordinator.advance(10_000)
    joined = coordinator.joined(new)
    assert {member.group_instance_id for member in joined.members} == {"one", "two"}
    coordinator.send_sync(joined, instance="two")
    back = coordinator.joined(coordinator.send_join(instance="one", **options))
    assert back.generation_id == joined.generation_id


def test_a_group_of_absent_static_members_ends_with_their_sessions(coordinator: Any) -> None:
    """Nobody joins again and nobody may be dropped: the rebalance is extended until the sessions end it."""
    options = {"session": 50_000, "rebalance": 10_000}
    first = coordinator.send_join(instance="a", **options)
    coordinator.advance(0)
    second = coordinator.send_join(instance="b", **options)
    again = coordinator.send_join(coordinator.joined(first).member_id, instance="a", **options)
    coordinator.send_sync(coordinator.joined(again), instance="a")
    coordinator.send_sync(coordinator.joined(second), instance="b")
    coordinator.leave(("", "b"))
    coordinator.advance(49_999)
    assert coordinator.state() == "PreparingRebalance"
    coordinator.advance(1)
    assert coordinator.state() == "Empty"


def test_a_static_member_with_another_favourite_begins_a_rebalance(coordinator: Any) -> None:
    """The group's protocol would be another one, so the assignment cannot stay."""
    coordinator.stable_group(instance="one", protocols={"range": b"r", "sticky": b"s"})
    token = coordinator.send_join(instance="one", protocols={"sticky": b"s", "range": b"r"})
    assert coordinator.joined(token).generation_id == 2
    assert coordinator.joined(token).protocol_name == "sticky"


def test_a_static_member_that_returns_during_sync_begins_a_rebalance(coordinator: Any) -> None:
    """The leader may just be assigning to the old member id."""
    first = coordinator.send_join(instance="one")
    coordinator.advance(0)
    again = coordinator.send_join(instance="one")
    assert coordinator.joined(first).generation_id == 1
    assert coordinator.joined(again).generation_id == 2


def test_a_replacement_that_cannot_be_written_does_not_happen(coordinator: Any) -> None:
    """The old incarnation goes on as if nothing had been asked."""
    old = coordinator.stable_group(instance="one")[0]
    before = coordinator.snapshot()
    coordinator.error = 56
    refused = coordinator.joined(coordinator.send_join(instance="one", session=20_000, protocols={"range": b"new"}))
    assert (refused.error_code, refused.member_id) == (NOT_COORDINATOR, "")
    assert coordinator.snapshot() == before
    assert coordinator.heartbeat(old.member_id, 1, "one") == 0


def test_a_replacement_under_way_survives_what_happens_meanwhile(coordinator: Any) -> None:
    """A rebalance that began before the write was over sends the newcomer back to join."""
    coordinator.stable_group(instance="one")
    coordinator.hold = True
    token = coordinator.send_join(instance="one")
    assert token not in coordinator.replies
    coordinator.join()
    coordinator.commit_held()
    assert coordinator.joined(token).error_code == REBALANCE


def test_an_instance_nobody_knows_is_told_so(coordinator: Any) -> None:
    """A member id with an instance id that the group does not have."""
    member = coordinator.stable_group()[0]
    assert coordinator.joined(coordinator.send_join(member.member_id, instance="one")).error_code == UNKNOWN_MEMBER
    pending = coordinator.joined(coordinator.send_join())
    assert coordinator.joined(coordinator.send_join(pending.member_id, instance="x")).error_code == UNKNOWN_MEMBER
    assert coordinator.leave((pending.member_id, "x")).members[0].error_code == UNKNOWN_MEMBER


# -- what the log says


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines at INFO, and forget them."""
    found = [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]
    caplog.clear()
    return found


def test_a_rebalance_is_one_line_in_words(coordinator: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kbroker")
    first = coordinator.stable_group()[0]
    assert lines(caplog) == ["Group 'group': generation 1 has 1 member, because 'client' (127.0.0.1) joined"]
    second = coordinator.join()
    again = coordinator.send_join(first.member_id)
    coordinator.advance(0)
    assert lines(caplog) == ["Group 'group': generation 2 has 2 members, because 'client' (127.0.0.1) joined"]
    for token in (again, second):
        coordinator.send_sync(coordinator.joined(token))
    coordinator.leave((coordinator.joined(second).member_id, None))
    coordinator.leave((first.member_id, None))
    assert lines(caplog) == [
        "Group 'group': generation 3 has no members, because 'client' (127.0.0.1) left, 'client' (127.0.0.1) left"
    ]


def test_many_causes_are_counted(coordinator: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kbroker")
    for _ in range(5):
        coordinator.join()
    coordinator.advance(0)
    (line,) = lines(caplog)
    assert line.startswith("Group 'group': generation 1 has 5 members, because 'client' (127.0.0.1) joined, ")
    assert line.endswith(" and 2 more changes")


def test_a_member_that_joins_again_gives_its_reason(coordinator: Any, caplog: pytest.LogCaptureFixture) -> None:
    """As the client tells it, quoted: a client can write no lines of its own into the log."""
    caplog.set_level(logging.INFO, "kbroker")
    first = coordinator.stable_group()[0]
    lines(caplog)
    coordinator.send_join(first.member_id, version=9, reason="new topics\nINFO all is well")
    coordinator.advance(0)
    (line,) = lines(caplog)
    assert line.endswith(" has 1 member, because 'client' (127.0.0.1) joined again: 'new topics\\nINFO all is well'")


def test_a_silent_member_is_told(coordinator: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kbroker")
    coordinator.stable_group(session=7_500)
    lines(caplog)
    coordinator.advance(7_500)
    assert lines(caplog) == [
        "Group 'group': generation 2 has no members, because 'client' (127.0.0.1) was silent for its session of 7.5 s"
    ]
