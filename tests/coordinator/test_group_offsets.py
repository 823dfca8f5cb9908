"""Offsets of open transactions wait; plain commits made meanwhile are not overwritten by older ones."""

from __future__ import annotations

from kbroker.coordinator.group_offsets import CommittedOffset, GroupOffsets

KEY = ("orders", 0)


def offset(value: int) -> CommittedOffset:
    return CommittedOffset(value, -1, "", 0)


def test_a_later_plain_commit_outlives_the_transaction() -> None:
    """Order in the log decides."""
    offsets = GroupOffsets()
    offsets.put_pending(5, KEY, offset(1))
    offsets.put(KEY, offset(2))
    assert offsets.has_pending(*KEY)
    offsets.complete_transaction(5, committed=True)
    assert offsets.get(*KEY) == offset(2)
    assert not offsets.has_pending(*KEY)


def test_removal_takes_pending_offsets_along() -> None:
    """A tombstone ends whatever was known of the partition."""
    offsets = GroupOffsets()
    offsets.put(KEY, offset(1))
    offsets.put_pending(5, KEY, offset(2))
    offsets.remove(KEY)
    assert offsets.is_empty
    assert len(offsets) == 0
    offsets.complete_transaction(5, committed=True)
    assert offsets.get(*KEY) is None


def test_what_is_being_written_is_not_nothing() -> None:
    """A group with a commit under way may not be taken for unused."""
    offsets = GroupOffsets()
    offsets.begin_write([KEY, KEY])
    assert not offsets.is_empty
    assert offsets.all_keys() == {KEY}
    offsets.end_write([KEY, KEY])
    assert offsets.is_empty
