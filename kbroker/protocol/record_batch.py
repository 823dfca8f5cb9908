"""
Record batches (message format 2): what producers send, segments store and consumers get, byte for byte the same.

    0   int64   base offset               written by the broker; outside the checksum
    8   int32   length of all that follows
    12  int32   partition leader epoch    written by the broker; outside the checksum
    16  int8    magic, 2
    17  uint32  CRC-32C of all that follows
    21  int16   attributes: 0-2 codec, 3 log append time, 4 transactional, 5 control, 6 delete horizon
    23  int32   last offset delta
    27  int64   base timestamp            43 int64 producer id      53 int32 base sequence
    35  int64   max timestamp             51 int16 producer epoch   57 int32 record count
    61  records, compressed as one block when the attributes say so

What a broker checks of a produced batch. Apache Kafka parses every record of every batch, decompressing it first. Here
the hot path checks all that the header and the checksum can tell (`check_batch`, a few microseconds whatever the
batch holds): the checksum proves that the records are what the producer framed. Looking at each record is left to
`validate_records`, for the topics where the answer depends on the records: compacted ones, where a record without a key
is refused, and those with bounds on each record's timestamp.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from fastcrc import crc32

from kbroker.errors import KafkaError
from kbroker.protocol.compression import CompressionType, compress, decompress, decompress_prefix
from kbroker.protocol.error_codes import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kbroker.types import Buffer


_HEADER: Final = Struct(">qiibIhiqqqhii")
_unpack_header: Final = _HEADER.unpack_from
_unpack_checked: Final = Struct(">qi4xbIhi8xqq2xii").unpack_from
"""What check_batch looks at: all but leader epoch, base timestamp and producer epoch."""
_CRC_AND_LATER: Final = Struct(">hiqqqhii")
_BEFORE_CRC: Final = Struct(">qiibI")
_OFFSET_AND_SIZE: Final = Struct(">qi").unpack_from
_crc32c: Final = crc32.iscsi
_new: Final = tuple.__new__
"""Makes a named tuple without a call of Python code."""

HEADER_BYTES: Final = 61
"""Bytes of a batch before its records."""
SIZE_PREFIX_BYTES: Final = 12
"""Bytes of a batch that its own length field does not count."""
_CHECKED_FROM: Final = 21
_SMALLEST_OLD_MESSAGE: Final = 14
CURRENT_MAGIC: Final = 2
_ZSTD: Final = int(CompressionType.ZSTD)

CODEC_MASK: Final = 0x07
LOG_APPEND_TIME_FLAG: Final = 0x08
TRANSACTIONAL_FLAG: Final = 0x10
CONTROL_FLAG: Final = 0x20
DELETE_HORIZON_FLAG: Final = 0x40

NO_PRODUCER_ID: Final = -1
NO_SEQUENCE: Final = -1
NO_TIMESTAMP: Final = -1

DEFAULT_MAX_RECORDS_BYTES: Final = 256 * 1024 * 1024
"""What one batch may decompress to when the caller sets no bound of its own."""
MAX_COMPRESSED_RECORDS: Final = 500_000
"""How many records of a compressed batch are looked at: a few kilobytes may hold millions, and all others wait."""
ANY_RECORD_BYTES: Final = 2**31 - 9
"""Kafka's default of max.decompressed.message.bytes, which is no bound."""


MAX_REFUSED_RECORDS: Final = 10_000
"""Bad records of one batch that are named: a small batch can hold millions, and each costs the answer a line."""
REFUSED_RECORDS_LOOKED_AT: Final = 50_000
REFUSED_BYTES_LOOKED_AT: Final = 16 * 1024 * 1024
"""What is looked at of a refused batch to name the bad records: others wait meanwhile."""


class BatchHeader(NamedTuple):
    """All fields of a batch's header, and where the batch lies in the buffer it was read from."""

    base_offset: int
    size_bytes: int
    """The whole batch, with the 12 bytes its length field does not count."""
    partition_leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int
    position: int
    """Bytes from the start of the buffer."""

    @property
    def last_offset(self) -> int:
        """Return the offset of the batch's last record."""
        return self.base_offset + self.last_offset_delta

    @property
    def codec(self) -> int:
        """Return the compression codec's number."""
        return self.attributes & CODEC_MASK

    @property
    def is_transactional(self) -> bool:
        """Return whether the batch belongs to a transaction."""
        return bool(self.attributes & TRANSACTIONAL_FLAG)

    @property
    def is_control(self) -> bool:
        """Return whether the batch holds a control record, which no application sees."""
        return bool(self.attributes & CONTROL_FLAG)


