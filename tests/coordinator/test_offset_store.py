"""Offsets: who may commit, what comes back, and when they are forgotten."""

from __future__ import annotations

from typing import Any

import pytest

from kbroker.protocol.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
)
from kbroker.protocol.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic
from kbroker.protocol.record_batch import BatchBuilder

UNKNOWN_TOPIC, METADATA_TOO_LARGE, ILLEGAL_GENERATION, UNKNOWN_MEMBER, REBALANCE = 3, 12, 22, 25, 27
NON_EMPTY, GROUP_NOT_FOUND, SUBSCRIBED, UNSTABLE, UNKNOWN_TOPIC_ID = 68, 69, 86, 88, 100
KEY = ("orders", 0)
MINUTE = 60_000
WEEK = 10_080 * MINUTE


@pytest.mark.parametrize("version", range(11))
def test_an_offset_comes_back(coordinator: Any, version: int) -> None:
    """Every version of OffsetCommit stores, with or without a group behind it."""
    assert coordinator.committed(coordinator.send_commit({KEY: 42}, version=version)) == [0]
    assert coordinator.fetch(KEY, ("orders", 1), ("audit", 0)) == [(42, 0), (-1, 0), (-1, 0)]
    assert coordinator.restarted().snapshot() == coordinator.snapshot()


@pytest.mark.parametrize("version", range(8))
def test_old_fetches_name_one_group(coordinator: Any, version: int) -> None:
    """Up to version 7 the topics stand at the top."""
    coordinator.send_commit({KEY: 42})
    request = OffsetFetchRequest(
        group_id="group", topics=[OffsetFetchRequestTopic(name="orders", partition_indexes=[0, 5])]
    )
    answer = coordinator.ask(request, version)
    found, missing = answer.topics[0].partitions
    assert (found.committed_offset, found.metadata, missing.committed_offset, missing.metadata) == (42, "note", -1, "")
    assert found.committed_leader_epoch == (7 if version >= 5 else -1)
    assert answer.error_code == 0


@pytest.mark.parametrize("version", [2, 7, 8, 9, 10])
def test_all_topics_are_fetched_when_none_is_named(coordinator: Any, version: int) -> None:
    """Null topics mean every partition that has an offset."""
    coordinator.send_commit({KEY: 1, ("payments", 3): 2})
    groups = [
        OffsetFetchRequestGroup(group_id="group", topics=None),
        OffsetFetchRequestGroup(group_id="no", topics=None),
    ]
    answer = coordinator.ask(OffsetFetchRequest(group_id="group", topics=None, groups=groups), version)
    topics = answer.groups[0].topics if version >= 8 else answer.topics
    assert [topic.partitions[0].committed_offset for topic in topics] == [1, 2]
    if version >= 8:
        assert answer.groups[1].topics == []
    if version >= 10:
        assert [bytes(topic.topic_id) for topic in topics] == [b"o" * 16, b"p" * 16]
    else:
        assert [topic.name for topic in topics] == ["orders", "payments"]


def test_unknown_topics_are_refused(coordinator: Any) -> None:
    """By name or by id, and only they."""
    commit = coordinator.send_commit({("nowhere", 0): 1, KEY: 2})
    assert coordinator.committed(commit) == [UNKNOWN_TOPIC, 0]
    commit = coordinator.send_commit({("nowhere", 0): 1, KEY: 3}, version=10)
    assert coordinator.committed(commit) == [UNKNOWN_TOPIC_ID, 0]
    assert coordinator.fetch(("nowhere", 0), KEY, version=10) == [(-1, UNKNOWN_TOPIC_ID), (3, 0)]


def test_metadata_has_a_limit(coordinator: Any) -> None:
    """offset.metadata.max.bytes; what is within it is stored, null as nothing."""
    assert coordinator.committed(coordinator.send_commit({KEY: 1}, metadata="x" * 4097)) == [METADATA_TOO_LARGE]
    assert coordinator.state() == ""
    assert coordinator.committed(coordinator.send_commit({KEY: 1}, metadata="x" * 4096)) == [0]
    assert coordinator.committed(coordinator.send_commit({KEY: 1}, metadata=None)) == [0]


