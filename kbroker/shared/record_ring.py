"""
A ring of records in shared memory between two workers: one writes, one reads, nobody waits.

    bytes 0..7      head: bytes ever written (by the writer)
    bytes 64..71    tail: bytes ever read (by the reader); another cache line
    bytes 128..     the ring: records of [int32 size][payload], padded to 8; size -1 means "go on at the start"

The head moves after the record is whole, so a writer killed in the middle leaves nothing half visible; a reader born
again starts at the head. Waking the reader is the caller's business (kbroker.ipc.doorbell), once per turn and peer.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

_DATA: Final = 128
_TAIL_WORD: Final = 8
_SIZE: Final = Struct("=i")
_WRAP: Final = -1


class RecordRing:
    """
    The ring over a shared buffer.

    memory    the region, region_size(capacity) bytes
    capacity  bytes for records, a multiple of 8
    """

    __slots__ = ("_data", "_words", "capacity", "max_record_bytes")

    def __init__(self, memory: memoryview, capacity: int) -> None:
        self.capacity = capacity
        self.max_record_bytes = capacity // 4
        self._words = memory[:_DATA].cast("q")
        self._data = memory[_DATA : _DATA + capacity]

    def put(self, payload: bytes) -> bool:
        """
        Write one record; return False, and write nothing, when there is no room.

        payload  at most max_record_bytes
        """
        words = self._words
        head = words[0]
        size = len(payload)
        needed = (size + 11) & ~7
        capacity = self.capacity
        free = capacity - (head - words[_TAIL_WORD])
        position = head % capacity
        to_end = capacity - position
        data = self._data
        if needed > to_end:
            if needed + to_end > free:
                return False
            _SIZE.pack_into(data, position, _WRAP)
            head += to_end
            position = 0
        elif needed > free:
            return False
        _SIZE.pack_into(data, position, size)
        data[position + 4 : position + 4 + size] = payload
        words[0] = head + needed
        return True

    def has_records(self) -> bool:
        """Return whether there is something to take."""
        words = self._words
        return words[0] != words[_TAIL_WORD]

    def take(self) -> list[bytes]:
        """Return the records written since the last call, oldest first."""
        words = self._words
        head = words[0]
        tail = words[_TAIL_WORD]
        if head == tail:
            return []
        records = []
        data = self._data
        capacity = self.capacity
        while tail < head:
            position = tail % capacity
            size = _SIZE.unpack_from(data, position)[0]
            if size == _WRAP:
                tail += capacity - position
                continue
            records.append(bytes(data[position + 4 : position + 4 + size]))
            tail += (size + 11) & ~7
        words[_TAIL_WORD] = tail
        return records

    def skip_all(self) -> None:
        """Forget what was written for an earlier reader."""
        self._words[_TAIL_WORD] = self._words[0]


def region_size(capacity: int) -> int:
    """Return the bytes a ring of `capacity` needs."""
    return _DATA + capacity
