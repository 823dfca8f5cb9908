"""
The four codecs of Kafka's record batches, with the size of what comes out bounded.

    1 gzip     zlib, one or more members
    2 snappy   the framing of Java clients ("xerial": magic, two int32 versions, then length-prefixed blocks) or one
               bare block, which is what librdkafka writes; told apart by the magic
    3 lz4      the standard frame. Written here block by block because Java's reader refuses frames whose blocks
               depend on each other, which is what the library's own frame writer makes
    4 zstd     one or more frames

Why the bound: 100 bytes can decompress to gigabytes. Each decoder stops at `max_bytes` before it has used more memory
than a small multiple of that.
"""

from __future__ import annotations

import zlib
from enum import IntEnum
from struct import Struct
from struct import error as struct_error
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import cramjam

from kbroker.errors import KafkaError
from kbroker.protocol.error_codes import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kbroker.types import Buffer


_INT32 = Struct(">i")
_UINT32_LE = Struct("<I")
_XERIAL_MAGIC = b"\x82SNAPPY\x00"
_XERIAL_HEADER = _XERIAL_MAGIC + _INT32.pack(1) + _INT32.pack(1)
_XERIAL_BLOCK_BYTES = 32 * 1024
# Magic; version 1 with independent blocks and no checksums; blocks up to 64 KiB; the checksum of those two bytes.
_LZ4_HEADER = b"\x04\x22\x4d\x18\x60\x40\x82"
_LZ4_BLOCK_BYTES = 64 * 1024
_LZ4_STORED = 0x8000_0000
_LZ4_END = bytes(4)
_FIRST_GUESS_BYTES = 64 * 1024
_BUFFER_FULL = "failed to write whole buffer"


class CompressionType(IntEnum):
    """How the records of a batch are compressed: the low three bits of its attributes."""

    NONE = 0
    GZIP = 1
    SNAPPY = 2
    LZ4 = 3
    ZSTD = 4


def compress(codec: int, data: Buffer, level: int | None = None) -> Buffer:
    """
    Return `data` compressed in the form every Kafka client reads.

    codec  a CompressionType
    level  the codec's own scale (gzip 1..9, zstd 1..22); None means its usual default; snappy and lz4 have none

    Raises KafkaError(UNSUPPORTED_COMPRESSION_TYPE) for an unknown codec.
    """
    if codec == CompressionType.NONE:
        return data
    if codec == CompressionType.GZIP:
        compressor = zlib.compressobj(6 if level is None else level, zlib.DEFLATED, 31)
        return compressor.compress(data) + compressor.flush()
    if codec == CompressionType.SNAPPY:
        return _snappy_compress(data)
    if codec == CompressionType.LZ4:
        return _lz4_compress(data)
    if codec == CompressionType.ZSTD:
        return memoryview(cramjam.zstd.compress(data, level=3 if level is None else level))
    raise KafkaError(ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, f"unknown compression codec {codec}")


def decompress(codec: int, data: Buffer, max_bytes: int) -> Buffer:
    """
    Return `data` decompressed, at most `max_bytes` of it.

    Raises KafkaError: CORRUPT_MESSAGE when `data` is not what the codec writes, MESSAGE_TOO_LARGE when more than
    `max_bytes` would come out, UNSUPPORTED_COMPRESSION_TYPE for an unknown codec.
    """
    decoder = _DECODERS.get(codec)
    if decoder is None:
        raise KafkaError(ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, f"unknown compression codec {codec}")
    try:
        return decoder(data, max_bytes)
    except (zlib.error, cramjam.DecompressionError, struct_error) as error:
        raise KafkaError(
            ErrorCode.CORRUPT_MESSAGE, f"cannot decompress {CompressionType(codec).name.lower()}: {error}"
        ) from error


def decompress_prefix(codec: int, data: Buffer, max_bytes: int) -> tuple[Buffer, bool]:
    """
    Return the first `max_bytes` of `data` decompressed, and whether that is all of it.

    Of one bare block of snappy, which cannot be taken in parts, it is all or nothing.
    Raises KafkaError: CORRUPT_MESSAGE, UNSUPPORTED_COMPRESSION_TYPE, as decompress does.
    """
    try:
        if codec == CompressionType.GZIP:
            return _gzip_prefix(data, max_bytes)
        if codec == CompressionType.SNAPPY:
            return _snappy_prefix(memoryview(data), max_bytes)
        if codec == CompressionType.LZ4:
            return _into_buffer(cramjam.lz4.decompress_into, data, max_bytes)
        if codec == CompressionType.ZSTD:
            return _into_buffer(cramjam.zstd.decompress_into, data, max_bytes)
    except (zlib.error, cramjam.DecompressionError, struct_error) as error:
        raise KafkaError(
            ErrorCode.CORRUPT_MESSAGE, f"cannot decompress {CompressionType(codec).name.lower()}: {error}"
        ) from error
    raise KafkaError(ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, f"unknown compression codec {codec}")


def _gzip_prefix(data: Buffer, max_bytes: int) -> tuple[Buffer, bool]:
    decompressor = zlib.decompressobj(31)
    part = decompressor.decompress(data, max_bytes)
    if decompressor.unconsumed_tail or len(part) == max_bytes:
        return part, False
    # It ends within the bound: the strict reader finds further members, and what is cut off.
    return _gzip_decompress(data, max_bytes), True


