"""A reader sees the row and the files, nothing else, and always finds the batch that holds an offset."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kbroker.errors import KafkaError
from kbroker.protocol.compression import CompressionType
from kbroker.protocol.record_batch import iterate_batch_headers
from kbroker.storage import log_reader
from kbroker.storage.log_config import LogConfig
from kbroker.storage.log_reader import FileCache, LogReader, TimestampOffset, read_bytes

SMALL = LogConfig(segment_bytes=1000, index_interval_bytes=100)
EVERYTHING = 1 << 30
OFFSET_OUT_OF_RANGE = 1


@pytest.fixture
def log(open_log, append):
    log = open_log(SMALL)
    for number in range(50):
        append(log, 2, 1000 + number * 10)
    return log


@pytest.fixture
def reader(log):
    return LogReader(log.directory)


def headers(file_slice):
    return list(iterate_batch_headers(read_bytes(file_slice)))


def consume(reader, log, offset, max_bytes=EVERYTHING):
    """Read to the log's end as a consumer does; return the offsets got and the next one."""
    found = []
    while (file_slice := reader.read(log.row(), offset, max_bytes, log.row().high_watermark)) is not None:
        for header in headers(file_slice):
            found += range(max(offset, header.base_offset), header.last_offset + 1)
            offset = header.last_offset + 1
    return found, offset


def test_every_offset_is_found_in_its_batch(log, reader):
    row = log.row()
    for offset in range(100):
        first = headers(reader.read(row, offset, EVERYTHING, row.log_end_offset))[0]
        assert first.base_offset <= offset <= first.last_offset


def test_a_slice_lies_in_one_segment(log, reader):
    row = log.row()
    first, second = log.segment_base_offsets[:2]
    found = reader.read(row, first, EVERYTHING, row.log_end_offset)
    assert headers(found)[-1].last_offset == second - 1
    assert (found.position, found.size_bytes) == (0, os.path.getsize(f"{log.directory}/{first:020d}.log"))


def test_the_first_batch_comes_whole_or_not_at_all(log, reader):
    row = log.row()
    size = headers(reader.read(row, 0, EVERYTHING, row.log_end_offset))[0].size_bytes
    for offset in (0, 1, log.row().active_base_offset):
        assert reader.read(row, offset, 1, row.log_end_offset).size_bytes == size
        assert reader.read(row, offset, 1, row.log_end_offset, at_least_one=False).size_bytes == 1
        assert reader.read(row, offset, 0, row.log_end_offset, at_least_one=False) is None
    assert reader.read(row, 0, size + 5, row.log_end_offset).size_bytes == size + 5


@pytest.mark.parametrize("max_bytes", [1, 100, 250, 5000, EVERYTHING])
def test_a_consumer_gets_every_record_once(log, reader, max_bytes):
    assert consume(reader, log, 0, max_bytes) == (list(range(100)), 100)


@pytest.mark.parametrize("upper", [1, 2, 3, 20, 51, 98, 99, 100])
def test_nothing_past_the_upper_offset(log, reader, upper):
    row, offset, found = log.row(), 0, []
    while (file_slice := reader.read(row, offset, EVERYTHING, upper)) is not None:
        found += headers(file_slice)
        offset = found[-1].last_offset + 1
    assert [header.last_offset for header in found] == [n for n in range(1, 100, 2) if n < upper]


def test_offsets_that_are_not_there(log, reader):
    log.advance_log_start(10)
    row = log.row()
    assert reader.read(row, 100, EVERYTHING, 100) is None  # the log's end: nothing yet
    assert reader.read(row, 60, EVERYTHING, 50) is None  # not committed yet
    for offset in (9, 101, -1):
        with pytest.raises(KafkaError) as caught:
            reader.read(row, offset, EVERYTHING, 100)
        assert caught.value.code == OFFSET_OUT_OF_RANGE


def test_bytes_past_the_row_are_not_seen(open_log, append):
    log = open_log()
    append(log, 2)
    row = log.row()
    append(log, 2)
    found = LogReader(log.directory).read(row, 0, EVERYTHING, row.log_end_offset)
    assert found.size_bytes == row.active_size_bytes < log.row().active_size_bytes


