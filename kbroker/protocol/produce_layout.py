"""
Produce on the hot path: where a request's records lie, and the bytes of its response.

The reader tells positions instead of copying or slicing.

An IO worker writes the records from the arena they lie in, so what counts here is (position, size). The general codec
(kbroker.protocol.messages.produce) reads the same requests into objects; a test holds the two together.

    v0..v2    acks, timeout, topics [name, partitions [index, records]]
    v3..v8    transactional id before acks
    v9..v12   the same, compact and with tagged fields
    v13       topic ids instead of names
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct, error
from typing import Final, NamedTuple

from kbroker.errors import MalformedMessage
from kbroker.protocol.primitives import LONGEST_STRING, foreign_text

_new: Final = tuple.__new__
"""Makes a named tuple without a call of Python code."""
_ACKS_TIMEOUT_COUNT: Final = Struct(">hii")
_ACKS_TIMEOUT: Final = Struct(">hi")
_INT16: Final = Struct(">h")
_INT32: Final = Struct(">i")
_INDEX_SIZE: Final = Struct(">ii")


class ProducePartition(NamedTuple):
    """One partition's records; a negative size: null."""

    partition: int
    position: int
    size_bytes: int


class Refusal(NamedTuple):
    """
    What a person should read about a partition that was refused.

    records  (index in the batch, reason) of each record to blame
    """

    message: str
    records: Sequence[tuple[int, str]] = ()


class ProduceResult(NamedTuple):
    """What came of one partition; offset and time are -1 when there was an error, the log's start where not known."""

    partition: int
    error_code: int
    base_offset: int = -1
    log_append_time_ms: int = -1
    log_start_offset: int = -1
    refusal: Refusal | None = None


class ProduceLayout(NamedTuple):
    """
    A Produce request.

    topics  (topic name, or its 16-byte id from v13 on; partitions)
    """

    transactional_id: str | None
    acks: int
    timeout_ms: int
    topics: list[tuple[str | bytes, list[ProducePartition]]]


def read_produce_layout(buffer: memoryview, version: int, position: int, end: int) -> ProduceLayout:
    """
    Return where everything is in the request body at `buffer[position:end]`.

    Raises MalformedMessage for whatever does not fit.
    """
    try:
        return (_read_flexible if version >= 9 else _read_plain)(buffer[:end], version, position, end)[0]
    except (error, IndexError) as cause:
        raise MalformedMessage("the request ends in the middle of a field") from cause


def _read_plain(buffer: memoryview, version: int, position: int, end: int) -> tuple[ProduceLayout, int]:
    transactional_id = None
    if version >= 3:
        size = _INT16.unpack_from(buffer, position)[0]
        position += 2
        if size >= 0:
            transactional_id, position = _text(buffer, position, size, end)
    acks, timeout_ms, topic_count = _ACKS_TIMEOUT_COUNT.unpack_from(buffer, position)
    position += 10
    topics: list[tuple[str | bytes, list[ProducePartition]]] = []
    for _ in range(_bounded(topic_count, position, end)):
        name, position = _text(buffer, position + 2, _INT16.unpack_from(buffer, position)[0], end)
        count = _bounded(_INT32.unpack_from(buffer, position)[0], position, end)
        position += 4
        partitions = []
        for _ in range(count):
            index, size = _INDEX_SIZE.unpack_from(buffer, position)
            position += 8
            partitions.append(_new(ProducePartition, (index, position, size)))
            position = _skip(size, position, end)
        topics.append((name, partitions))
    return _new(ProduceLayout, (transactional_id, acks, timeout_ms, topics)), position