def _snappy_prefix(view: memoryview, max_bytes: int) -> tuple[Buffer, bool]:
    if view[:8] != _XERIAL_MAGIC:
        if cramjam.snappy.decompress_raw_len(view) > max_bytes:
            return b"", False
        return _snappy_block(view, max_bytes, max_bytes), True
    parts: list[Buffer] = []
    room = max_bytes
    position = len(_XERIAL_HEADER)
    while position < len(view):
        size = _INT32.unpack_from(view, position)[0]
        position += 4
        if size < 0 or position + size > len(view):
            raise KafkaError(ErrorCode.CORRUPT_MESSAGE, "snappy block is cut off")
        block = view[position : position + size]
        if cramjam.snappy.decompress_raw_len(block) > room:
            return b"".join(parts), False
        parts.append(_snappy_block(block, room, max_bytes))
        room -= len(parts[-1])
        position += size
    return b"".join(parts), True


def _into_buffer(decompress_into: Callable[[Any, Any], int], data: Buffer, max_bytes: int) -> tuple[Buffer, bool]:
    output = bytearray(max_bytes)
    try:
        size = decompress_into(data, output)
    except cramjam.DecompressionError as error:
        if str(error) != _BUFFER_FULL:
            raise
        return output, False
    return memoryview(output)[:size], True


def _too_large(max_bytes: int) -> KafkaError:
    return KafkaError(ErrorCode.MESSAGE_TOO_LARGE, f"the records decompress to more than {max_bytes} bytes")


def _as_is(data: Buffer, max_bytes: int) -> Buffer:
    if len(data) > max_bytes:
        raise _too_large(max_bytes)
    return data


def _gzip_decompress(data: Buffer, max_bytes: int) -> Buffer:
    parts: list[bytes] = []
    room = max_bytes
    rest: Buffer = data
    while True:
        decompressor = zlib.decompressobj(31)
        # One byte more than there is room for: that tells "exactly full" from "too much". A bound of 0 would mean none.
        part = decompressor.decompress(rest, room + 1)
        room -= len(part)
        if room < 0:
            raise _too_large(max_bytes)
        if not decompressor.eof:
            raise KafkaError(ErrorCode.CORRUPT_MESSAGE, "gzip stream ends too early")
        parts.append(part)
        rest = decompressor.unused_data
        if not rest:
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _snappy_compress(data: Buffer) -> bytes:
    view = memoryview(data)
    parts: list[Buffer] = [_XERIAL_HEADER]
    for start in range(0, len(view), _XERIAL_BLOCK_BYTES):
        block = memoryview(cramjam.snappy.compress_raw(view[start : start + _XERIAL_BLOCK_BYTES]))
        parts += (_INT32.pack(len(block)), block)
    return b"".join(parts)


def _snappy_decompress(data: Buffer, max_bytes: int) -> Buffer:
    view = memoryview(data)
    if view[:8] != _XERIAL_MAGIC:
        return _snappy_block(view, max_bytes, max_bytes)
    position = len(_XERIAL_HEADER)
    if len(view) < position:
        raise KafkaError(ErrorCode.CORRUPT_MESSAGE, "snappy header is cut off")
    parts: list[Buffer] = []
    room = max_bytes
    while position < len(view):
        size = _INT32.unpack_from(view, position)[0]
        position += 4
        if size < 0 or position + size > len(view):
            raise KafkaError(
                ErrorCode.CORRUPT_MESSAGE, f"snappy block of {size} bytes where {len(view) - position} are left"
            )
        part = _snappy_block(view[position : position + size], room, max_bytes)
        room -= len(part)
        parts.append(part)
        position += size
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _snappy_block(block: memoryview, room: int, max_bytes: int) -> memoryview:
    if cramjam.snappy.decompress_raw_len(block) > room:
        raise _too_large(max_bytes)
    return memoryview(cramjam.snappy.decompress_raw(block))


def _lz4_compress(data: Buffer) -> bytes:
    view = memoryview(data)
    parts: list[Buffer] = [_LZ4_HEADER]
    for start in range(0, len(view), _LZ4_BLOCK_BYTES):
        plain = view[start : start + _LZ4_BLOCK_BYTES]
        block = memoryview(cramjam.lz4.compress_block(plain, store_size=False))
        if len(block) < len(plain):
            parts += (_UINT32_LE.pack(len(block)), block)
        else:
            parts += (_UINT32_LE.pack(len(plain) | _LZ4_STORED), plain)
    parts.append(_LZ4_END)
    return b"".join(parts)


def _lz4_decompress(data: Buffer, max_bytes: int) -> Buffer:
    return _into_growing_buffer(cramjam.lz4.decompress_into, data, max_bytes)


def _zstd_decompress(data: Buffer, max_bytes: int) -> Buffer:
    return _into_growing_buffer(cramjam.zstd.decompress_into, data, max_bytes)


def _into_growing_buffer(decompress_into: Callable[[Any, Any], int], data: Buffer, max_bytes: int) -> Buffer:
    """Decompress into a buffer of known size, a larger one when it was full: the library has no other bound."""
    guess = min(max(_FIRST_GUESS_BYTES, 8 * len(data)), max_bytes)
    while True:
        output = bytearray(guess)
        try:
            size = decompress_into(data, output)
        except cramjam.DecompressionError as error:
            if str(error) != _BUFFER_FULL:
                raise
            if guess >= max_bytes:
                raise _too_large(max_bytes) from error
            guess = min(guess * 8, max_bytes)
            continue
        return memoryview(output)[:size].toreadonly()


_DECODERS: Mapping[int, Callable[[Buffer, int], Buffer]] = MappingProxyType(
    {
        CompressionType.NONE: _as_is,
        CompressionType.GZIP: _gzip_decompress,
        CompressionType.SNAPPY: _snappy_decompress,
        CompressionType.LZ4: _lz4_decompress,
        CompressionType.ZSTD: _zstd_decompress,
    }
)
