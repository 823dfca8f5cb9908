"""A search by time starts at the last entry at or before it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kbroker.errors import CorruptIndex
from kbroker.storage.time_index import count_before, entry, floor_entry, is_sound, pack_entry

ENTRIES = b"".join(pack_entry(timestamp, relative) for timestamp, relative in [(1000, 4), (2000, 9), (2500, 20)])


def test_floor_entry():
    assert floor_entry(ENTRIES, 3, 100, 999) is None
    assert floor_entry(ENTRIES, 3, 100, 2000) == (2000, 109)
    assert floor_entry(ENTRIES, 3, 100, 2499) == (2000, 109)
    assert floor_entry(ENTRIES, 3, 100, 9999) == entry(ENTRIES, 2, 100) == (2500, 120)
    with pytest.raises(CorruptIndex):
        floor_entry(ENTRIES, 4, 100, 9999)


@given(st.lists(st.integers(0, 2**62), unique=True, max_size=60).map(sorted), st.integers(0, 2**62))
def test_the_binary_search_agrees_with_looking_at_every_entry(timestamps, target):
    entries = b"".join(pack_entry(timestamp, number) for number, timestamp in enumerate(timestamps))
    below = [(timestamp, 50 + number) for number, timestamp in enumerate(timestamps) if timestamp <= target]
    assert floor_entry(entries, len(timestamps), 50, target) == (below[-1] if below else None)


def test_count_before_counts_offsets():
    assert [count_before(ENTRIES, 3, 100, target) for target in (104, 105, 120, 121)] == [0, 1, 2, 3]


def test_zeros_and_half_entries_are_not_trusted():
    assert is_sound(ENTRIES)
    assert is_sound(b"")
    assert not is_sound(ENTRIES[:-5])
    assert not is_sound(ENTRIES + bytes(12))