class Record(NamedTuple):
    """One record. `key`, `value` and header values are views into the (decompressed) batch, or None."""

    offset: int
    timestamp: int
    key: Buffer | None
    value: Buffer | None
    headers: tuple[tuple[str, Buffer | None], ...] = ()


class RefusedRecord(NamedTuple):
    """Why a record of a produced batch is refused; its number counts from 0 in the batch."""

    number: int
    error_code: int
    reason: str


def read_batch_header(buffer: Buffer, position: int = 0) -> BatchHeader:
    """
    Return the header of the batch that starts at `position`.

    The size is checked against the smallest batch and against what the buffer holds, so that `size_bytes` can be used
    to slice and to step. Nothing else is checked.

    Raises KafkaError(CORRUPT_MESSAGE) when the header or the batch is cut off, or the size is impossible, and
    KafkaError(UNSUPPORTED_FOR_MESSAGE_FORMAT) for messages of magic 0 and 1.
    """
    left = len(buffer) - position
    if left < HEADER_BYTES:
        raise _unreadable(buffer, position)
    (
        base_offset,
        length,
        leader_epoch,
        magic,
        crc,
        attributes,
        last_offset_delta,
        base_timestamp,
        max_timestamp,
        producer_id,
        producer_epoch,
        base_sequence,
        record_count,
    ) = _unpack_header(buffer, position)
    size_bytes = length + SIZE_PREFIX_BYTES
    if magic != CURRENT_MAGIC or size_bytes < HEADER_BYTES or size_bytes > left:
        raise _unreadable(buffer, position)
    return _new(
        BatchHeader,
        (
            base_offset,
            size_bytes,
            leader_epoch,
            magic,
            crc,
            attributes,
            last_offset_delta,
            base_timestamp,
            max_timestamp,
            producer_id,
            producer_epoch,
            base_sequence,
            record_count,
            position,
        ),
    )


def _unreadable(buffer: Buffer, position: int) -> KafkaError:
    """Return the error for a batch whose header cannot be used."""
    left = len(buffer) - position
    if left < SIZE_PREFIX_BYTES + 5:
        return KafkaError(ErrorCode.CORRUPT_MESSAGE, f"record batch header is cut off after {left} bytes")
    size_bytes = _OFFSET_AND_SIZE(buffer, position)[1] + SIZE_PREFIX_BYTES
    magic = buffer[position + 16]
    if magic < CURRENT_MAGIC and size_bytes - SIZE_PREFIX_BYTES >= _SMALLEST_OLD_MESSAGE:
        return KafkaError(ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT, f"message format {magic}")
    if magic != CURRENT_MAGIC:
        return KafkaError(ErrorCode.CORRUPT_MESSAGE, f"unknown magic {magic}")
    return KafkaError(ErrorCode.CORRUPT_MESSAGE, f"record batch of {size_bytes} bytes where {left} are left")


def iterate_batch_headers(buffer: Buffer, position: int = 0) -> Iterator[BatchHeader]:
    """
    Yield the header of each whole batch from `position` on; stops before a batch that is cut off.

    A reader of files and fetch responses may meet half a batch at the end; that is no error.
    Raises KafkaError as read_batch_header does, for a batch that cannot be a batch.
    """
    end = len(buffer)
    while end - position >= SIZE_PREFIX_BYTES:
        length = _OFFSET_AND_SIZE(buffer, position)[1]
        if length >= HEADER_BYTES - SIZE_PREFIX_BYTES and length + SIZE_PREFIX_BYTES > end - position:
            return
        header = read_batch_header(buffer, position)
        yield header
        position += header.size_bytes


def compute_crc(buffer: Buffer, header: BatchHeader) -> int:
    """Return the CRC-32C of what the batch's checksum covers, without copying it."""
    start = header.position
    return int(_crc32c(memoryview(buffer)[start + _CHECKED_FROM : start + header.size_bytes]))


