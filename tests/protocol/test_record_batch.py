"""A broker takes exactly the batches Kafka takes, says why it refuses the others, and reads back what was written."""

from __future__ import annotations

import struct

import pytest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from kbroker.errors import KafkaError
from kbroker.protocol import record_batch
from kbroker.protocol.compression import CompressionType
from kbroker.protocol.record_batch import (
    MAX_REFUSED_RECORDS,
    REFUSED_BYTES_LOOKED_AT,
    BatchBuilder,
    Record,
    check_batch,
    find_refused_records,
    iterate_batch_headers,
    iterate_records,
    read_batch_header,
    validate_records,
    verify_crc,
)

# One record, key "k", value "hello", timestamp 1000, as kafka-clients writes it.
GOLDEN = bytes.fromhex(
    "0000000000000000" "0000003e" "ffffffff" "02" "2bf5b8e1" "0000" "00000000"
    "00000000000003e8" "00000000000003e8" "ffffffffffffffff" "ffff" "ffffffff" "00000001"
    "18" "00" "00" "00" "02" "6b" "0a" "68656c6c6f" "00"
)  # fmt: skip


def batch(count: int = 3, **options: object) -> bytearray:
    """Return a batch of `count` records."""
    builder = BatchBuilder(**options)  # type: ignore[arg-type]
    for index in range(count):
        builder.append(b"key", b"value-%d" % index, 1000 + index)
    return bytearray(builder.build())


def with_crc(content: bytearray) -> bytearray:
    """Return `content` with the checksum its bytes have."""
    struct.pack_into(">I", content, 17, record_batch.crc32.iscsi(bytes(content[21:])))
    return content


def patched(position: int, form: str, value: int, count: int = 3) -> bytearray:
    """Return a batch with one header field overwritten and a right checksum."""
    content = batch(count)
    struct.pack_into(form, content, position, value)
    return with_crc(content)


def validated(content: bytes | bytearray, api_version: int = 9, **options: int) -> record_batch.BatchHeader:
    """Return the header of a batch that check_batch has nothing against, wherever in a buffer it lies."""
    before, behind = b"before", bytes(7)
    check_batch(
        memoryview(before + content + behind),
        len(before),
        len(content),
        api_version,
        options.get("max_message_bytes", 1 << 20),
        options.get("max_segment_bytes", 1 << 30),
        options.get("max_timestamp", -1),
    )
    return read_batch_header(content, 0)


def test_a_batch_has_kafkas_bytes() -> None:
    """The layout is Kafka's to the byte, but for the checksum, which is checked apart."""
    builder = BatchBuilder()
    builder.append(b"k", b"hello", 1000)
    built = builder.build()
    assert built[:17] + built[21:] == GOLDEN[:8] + struct.pack(">i", len(built) - 12) + GOLDEN[12:17] + GOLDEN[21:]
    verify_crc(built, read_batch_header(built))


record_values = st.tuples(
    st.none() | st.binary(max_size=200),
    st.none() | st.binary(max_size=200),
    st.integers(-1, 2**50),
    st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=5)), max_size=3),
)


@pytest.mark.parametrize("codec", [pytest.param(codec, id=codec.name.lower()) for codec in CompressionType])
@given(records=st.lists(record_values, min_size=1, max_size=30), base=st.integers(0, 2**60))
def test_records_come_back_as_they_went_in(
    codec: int, records: list[tuple[bytes | None, bytes | None, int, list[tuple[str, bytes | None]]]], base: int
) -> None:
    """Keys, values, timestamps and headers survive, compressed or not, null or empty."""
    builder = BatchBuilder(base, compression=codec)
    for key, value, timestamp, headers in records:
        builder.append(key, value, timestamp, headers)
    content = builder.build()
    header = read_batch_header(content)
    assert header.size_bytes == len(content)
    assert header.last_offset == base + len(records) - 1
    assert header.max_timestamp == max(record[2] for record in records)
    found = list(iterate_records(content, header))
    assert found == [
        Record(base + index, timestamp, key, value, tuple(headers))
        for index, (key, value, timestamp, headers) in enumerate(records)
    ]
    verify_crc(content, header)


def test_header_fields_are_read() -> None:
    """Producer, transaction and control fields stand where Kafka has them."""
    content = batch(
        2, producer_id=7, producer_epoch=3, base_sequence=11, is_transactional=True, is_control=True, base_offset=100
    )
    header = read_batch_header(b"\0" * 9 + content, 9)
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (7, 3, 11)
    assert header.is_transactional
    assert header.is_control
    assert (header.base_offset, header.position, header.record_count, header.codec) == (100, 9, 2, 0)


def test_log_append_time_replaces_each_timestamp() -> None:
    """With log append time every record carries the batch's timestamp."""
    content = batch(3, log_append_time=True)
    assert {record.timestamp for record in iterate_records(content, read_batch_header(content))} == {1002}


