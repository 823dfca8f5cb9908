"""The coordinator as its worker sees it: partitions come and go, the log is the truth, each request has one answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kbroker.clock import ManualClock
from kbroker.coordinator.group import ClientInfo
from kbroker.coordinator.records import group_key
from kbroker.errors import KafkaError
from kbroker.protocol.messages.delete_groups import DeleteGroupsRequest
from kbroker.protocol.messages.describe_groups import DescribeGroupsRequest
from kbroker.protocol.messages.fetch import FetchRequest
from kbroker.protocol.messages.list_groups import ListGroupsRequest
from kbroker.protocol.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic
from kbroker.protocol.record_batch import BatchBuilder

NOT_COORDINATOR, LOADING, REBALANCE, NON_EMPTY, GROUP_NOT_FOUND = 16, 14, 27, 68, 69
KEY = ("orders", 0)


# -- partitions


def test_a_partition_that_is_not_here_is_not_answered_for(coordinator: Any) -> None:
    """Everything about its groups is NOT_COORDINATOR; the client looks for the right broker."""
    member = coordinator.stable_group()[0]
    coordinator.runtime.unload(0)
    assert coordinator.joined(coordinator.send_join()).error_code == NOT_COORDINATOR
    assert coordinator.synced(coordinator.send_sync(member)).error_code == NOT_COORDINATOR
    assert coordinator.heartbeat(member.member_id, 1) == NOT_COORDINATOR
    assert coordinator.leave((member.member_id, None)).error_code == NOT_COORDINATOR
    assert coordinator.committed(coordinator.send_commit({KEY: 1})) == [NOT_COORDINATOR]
    assert coordinator.ask(DescribeGroupsRequest(groups=["g"]), 6).groups[0].error_code == NOT_COORDINATOR
    assert coordinator.ask(DeleteGroupsRequest(groups_names=["g"]), 2).results[0].error_code == NOT_COORDINATOR
    assert coordinator.ask(ListGroupsRequest(), 5).groups == []
    groups = [OffsetFetchRequestGroup(group_id="g", topics=None)]
    topics = [OffsetFetchRequestTopic(name="orders", partition_indexes=[0])]
    request = OffsetFetchRequest(group_id="g", groups=groups, topics=topics)
    assert coordinator.ask(request, 9).groups[0].error_code == NOT_COORDINATOR
    assert coordinator.ask(request, 7).error_code == NOT_COORDINATOR
    assert coordinator.ask(request, 1).topics[0].partitions[0].error_code == NOT_COORDINATOR


def test_a_partition_being_loaded_asks_for_patience(coordinator: Any) -> None:
    """Heartbeats count blindly, a sync starts over: members expect no other answers."""
    member = coordinator.stable_group()[0]
    coordinator.runtime.unload(0)
    coordinator.runtime.begin_load(0)
    assert coordinator.joined(coordinator.send_join()).error_code == LOADING
    assert coordinator.heartbeat(member.member_id, 1) == 0
    assert coordinator.synced(coordinator.send_sync(member)).error_code == REBALANCE
    assert coordinator.committed(coordinator.send_commit({KEY: 1})) == [LOADING]
    assert coordinator.ask(ListGroupsRequest(), 5).error_code == LOADING
    coordinator.runtime.load(0, coordinator.log, coordinator.clock.now_ms)
    assert coordinator.heartbeat(member.member_id, 1) == 0
    assert coordinator.runtime.loaded_partitions == {0}


def test_giving_a_partition_up_frees_what_is_parked(coordinator: Any) -> None:
    """Parked joins and syncs are sent to the new coordinator."""
    first, second = coordinator.stable_group(2)
    tokens = [coordinator.send_join(member.member_id) for member in (first, second)]
    sync = coordinator.send_sync(coordinator.joined(tokens[1]))
    other = coordinator.join(group="other", version=3)
    coordinator.runtime.unload(0)
    assert coordinator.synced(sync).error_code == NOT_COORDINATOR
    assert coordinator.joined(other).error_code == NOT_COORDINATOR
    coordinator.advance(3_600_000)
    assert coordinator.runtime.groups == [] or not list(coordinator.runtime.groups)


@pytest.mark.parametrize("error", [0, 6])
def test_writes_under_way_when_a_partition_is_given_up_are_still_answered(coordinator: Any, error: int) -> None:
    """Whatever becomes of them; and nothing comes back to life."""
    coordinator.stable_group(instance="one")
    coordinator.send_commit({KEY: 1}, group="simple")
    coordinator.hold = True
    tokens = [
        coordinator.send_commit({KEY: 2}, group="simple"),
        coordinator.send_join(instance="one"),
        coordinator.send(DeleteGroupsRequest(groups_names=["simple"]), 2),
    ]
    coordinator.runtime.unload(0)
    coordinator.commit_held(error)
    assert all(token in coordinator.replies for token in tokens)
    assert coordinator.joined(tokens[1]).error_code == NOT_COORDINATOR
    assert not list(coordinator.runtime.groups)


def test_a_log_that_cannot_be_understood_is_not_served(coordinator: Any) -> None:
    """Better no coordinator than one that forgets."""
    builder = BatchBuilder()
    builder.append(group_key("group"), b"\x00\x09??")
    with pytest.raises(KafkaError):
        coordinator.runtime.load(0, [builder.build()], coordinator.clock.now_ms)
    assert coordinator.joined(coordinator.send_join()).error_code == NOT_COORDINATOR


def test_requests_of_others_are_refused(coordinator: Any) -> None:
    """The table of what is handled is the table of what is let in."""
    with pytest.raises(KafkaError):
        coordinator.runtime.handle(0, 1, 12, FetchRequest(), ClientInfo("c", "/h"), coordinator.clock.now_ms)


def test_the_wall_clock_is_what_is_written(coordinator: Any, coordinator_class: Any) -> None:
    """Timers run on a clock of their own, which may start anywhere."""
    from kbroker.coordinator.group_config import GroupConfig
    from kbroker.coordinator.offset_store import TopicNames
    from kbroker.coordinator.runtime import CoordinatorRuntime
    from kbroker.protocol.record_batch import read_batch_header

    written: list[bytes] = []

    def append(_partition: int, batch: bytes, on_committed: Any) -> None:
        written.append(batch)
        on_committed(0)

    runtime = CoordinatorRuntime(
        GroupConfig(offsets_topic_num_partitions=1),
        append=append,
        reply=lambda _token, _response: None,
        topics=TopicNames(lambda _id: None, lambda _name: b"x" * 16),
        wall_ms=lambda: 1_700_000_000_123,
    )
    runtime.load(0, [], 5)
    coordinator.runtime = runtime
    coordinator.clock = ManualClock(5)
    coordinator.send_commit({KEY: 1})
    assert read_batch_header(written[0]).max_timestamp == 1_700_000_000_123
    assert runtime.next_deadline_ms() == 5 + 600_000


# -- DeleteGroups


def test_groups_are_deleted_with_their_offsets(coordinator: Any) -> None:
    """Each group has its own result; nothing of the deleted ones is found again."""
    coordinator.stable_group(group="busy")
    coordinator.send_commit({KEY: 1}, group="one")
    coordinator.send_commit({KEY: 2, ("audit", 3): 2}, group="two")
    answer = coordinator.ask(DeleteGroupsRequest(groups_names=["one", "busy", "none", "two", "one"]), 2)
    assert [(result.group_id, result.error_code) for result in answer.results] == [
        ("one", 0),
        ("busy", NON_EMPTY),
        ("none", GROUP_NOT_FOUND),
        ("two", 0),
    ]
    assert {group.group_id for group in coordinator.runtime.groups} == {"busy"}
    assert coordinator.restarted().snapshot() == coordinator.snapshot()


def test_a_deletion_that_cannot_be_written_does_not_happen(coordinator: Any) -> None:
    """The group is back with all its offsets."""
    coordinator.send_commit({KEY: 1})
    before = coordinator.snapshot()
    coordinator.error = 56
    assert coordinator.ask(DeleteGroupsRequest(groups_names=["group"]), 2).results[0].error_code == NOT_COORDINATOR
    assert coordinator.snapshot() == before


def test_a_group_may_be_born_again_while_it_is_deleted(coordinator: Any) -> None:
    """What is committed after the deletion stays; what was on its way before does not."""
    coordinator.send_commit({KEY: 1})
    coordinator.hold = True
    coordinator.send_commit({("orders", 1): 1})
    coordinator.send(DeleteGroupsRequest(groups_names=["group"]), 2)
    coordinator.send_commit({("orders", 2): 3})
    coordinator.commit_held()
    assert coordinator.fetch(KEY, ("orders", 1), ("orders", 2)) == [(-1, 0), (-1, 0), (3, 0)]
    assert coordinator.restarted().snapshot() == coordinator.snapshot()


# -- restart


def test_a_restarted_coordinator_goes_on_where_it_stopped(coordinator: Any) -> None:
    """Members keep generation and assignment; sessions begin anew; who does not come back is dropped."""
    leader, follower = coordinator.stable_group(2, session=10_000)
    coordinator.send_commit({KEY: 5}, member_id=leader.member_id, generation=2)
    restarted = coordinator.restarted()
    assert restarted.snapshot() == coordinator.snapshot()
    restarted.advance(9_000)
    assert restarted.heartbeat(leader.member_id, 2) == 0
    assert restarted.fetch(KEY) == [(5, 0)]
    restarted.advance(1_000)
    assert restarted.state() == "PreparingRebalance"
    again = restarted.joined(restarted.send_join(leader.member_id))
    assert [member.member_id for member in again.members] == [leader.member_id]
    assert restarted.heartbeat(follower.member_id, 3) == 25


# -- random interleavings

MEMBERS = 4
ACTIONS = ["step"] * 8 + ["join", "leave", "heartbeat", "restart", "commit", "short time", "time", "hold", "fail"]
operations = st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, MEMBERS - 1)), max_size=100)


class Client:
    """A consumer that does what it is told and remembers what the protocol tells it to."""

    def __init__(self, coordinator: Any, name: str, instance: str | None) -> None:
        self.coordinator = coordinator
        self.name = name
        self.instance = instance
        self.member_id = ""
        self.join_token: int | None = None
        self.sync_token: int | None = None
        self.joined: Any = None
        self.tokens: list[int] = []

    def see(self) -> None:
        """Take in the answers that have come."""
        replies = self.coordinator.replies
        if self.join_token in replies:
            answer = replies[self.join_token]
            self.join_token = None
            if answer.error_code == 0:
                self.member_id, self.joined = answer.member_id, answer
            elif answer.error_code == 79:
                self.member_id = answer.member_id
            elif answer.error_code in {25, 82}:
                self.member_id = ""
        if self.sync_token in replies:
            self.sync_token = None

    def join(self) -> None:
        if self.join_token is None:
            self.joined = None
            self.join_token = self.coordinator.send_join(
                self.member_id, instance=self.instance, session=10_000, rebalance=15_000
            )
            self.tokens.append(self.join_token)

    def step(self) -> None:
        """Do what a consumer does next."""
        if self.joined is None:
            self.join()
        else:
            self.sync()

    def sync(self) -> None:
        if self.joined is not None and self.sync_token is None and self.join_token is None:
            self.sync_token = self.coordinator.send_sync(self.joined, instance=self.instance)
            self.tokens.append(self.sync_token)


def check_assignments(coordinator: Any, owned: dict[tuple[int, str], bytes]) -> None:
    """Within a generation a member is only ever given one assignment, made for it or for its predecessor."""
    for group in coordinator.runtime.groups:
        if group.state != "Stable":
            continue
        given = [member.assignment for member in group.members.values() if member.assignment]
        assert len(given) == len(set(given)), "two members own the same"
        for member in group.members.values():
            key = (group.generation_id, member.group_instance_id or member.member_id)
            assert owned.setdefault(key, member.assignment) == member.assignment


@settings(max_examples=150, deadline=None)
@given(steps=operations, delay=st.sampled_from([0, 3_000]))
def test_no_interleaving_breaks_the_promises(coordinator_class: Any, steps: list[tuple[str, int]], delay: int) -> None:
    """Every JoinGroup and SyncGroup is answered once, assignments are consistent, and a replay gives the same state."""
    coordinator = coordinator_class(group_initial_rebalance_delay_ms=delay)
    clients = [Client(coordinator, f"c{n}", "static" if n == 0 else None) for n in range(MEMBERS)]
    owned: dict[tuple[int, str], bytes] = {}
    failed = False
    for action, argument in steps:
        client = clients[argument]
        if action == "step":
            client.step()
        elif action == "join":
            client.join()
        elif action == "leave":
            coordinator.leave((client.member_id, client.instance))
        elif action == "heartbeat" and client.joined is not None:
            coordinator.heartbeat(client.member_id, client.joined.generation_id, client.instance)
        elif action == "restart":
            client.member_id, client.joined, client.join_token, client.sync_token = "", None, None, None
        elif action == "commit" and client.joined is not None:
            token = coordinator.send_commit(
                {KEY: argument}, member_id=client.member_id, generation=client.joined.generation_id
            )
            client.tokens.append(token)
        elif action == "short time":
            coordinator.advance(1)
        elif action == "time":
            coordinator.advance([1_000, 3_000, 9_000, 20_000][argument])
        elif action == "hold":
            coordinator.hold = argument == 0
            coordinator.commit_held()
        elif action == "fail" and coordinator.held:
            coordinator.commit_held(56)
            failed = True
        for each in clients:
            each.see()
        check_assignments(coordinator, owned)
    coordinator.hold = False
    coordinator.commit_held()
    # Longer than any session, rebalance or first join: now everybody must have been answered.
    coordinator.advance(400_000)
    assert all(token in coordinator.replies for client in clients for token in client.tokens)
    assert coordinator.state() in {"", "Empty"}
    check_assignments(coordinator, owned)
    if not failed:
        # Which generation a group ended with may be unknown to the log only when it could not be written.
        assert coordinator.restarted().snapshot() == coordinator.snapshot()