def _read_flexible(buffer: memoryview, version: int, position: int, end: int) -> tuple[ProduceLayout, int]:
    size, position = _uvarint(buffer, position)
    transactional_id = None
    if size:
        transactional_id, position = _text(buffer, position, size - 1, end)
    acks, timeout_ms = _ACKS_TIMEOUT.unpack_from(buffer, position)
    topic_count, position = _uvarint(buffer, position + 6)
    topics: list[tuple[str | bytes, list[ProducePartition]]] = []
    name: str | bytes
    for _ in range(_bounded(topic_count - 1, position, end)):
        if version >= 13:
            if position + 16 > end:
                raise MalformedMessage("a topic id is cut off")
            name = bytes(buffer[position : position + 16])
            position += 16
        else:
            size, position = _uvarint(buffer, position)
            name, position = _text(buffer, position, size - 1, end)
        count, position = _uvarint(buffer, position)
        partitions = []
        for _ in range(_bounded(count - 1, position, end)):
            index = _INT32.unpack_from(buffer, position)[0]
            size, position = _uvarint(buffer, position + 4)
            partitions.append(_new(ProducePartition, (index, position, size - 1)))
            position = _skip(size - 1, position, end)
            position = position + 1 if not buffer[position] else _skip_tags(buffer, position, end)
        topics.append((name, partitions))
        position = position + 1 if not buffer[position] else _skip_tags(buffer, position, end)
    position = position + 1 if not buffer[position] else _skip_tags(buffer, position, end)
    return _new(ProduceLayout, (transactional_id, acks, timeout_ms, topics)), position