def verify_crc(buffer: Buffer, header: BatchHeader) -> None:
    """Raise KafkaError(CORRUPT_MESSAGE) unless the batch's checksum is right."""
    start = header.position
    if _crc32c(memoryview(buffer)[start + _CHECKED_FROM : start + header.size_bytes]) != header.crc:
        raise KafkaError(ErrorCode.CORRUPT_MESSAGE, f"checksum of the record batch is not {header.crc:#010x}")


def check_batch(
    buffer: memoryview,
    position: int,
    size: int,
    api_version: int,
    max_message_bytes: int,
    max_segment_bytes: int,
    max_timestamp: int,
) -> int:
    """
    Check the one batch a produce request may carry for a partition, as far as that is cheap; return its attributes.

    buffer             holds the partition's records as they came from the client
    position, size     where they lie in it, in bytes
    api_version        of the Produce request; zstd needs 7
    max_message_bytes  the topic's max.message.bytes
    max_segment_bytes  the topic's segment.bytes
    max_timestamp      latest timestamp accepted (now + message.timestamp.after.max.ms); -1: any

    Raises NotOneBatch with INVALID_RECORD (none, several, a torn one, old magic in a version that forbids it),
    CORRUPT_MESSAGE (a size or magic that no batch has) or UNSUPPORTED_FOR_MESSAGE_FORMAT, and KafkaError with the code
    Kafka answers: CORRUPT_MESSAGE (checksum), INVALID_RECORD (counts, control batch, base offset, sequence),
    MESSAGE_TOO_LARGE, RECORD_LIST_TOO_LARGE, UNSUPPORTED_COMPRESSION_TYPE; RecordRefused(INVALID_TIMESTAMP).
    Costs the checksum and about two microseconds.
    """
    if size < HEADER_BYTES:
        raise _produced_unreadable(buffer[position : position + max(size, 0)], api_version)
    length: int
    magic: int
    attributes: int
    last_offset_delta: int
    batch_max_timestamp: int
    record_count: int
    (
        base_offset,
        length,
        magic,
        crc,
        attributes,
        last_offset_delta,
        batch_max_timestamp,
        producer_id,
        base_sequence,
        record_count,
    ) = _unpack_checked(buffer, position)
    if length + SIZE_PREFIX_BYTES != size or magic != CURRENT_MAGIC:
        raise _produced_unreadable(buffer[position : position + size], api_version)
    codec = attributes & CODEC_MASK
    if codec >= _ZSTD and (codec > _ZSTD or api_version < 7):
        raise KafkaError(ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, f"codec {codec} in Produce version {api_version}")
    if base_offset != 0:
        raise KafkaError(ErrorCode.INVALID_RECORD, f"base offset of a produced batch must be 0, not {base_offset}")
    if size > max_message_bytes:
        raise KafkaError(
            ErrorCode.MESSAGE_TOO_LARGE, f"record batch of {size} bytes, max.message.bytes is {max_message_bytes}"
        )
    if size > max_segment_bytes:
        raise KafkaError(
            ErrorCode.RECORD_LIST_TOO_LARGE, f"record batch of {size} bytes, segment.bytes is {max_segment_bytes}"
        )
    if _crc32c(buffer[position + _CHECKED_FROM : position + size]) != crc:
        raise KafkaError(ErrorCode.CORRUPT_MESSAGE, f"checksum of the record batch is not {crc:#010x}")
    if record_count <= 0 or record_count != last_offset_delta + 1:
        raise KafkaError(ErrorCode.INVALID_RECORD, f"{record_count} records, but last offset delta {last_offset_delta}")
    if attributes & CONTROL_FLAG:
        raise KafkaError(ErrorCode.INVALID_RECORD, "clients may not write control batches")
    if producer_id >= 0 and base_sequence < 0:
        raise KafkaError(ErrorCode.INVALID_RECORD, f"sequence {base_sequence} of producer {producer_id}")
    if attributes & LOG_APPEND_TIME_FLAG:
        raise RecordRefused(ErrorCode.INVALID_TIMESTAMP, "producers may not set the timestamp type to LogAppendTime")
    if 0 <= max_timestamp < batch_max_timestamp:
        raise RecordRefused(
            ErrorCode.INVALID_TIMESTAMP, f"timestamp {batch_max_timestamp} is later than {max_timestamp}"
        )
    return attributes


class RecordRefused(KafkaError):
    """A record of a batch, not the batch, is to blame; `find_refused_records` names all that are."""