def test_batches_are_found_one_after_the_other() -> None:
    """A file slice may end within a batch; what is whole is found."""
    first, second = batch(2), batch(5)
    content = first + second + batch(1)[:70]
    assert [(h.position, h.record_count) for h in iterate_batch_headers(content)] == [(0, 2), (len(first), 5)]
    assert next(iter(iterate_batch_headers(content[: len(first) + 5]))).record_count == 2


def test_a_good_batch_passes() -> None:
    """The header of the batch is what the caller gets."""
    content = batch(3)
    assert validated(content) == read_batch_header(content)


CORRUPT, TOO_LARGE, LIST_TOO_LARGE, TIMESTAMP, FORMAT, CODEC, INVALID = 2, 10, 18, 32, 43, 76, 87


@pytest.mark.parametrize(
    ("content", "options", "code"),
    [
        pytest.param(b"", {}, INVALID, id="no batch"),
        pytest.param(batch()[:-1], {}, INVALID, id="cut off"),
        pytest.param(batch()[:30], {}, INVALID, id="header cut off"),
        pytest.param(batch()[:10], {}, INVALID, id="size cut off"),
        pytest.param(patched(8, ">i", 5000), {}, INVALID, id="a size of more than came"),
        pytest.param(batch() + b"x", {}, INVALID, id="trailing garbage"),
        pytest.param(batch() + bytes(20), {}, CORRUPT, id="trailing zeros"),
        pytest.param(patched(8, ">i", 28)[:40], {}, CORRUPT, id="all of a batch smaller than a header"),
        pytest.param(batch() + batch(), {}, INVALID, id="two batches"),
        pytest.param(batch()[:-1] + b"?", {}, CORRUPT, id="wrong checksum"),
        pytest.param(patched(8, ">i", -20), {}, CORRUPT, id="negative size"),
        pytest.param(patched(8, ">i", 20), {}, CORRUPT, id="size smaller than a header"),
        pytest.param(patched(16, ">b", 3), {}, CORRUPT, id="magic of the future"),
        pytest.param(patched(16, ">b", 1), {}, INVALID, id="old magic in a new version"),
        pytest.param(patched(16, ">b", 1), {"api_version": 2}, FORMAT, id="old magic in an old version"),
        pytest.param(patched(0, ">q", 5), {}, INVALID, id="base offset not 0"),
        pytest.param(patched(57, ">i", 0), {}, INVALID, id="no records"),
        pytest.param(patched(57, ">i", -1), {}, INVALID, id="negative count"),
        pytest.param(patched(57, ">i", 2), {}, INVALID, id="count and offsets disagree"),
        pytest.param(patched(23, ">i", -1), {}, INVALID, id="negative last offset delta"),
        pytest.param(batch(1, is_control=True), {}, INVALID, id="control batch"),
        pytest.param(batch(1, producer_id=1, producer_epoch=0), {}, INVALID, id="producer without sequence"),
        pytest.param(batch(1, log_append_time=True), {}, TIMESTAMP, id="log append time from a client"),
        pytest.param(batch(), {"max_timestamp": 1001}, TIMESTAMP, id="timestamp of the future"),
        pytest.param(batch(1, compression=4), {"api_version": 6}, CODEC, id="zstd before version 7"),
        pytest.param(patched(21, ">h", 5), {}, CODEC, id="unknown codec"),
        pytest.param(batch(), {"max_message_bytes": 90}, TOO_LARGE, id="larger than a message may be"),
        pytest.param(batch(), {"max_segment_bytes": 90}, LIST_TOO_LARGE, id="larger than a segment"),
    ],
)
def test_a_bad_batch_is_refused_with_kafkas_code(content: bytes, options: dict[str, int], code: int) -> None:
    """Each rule has its own code, which decides whether the client retries."""
    with pytest.raises(KafkaError) as caught:
        validated(content, **options)
    assert caught.value.code == code


def test_zstd_is_taken_from_version_7() -> None:
    """Version 7 of Produce brought zstd."""
    assert validated(batch(compression=4), 7).codec == CompressionType.ZSTD


def test_compacted_topics_need_keys() -> None:
    """A record without key could never be replaced."""
    builder = BatchBuilder(compression=CompressionType.LZ4)
    builder.append(b"key", b"value", 5)
    builder.append(None, b"value", 5)
    content = builder.build()
    header = validated(content)
    validate_records(content, header)
    with pytest.raises(KafkaError) as caught:
        validate_records(content, header, keys_required=True)
    assert caught.value.code == INVALID