def _uvarint(buffer: memoryview, position: int) -> tuple[int, int]:
    byte = buffer[position]
    if byte < 0x80:
        return byte, position + 1
    value = byte & 0x7F
    shift = 7
    while shift < 35:
        position += 1
        byte = buffer[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value > 0xFFFFFFFF:
                raise MalformedMessage("a variable-length number does not fit 32 bits")
            return value, position + 1
        shift += 7
    raise MalformedMessage("a variable-length number is longer than five bytes")


def _text(buffer: memoryview, position: int, size: int, end: int) -> tuple[str, int]:
    after = position + size
    if not 0 <= size <= LONGEST_STRING or after > end:
        raise MalformedMessage(f"a string of {size} bytes does not fit")
    try:
        return str(buffer[position:after], "utf-8"), after
    except UnicodeDecodeError:
        pass
    try:
        return foreign_text(buffer[position:after]), after
    except ValueError as cause:
        raise MalformedMessage(f"a string {cause}") from cause


def _skip(size: int, position: int, end: int) -> int:
    # As in Kafka any negative size means null, not only -1.
    after = position + max(0, size)
    if after > end:
        raise MalformedMessage(f"records of {size} bytes do not fit")
    return after


def _bounded(count: int, position: int, end: int) -> int:
    # Each element takes at least one byte.
    if count < 0 or count > end - position:
        raise MalformedMessage(f"an array of {count} elements does not fit")
    return count


def _skip_tags(buffer: memoryview, position: int, end: int) -> int:
    count, position = _uvarint(buffer, position)
    for _ in range(_bounded(count, position, end)):
        _, position = _uvarint(buffer, position)
        size, position = _uvarint(buffer, position)
        position += size
        if position > end:
            raise MalformedMessage("a tagged field does not fit")
    return position


_RESULT_V0: Final = Struct(">ihq")
_RESULT_V2: Final = Struct(">ihqq")
_RESULT_V5: Final = Struct(">ihqqq")
_NO_RECORD_ERRORS: Final = bytes(4)
_NULL_TEXT: Final = b"\xff\xff"
_NO_THROTTLE: Final = bytes(4)
_ONE_TAIL_V8: Final = _NO_RECORD_ERRORS + _NULL_TEXT + _NO_THROTTLE
_ONE_TAIL_V9: Final = b"\x01\x00\x00" + b"\x00" + _NO_THROTTLE + b"\x00"
"""No record errors, no message, no tags of the partition; no tags of the topic; throttle time; no tags."""


def encode_produce_response(version: int, topics: list[tuple[str | bytes, list[ProduceResult]]]) -> bytes:
    """
    Return the body of a Produce response.

    topics  as in the request: name (or 16-byte id from v13 on), and a result per partition
    """
    flexible = version >= 9
    parts = [_uvarint_bytes(len(topics) + 1) if flexible else _INT32.pack(len(topics))]
    for name, results in topics:
        if isinstance(name, bytes):
            parts.append(name)
        else:
            encoded = name.encode()
            parts.append(_uvarint_bytes(len(encoded) + 1) if flexible else _INT16.pack(len(encoded)))
            parts.append(encoded)
        parts.append(_uvarint_bytes(len(results) + 1) if flexible else _INT32.pack(len(results)))
        for index, code, base_offset, append_time, log_start, refusal in results:
            if version >= 5:
                parts.append(_RESULT_V5.pack(index, code, base_offset, append_time, log_start))
            elif version >= 2:
                parts.append(_RESULT_V2.pack(index, code, base_offset, append_time))
            else:
                parts.append(_RESULT_V0.pack(index, code, base_offset))
            if version < 8:
                continue
            if refusal is not None:
                parts.append(_encode_refusal(refusal, flexible))
            elif flexible:
                # No record errors, no message, no tagged fields.
                parts.append(b"\x01\x00\x00")
            else:
                parts += (_NO_RECORD_ERRORS, _NULL_TEXT)
        if flexible:
            parts.append(b"\x00")
    if version >= 1:
        parts.append(_NO_THROTTLE)
    if flexible:
        parts.append(b"\x00")
    return b"".join(parts)


def _encode_refusal(refusal: Refusal, flexible: bool) -> bytes:
    """Return record errors and message of one partition, with the partition's tagged fields where it has any."""
    records = refusal.records
    parts = [_uvarint_bytes(len(records) + 1) if flexible else _INT32.pack(len(records))]
    for index, reason in records:
        parts += (_INT32.pack(index), _text_bytes(reason, flexible), b"\x00" if flexible else b"")
    parts.append(_text_bytes(refusal.message, flexible) if refusal.message else b"\x00" if flexible else _NULL_TEXT)
    if flexible:
        parts.append(b"\x00")
    return b"".join(parts)


def _text_bytes(text: str, flexible: bool) -> bytes:
    encoded = text.encode()[:LONGEST_STRING]
    return (_uvarint_bytes(len(encoded) + 1) if flexible else _INT16.pack(len(encoded))) + encoded


def nothing_follows(buffer: memoryview, version: int, position: int, end: int) -> bool:
    """Return whether a request for one partition whose records end at `position` holds nothing else up to `end`."""
    if version < 9:
        return position == end
    # No tagged fields of the partition, of the topic, of the request.
    return position + 3 == end and not (buffer[position] or buffer[position + 1] or buffer[position + 2])


def records_size_at(buffer: memoryview, version: int, position: int) -> tuple[int, int]:
    """Return the size of the records whose length field is at `position`, and where they begin."""
    if version < 9:
        return _INT32.unpack_from(buffer, position)[0], position + 4
    size, position = _uvarint(buffer, position)
    return size - 1, position


def records_length_position(version: int, position: int, size: int) -> int:
    """Return where the length field of the records that begin at `position` is."""
    return position - (4 if version < 9 else len(_uvarint_bytes(size + 1)))


def encode_one_head(version: int, name: str | bytes) -> bytes:
    """Return what stands before the result in the answer to a request of one partition, version 3 or later."""
    flexible = version >= 9
    one = b"\x02" if flexible else b"\x00\x00\x00\x01"
    if isinstance(name, bytes):
        return one + name + one
    encoded = name.encode()
    size = _uvarint_bytes(len(encoded) + 1) if flexible else _INT16.pack(len(encoded))
    return b"".join((one, size, encoded, one))


def encode_one(version: int, head: bytes, index: int, appended: tuple[int, int, int, int]) -> bytes:
    """
    Return the body of the answer to a request of one partition, version 3 or later: what nearly all requests are.

    head      what encode_one_head returned
    appended  error code, base offset, log append time, log start offset
    """
    code, base_offset, append_time, log_start = appended
    if version >= 9:
        return b"".join((head, _RESULT_V5.pack(index, code, base_offset, append_time, log_start), _ONE_TAIL_V9))
    if version >= 5:
        tail = _ONE_TAIL_V8 if version == 8 else _NO_THROTTLE
        return b"".join((head, _RESULT_V5.pack(index, code, base_offset, append_time, log_start), tail))
    return b"".join((head, _RESULT_V2.pack(index, code, base_offset, append_time), _NO_THROTTLE))


def _uvarint_bytes(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append((value & 0x7F) | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
