"""
The sparse offset index: `<base offset>.index`.

    8 bytes per entry, big-endian, offsets strictly ascending
    int32  offset - base offset of the segment
    int32  position in the .log file

An entry names the last offset of a batch and where that batch begins, so every offset up to the entry's lies at or
before the position, and a reader who starts at the last entry at or below its target misses nothing.

The owner appends entries; readers map the file and trust as many entries as the partition's row counts. Kafka
preallocates the file and cuts it when the segment is sealed; here it only ever grows. It is never shortened in place:
a process that has mapped pages past a new end would be killed for touching them, so a shorter index is a new file.
"""

from __future__ import annotations

from struct import Struct

from kbroker.errors import CorruptIndex
from kbroker.types import Buffer

ENTRY_BYTES = 8
_ENTRY = Struct(">ii")
pack_entry = _ENTRY.pack
_unpack_entry = _ENTRY.unpack_from


def floor_entry(entries: Buffer, count: int, base_offset: int, target: int) -> tuple[int, int] | None:
    """
    Return (offset, position) of the last entry at or before `target`, None when there is none.

    entries      the index, at least count * 8 bytes
    count        how many entries to trust
    base_offset  base offset of the segment

    Raises CorruptIndex when the buffer is too short. Costs O(log count), no copy.
    """
    if len(entries) < count * ENTRY_BYTES:
        raise CorruptIndex(f"offset index of segment {base_offset} has {len(entries)} bytes, not {count} entries")
    relative = target - base_offset
    low, high = 0, count
    while low < high:
        middle = (low + high) >> 1
        if _unpack_entry(entries, middle << 3)[0] <= relative:
            low = middle + 1
        else:
            high = middle
    if not low:
        return None
    offset, position = _unpack_entry(entries, (low - 1) << 3)
    return base_offset + offset, position


def count_before(entries: Buffer, count: int, base_offset: int, target: int) -> int:
    """Return how many entries lie below `target`: what remains when the segment is cut there."""
    found = 0
    while found < count and base_offset + _unpack_entry(entries, found << 3)[0] < target:
        found += 1
    return found


def is_sound(entries: Buffer, log_size_bytes: int) -> bool:
    """
    Return whether an index file found on disk can be trusted without reading its log.

    Catches what crashes leave behind: half an entry, the zeros of a preallocated file, positions past the log's end.
    """
    size = len(entries)
    if size % ENTRY_BYTES:
        return False
    if not size:
        return True
    offset, position = _unpack_entry(entries, size - ENTRY_BYTES)
    if offset < 0 or not 0 <= position < log_size_bytes:
        return False
    if size == ENTRY_BYTES:
        return True
    before_offset, before_position = _unpack_entry(entries, size - 2 * ENTRY_BYTES)
    return bool(before_offset < offset and before_position < position)