def test_record_timestamps_are_held_to_their_bounds() -> None:
    """Bounds apply to each record; a record without timestamp has none to check."""
    content = batch(3)
    header = validated(content)
    validate_records(content, header, earliest_timestamp=1000, latest_timestamp=1002)
    for bounds in ({"earliest_timestamp": 1001}, {"latest_timestamp": 1001}):
        with pytest.raises(KafkaError) as caught:
            validate_records(content, header, **bounds)  # type: ignore[arg-type]
        assert caught.value.code == TIMESTAMP


def test_compressed_records_are_bounded_in_size_and_number():
    """Uncompressed ones are bounded by the size of the batch."""
    for codec in (CompressionType.NONE, CompressionType.GZIP):
        builder = BatchBuilder(compression=codec)
        builder.append(b"k", b"v" * 100, 1000)
        content = builder.build()
        header = read_batch_header(content)
        validate_records(content, header, max_record_bytes=200)
        if codec:
            with pytest.raises(KafkaError, match="record 0 has") as caught:
                validate_records(content, header, max_record_bytes=50)
            assert caught.value.code == 87
            with pytest.raises(KafkaError, match="compressed records are more than") as caught:
                validate_records(content, header._replace(record_count=10**6))
            assert caught.value.code == 10
        else:
            validate_records(content, header, max_record_bytes=50)


def test_what_naming_bad_records_costs_is_bounded() -> None:
    """A few kilobytes can claim gigabytes, and whoever is refused may come again at once."""
    builder = BatchBuilder(compression=CompressionType.ZSTD)
    builder.append(None, b"small", 5)
    builder.append(b"key", bytes(REFUSED_BYTES_LOOKED_AT), 5)
    builder.append(None, b"out of sight", 5)
    content = builder.build()
    header = read_batch_header(content)
    assert [record.number for record in find_refused_records(content, header, keys_required=True)] == [0]
    builder = BatchBuilder()
    for _ in range(MAX_REFUSED_RECORDS + 5):
        builder.append(None, b"v", 5)
    content = builder.build()
    found = find_refused_records(content, read_batch_header(content), keys_required=True)
    assert [record.number for record in found] == list(range(MAX_REFUSED_RECORDS))


def test_offsets_inside_a_batch_are_consecutive() -> None:
    """A producer that skips an offset inside a batch is refused."""
    content = batch(2)
    content[61 + content[61] // 2 + 1 + 3] = 4  # second record's offset delta: 2
    with_crc(content)
    header = validated(content)
    with pytest.raises(KafkaError) as caught:
        validate_records(content, header)
    assert caught.value.code == INVALID


def test_decompression_is_bounded() -> None:
    """A small batch may not fill the memory."""
    builder = BatchBuilder(compression=CompressionType.ZSTD)
    builder.append(None, bytes(10 << 20))
    content = builder.build()
    with pytest.raises(KafkaError) as caught:
        list(iterate_records(content, read_batch_header(content), max_bytes=1 << 20))
    assert caught.value.code == TOO_LARGE


@given(position=st.integers(0, 200), value=st.integers(0, 255), cut=st.integers(0, 200))
def test_damage_never_raises_anything_else(position: int, value: int, cut: int) -> None:
    """Whatever happens to the bytes, the reader says KafkaError or reads."""
    content = batch(5)
    content[position % len(content)] = value
    del content[len(content) - min(cut, len(content)) :]
    try:
        for header in iterate_batch_headers(content):
            list(iterate_records(content, header))
    except KafkaError:
        pass
    with pytest.raises(KafkaError):
        validated(content[:-1])


@pytest.mark.parametrize("codec", [pytest.param(codec, id=codec.name.lower()) for codec in CompressionType])
def test_another_librarys_batches_are_read_and_ours_by_it(codec: int) -> None:
    """An independent implementation agrees in both directions, for every codec."""
    theirs = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=codec,
        is_transactional=False,
        producer_id=5,
        producer_epoch=1,
        base_sequence=3,
        batch_size=1 << 20,
    )
    ours = BatchBuilder(compression=codec, producer_id=5, producer_epoch=1, base_sequence=3)
    records = [
        Record(n, 1000 + n, None if n % 3 else b"k%d" % n, b"v" * n, (("h", b"x"), ("n", None)) if n % 2 else ())
        for n in range(200)
    ]
    for record in records:
        theirs.append(
            record.offset,
            timestamp=record.timestamp,
            key=record.key,
            value=record.value,
            headers=list(record.headers),
        )
        ours.append(record.key, record.value, record.timestamp, record.headers)
    content = bytes(theirs.build())
    header = validated(content)
    assert (header.producer_id, header.producer_epoch, header.base_sequence, header.record_count) == (5, 1, 3, 200)
    assert list(iterate_records(content, header)) == records
    read = DefaultRecordBatch(ours.build())
    assert read.validate_crc()
    assert [(r.offset, r.timestamp, r.key, r.value, tuple(r.headers)) for r in read] == [tuple(r) for r in records]
