"""A reader starts at the last entry at or before the offset it wants, and never trusts what a crash left."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kbroker.errors import CorruptIndex
from kbroker.storage.offset_index import count_before, floor_entry, is_sound, pack_entry

ENTRIES = b"".join(pack_entry(relative, position) for relative, position in [(4, 100), (9, 1000), (20, 3000)])


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param(103, None, id="before the first entry: start of the segment"),
        pytest.param(104, (104, 100), id="on an entry"),
        pytest.param(108, (104, 100), id="in a gap: the entry before"),
        pytest.param(999, (120, 3000), id="after the last entry: the last"),
    ],
)
def test_floor_entry(target, expected):
    assert floor_entry(ENTRIES, 3, 100, target) == expected


def test_entries_the_row_does_not_count_are_not_seen():
    assert floor_entry(ENTRIES, 2, 100, 999) == (109, 1000)
    assert floor_entry(ENTRIES, 0, 100, 999) is None


def test_an_index_shorter_than_its_row_says_is_corrupt():
    with pytest.raises(CorruptIndex):
        floor_entry(ENTRIES, 4, 100, 999)


@given(st.lists(st.integers(0, 2**31 - 1), unique=True, max_size=60).map(sorted), st.integers(-5, 2**31 + 5))
def test_the_binary_search_agrees_with_looking_at_every_entry(relatives, target):
    entries = b"".join(pack_entry(relative, number * 7) for number, relative in enumerate(relatives))
    below = [(1000 + relative, number * 7) for number, relative in enumerate(relatives) if relative <= target]
    assert floor_entry(entries, len(relatives), 1000, 1000 + target) == (below[-1] if below else None)
    assert count_before(entries, len(relatives), 1000, 1000 + target) == sum(r < target for r in relatives)


@pytest.mark.parametrize(
    ("content", "sound"),
    [
        pytest.param(b"", True, id="empty"),
        pytest.param(ENTRIES, True, id="as written"),
        pytest.param(ENTRIES[:-1], False, id="half an entry"),
        pytest.param(ENTRIES + bytes(8), False, id="zeros after the last entry, as a killed Kafka leaves them"),
        pytest.param(bytes(4096), False, id="zeros only"),
        pytest.param(ENTRIES + pack_entry(21, 4000), False, id="a position past the log's end"),
    ],
)
def test_is_sound(content, sound):
    assert is_sound(content, 4000) is sound
