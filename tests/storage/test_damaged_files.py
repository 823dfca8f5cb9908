"""One flipped bit, one missing or empty file: what is intact is served, and nothing wrong, whichever file it was."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile

import pytest
from fastcrc import crc32

from kbroker.clock import ManualClock
from kbroker.errors import KafkaError, StartupError
from kbroker.protocol.record_batch import BatchBuilder, iterate_batch_headers, iterate_records
from kbroker.shared.partition_table import PartitionRowState
from kbroker.storage import checkpoints
from kbroker.storage.log_config import LogConfig
from kbroker.storage.log_manager import LogManager
from kbroker.storage.log_reader import LogReader, read_bytes
from kbroker.types import TopicPartition

T = TopicPartition("t", 0)
TOPIC_ID = b"i" * 16
CONFIG = LogConfig(segment_bytes=800, index_interval_bytes=150)
LOG_START = 5


def batch(clock, sequence, count=2):
    builder = BatchBuilder(producer_id=7, producer_epoch=0, base_sequence=sequence)
    for number in range(count):
        builder.append(None, b"value %d" % (sequence + number), clock.now_ms + sequence + number)
    return memoryview(bytearray(builder.build()))


class Directory:
    """A log directory with one log of several segments, as an orderly stop or a crash left it."""

    def __init__(self, path):
        self.path = path
        self.clock = ManualClock()
        self.end = 0

    def open(self):
        clean = checkpoints.begin_run(self.path)
        manager = LogManager([self.path], lambda _: CONFIG, self.clock)
        manager.open_all(lambda _: True, [clean])
        manager.create(T, TOPIC_ID, is_new=False)
        return manager

    def write(self, *, clean):
        manager = LogManager([self.path], lambda _: CONFIG, self.clock)
        manager.open_all(lambda _: True, [False])
        log = manager.create(T, TOPIC_ID)
        for _ in range(14):
            log.stage(batch(self.clock, self.end), 0, self.clock.now_ms)
            log.write_staged()
            self.end += 2
        log.advance_log_start(LOG_START)
        if clean:
            assert manager.close()
            checkpoints.end_run(self.path)
        else:
            log.flush()
            self.clock.advance(60_000)
            manager.tick(self.clock.now_ms)
            log.close_files()


def read_all(log, end):
    """Return offset and value of each record that a consumer, who checks the checksums, can get."""
    reader, row, offset, found = LogReader(log.directory), log.row(), log.log_start_offset, {}
    while offset < row.log_end_offset:
        piece = reader.read(row, offset, 100_000, row.log_end_offset)
        if piece is None:
            break
        content, before = memoryview(read_bytes(piece)), offset
        try:
            for header in iterate_batch_headers(content):
                whole = content[header.position : header.position + header.size_bytes]
                if crc32.iscsi(bytes(whole[21:])) != int.from_bytes(whole[17:21], "big"):
                    return found
                records = [record for record in iterate_records(content, header) if record.offset >= offset]
                found |= {record.offset: bytes(record.value) for record in records}
                offset = header.last_offset + 1
        except KafkaError:
            return found
        if offset == before:
            break
    return found


@pytest.fixture(scope="module", params=[True, False], ids=["stopped in order", "killed"])
def original(request):
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as path:
        directory = Directory(path + "/original")
        os.mkdir(directory.path)
        directory.write(clean=request.param)
        yield directory


def files_of(path):
    return sorted(os.path.relpath(os.path.join(top, name), path) for top, _, names in os.walk(path) for name in names)


def damaged(original, change):
    """Open a copy after `change` has been made to it; return its log."""
    copy = Directory(original.path + "-copy")
    shutil.rmtree(copy.path, ignore_errors=True)
    shutil.copytree(original.path, copy.path)
    change(copy.path)
    manager = copy.open()
    log = manager.logs[T]
    assert log.state == PartitionRowState.ONLINE
    return log


def look(original, log):
    """Whatever can be read is right; return how much."""
    found = read_all(log, original.end)
    for offset, value in found.items():
        assert value == b"value %d" % offset, offset
    log.close_files()
    return found


def test_the_undamaged_directory(original):
    log = damaged(original, lambda path: None)
    assert sorted(look(original, log)) == list(range(LOG_START, original.end))


def test_missing_and_empty_files(original):
    """Only a missing .log may cost records, and then its own (and, after a crash, those after the hole)."""
    for name in files_of(original.path):
        for empty in (False, True):

            def change(path, name=name, empty=empty):
                if empty:
                    os.truncate(f"{path}/{name}", 0)
                else:
                    os.unlink(f"{path}/{name}")

            log = damaged(original, change)
            producers = log.producers.entries
            found = look(original, log)
            if name.endswith(".log"):
                continue
            start = 0 if "log-start" in name else LOG_START
            assert sorted(found) == list(range(start, original.end)), (name, empty)
            assert producers[7].batches[-1].last_offset == original.end - 1, (name, empty)


@pytest.mark.parametrize(
    "kind",
    [".index", ".timeindex", ".snapshot", "leader-epoch-checkpoint", "recovery-point", "replication", "cleanshut"],
)
def test_a_flipped_bit_costs_nothing_in_what_can_be_found_again(original, kind):
    for name in files_of(original.path):
        if kind not in name:
            continue
        for position in range(os.path.getsize(f"{original.path}/{name}")):
            log = damaged(original, lambda path, name=name, at=position: flip(f"{path}/{name}", at, at % 8))
            producers = log.producers.entries
            assert sorted(look(original, log)) == list(range(LOG_START, original.end)), (name, position)
            assert producers[7].batches[-1].last_offset == original.end - 1, (name, position)


def test_a_flipped_bit_in_a_log_never_yields_wrong_records(original):
    """What a consumer that checks checksums is given is right; everything before the damage is there."""
    name = next(name for name in files_of(original.path) if name.endswith(f"{0:020d}.log"))
    with open(f"{original.path}/{name}", "rb") as file:
        begins = [header.position for header in iterate_batch_headers(file.read())]
    for position in range(os.path.getsize(f"{original.path}/{name}")):
        if any(begin <= position < begin + 8 for begin in begins):
            continue  # the base offset lies outside the checksum, in Kafka too
        log = damaged(original, lambda path, at=position: flip(f"{path}/{name}", at, at % 8))
        look(original, log)


def test_a_flipped_bit_in_the_log_start_checkpoint_never_costs_the_log(original):
    """It may name another offset, as in Kafka: that file has no checksum. But never takes the log away."""
    for name in files_of(original.path):
        if "log-start" in name:
            for position in range(os.path.getsize(f"{original.path}/{name}")):
                log = damaged(original, lambda path, at=position, name=name: flip(f"{path}/{name}", at, 3))
                look(original, log)


def test_a_log_start_past_the_end_is_not_believed_after_an_orderly_stop(original, caplog):
    name = next(name for name in files_of(original.path) if "log-start" in name)
    with caplog.at_level(logging.WARNING):
        log = damaged(original, lambda path: checkpoints.write_offset_checkpoint(f"{path}/{name}", {T: 900}))
    assert "900" in caplog.text
    if ".0" not in name:
        assert sorted(look(original, log)) == list(range(original.end))
    else:
        assert log.log_end_offset == 900  # after a crash the log's end may really have been lost
        log.close_files()


def test_damaged_checkpoints_are_told_once_each(original, caplog):
    def change(path):
        for name in files_of(path):
            if "checkpoint" in name and "/" not in name:
                with open(f"{path}/{name}", "wb") as file:
                    file.write(b"\xff\x00 nonsense")

    with caplog.at_level(logging.WARNING):
        log = damaged(original, change)
    assert sorted(look(original, log)) == list(range(original.end))
    told = [line for line in caplog.messages if "recovery-point" in line]
    assert told and all("damaged checkpoint" in line and "going on without it" in line for line in told)


def test_every_flipped_bit_of_meta_properties_is_read_or_explained(original, tmp_path):
    path = str(tmp_path)
    checkpoints.write_meta_properties(path, checkpoints.MetaProperties(1, "c" * 22, 3, "d" * 22))
    file = f"{path}/{checkpoints.META_PROPERTIES}"
    for position in range(os.path.getsize(file)):
        for bit in range(8):
            flip(file, position, bit)
            try:
                checkpoints.read_meta_properties(path)
            except StartupError as error:
                assert file in str(error)
                assert "\n" not in str(error)
            flip(file, position, bit)


def flip(path, position, bit):
    with open(path, "r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 1 << bit]))
