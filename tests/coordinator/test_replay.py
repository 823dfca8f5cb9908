"""A log becomes groups again, also one that another broker of another age wrote."""

from __future__ import annotations

import pytest

from kbroker.coordinator.group import GroupState
from kbroker.coordinator.records import (
    GroupMetadataValue,
    MemberMetadata,
    OffsetCommitValue,
    group_key,
    offset_key,
    offset_value,
)
from kbroker.coordinator.replay import Replay
from kbroker.protocol.compression import CompressionType
from kbroker.protocol.record_batch import BatchBuilder


def batch(*records: tuple[bytes | None, bytes | None], compression: int = 0) -> bytes:
    builder = BatchBuilder(compression=compression)
    for key, value in records:
        builder.append(key, value, 1_000)
    return builder.build()


def offset(value: int) -> bytes:
    return offset_value(OffsetCommitValue(offset=value, metadata="", commit_timestamp=1))


def test_the_last_record_counts_and_tombstones_delete() -> None:
    """Per key, as compaction would leave it."""
    replay = Replay()
    replay.add(batch((offset_key("g", "t", 0), offset(1)), (offset_key("g", "t", 1), offset(2))))
    replay.add(batch((offset_key("g", "t", 0), offset(3)), compression=CompressionType.ZSTD))
    replay.add(batch((offset_key("g", "t", 1), None), (offset_key("gone", "t", 1), None), (None, b"no key")))
    (group,) = replay.groups(4)
    assert (group.group_id, group.partition, group.state) == ("g", 4, GroupState.EMPTY)
    assert {key: committed.offset for key, committed in group.offsets} == {("t", 0): 3}


def test_unknown_kinds_of_records_are_skipped() -> None:
    """Newer group protocols write into the same topic."""
    replay = Replay()
    replay.add(batch((b"\x00\x07\x00\x01g", b"whatever")))
    assert replay.groups(0) == []


def test_a_deleted_group_does_not_come_back() -> None:
    """Its tombstone ends it, unless it has offsets."""
    value = b"\x00\x03" + GroupMetadataValue(protocol_type="consumer", generation=3).encode(3)
    replay = Replay()
    replay.add(batch((group_key("a"), value), (group_key("b"), value), (offset_key("b", "t", 0), offset(1))))
    replay.add(batch((group_key("a"), None), (group_key("b"), None)))
    (group,) = replay.groups(0)
    assert (group.group_id, group.generation_id, group.protocol_type) == ("b", 0, None)


@pytest.mark.parametrize("version", range(5))
def test_members_of_every_version_are_stable_again(version: int) -> None:
    """Version 0 had no rebalance timeout: the session's counts."""
    value = GroupMetadataValue(
        protocol_type="consumer",
        generation=7,
        protocol="range",
        leader="b",
        current_state_timestamp=5,
        members=[
            MemberMetadata(
                member_id=name,
                group_instance_id=name.upper(),
                client_id="c",
                client_host="/h",
                rebalance_timeout=9_000,
                session_timeout=6_000,
                subscription=b"\x00\x00\x00\x00\x00\x01\x00\x01t\xff\xff\xff\xff",
                assignment=b"mine",
            )
            for name in ("a", "b")
        ],
    )
    replay = Replay()
    replay.add(batch((group_key("g"), version.to_bytes(2, "big") + value.encode(version))))
    (group,) = replay.groups(0)
    assert (group.state, group.generation_id, group.leader_id, group.protocol_name) == ("Stable", 7, "b", "range")
    assert group.static_members == ({"A": "a", "B": "b"} if version >= 3 else {})
    assert group.members["a"].rebalance_timeout_ms == (9_000 if version else 6_000)
    assert group.members["a"].assignment == b"mine"
    assert group.subscribed_topics == {"t"}
    assert group.current_state_timestamp_ms == (5 if version >= 2 else None)
