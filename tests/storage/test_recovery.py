"""Whatever a crash leaves, the log opens with every whole batch before the damage, and with nothing after it."""

from __future__ import annotations

import os
import shutil
import zlib

import pytest

from kbroker.protocol.record_batch import iterate_batch_headers
from kbroker.storage.log import Log
from kbroker.storage.log_config import LogConfig
from kbroker.storage.log_reader import LogReader, read_bytes
from kbroker.types import TopicPartition

SMALL = LogConfig(segment_bytes=1000, index_interval_bytes=100)
TP = TopicPartition("t", 0)


def segment(log, base_offset=0, suffix=".log"):
    return f"{log.directory}/{base_offset:020d}{suffix}"


def read_all(log):
    """Return the offsets a consumer gets, reading from the log's start."""
    reader, row, offset, found = LogReader(log.directory), log.row(), log.log_start_offset, []
    while offset < row.log_end_offset:
        for header in iterate_batch_headers(read_bytes(reader.read(row, offset, 10_000, row.log_end_offset))):
            found += range(header.base_offset, header.last_offset + 1)
            offset = header.last_offset + 1
    return found


def test_a_tail_torn_at_any_byte_is_cut_at_the_last_whole_batch(open_log, append, clock, tmp_path):
    """Kill the writer after every single byte of a small log."""
    log = open_log()
    ends = [0]
    for count in (1, 3, 2):
        append(log, count)
        ends.append(log.row().active_size_bytes)
    log.close_files()
    with open(segment(log), "rb") as file:
        whole = file.read()
    for size in range(len(whole) + 1):
        copy = f"{tmp_path}/copy-0"
        shutil.copytree(log.directory, copy)
        with open(f"{copy}/{0:020d}.log", "wb") as file:
            file.write(whole[:size])
        torn = Log.open(copy, TP, LogConfig(), clock=clock)
        batches = max(number for number, end in enumerate(ends) if end <= size)
        assert torn.log_end_offset == [0, 1, 4, 6][batches]
        assert torn.row().active_size_bytes == os.path.getsize(f"{copy}/{0:020d}.log") == ends[batches]
        assert append(torn, 1).base_offset == torn.log_end_offset - 1
        torn.close_files()
        shutil.rmtree(copy)


def test_any_flipped_bit_is_noticed(open_log, append, clock, tmp_path):
    log = open_log()
    append(log, 1)
    size = log.row().active_size_bytes
    append(log, 1)
    append(log, 1)
    log.close_files()
    with open(segment(log), "rb") as file:
        whole = file.read()
    for position in range(size, 2 * size):
        if size + 12 <= position < size + 16:
            continue  # the leader epoch: outside the checksum, and any value is possible
        damaged = bytearray(whole)
        damaged[position] ^= 0x10
        copy = f"{tmp_path}/copy-0"
        shutil.copytree(log.directory, copy)
        with open(f"{copy}/{0:020d}.log", "wb") as file:
            file.write(damaged)
        opened = Log.open(copy, TP, LogConfig(), clock=clock)
        # A larger base offset is a gap, which compaction makes too; all else ends the log there.
        offset_bytes = size <= position < size + 8
        assert opened.log_end_offset == 1 or offset_bytes
        opened.close_files()
        shutil.rmtree(copy)


def test_zeros_after_the_last_batch_are_cut(open_log, append):
    """A broker that preallocates, or a file system that lost the data but kept the size."""
    log = open_log()
    append(log, 3)
    size = log.row().active_size_bytes
    log.close_files()
    os.truncate(segment(log), size + 100_000)
    log = open_log()
    assert log.row().active_size_bytes == os.path.getsize(segment(log)) == size


@pytest.mark.parametrize("clean", [True, False])
def test_everything_is_there_after_a_restart(open_log, append, clean):
    log = open_log(SMALL)
    for number in range(60):
        append(log, 2, 1000 + number * 10, leader_epoch=number // 20)
    before = log.row()
    log.close(clean=clean)
    log = open_log(SMALL, clean_shutdown=clean)
    after = log.row()
    for field in (
        "log_end_offset",
        "high_watermark",
        "active_size_bytes",
        "max_timestamp",
        "size_bytes",
        "leader_epoch",
    ):
        assert getattr(after, field) == getattr(before, field), field
    assert log.epochs.entries == [(0, 0), (1, 40), (2, 80)]
    assert read_all(log) == list(range(120))
    assert log.recovery_point == (120 if clean else 0)
    assert append(log).base_offset == 120


def test_a_clean_start_reads_no_batches_twice(open_log, append, monkeypatch):
    """Opening a closed log costs the same whatever it holds: only the end of the last segment is looked at."""
    log = open_log(SMALL)
    for _ in range(60):
        append(log, 2)
    log.close()
    read = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, size, position: read.append(size) or pread(fd, size, position))
    open_log(SMALL, clean_shutdown=True)
    assert len(read) <= 3