def test_members_commit_for_their_generation(coordinator: Any) -> None:
    """Not for another one, not as somebody else, not without saying who they are."""
    member = coordinator.stable_group()[0]

    def commit(member_id: str, generation: int, **options: Any) -> list[int]:
        token = coordinator.send_commit({KEY: 5}, member_id=member_id, generation=generation, **options)
        return list(coordinator.committed(token))

    assert commit(member.member_id, 1) == [0]
    assert commit(member.member_id, 2) == [ILLEGAL_GENERATION]
    assert commit("stranger", 1) == [UNKNOWN_MEMBER]
    assert commit("", -1) == [UNKNOWN_MEMBER]
    assert commit(member.member_id, 1, instance="one") == [UNKNOWN_MEMBER]


def test_generations_of_unknown_groups(coordinator: Any) -> None:
    """Version 9 has an error code of its own for that."""
    for version, code in ((8, ILLEGAL_GENERATION), (9, GROUP_NOT_FOUND)):
        token = coordinator.send_commit({KEY: 1}, generation=1, member_id="m", version=version)
        assert coordinator.committed(token) == [code]


def test_commits_during_a_rebalance(coordinator: Any) -> None:
    """While members join again the old generation may commit; between join and sync nobody may."""
    first = coordinator.stable_group()[0]
    new = coordinator.join()
    token = coordinator.send_commit({KEY: 9}, member_id=first.member_id, generation=1)
    assert coordinator.committed(token) == [0]
    coordinator.send_join(first.member_id)
    joined = coordinator.joined(new)
    token = coordinator.send_commit({KEY: 10}, member_id=joined.member_id, generation=2)
    assert coordinator.committed(token) == [REBALANCE]


def test_a_commit_is_a_sign_of_life(coordinator: Any) -> None:
    """A member that only commits is not dropped."""
    member = coordinator.stable_group(session=10_000)[0]
    for _ in range(3):
        coordinator.advance(9_000)
        coordinator.send_commit({KEY: 9}, member_id=member.member_id, generation=1)
    assert coordinator.state() == "Stable"


@pytest.mark.parametrize(
    ("cause", "told"),
    [
        pytest.param(3, 15, id="no __consumer_offsets"),
        pytest.param(56, 16, id="failing disk"),
        pytest.param(10, 28, id="too large"),
        pytest.param(-1, -1, id="anything else"),
    ],
)
def test_a_commit_that_cannot_be_written_changes_nothing(coordinator: Any, cause: int, told: int) -> None:
    """The client is told why, in the coordinator's terms; the old offset stays."""
    coordinator.send_commit({KEY: 1})
    coordinator.error = cause
    assert coordinator.committed(coordinator.send_commit({KEY: 2})) == [told]
    assert coordinator.fetch(KEY) == [(1, 0)]
    assert coordinator.committed(coordinator.send_commit({KEY: 2}, group="new")) == [told]
    assert coordinator.state("new") == ""


def test_a_commit_is_answered_and_visible_when_it_is_committed(coordinator: Any) -> None:
    """Not before: a crash could still take it back."""
    coordinator.hold = True
    token = coordinator.send_commit({KEY: 1})
    assert token not in coordinator.replies
    assert coordinator.fetch(KEY) == [(-1, 0)]
    coordinator.commit_held()
    assert coordinator.committed(token) == [0]
    assert coordinator.fetch(KEY) == [(1, 0)]


def test_many_offsets_are_written_as_several_batches(coordinator_class: Any) -> None:
    """No batch becomes larger than the log takes; the answer waits for all."""
    coordinator = coordinator_class(offsets_max_batch_bytes=200)
    offsets = {("orders", partition): partition for partition in range(20)}
    assert coordinator.committed(coordinator.send_commit(offsets)) == [0] * 20
    assert len(coordinator.log) > 3
    assert coordinator.restarted().snapshot() == coordinator.snapshot()


