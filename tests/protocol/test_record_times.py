"""A record is found by its time at a bounded cost, whatever the batch claims to hold."""

from __future__ import annotations

import time
import zlib
from struct import pack

import pytest

from kbroker.errors import KafkaError
from kbroker.protocol.compression import CompressionType, compress, decompress_prefix
from kbroker.protocol.record_batch import BatchBuilder, join_batch
from kbroker.protocol.record_times import MOST_BYTES, read_time_steps

NEVER = 2**62
CODECS = list(CompressionType)


def batch(timestamps, codec=CompressionType.NONE, base_offset=100, value=b"v"):
    builder = BatchBuilder(base_offset=base_offset, compression=codec)
    for timestamp in timestamps:
        builder.append(None, value, timestamp)
    return builder.build()


def bomb(codec, size=300_000_000, timestamp_of_last=5000):
    """A batch of a few kilobytes whose first record is huge; the time asked for lies behind it."""
    body = bytes(3) + b"\x01" + pack(">I", 0)  # attributes, timestamp 0, offset 0, no key; then the value's size
    records = _varint(size + 16) + body + bytes(size)
    return join_batch(
        compress(codec, records),
        base_offset=100,
        partition_leader_epoch=0,
        attributes=int(codec),
        last_offset_delta=1,
        base_timestamp=1000,
        max_timestamp=timestamp_of_last,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        record_count=2,
    )


def _varint(value):
    value <<= 1
    output = bytearray()
    while value > 0x7F:
        output.append(value & 0x7F | 0x80)
        value >>= 7
    output.append(value)
    return bytes(output)


@pytest.mark.parametrize("codec", CODECS)
def test_steps_answer_every_time_as_the_records_do(codec):
    timestamps = [5, 3, 5, 9, 7, 9, 12, 1]
    steps = read_time_steps(batch(timestamps, codec), 0, NEVER)
    for wanted in range(14):
        first = next(((stamp, 100 + n) for n, stamp in enumerate(timestamps) if stamp >= wanted), None)
        assert steps.find(wanted) == first
    assert steps.unseen_from == -1


@pytest.mark.parametrize("codec", CODECS)
def test_only_records_from_the_start_on_count(codec):
    steps = read_time_steps(batch([9, 3, 5], codec), 101, NEVER)
    assert steps.find(1) == (3, 101)
    assert steps.find(4) == (5, 102)
    assert steps.find(6) is None


@pytest.mark.parametrize("codec", CODECS)
def test_batches_larger_than_the_first_look_are_read_on(codec):
    timestamps = [*range(2000), 1_000_000]
    steps = read_time_steps(batch(timestamps, codec, value=bytes(range(250)) * 2), 0, NEVER)
    assert steps.find(1999) == (1999, 2099)
    assert steps.find(2000) == (1_000_000, 2100)
    assert steps.unseen_from == -1


@pytest.mark.parametrize("codec", [CompressionType.GZIP, CompressionType.ZSTD, CompressionType.LZ4])
def test_what_would_come_out_is_bounded_and_the_answer_skips_nothing(codec):
    content = bomb(codec)
    steps = read_time_steps(content, 0, NEVER)
    assert steps.find(1000) == (1000, 100)
    assert steps.find(5000) is None
    assert steps.unseen_from == 101


def test_time_is_bounded_for_a_batch_of_millions_of_records():
    records = b"".join((b"\x0c", bytes(1), b"\x01", b"\x00", b"\x01\x01\x00"))  # one record of 7 bytes, time -1
    count = MOST_BYTES // len(records)
    content = join_batch(
        compress(CompressionType.ZSTD, records * count),
        base_offset=0,
        partition_leader_epoch=0,
        attributes=int(CompressionType.ZSTD),
        last_offset_delta=count - 1,
        base_timestamp=10,
        max_timestamp=99,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        record_count=count,
    )
    assert len(content) < 20_000
    begun = time.monotonic_ns()
    steps = read_time_steps(content, 0, begun)
    assert steps.find(50) is None
    assert steps.unseen_from >= 0


def test_damaged_records_are_told():
    content = bytearray(batch([1, 2, 3]))
    with pytest.raises(KafkaError, match="cut off"):
        read_time_steps(
            join_batch(
                bytes(content[61:-4]),
                base_offset=0,
                partition_leader_epoch=0,
                attributes=0,
                last_offset_delta=2,
                base_timestamp=1,
                max_timestamp=3,
                producer_id=-1,
                producer_epoch=-1,
                base_sequence=-1,
                record_count=3,
            ),
            0,
            NEVER,
        )


def old_message(offset, timestamp, value, attributes=0, magic=1):
    body = pack(">bb", magic, attributes) + (pack(">q", timestamp) if magic else b"") + pack(">i", -1)
    body += pack(">i", len(value)) + value
    return pack(">qiI", offset, len(body) + 4, zlib.crc32(body)) + body


def test_a_compressed_set_of_old_messages_is_looked_into():
    """Its own header tells only the last offset and the largest time: to answer these would skip records."""
    inner = b"".join(old_message(n, 1000 + 10 * n, b"x" * 50) for n in range(5))
    content = old_message(44, 1040, zlib.compress(inner, wbits=31), attributes=CompressionType.GZIP)
    steps = read_time_steps(content, 0, NEVER)
    assert steps.find(1015) == (1020, 42)
    assert steps.find(1041) is None
    assert read_time_steps(content, 43, NEVER).find(0) == (1030, 43)
    assert read_time_steps(old_message(7, 55, b"x"), 0, NEVER).find(50) == (55, 7)
    assert read_time_steps(old_message(7, -1, b"x", magic=0), 0, NEVER).find(0) is None


@pytest.mark.parametrize("codec", CODECS[1:])
@pytest.mark.parametrize("size", [1, 10_000, 200_000])
def test_a_prefix_is_what_the_whole_begins_with(codec, size):
    data = bytes(range(256)) * 500
    found, whole = decompress_prefix(codec, compress(codec, data), size)
    assert whole == (size > len(data))
    assert data.startswith(bytes(found))
    if whole:
        assert bytes(found) == data
