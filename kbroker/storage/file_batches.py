"""
Walking the batches of a segment file by their headers, whatever their format.

Every message format Kafka ever had begins with int64 offset, int32 size of what follows, and has its magic at byte 16.
Magic 2 has the header described in kbroker.protocol.record_batch. In magic 0 and 1 an entry is one message, or a
compressed set of them, and the offset is that of its last message.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

BATCH_HEADER_BYTES = 61
BATCH_HEADER = Struct(">qiibIhiqqqhii")
"""base offset, length, leader epoch, magic, CRC, attributes, last offset delta, base and max timestamp, producer id, \
producer epoch, base sequence, record count."""
_unpack_header = BATCH_HEADER.unpack_from
_unpack_prefix = Struct(">qi").unpack_from
_unpack_timestamp = Struct(">q").unpack_from

_SMALLEST_BATCH = {0: 26, 1: 34, 2: BATCH_HEADER_BYTES}
_OLD_TIMESTAMP_POSITION = 18
DEFAULT_WINDOW_BYTES = 8192


class FileBatch(NamedTuple):
    """One batch of a segment file. Fields that its format does not have are -1."""

    position: int
    size_bytes: int
    base_offset: int
    """For magic 0 and 1 the offset of the last message, the only one the file tells."""
    last_offset: int
    magic: int
    leader_epoch: int
    attributes: int
    max_timestamp: int
    producer_id: int = -1
    producer_epoch: int = -1
    base_sequence: int = -1


def parse_batch(buffer: bytes | memoryview, start: int, available: int, position: int) -> FileBatch | None:
    """
    Return the batch whose header lies at `start` of a buffer, None when there is none.

    available  bytes of the file from the batch's beginning to the end of what counts
    position   where the batch begins in the file
    """
    if len(buffer) - start < 17:
        return None
    magic = buffer[start + 16]
    smallest = _SMALLEST_BATCH.get(magic)
    if smallest is None:
        return None
    offset, length = _unpack_prefix(buffer, start)
    size_bytes = length + 12
    if size_bytes < smallest or size_bytes > available or len(buffer) - start < smallest:
        return None
    if magic == 2:
        _, _, epoch, _, _, attributes, delta, _, max_timestamp, producer_id, producer_epoch, sequence, _ = (
            _unpack_header(buffer, start)
        )
        return FileBatch(
            position,
            size_bytes,
            offset,
            offset + delta,
            2,
            epoch,
            attributes,
            max_timestamp,
            producer_id,
            producer_epoch,
            sequence,
        )
    timestamp = _unpack_timestamp(buffer, start + _OLD_TIMESTAMP_POSITION)[0] if magic else -1
    return FileBatch(position, size_bytes, offset, offset, magic, -1, buffer[start + 17], timestamp)


def iterate_file_batches(
    fd: int, position: int, end: int, window_bytes: int = DEFAULT_WINDOW_BYTES
) -> Iterator[FileBatch]:
    """
    Yield the batches between two positions of a file, headers only; stops at the first that is not whole.

    position      where a batch begins
    end           where the batches end
    window_bytes  how much is read at a time

    Raises OSError. Costs one pread per window, or per batch when batches are larger.
    """
    window = b""
    window_start = position
    while position < end:
        start = position - window_start
        batch = parse_batch(window, start, end - position, position) if start < len(window) else None
        if batch is None:
            window = os.pread(fd, window_bytes, position)
            window_start = position
            batch = parse_batch(window, 0, end - position, position)
            if batch is None:
                return
        yield batch
        position += batch.size_bytes


def iterate_indexed_batches(
    fd: int, entry: tuple[int, int] | None, base_offset: int, end: int, window_bytes: int = DEFAULT_WINDOW_BYTES
) -> Iterator[FileBatch]:
    """
    Yield the batches of a segment from an entry of its offset index on.

    entry        (offset, position); None: from the segment's beginning
    base_offset  base offset of the segment
    end          where the batches end

    An entry that names no batch, or one past its offset, is damaged: starting there would leave records out. Then all
    batches come, from the beginning. Raises OSError.
    """
    if entry is not None:
        offset, position = entry
        fits = False
        for batch in iterate_file_batches(fd, position, end, window_bytes):
            if not fits:
                # In the old formats the batch's first offset is not told.
                if batch.base_offset < base_offset or (batch.magic == 2 and batch.base_offset > offset):
                    break
                fits = True
            yield batch
        if fits:
            return
    yield from iterate_file_batches(fd, 0, end, window_bytes)