class NotOneBatch(KafkaError):
    """What was produced is not exactly one batch of a format that is served: no log was asked about it."""


def _produced_unreadable(buffer: memoryview, api_version: int) -> NotOneBatch:
    """
    Return the error for produced bytes that are not exactly one batch of the current format.

    A batch that is cut off will be so the next time: INVALID_RECORD, upon which producers give up. CORRUPT_MESSAGE,
    which they try again, is kept for what a damaged wire may do to a whole batch.
    """
    left = len(buffer)
    position = 0
    for _ in range(2):
        if left < SIZE_PREFIX_BYTES:
            break
        length = _OFFSET_AND_SIZE(buffer, position)[1]
        if length < _SMALLEST_OLD_MESSAGE:
            return NotOneBatch(ErrorCode.CORRUPT_MESSAGE, f"no record batch is of {length} bytes")
        if left < SIZE_PREFIX_BYTES + 5:
            break
        magic = buffer[position + 16]
        if magic > CURRENT_MAGIC:
            return NotOneBatch(ErrorCode.CORRUPT_MESSAGE, f"unknown magic {magic}")
        size_bytes = length + SIZE_PREFIX_BYTES
        if size_bytes > left:
            break
        if magic < CURRENT_MAGIC:
            return _old_magic(magic, api_version)
        if size_bytes < HEADER_BYTES:
            return NotOneBatch(ErrorCode.CORRUPT_MESSAGE, f"record batch of {size_bytes} bytes")
        position += size_bytes
        left -= size_bytes
    if position:
        return NotOneBatch(
            ErrorCode.INVALID_RECORD,
            f"a produce request must hold exactly one record batch per partition; {left} bytes follow the first",
        )
    if not left:
        return NotOneBatch(ErrorCode.INVALID_RECORD, "a produce request must hold a record batch per partition")
    return NotOneBatch(ErrorCode.INVALID_RECORD, f"the record batch is cut off after {left} bytes")


def _old_magic(magic: int, api_version: int) -> NotOneBatch:
    if api_version >= 3:
        return NotOneBatch(
            ErrorCode.INVALID_RECORD, f"Produce version {api_version} allows only record batches, not magic {magic}"
        )
    return NotOneBatch(ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT, f"message format {magic}")


def validate_records(
    buffer: Buffer,
    header: BatchHeader,
    *,
    keys_required: bool = False,
    earliest_timestamp: int | None = None,
    latest_timestamp: int | None = None,
    max_bytes: int = DEFAULT_MAX_RECORDS_BYTES,
    max_record_bytes: int = ANY_RECORD_BYTES,
) -> None:
    """
    Check each record of a produced batch: framing, consecutive offsets, keys, timestamps.

    keys_required                          the topic is compacted: a record without key is refused
    earliest_timestamp, latest_timestamp   milliseconds, inclusive; None: no bound
    max_bytes                              what the batch may decompress to
    max_record_bytes                       what one record of a compressed batch may decompress to

    Raises RecordRefused for the first record with a key or timestamp that is refused, KafkaError with INVALID_RECORD,
    CORRUPT_MESSAGE or, past max_bytes or MAX_COMPRESSED_RECORDS, MESSAGE_TOO_LARGE: producers then send less at once.
    Costs about a microsecond per record.
    """
    # By hand and not by iterate_records: a megabyte may hold a million records, and all others wait meanwhile.
    is_compressed = header.attributes & CODEC_MASK != 0
    if is_compressed and header.record_count > MAX_COMPRESSED_RECORDS:
        raise KafkaError(
            ErrorCode.MESSAGE_TOO_LARGE,
            f"{header.record_count} compressed records are more than {MAX_COMPRESSED_RECORDS} to look at",
        )
    data = _records_of(buffer, header, max_bytes)
    base_timestamp = header.base_timestamp
    append_time = header.max_timestamp if header.attributes & LOG_APPEND_TIME_FLAG else None
    end = len(data)
    position = 0
    try:
        for index in range(header.record_count):
            size, position = read_varint(data, position)
            record_end = position + size
            if size < 0 or record_end > end:
                raise _corrupt_record(index)
            if size > max_record_bytes and is_compressed:
                raise KafkaError(
                    ErrorCode.INVALID_RECORD,
                    f"record {index} has {size} bytes, max.decompressed.message.bytes is {max_record_bytes}",
                )
            timestamp_delta, position = read_varint(data, position + 1)
            offset_delta, position = read_varint(data, position)
            if offset_delta != index:
                raise KafkaError(ErrorCode.INVALID_RECORD, f"record {index} has no consecutive offset")
            key_size, position = read_varint(data, position)
            if key_size > 0:
                position += key_size
            elif keys_required and key_size < 0:
                raise RecordRefused(ErrorCode.INVALID_RECORD, f"record {index} has no key, but the topic is compacted")
            if key_size < -1 or position > record_end:
                raise _corrupt_record(index)
            value_size, position = read_varint(data, position)
            if value_size > 0:
                position += value_size
            if value_size < -1 or position > record_end:
                raise _corrupt_record(index)
            if data[position] and position < record_end:
                position = _skip_headers(data, position, record_end, index)
            else:
                position += 1
            if position != record_end:
                raise _corrupt_record(index)
            timestamp = base_timestamp + timestamp_delta if append_time is None else append_time
            if timestamp != NO_TIMESTAMP and (
                (latest_timestamp is not None and timestamp > latest_timestamp)
                or (earliest_timestamp is not None and timestamp < earliest_timestamp)
            ):
                raise RecordRefused(ErrorCode.INVALID_TIMESTAMP, f"timestamp {timestamp} is out of the topic's bounds")
    except (IndexError, UnicodeDecodeError) as error:
        raise KafkaError(ErrorCode.CORRUPT_MESSAGE, f"records are cut off or damaged: {error}") from error
    if position != end:
        raise KafkaError(ErrorCode.CORRUPT_MESSAGE, f"{end - position} bytes after the last record")