def test_damage_before_the_recovery_point_is_not_looked_for(open_log, append):
    log = open_log(SMALL)
    for _ in range(60):
        append(log, 2)
    bases = log.segment_base_offsets
    log.close_files()
    with open(segment(log, bases[1]), "r+b") as file:
        file.seek(80)
        file.write(b"\xff")
    assert open_log(SMALL, recovery_point=bases[2]).log_end_offset == 120
    assert open_log(SMALL, recovery_point=bases[1]).log_end_offset == bases[1]


def test_segments_after_a_hole_are_dropped(open_log, append):
    log = open_log(SMALL)
    for number in range(60):
        append(log, 2, leader_epoch=number // 10)
    bases = log.segment_base_offsets
    log.close_files()
    os.truncate(segment(log, bases[1]), os.path.getsize(segment(log, bases[1])) - 1)
    log = open_log(SMALL)
    assert log.segment_base_offsets == bases[:2]
    assert log.log_end_offset == bases[2] - 2
    assert max(start for _, start in log.epochs.entries) < log.log_end_offset
    assert read_all(log) == list(range(bases[2] - 2))
    assert not [name for name in os.listdir(log.directory) if int(name[:20] if name[0].isdigit() else 0) > bases[2]
                and not name.endswith(".deleted")]  # fmt: skip


def damage_nothing(path):
    pass


def zero_pad(path):
    os.truncate(path, 10 * 1024 * 1024)


def cut_half_an_entry(path):
    os.truncate(path, os.path.getsize(path) - 3)


def fill_with_nonsense(path):
    size = os.path.getsize(path)
    with open(path, "wb") as file:
        file.write(b"\x7f" * size)


@pytest.mark.parametrize("suffix", [".index", ".timeindex"])
@pytest.mark.parametrize("damage", [os.unlink, zero_pad, cut_half_an_entry])
@pytest.mark.parametrize("clean", [True, False])
def test_missing_and_unsound_indexes_are_rebuilt(open_log, append, suffix, damage, clean):
    log = open_log(SMALL)
    for number in range(60):
        append(log, 2, 1000 + number * 10)
    log.close()
    originals = {}
    for base_offset in log.segment_base_offsets:
        path = segment(log, base_offset, suffix)
        with open(path, "rb") as file:
            originals[base_offset] = file.read()
        damage(path)
    log = open_log(SMALL, clean_shutdown=clean, recovery_point=log.log_end_offset)
    assert read_all(log) == list(range(120))
    for base_offset in log.segment_base_offsets[:-1]:
        with open(segment(log, base_offset, suffix), "rb") as file:
            assert file.read() == originals[base_offset]
    assert LogReader(log.directory).offset_for_timestamp(log.row(), 1305).offset == 62


def test_nonsense_in_the_active_offset_index_is_rebuilt(open_log, append):
    log = open_log(SMALL)
    for _ in range(8):
        append(log, 2)
    log.close()
    fill_with_nonsense(segment(log, 0, ".index"))
    log = open_log(SMALL, clean_shutdown=True)
    assert read_all(log) == list(range(16))


def test_an_orderly_closed_log_with_half_a_batch_is_cut_all_the_same(open_log, append):
    log = open_log()
    append(log, 3)
    size = log.row().active_size_bytes
    log.close()
    with open(segment(log), "ab") as file:
        file.write(b"half a batch")
    log = open_log(clean_shutdown=True)
    assert (log.log_end_offset, log.row().active_size_bytes) == (3, size)


def test_a_lost_epoch_file_is_found_again_in_the_batches(open_log, append):
    log = open_log(SMALL)
    for number in range(60):
        append(log, 2, leader_epoch=number // 20)
    log.flush()
    recovery_point = log.recovery_point
    log.close_files()
    with open(f"{log.directory}/leader-epoch-checkpoint", "w"):
        pass  # as after a power failure
    log = open_log(SMALL, recovery_point=recovery_point)
    assert log.epochs.entries == [(0, 0), (1, 40), (2, 80)]


def test_a_log_start_past_the_end_begins_anew(open_log, append):
    log = open_log()
    append(log, 3)
    log.close_files()
    log = open_log(log_start_offset=50)
    assert (log.log_start_offset, log.log_end_offset, log.segment_base_offsets) == (50, 50, [50])


def test_leftovers_of_deletion_and_compaction(open_log, append):
    """Deleted and unfinished files go; a finished replacement takes the place of what it replaces."""
    log = open_log(SMALL)
    for _ in range(60):
        append(log, 2)
    log.close()
    first, second, third = log.segment_base_offsets[:3]
    for leftover in (".log.deleted", ".index.deleted", ".log.cleaned"):
        with open(segment(log, 999, leftover), "wb") as file:
            file.write(b"x")
    # The two first segments, joined into one by a compaction that was interrupted before the renaming.
    with open(segment(log, 0, ".log.swap"), "wb") as joined:
        for base_offset in (first, second):
            with open(segment(log, base_offset), "rb") as file:
                joined.write(file.read())
    with open(segment(log, 5555, ".index"), "wb"):
        pass  # an index without its log
    log = open_log(SMALL, clean_shutdown=True)
    assert log.segment_base_offsets[:2] == [0, third]
    assert read_all(log) == list(range(120))
    names = os.listdir(log.directory)
    assert not [name for name in names if name.endswith((".deleted", ".cleaned", ".swap")) or "5555" in name]


def test_the_swaps_of_an_unfinished_split_are_dropped(open_log, append):
    log = open_log(SMALL)
    for _ in range(10):
        append(log, 2)
    log.close()
    for name in (segment(log, 0, ".log.swap"), segment(log, 0, ".log.cleaned")):
        shutil.copy(segment(log), name)
    os.truncate(segment(log, 0, ".log.swap"), 100)
    assert read_all(open_log(SMALL, clean_shutdown=True)) == list(range(20))


def old_message(offset, magic, timestamp, value=b"old value"):
    """Build an uncompressed message of format 0 or 1."""
    body = bytes([magic, 0]) + (timestamp.to_bytes(8, "big") if magic else b"")
    body += b"\xff\xff\xff\xff" + len(value).to_bytes(4, "big") + value
    body = zlib.crc32(body).to_bytes(4, "big") + body
    return offset.to_bytes(8, "big") + len(body).to_bytes(4, "big") + body


@pytest.mark.parametrize("clean", [True, False])
def test_messages_of_old_formats_are_walked(open_log, append, clean, tmp_path):
    os.mkdir(tmp_path / "t-0")
    messages = [old_message(n, 0, -1) for n in range(3)] + [old_message(n, 1, 5000 + n) for n in range(3, 6)]
    (tmp_path / "t-0" / f"{0:020d}.log").write_bytes(b"".join(messages))
    log = open_log(clean_shutdown=clean)
    assert log.log_end_offset == 6
    assert log.row().max_timestamp == 5005
    assert append(log, 2, 6000).base_offset == 6
    reader, row = LogReader(log.directory), log.row()
    found = reader.read(row, 4, 10_000, row.log_end_offset)
    assert found.position == sum(map(len, messages[:4]))
    assert reader.offset_for_timestamp(row, 5004).offset == 4
    assert reader.offset_for_timestamp(row, 6001).offset == 7


def test_damaged_old_messages_end_the_log(open_log, tmp_path):
    os.mkdir(tmp_path / "t-0")
    damaged = bytearray(old_message(1, 1, 5000))
    damaged[-1] ^= 1
    (tmp_path / "t-0" / f"{0:020d}.log").write_bytes(old_message(0, 1, 5000) + damaged)
    assert open_log().log_end_offset == 1


def test_recovery_shows_that_it_is_alive(open_log, append, batch, clock):
    log = open_log()
    for _ in range(5):
        append(log, 1, value=bytes(3_000_000))
    log.close_files()
    calls = []
    open_log(progress=lambda: calls.append(1))
    assert len(calls) >= 4
