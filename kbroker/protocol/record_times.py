"""
At which offsets a batch's timestamps rise: all that is needed to find a record by its time.

Of a batch only its *steps* count, the records later than all before them: the first record at or after a time is always
one of these. They are read once, from as much of the batch as it takes, and kept by whoever asks.

What that may cost is bounded, because a few kilobytes can decompress to gigabytes, and hold millions of records: by the
bytes that come out, by the records, and by time. Then the steps end early, and `unseen_from` tells where: no record
before it is at or after any time that the steps do not answer, so a reader that begins there misses nothing.
"""

from __future__ import annotations

import time
from array import array
from bisect import bisect_left
from struct import Struct
from struct import error as struct_error
from typing import TYPE_CHECKING, Final

from kbroker.errors import KafkaError
from kbroker.protocol.compression import decompress_prefix
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.record_batch import (
    CODEC_MASK,
    CURRENT_MAGIC,
    HEADER_BYTES,
    LOG_APPEND_TIME_FLAG,
    read_batch_header,
    read_varint,
)

if TYPE_CHECKING:
    from kbroker.types import Buffer

MOST_BYTES: Final = 16 * 1024 * 1024
MOST_RATIO: Final = 16
"""What a batch may decompress to while it is looked at: so much, or so many times its size."""
MOST_STEPS: Final = 65_536
LOOK_NS: Final = 100_000_000
"""How long one look may take."""
_FIRST_BYTES: Final = 64 * 1024
_GROWTH: Final = 8
_RECORDS_PER_CLOCK: Final = 1024
_EARLIEST: Final = -(2**63)
_OLD_HEADER: Final = Struct(">qiIbb").unpack_from
_INT32: Final = Struct(">i").unpack_from
_INT64: Final = Struct(">q").unpack_from


class TimeSteps:
    """
    The steps of one batch.

    unseen_from  offset of the first record that was not looked at; -1: all were
    """

    __slots__ = ("_offsets", "_timestamps", "unseen_from")

    def __init__(self) -> None:
        self._timestamps = array("q")
        self._offsets = array("q")
        self.unseen_from = -1

    def __len__(self) -> int:
        """Return how many steps there are."""
        return len(self._timestamps)

    def add(self, timestamp: int, offset: int) -> None:
        """Note a record that is later than all before it."""
        self._timestamps.append(timestamp)
        self._offsets.append(offset)

    def find(self, timestamp: int) -> tuple[int, int] | None:
        """Return (timestamp, offset) of the first record at or after a time, None when no record looked at is."""
        number = bisect_left(self._timestamps, timestamp)
        return (self._timestamps[number], self._offsets[number]) if number < len(self._timestamps) else None


def read_time_steps(content: Buffer, start_offset: int, deadline_ns: int) -> TimeSteps:
    """
    Return the steps of a batch among its records from `start_offset` on; the producers' timestamps count.

    content      one whole batch; of message formats 0 and 1 one message, or a compressed set of them
    deadline_ns  when to stop, by time.monotonic_ns

    Raises KafkaError(CORRUPT_MESSAGE) for records that cannot be read.
    """
    if content[16] < CURRENT_MAGIC:
        return _old_time_steps(memoryview(content), start_offset)
    header = read_batch_header(content, 0)
    steps = TimeSteps()
    packed = memoryview(content)[HEADER_BYTES : header.size_bytes]
    codec = header.attributes & CODEC_MASK
    scan = _Scan(header.base_offset, header.base_timestamp, header.max_timestamp, header.record_count, start_offset)
    room = _FIRST_BYTES
    most = max(MOST_BYTES, MOST_RATIO * len(packed))
    while True:
        data, whole = decompress_prefix(codec, packed, room) if codec else (packed, True)
        if scan.advance(memoryview(data), steps, deadline_ns, whole=whole):
            return steps
        if whole or room >= most or time.monotonic_ns() >= deadline_ns:
            break
        room = min(room * _GROWTH, most)
    steps.unseen_from = scan.next_offset
    return steps