def find_refused_records(
    buffer: Buffer,
    header: BatchHeader,
    *,
    keys_required: bool = False,
    earliest_timestamp: int | None = None,
    latest_timestamp: int | None = None,
) -> list[RefusedRecord]:
    """
    Return the records of a refused batch that are to blame; arguments as validate_records.

    A record that lacks its key is told so, whatever its timestamp. At most MAX_REFUSED_RECORDS are named, of the first
    REFUSED_RECORDS_LOOKED_AT and, decompressed, the first REFUSED_BYTES_LOOKED_AT: what a refusal costs is not for the
    client to say. Where records cannot be read, what was found before them has to do. Raises nothing.
    """
    stamped = header.attributes & LOG_APPEND_TIME_FLAG != 0
    base_offset = header.base_offset
    found: list[RefusedRecord] = []
    looked_at = 0
    try:
        for record in _iterate(_beginning_of(buffer, header), header):
            index = record.offset - base_offset
            timestamp = record.timestamp
            if keys_required and record.key is None:
                found.append(
                    RefusedRecord(index, ErrorCode.INVALID_RECORD, "it has no key, and the topic is compacted")
                )
            elif stamped:
                found.append(
                    RefusedRecord(index, ErrorCode.INVALID_TIMESTAMP, "its timestamp is of type LogAppendTime")
                )
            elif timestamp != NO_TIMESTAMP and (
                (latest_timestamp is not None and timestamp > latest_timestamp)
                or (earliest_timestamp is not None and timestamp < earliest_timestamp)
            ):
                bounds = " and ".join(
                    f"{word} {bound}"
                    for word, bound in (("not before", earliest_timestamp), ("not after", latest_timestamp))
                    if bound is not None
                )
                found.append(
                    RefusedRecord(index, ErrorCode.INVALID_TIMESTAMP, f"its timestamp {timestamp} must be {bounds}")
                )
            looked_at += 1
            if len(found) == MAX_REFUSED_RECORDS or looked_at == REFUSED_RECORDS_LOOKED_AT:
                break
    except KafkaError:
        pass
    return found


def _beginning_of(buffer: Buffer, header: BatchHeader) -> memoryview:
    """Return the records of a batch, or the beginning of what they decompress to."""
    start = header.position
    data = memoryview(buffer)[start + HEADER_BYTES : start + header.size_bytes]
    codec = header.attributes & CODEC_MASK
    return memoryview(decompress_prefix(codec, data, REFUSED_BYTES_LOOKED_AT)[0]) if codec else data