def test_a_reader_follows_its_writer(open_log, append):
    """Over rolls, deletions, truncations; at the end of the log without any system call."""
    log = open_log(LogConfig(segment_bytes=1000, index_interval_bytes=100, retention_ms=-1, retention_bytes=2000))
    reader = LogReader(log.directory, FileCache(4))
    offset = 0
    for number in range(300):
        append(log, 1 + number % 3)
        found, offset = consume(reader, log, offset)
        assert found == list(range(offset - 1 - number % 3, offset))
        if number % 20 == 19:
            log.delete_old_segments(0)
    log.truncate_to(offset - 4)
    with pytest.raises(KafkaError):
        reader.read(log.row(), offset, EVERYTHING, log.log_end_offset)
    append(log, 4)
    assert consume(reader, log, offset - 4)[0] == list(range(offset - 4, offset))


def test_reading_on_at_the_end_costs_no_system_call(open_log, append, monkeypatch):
    log = open_log()
    reader = LogReader(log.directory)
    append(log, 3)
    offset = consume(reader, log, 0)[1]
    append(log, 3)
    for name in ("open", "pread", "fstat", "listdir"):
        monkeypatch.setattr(os, name, None)
    found = reader.read(log.row(), offset, EVERYTHING, log.log_end_offset)
    monkeypatch.undo()
    assert headers(found)[0].base_offset == offset


def test_reading_anywhere_touches_one_segment_and_its_index(log, monkeypatch):
    opened = []
    original = os.open
    monkeypatch.setattr(os, "open", lambda path, *rest: opened.append(os.path.basename(path)) or original(path, *rest))
    row = log.row()
    LogReader(log.directory).read(row, 31, 100, row.log_end_offset)
    assert opened == [f"{20:020d}.log", f"{20:020d}.index"]


def test_a_segment_that_retention_removed_meanwhile(log, reader):
    old_row = log.row()
    reader.read(old_row, 99, EVERYTHING, 100)
    log.advance_log_start(60)
    log.delete_old_segments(0)
    with pytest.raises(KafkaError) as caught:
        reader.read(old_row, 5, EVERYTHING, 100)
    assert caught.value.code == OFFSET_OUT_OF_RANGE
    assert headers(reader.read(log.row(), 60, EVERYTHING, 100))[0].base_offset == 60


def test_a_slice_outlives_the_file(log, reader):
    row = log.row()
    found = reader.read(row, 0, EVERYTHING, 100)
    content = read_bytes(found)
    log.advance_log_start(60)
    log.delete_old_segments(0)
    for pending in log.pending_deletes:
        os.unlink(pending.path)
    reader.forget()
    assert read_bytes(found) == content


def test_a_sealed_segment_without_index_is_scanned(log, reader):
    for name in os.listdir(log.directory):
        if name.endswith(("index",)) and int(name[:20]) < log.row().active_base_offset:
            os.unlink(f"{log.directory}/{name}")
    assert consume(reader, log, 0)[0] == list(range(100))
    assert reader.offset_for_timestamp(log.row(), 1112).offset == 24


def test_the_cache_is_bounded_and_shared(open_log, append):
    files = FileCache(6)
    for number in range(5):
        log = open_log(SMALL, name=f"t-{number}")
        for _ in range(20):
            append(log, 2)
        assert consume(LogReader(log.directory, files), log, 0)[0] == list(range(40))
        assert len(files) <= 6
    files.clear()
    assert len(files) == 0


def test_closing_gives_the_files_back(log):
    before = len(os.listdir("/proc/self/fd"))
    files = FileCache()
    consume(LogReader(log.directory, files), log, 0)
    assert len(os.listdir("/proc/self/fd")) > before
    files.clear()
    assert len(os.listdir("/proc/self/fd")) == before


# -------------------------------------------------------------------------------------------- by timestamp


@pytest.mark.parametrize(
    ("timestamp", "offset"),
    [
        pytest.param(0, 0, id="before all"),
        pytest.param(1000, 0, id="the first"),
        pytest.param(1001, 1, id="within a batch"),
        pytest.param(1002, 2, id="between two"),
        pytest.param(1250, 50, id="in a later segment"),
        pytest.param(1491, 99, id="the last"),
        pytest.param(1492, None, id="after all"),
    ],
)
def test_offset_for_timestamp(log, reader, timestamp, offset):
    found = reader.offset_for_timestamp(log.row(), timestamp)
    assert (found.offset if found else None) == offset
    if found:
        assert found.timestamp >= timestamp
        assert found.leader_epoch == 0