class _Scan:
    """How far the records of a batch have been looked at; goes on as more of them comes to light."""

    __slots__ = (
        "_base_offset",
        "_base_timestamp",
        "_count",
        "_highest",
        "_index",
        "_last_timestamp",
        "_position",
        "_start_offset",
        "next_offset",
    )

    def __init__(
        self, base_offset: int, base_timestamp: int, last_timestamp: int, count: int, start_offset: int
    ) -> None:
        self._base_offset = base_offset
        self._base_timestamp = base_timestamp
        self._last_timestamp = last_timestamp
        self._count = count
        self._start_offset = start_offset
        self._highest = _EARLIEST
        self._index = 0
        self._position = 0
        self.next_offset = base_offset

    def advance(self, data: memoryview, steps: TimeSteps, deadline_ns: int, *, whole: bool) -> bool:
        """Look at the records that begin in `data`; return whether no later one can be a step."""
        end = len(data)
        position = self._position
        try:
            while self._index < self._count:
                size, at = read_varint(data, position)
                if size < 0:
                    raise KafkaError(ErrorCode.CORRUPT_MESSAGE, f"record {self._index} has an impossible size")
                record_end = at + size
                timestamp_delta, at = read_varint(data, at + 1)
                offset_delta, at = read_varint(data, at)
                if at > record_end or (whole and record_end > end):
                    raise KafkaError(ErrorCode.CORRUPT_MESSAGE, f"record {self._index} is cut off")
                timestamp = self._base_timestamp + timestamp_delta
                offset = self._base_offset + offset_delta
                if timestamp > self._highest and offset >= self._start_offset:
                    steps.add(timestamp, offset)
                    self._highest = timestamp
                    if timestamp >= self._last_timestamp:
                        return True
                self._index += 1
                self.next_offset = offset + 1
                self._position = position = record_end
                if not self._index % _RECORDS_PER_CLOCK and (
                    len(steps) >= MOST_STEPS or time.monotonic_ns() >= deadline_ns
                ):
                    return False
        except IndexError:
            if whole:
                raise KafkaError(ErrorCode.CORRUPT_MESSAGE, "records are cut off") from None
            return False
        return True


# Message formats 0 and 1: int64 offset, int32 size, then uint32 CRC, int8 magic, int8 attributes, with magic 1 int64
# timestamp, then key and value, each int32 size (-1: null) and bytes. A compressed message's value is a set of
# messages; with magic 1 their offsets count from 0, and the outer offset is that of the last one.


def _old_time_steps(content: memoryview, start_offset: int) -> TimeSteps:
    """Return the steps of one message of magic 0 or 1, or of the set that it holds compressed."""
    steps = TimeSteps()
    outer_offset, _, _, magic, attributes = _OLD_HEADER(content, 0)
    if magic == 0:
        # No timestamps at all.
        return steps
    timestamp = _INT64(content, 18)[0]
    codec = attributes & CODEC_MASK
    if not codec:
        if outer_offset >= start_offset:
            steps.add(timestamp, outer_offset)
        return steps
    try:
        found = _messages_of(content, codec)
    except (struct_error, IndexError) as error:
        raise KafkaError(ErrorCode.CORRUPT_MESSAGE, f"compressed messages are damaged: {error}") from error
    if not found:
        # Too much to look at: where the set begins is not told, so nothing but the whole set can be meant.
        steps.unseen_from = start_offset
        return steps
    last = found[-1][0]
    highest = _EARLIEST
    for inner_offset, inner_timestamp in found:
        offset = outer_offset - last + inner_offset
        if attributes & LOG_APPEND_TIME_FLAG:
            inner_timestamp = timestamp
        if inner_timestamp > highest and offset >= start_offset:
            steps.add(inner_timestamp, offset)
            highest = inner_timestamp
    return steps


def _messages_of(content: memoryview, codec: int) -> list[tuple[int, int]]:
    """Return (offset, timestamp) of each message in a compressed one; none when there is too much of it."""
    key_size = _INT32(content, 26)[0]
    at = 30 + max(0, key_size)
    size = _INT32(content, at)[0]
    data, whole = decompress_prefix(codec, content[at + 4 : at + 4 + size], max(MOST_BYTES, MOST_RATIO * size))
    if not whole:
        return []
    found: list[tuple[int, int]] = []
    position, end = 0, len(data)
    while position < end:
        offset, length, _, magic, _ = _OLD_HEADER(data, position)
        found.append((offset, _INT64(data, position + 18)[0] if magic else -1))
        if length < 14:
            raise IndexError(f"message of {length} bytes")
        position += 12 + length
    return found