def iterate_records(
    buffer: Buffer, header: BatchHeader, max_bytes: int = DEFAULT_MAX_RECORDS_BYTES
) -> Iterator[Record]:
    """
    Return the records of a batch one by one, decompressed when need be.

    max_bytes  what the batch may decompress to

    Keys and values are views into the buffer or into the decompressed block; they stay valid as long as they are held.
    Raises KafkaError: CORRUPT_MESSAGE for a record that is cut off or whose sizes contradict each other,
    MESSAGE_TOO_LARGE past max_bytes.
    """
    return _iterate(_records_of(buffer, header, max_bytes), header)


def _iterate(data: memoryview, header: BatchHeader) -> Iterator[Record]:
    """Yield the records in `data`, which is not compressed; raises as iterate_records does."""
    base_offset = header.base_offset
    base_timestamp = header.base_timestamp
    append_time = header.max_timestamp if header.attributes & LOG_APPEND_TIME_FLAG else None
    end = len(data)
    position = 0
    try:
        for index in range(header.record_count):
            size, position = read_varint(data, position)
            record_end = position + size
            if size < 0 or record_end > end:
                raise _corrupt_record(index)
            position += 1  # the record's own attributes: none are defined
            timestamp_delta, position = read_varint(data, position)
            offset_delta, position = read_varint(data, position)
            key, position = _read_bytes(data, position, record_end, index)
            value, position = _read_bytes(data, position, record_end, index)
            count, position = read_varint(data, position)
            headers: tuple[tuple[str, Buffer | None], ...] = ()
            if count:
                if count < 0 or count > record_end - position:
                    raise _corrupt_record(index)
                found: list[tuple[str, Buffer | None]] = []
                for _ in range(count):
                    name, position = _read_bytes(data, position, record_end, index)
                    if name is None:
                        raise _corrupt_record(index)
                    content, position = _read_bytes(data, position, record_end, index)
                    found.append((str(name, "utf-8"), content))
                headers = tuple(found)
            if position != record_end:
                raise _corrupt_record(index)
            timestamp = base_timestamp + timestamp_delta if append_time is None else append_time
            yield Record(base_offset + offset_delta, timestamp, key, value, headers)
    except (IndexError, UnicodeDecodeError) as error:
        raise KafkaError(ErrorCode.CORRUPT_MESSAGE, f"records are cut off or damaged: {error}") from error
    if position != end:
        raise KafkaError(ErrorCode.CORRUPT_MESSAGE, f"{end - position} bytes after the last record")


def _records_of(buffer: Buffer, header: BatchHeader, max_bytes: int) -> memoryview:
    """Return the records of a batch, decompressed when need be."""
    start = header.position
    data = memoryview(buffer)[start + HEADER_BYTES : start + header.size_bytes]
    codec = header.attributes & CODEC_MASK
    return memoryview(decompress(codec, data, max_bytes)) if codec else data


def _skip_headers(data: memoryview, position: int, end: int, index: int) -> int:
    """Return where a record's headers end."""
    count, position = read_varint(data, position)
    if count < 0 or count > end - position:
        raise _corrupt_record(index)
    for _ in range(count):
        name, position = _read_bytes(data, position, end, index)
        if name is None:
            raise _corrupt_record(index)
        str(name, "utf-8")
        _, position = _read_bytes(data, position, end, index)
    return position


def _corrupt_record(index: int) -> KafkaError:
    return KafkaError(ErrorCode.CORRUPT_MESSAGE, f"sizes inside record {index} contradict each other")


def read_varint(data: memoryview, position: int) -> tuple[int, int]:
    """Return a zigzag varint and the position after it; IndexError past the end."""
    byte = data[position]
    position += 1
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), position
    value = byte & 0x7F
    shift = 7
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), position
        shift += 7
        if shift > 63:
            raise KafkaError(ErrorCode.CORRUPT_MESSAGE, "varint of more than ten bytes")


def _read_bytes(data: memoryview, position: int, end: int, index: int) -> tuple[memoryview | None, int]:
    size, position = read_varint(data, position)
    if size < 0:
        if size != -1:
            raise _corrupt_record(index)
        return None, position
    stop = position + size
    if stop > end:
        raise _corrupt_record(index)
    return data[position:stop], stop


def _append_varint(output: bytearray, value: int) -> None:
    value = (value << 1) ^ (value >> 63)
    while value > 0x7F:
        output.append((value & 0x7F) | 0x80)
        value >>= 7
    output.append(value)