def test_the_log_start_and_the_upper_offset_bound_the_search(log, reader):
    log.advance_log_start(31)
    assert reader.offset_for_timestamp(log.row(), 0).offset == 31
    assert reader.offset_for_timestamp(log.row(), 1300, upper_offset=61).offset == 60
    assert reader.offset_for_timestamp(log.row(), 1300, upper_offset=60) is None
    assert reader.earliest(log.row()) == TimestampOffset(-1, 31, 0)


def test_compressed_batches_are_looked_into(open_log, append):
    log = open_log()
    append(log, 10, 1000, compression=CompressionType.ZSTD)
    reader = LogReader(log.directory)
    assert reader.offset_for_timestamp(log.row(), 1004) == TimestampOffset(1004, 4, 0)
    assert reader.max_timestamp(log.row()) == TimestampOffset(1009, 9, 0)


def test_records_stamped_by_the_broker(open_log, append, clock):
    log = open_log(LogConfig(message_timestamp_type="LogAppendTime"))
    append(log, 3)
    clock.advance(10)
    append(log, 3)
    assert LogReader(log.directory).offset_for_timestamp(log.row(), clock.wall_ms() - 5).offset == 3


def test_an_empty_log(open_log):
    log = open_log()
    reader, row = LogReader(log.directory), log.row()
    assert reader.read(row, 0, 100, 0) is None
    assert reader.offset_for_timestamp(row, 0) is None
    assert reader.max_timestamp(row) is None
    assert reader.earliest(row) == TimestampOffset(-1, 0, -1)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 500)), min_size=1, max_size=40), st.integers(0, 510))
def test_time_searches_agree_with_looking_at_every_record(open_log, append, batches, target):
    """Timestamps in any order: the answer is the first record at or after the target."""
    import uuid

    log = open_log(SMALL, name=f"t-{uuid.uuid4()}")
    timestamps = []
    for count, timestamp in batches:
        append(log, count, timestamp)
        timestamps += range(timestamp, timestamp + count)
    expected = next((offset for offset, timestamp in enumerate(timestamps) if timestamp >= target), None)
    reader, row = LogReader(log.directory), log.row()
    found = reader.offset_for_timestamp(row, target)
    assert (found.offset if found else None) == expected
    assert reader.max_timestamp(row).offset == timestamps.index(max(timestamps))
    log.close_files()


def test_files_that_were_replaced_are_let_go_of_without_a_read(log, reader):
    """What retention deleted takes up space as long as a reader holds it, and nobody may come to read for hours."""
    consume(reader, log, 0)
    reader.follow(log.row())
    held = len(reader._files)
    assert held > 0
    reader.follow(log.row()._replace(segments_version=log.row().segments_version + 1))
    assert len(reader._files) == 0


def test_a_batch_is_looked_into_once_whatever_times_are_asked_for(open_log, append, monkeypatch):
    log = open_log()
    append(log, 100, 1000, compression=CompressionType.ZSTD)
    reader = LogReader(log.directory)
    looks = []
    read_time_steps = log_reader.read_time_steps

    def counted(*arguments):
        looks.append(arguments[1])
        return read_time_steps(*arguments)

    monkeypatch.setattr(log_reader, "read_time_steps", counted)
    for time_ms in (1000, 1050, 1099, 1050):
        assert reader.offset_for_timestamp(log.row(), time_ms) == TimestampOffset(time_ms, time_ms - 1000, 0)
    assert reader.max_timestamp(log.row()) == TimestampOffset(1099, 99, 0)
    assert len(looks) == 1
    log.advance_log_start(60)
    assert reader.offset_for_timestamp(log.row(), 1000) == TimestampOffset(1060, 60, 0)


def test_without_time_to_look_the_answer_is_where_looking_ended(open_log, append):
    """It is early, never late; and nobody is told it again once there is time."""
    log = open_log()
    append(log, 3000, 1000)
    reader = LogReader(log.directory)
    found = reader.offset_for_timestamp(log.row(), 3500, deadline_ns=0)
    assert found.offset == 1024
    assert found.timestamp == 3999
    assert reader.offset_for_timestamp(log.row(), 3500) == TimestampOffset(3500, 2500, 0)
