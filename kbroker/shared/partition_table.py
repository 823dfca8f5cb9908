"""
One row per partition in shared memory: what a reader must know to serve it without asking its owner.

The region starts with a header of 64 bytes (word 0: rows from here on were never used), then the rows:

    word 0                 incarnation: 0 while the row is free, else counts its uses (written by the cluster worker)
    words 1..3             identity: topic id (two halves), partition index (written by the cluster worker
                           before the row is used)
    words 4..              a versioned row of PartitionRow's fields (written by the IO worker that owns the partition)

The cluster worker gives rows out and takes them back; a reborn cluster worker finds them again by their identity.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from struct import Struct
from typing import Final, NamedTuple

from kbroker.shared.versioned_row import WORD_BYTES, VersionedRowLayout
from kbroker.types import Uuid


class PartitionRowState(IntEnum):
    """Whether a partition's log can be used."""

    UNKNOWN = 0
    """No owner has opened the log yet."""
    ONLINE = 1
    OFFLINE = 2
    """Its log directory failed: KAFKA_STORAGE_ERROR."""


class PartitionRow(NamedTuple):
    """
    The published state of one log; all fields belong to the same moment.

    Offsets count records, positions and sizes bytes, timestamps milliseconds (-1: none).
    """

    state: int = PartitionRowState.UNKNOWN
    log_start_offset: int = 0
    last_stable_offset: int = 0
    high_watermark: int = 0
    log_end_offset: int = 0
    leader_epoch: int = 0
    log_dir_index: int = 0
    """Which of log.dirs holds the partition's directory."""
    segments_version: int = 0
    """Changes whenever a segment is added, removed or truncated: what a reader cached is stale."""
    active_base_offset: int = 0
    """Base offset, and so file name, of the segment being written."""
    active_size_bytes: int = 0
    """Bytes of the active segment that hold whole, acknowledged-or-written batches: where its log ends."""
    active_index_entries: int = 0
    active_time_index_entries: int = 0
    max_timestamp: int = -1
    """Largest record timestamp of the whole log."""
    offset_of_max_timestamp: int = -1
    """First offset with that timestamp's batch; -1 when the log is empty."""
    size_bytes: int = 0
    """Bytes of all segments together."""


_LAYOUT: Final = VersionedRowLayout(len(PartitionRow._fields))
_pack_row: Final = _LAYOUT.pack
_IDENTITY: Final = Struct("=16sq")
_IDENTITY_BYTES: Final = 4 * WORD_BYTES
_HEADER_BYTES: Final = 64
ROW_BYTES: Final = _IDENTITY_BYTES + _LAYOUT.size_bytes
_new: Final = tuple.__new__
"""Makes a named tuple without a call of Python code."""


def region_size(rows: int) -> int:
    """Return the bytes a table of `rows` partitions needs."""
    return _HEADER_BYTES + rows * ROW_BYTES


class PartitionTable:
    """
    The table over a shared buffer.

    memory  the shared region, writable, at least region_size(rows)
    rows    how many partitions it can hold
    """

    __slots__ = ("_memory", "_words", "rows")

    def __init__(self, memory: memoryview, rows: int) -> None:
        self._memory = memory[: region_size(rows)]
        self._words = self._memory.cast("q")
        self.rows = rows

    def read(self, row: int) -> PartitionRow:
        """Return what the owner of `row` last published."""
        position = _HEADER_BYTES + row * ROW_BYTES + _IDENTITY_BYTES
        return _new(PartitionRow, _LAYOUT.read(self._memory, self._words, position))

    def state(self, row: int) -> int:
        """Return only the row's PartitionRowState: for who looks at many rows at once."""
        index = (_HEADER_BYTES + row * ROW_BYTES + _IDENTITY_BYTES) >> 3
        words = self._words
        # One word needs no second look at the version: whatever half it comes from, it was or is about to be published.
        return words[index + 1 + (words[index] & 1) * _LAYOUT.fields]

    def publish(self, row: int, values: PartitionRow) -> None:
        """Publish `values` for `row`; only the IO worker that owns the partition may."""
        # By name: compiled, pack(*values) would build a list and two tuples on the way (docs/decisions/0015).
        (
            state,
            log_start_offset,
            last_stable_offset,
            high_watermark,
            log_end_offset,
            leader_epoch,
            log_dir_index,
            segments_version,
            active_base_offset,
            active_size_bytes,
            active_index_entries,
            active_time_index_entries,
            max_timestamp,
            offset_of_max_timestamp,
            size_bytes,
        ) = values
        packed = _pack_row(
            state,
            log_start_offset,
            last_stable_offset,
            high_watermark,
            log_end_offset,
            leader_epoch,
            log_dir_index,
            segments_version,
            active_base_offset,
            active_size_bytes,
            active_index_entries,
            active_time_index_entries,
            max_timestamp,
            offset_of_max_timestamp,
            size_bytes,
        )
        _LAYOUT.publish(self._memory, self._words, _HEADER_BYTES + row * ROW_BYTES + _IDENTITY_BYTES, packed)

    def claim(self, row: int, topic_id: Uuid, partition: int) -> None:
        """Give a free row to a partition; only the cluster worker may."""
        position = _HEADER_BYTES + row * ROW_BYTES
        self.publish(row, PartitionRow())
        _IDENTITY.pack_into(self._memory, position + WORD_BYTES, topic_id, partition)
        # The incarnation last: a cluster worker killed before this line leaves the row free, not half claimed.
        self._words[position >> 3] = 1
        self._words[0] = max(self._words[0], row + 1)

    def release(self, row: int) -> None:
        """Take a row back after its partition was deleted everywhere; only the cluster worker may."""
        self._words[(_HEADER_BYTES + row * ROW_BYTES) >> 3] = 0

    def claimed(self) -> Iterator[tuple[int, Uuid, int]]:
        """Yield (row, topic id, partition) of each row in use."""
        # Not all rows: looking at memory nobody used would make the system provide it.
        for row in range(self._words[0]):
            position = _HEADER_BYTES + row * ROW_BYTES
            if self._words[position >> 3]:
                topic_id, partition = _IDENTITY.unpack_from(self._memory, position + WORD_BYTES)
                yield row, topic_id, partition
