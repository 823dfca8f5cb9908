"""
The sparse time index: `<base offset>.timeindex`.

    12 bytes per entry, big-endian, timestamps strictly ascending
    int64  the largest timestamp seen in the segment so far
    int32  last offset of the batch that brought it - base offset of the segment

So every record after an entry's offset and before the next entry's is no newer than the next entry's timestamp, and a
search for a time may start at the last entry at or before it. The last entry of a sealed segment is the segment's
largest timestamp. Written and read like the offset index.
"""

from __future__ import annotations

from struct import Struct

from kbroker.errors import CorruptIndex
from kbroker.types import Buffer

ENTRY_BYTES = 12
_ENTRY = Struct(">qi")
pack_entry = _ENTRY.pack
_unpack_entry = _ENTRY.unpack_from


def floor_entry(entries: Buffer, count: int, base_offset: int, timestamp: int) -> tuple[int, int] | None:
    """
    Return (timestamp, offset) of the last entry at or before `timestamp`, None when there is none.

    entries      the index, at least count * 12 bytes
    count        how many entries to trust
    base_offset  base offset of the segment

    Raises CorruptIndex when the buffer is too short. Costs O(log count), no copy.
    """
    if len(entries) < count * ENTRY_BYTES:
        raise CorruptIndex(f"time index of segment {base_offset} has {len(entries)} bytes, not {count} entries")
    low, high = 0, count
    while low < high:
        middle = (low + high) >> 1
        if _unpack_entry(entries, middle * ENTRY_BYTES)[0] <= timestamp:
            low = middle + 1
        else:
            high = middle
    return entry(entries, low - 1, base_offset) if low else None


def entry(entries: Buffer, number: int, base_offset: int) -> tuple[int, int]:
    """Return (timestamp, offset) of entry `number`."""
    timestamp, relative = _unpack_entry(entries, number * ENTRY_BYTES)
    return timestamp, base_offset + relative


def count_before(entries: Buffer, count: int, base_offset: int, target: int) -> int:
    """Return how many entries name offsets below `target`: what remains when the segment is cut there."""
    found = 0
    while found < count and base_offset + _unpack_entry(entries, found * ENTRY_BYTES)[1] < target:
        found += 1
    return found


def is_sound(entries: Buffer) -> bool:
    """Return whether an index file found on disk can be trusted: whole entries, no zeros of a preallocated file."""
    size = len(entries)
    if size % ENTRY_BYTES:
        return False
    if not size:
        return True
    timestamp, relative = _unpack_entry(entries, size - ENTRY_BYTES)
    if relative < 0:
        return False
    return bool(size == ENTRY_BYTES or _unpack_entry(entries, size - 2 * ENTRY_BYTES)[0] < timestamp)