def _append_bytes(output: bytearray, content: Buffer | None) -> None:
    if content is None:
        output.append(1)
    else:
        _append_varint(output, len(content))
        output += content


class BatchBuilder:
    """
    A record batch in the making.

    base_offset             offset of the first record
    compression             a CompressionType
    producer_id, producer_epoch, base_sequence   -1 each: no idempotent producer
    partition_leader_epoch  -1: to be written by the broker
    """

    __slots__ = (
        "_base_timestamp",
        "_count",
        "_max_timestamp",
        "_records",
        "attributes",
        "base_offset",
        "base_sequence",
        "partition_leader_epoch",
        "producer_epoch",
        "producer_id",
    )

    def __init__(
        self,
        base_offset: int = 0,
        *,
        compression: int = CompressionType.NONE,
        producer_id: int = NO_PRODUCER_ID,
        producer_epoch: int = -1,
        base_sequence: int = NO_SEQUENCE,
        is_transactional: bool = False,
        is_control: bool = False,
        log_append_time: bool = False,
        partition_leader_epoch: int = -1,
    ) -> None:
        self.base_offset = base_offset
        self.producer_id = producer_id
        self.producer_epoch = producer_epoch
        self.base_sequence = base_sequence
        self.partition_leader_epoch = partition_leader_epoch
        self.attributes = (
            compression
            | (LOG_APPEND_TIME_FLAG if log_append_time else 0)
            | (TRANSACTIONAL_FLAG if is_transactional else 0)
            | (CONTROL_FLAG if is_control else 0)
        )
        self._records = bytearray()
        self._count = 0
        self._base_timestamp = -1
        self._max_timestamp = -1

    @property
    def record_count(self) -> int:
        """Return how many records the batch has so far."""
        return self._count

    @property
    def size_bytes(self) -> int:
        """Return the batch's size before compression."""
        return HEADER_BYTES + len(self._records)

    def append(
        self,
        key: Buffer | None,
        value: Buffer | None,
        timestamp: int = -1,
        headers: Sequence[tuple[str, Buffer | None]] = (),
    ) -> None:
        """
        Add a record.

        timestamp  milliseconds since 1970-01-01 UTC; -1: none
        """
        if self._count == 0:
            self._base_timestamp = self._max_timestamp = timestamp
        elif timestamp > self._max_timestamp:
            self._max_timestamp = timestamp
        body = bytearray(1)
        _append_varint(body, timestamp - self._base_timestamp)
        _append_varint(body, self._count)
        _append_bytes(body, key)
        _append_bytes(body, value)
        _append_varint(body, len(headers))
        for name, content in headers:
            _append_bytes(body, name.encode())
            _append_bytes(body, content)
        _append_varint(self._records, len(body))
        self._records += body
        self._count += 1

    def build(self) -> bytes:
        """Return the batch's bytes."""
        records = compress(self.attributes & CODEC_MASK, self._records)
        return join_batch(
            records,
            base_offset=self.base_offset,
            partition_leader_epoch=self.partition_leader_epoch,
            attributes=self.attributes,
            last_offset_delta=self._count - 1,
            base_timestamp=self._base_timestamp,
            max_timestamp=self._max_timestamp,
            producer_id=self.producer_id,
            producer_epoch=self.producer_epoch,
            base_sequence=self.base_sequence,
            record_count=self._count,
        )


def join_batch(
    records: Buffer,
    *,
    base_offset: int,
    partition_leader_epoch: int,
    attributes: int,
    last_offset_delta: int,
    base_timestamp: int,
    max_timestamp: int,
    producer_id: int,
    producer_epoch: int,
    base_sequence: int,
    record_count: int,
) -> bytes:
    """Return a batch made of header fields and of `records`, compressed already where the attributes say so."""
    checked = (
        _CRC_AND_LATER.pack(
            attributes,
            last_offset_delta,
            base_timestamp,
            max_timestamp,
            producer_id,
            producer_epoch,
            base_sequence,
            record_count,
        )
        + records
    )
    length = len(checked) + _CHECKED_FROM - SIZE_PREFIX_BYTES
    return _BEFORE_CRC.pack(base_offset, length, partition_leader_epoch, CURRENT_MAGIC, _crc32c(checked)) + checked
