"""
The smallest pieces of Kafka's wire format: variable-length integers, tagged sections, big-endian packers by count.

    unsigned varint   7 bits per byte, lowest first, top bit set on all but the last; at most 5 bytes
    zigzag varint     (n << 1) ^ (n >> 31 or 63) as unsigned varint; 5 or 10 bytes
    tagged section    varint count, then per field: varint tag, varint size, that many bytes

Readers take a buffer and a position and return the value with the position after it. They raise IndexError when the
buffer ends too early and ValueError when the value is too long; the generated decoders turn both into MalformedMessage.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct, pack
from typing import Any, Final

from kbroker.types import Buffer

SMALL_VARINTS: tuple[bytes, ...] = tuple(bytes((value,)) for value in range(128))
"""The encodings of 0..127, by value."""

LONGEST_STRING: Final = 32_767
"""Bytes of the longest string that every version can hold."""

_CACHED_COUNTS = 512


def foreign_text(raw: Buffer) -> str:
    """
    Return a string whose bytes are no UTF-8 as Kafka reads it: U+FFFD stands for what cannot be read.

    Old clients of many languages send whatever their locale makes of a name. Raises ValueError when the string would no
    longer fit an answer: what stands in for a byte takes three.
    """
    text = str(raw, "utf-8", "replace")
    if len(text.encode()) > LONGEST_STRING:
        raise ValueError(f"is no UTF-8 and longer than {LONGEST_STRING} bytes when that is mended")
    return text


def read_unsigned_varint(buffer: Buffer, position: int) -> tuple[int, int]:
    """Return the 32-bit unsigned varint at `position` and the position after it."""
    byte = buffer[position]
    if byte < 0x80:
        return byte, position + 1
    value = byte & 0x7F
    shift = 7
    while True:
        position += 1
        byte = buffer[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value > 0xFFFFFFFF:
                raise ValueError("varint does not fit 32 bits")
            return value, position + 1
        shift += 7
        if shift > 28:
            raise ValueError("varint longer than 5 bytes")


def read_varint(buffer: Buffer, position: int) -> tuple[int, int]:
    """Return the 32-bit zigzag varint at `position` and the position after it."""
    value, position = read_unsigned_varint(buffer, position)
    return (value >> 1) ^ -(value & 1), position


def read_varlong(buffer: Buffer, position: int) -> tuple[int, int]:
    """Return the 64-bit zigzag varint at `position` and the position after it."""
    value = shift = 0
    while True:
        byte = buffer[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value > 0xFFFFFFFFFFFFFFFF:
                raise ValueError("varint does not fit 64 bits")
            return (value >> 1) ^ -(value & 1), position
        shift += 7
        if shift > 63:
            raise ValueError("varint longer than 10 bytes")


def unsigned_varint(value: int) -> bytes:
    """Return the encoding of `value`, 0 or greater."""
    if value < 0x80:
        return SMALL_VARINTS[value]
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def varint(value: int) -> bytes:
    """Return the zigzag encoding of a signed integer of up to 64 bits."""
    return unsigned_varint(value << 1 if value >= 0 else (-value << 1) - 1)


def skip_tagged_fields(buffer: Buffer, position: int) -> int:
    """Return the position after the tagged section that starts at `position`, whatever is in it."""
    count, position = read_unsigned_varint(buffer, position)
    end = len(buffer)
    for _ in range(count):  # each turn consumes two bytes or raises, so a huge count ends at the buffer's end
        _, position = read_unsigned_varint(buffer, position)
        size, position = read_unsigned_varint(buffer, position)
        position += size
        if position > end:
            raise IndexError
    return position


class UnpackersByCount(dict[int, Callable[..., tuple[Any, ...]]]):
    """
    Unpackers of `count` equal big-endian values, made when first asked for.

    code  one of struct's single-letter codes

    The caller has checked `count` against the bytes left.
    """

    def __init__(self, code: str) -> None:
        super().__init__()
        self._code = code

    def __missing__(self, count: int) -> Callable[..., tuple[Any, ...]]:
        """Make the unpacker; keep it only while the count is one that comes again."""
        unpack = Struct(f">{count}{self._code}").unpack_from
        if count < _CACHED_COUNTS:
            self[count] = unpack
        return unpack


class PackersByCount(dict[int, Callable[..., bytes]]):
    """
    Packers of a length followed by `count` equal big-endian values, made when first asked for.

    code         one of struct's codes
    length_code  "i" for a plain array; "" for a compact one, whose varint length is put in front

    A packer for a plain array or a compact one of fewer than 127 elements is called as packer(length, *values).
    """

    def __init__(self, code: str, *, compact: bool) -> None:
        super().__init__()
        self._code = code
        self._compact = compact

    def __missing__(self, count: int) -> Callable[..., bytes]:
        """Make the packer; keep it only while the count is one that comes again."""
        body = self._code * count if len(self._code) > 1 else f"{count}{self._code}"
        if self._compact and count >= 127:

            def pack_long(length: int, *values: Any) -> bytes:
                return unsigned_varint(length) + pack(">" + body, *values)

            return pack_long
        packer = Struct((">B" if self._compact else ">i") + body).pack
        if count < _CACHED_COUNTS:
            self[count] = packer
        return packer