# -- retention


def test_offsets_of_a_group_without_members_end_after_their_retention(coordinator: Any) -> None:
    """Counted from the commit; the group goes with its last offset."""
    coordinator.send_commit({KEY: 1})
    coordinator.advance(WEEK // 2)
    coordinator.send_commit({("orders", 1): 2})
    coordinator.advance(WEEK // 2 + 10 * MINUTE)
    assert coordinator.fetch(KEY, ("orders", 1)) == [(-1, 0), (2, 0)]
    assert coordinator.restarted().snapshot() == coordinator.snapshot()
    coordinator.advance(WEEK // 2)
    assert coordinator.state() == ""
    assert coordinator.restarted().snapshot() == {}


def test_a_group_that_became_empty_keeps_its_offsets_for_the_retention(coordinator: Any) -> None:
    """Counted from when the last member left, not from the commits."""
    member = coordinator.stable_group(session=1_800_000)[0]
    coordinator.send_commit({KEY: 1}, member_id=member.member_id, generation=1)
    for _ in range(WEEK // 1_000_000 + 2):
        coordinator.advance(1_000_000)
        assert coordinator.heartbeat(member.member_id, 1) == 0
    coordinator.leave((member.member_id, None))
    restarted = coordinator.restarted()
    for each in (coordinator, restarted):
        each.advance(WEEK - 20 * MINUTE)
        assert each.fetch(KEY) == [(1, 0)]
        each.advance(40 * MINUTE)
        assert each.state() == ""


def test_topics_no_member_subscribes_to_end_while_the_group_lives(coordinator: Any) -> None:
    """Offsets of the subscribed ones stay as long as there are members."""
    member = coordinator.stable_group(session=1_800_000)[0]
    coordinator.send_commit({KEY: 1, ("audit", 0): 2}, member_id=member.member_id, generation=1)
    for _ in range(WEEK // 1_000_000 + 2):
        coordinator.advance(1_000_000)
        coordinator.heartbeat(member.member_id, 1)
    assert coordinator.fetch(KEY, ("audit", 0)) == [(1, 0), (-1, 0)]


def test_a_client_may_bring_its_own_retention(coordinator: Any) -> None:
    """Versions 2 to 4; it survives a restart."""
    coordinator.send_commit({KEY: 1}, version=4, retention=30 * MINUTE)
    restarted = coordinator.restarted()
    restarted.advance(25 * MINUTE)
    assert restarted.fetch(KEY) == [(1, 0)]
    restarted.advance(10 * MINUTE)
    assert restarted.fetch(KEY) == [(-1, 0)]


def test_empty_groups_without_offsets_go(coordinator: Any) -> None:
    """At the next check, offsets.retention.check.interval.ms."""
    member = coordinator.stable_group()[0]
    coordinator.leave((member.member_id, None))
    coordinator.advance(10 * MINUTE)
    assert coordinator.state() == ""
    assert coordinator.restarted().snapshot() == {}


def test_what_cannot_be_forgotten_stays(coordinator: Any) -> None:
    """A failing write leaves group and offsets as they were; the next check tries again."""
    coordinator.send_commit({KEY: 1})
    coordinator.error = 56
    coordinator.advance(WEEK + 20 * MINUTE)
    assert coordinator.fetch(KEY) == [(1, 0)]
    coordinator.error = 0
    coordinator.advance(10 * MINUTE)
    assert coordinator.state() == ""


def test_offsets_of_deleted_topics_go(coordinator: Any) -> None:
    """Those being written at that moment too."""
    coordinator.send_commit({KEY: 1, ("payments", 0): 2})
    coordinator.hold = True
    coordinator.send_commit({("orders", 1): 3})
    coordinator.runtime.topics_deleted(["orders"], coordinator.clock.now_ms)
    coordinator.commit_held()
    assert coordinator.fetch(KEY, ("orders", 1), ("payments", 0)) == [(-1, 0), (-1, 0), (2, 0)]
    assert coordinator.restarted().snapshot() == coordinator.snapshot()


# -- OffsetDelete


def delete_offsets(coordinator: Any, *keys: tuple[str, int], group: str = "group") -> tuple[int, list[int]]:
    """Send OffsetDelete; returns its error code and those of the partitions."""
    request = OffsetDeleteRequest(
        group_id=group,
        topics=[
            OffsetDeleteRequestTopic(name=topic, partitions=[OffsetDeleteRequestPartition(partition_index=partition)])
            for topic, partition in keys
        ],
    )
    answer = coordinator.ask(request, 0)
    return answer.error_code, [entry.error_code for topic in answer.topics for entry in topic.partitions]


def test_offsets_are_deleted(coordinator: Any) -> None:
    """Deleting what is not there is no error."""
    coordinator.send_commit({KEY: 1, ("audit", 0): 2})
    assert delete_offsets(coordinator, KEY, ("orders", 9)) == (0, [0, 0])
    assert coordinator.fetch(KEY, ("audit", 0)) == [(-1, 0), (2, 0)]
    assert coordinator.restarted().snapshot() == coordinator.snapshot()


def test_offsets_in_use_are_not_deleted(coordinator: Any) -> None:
    """A topic the members subscribe to is refused, another one is not."""
    member = coordinator.stable_group()[0]
    coordinator.send_commit({KEY: 1, ("audit", 0): 2}, member_id=member.member_id, generation=1)
    assert delete_offsets(coordinator, KEY, ("audit", 0)) == (0, [SUBSCRIBED, 0])
    assert coordinator.fetch(KEY, ("audit", 0)) == [(1, 0), (-1, 0)]


def test_offset_delete_is_checked(coordinator: Any) -> None:
    """Unknown groups, and groups of which it is not known what they use."""
    assert delete_offsets(coordinator, KEY)[0] == GROUP_NOT_FOUND
    assert delete_offsets(coordinator, KEY, group="")[0] == 24
    coordinator.stable_group(protocol_type="connect")
    assert delete_offsets(coordinator, KEY)[0] == NON_EMPTY
    coordinator.send_commit({KEY: 1}, group="simple")
    coordinator.error = 56
    assert delete_offsets(coordinator, KEY, group="simple")[0] == 16


# -- transactions in the log


def transactional_log(coordinator: Any, end: int | None) -> list[bytes]:
    """Return a log in which a transaction of producer 5 committed an offset, and what became of it."""
    coordinator.send_commit({KEY: 1})
    coordinator.send_commit({KEY: 2})
    plain, later = coordinator.log
    pending = bytearray(later)
    rebuilt = BatchBuilder(producer_id=5, producer_epoch=0, base_sequence=0, is_transactional=True)
    from kbroker.protocol.record_batch import iterate_records, read_batch_header

    for record in iterate_records(pending, read_batch_header(pending)):
        rebuilt.append(record.key, record.value, record.timestamp)
    log = [plain, rebuilt.build()]
    if end is not None:
        marker = BatchBuilder(producer_id=5, producer_epoch=0, is_transactional=True, is_control=True)
        marker.append(b"\x00\x00" + end.to_bytes(2, "big"), b"\x00\x00\x00\x00\x00\x00")
        log.append(marker.build())
    return log


@pytest.mark.parametrize(
    ("end", "stable", "plain"),
    [
        pytest.param(1, (2, 0), (2, 0), id="committed"),
        pytest.param(0, (1, 0), (1, 0), id="aborted"),
        pytest.param(None, (-1, UNSTABLE), (1, 0), id="open"),
    ],
)
def test_offsets_of_transactions_count_when_these_commit(
    coordinator_class: Any, end: int | None, stable: tuple[int, int], plain: tuple[int, int]
) -> None:
    """While a transaction is open, who wants stable offsets has to ask again."""
    coordinator = coordinator_class(transactional_log(coordinator_class(), end))
    assert coordinator.fetch(KEY, require_stable=True) == [stable]
    assert coordinator.fetch(KEY) == [plain]
