"""
A crash between any two of our own file operations, and a disk that refuses any one of them.

One life of a log directory (appends with rolls, flushes, checkpoints, retention, deleted records, truncation, topics
that come and go, orderly and other restarts) is lived again and again, and ended at each operation in turn. Whatever
is left must open, hold every record that was acknowledged, and recognise what producers send again.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
import tempfile
from struct import Struct

import pytest
from file_faults import Crash, FileFaults, crash_points

from kbroker.clock import ManualClock
from kbroker.errors import KafkaError, LogDirFailed
from kbroker.protocol.record_batch import BatchBuilder, iterate_batch_headers, iterate_records
from kbroker.shared.partition_table import PartitionRowState
from kbroker.storage import checkpoints
from kbroker.storage import log as log_module
from kbroker.storage.file_batches import iterate_file_batches
from kbroker.storage.log_config import LogConfig
from kbroker.storage.log_manager import LogManager
from kbroker.storage.log_reader import LogReader, read_bytes
from kbroker.types import TopicPartition

T0, T1, T2 = (TopicPartition("t", number) for number in range(3))
TOPIC_ID, OTHER_TOPIC_ID = b"i" * 16, b"j" * 16
CONFIG = LogConfig(segment_bytes=700, index_interval_bytes=120, retention_ms=10**12, file_delete_delay_ms=1000)
OUT_OF_ORDER, KAFKA_STORAGE_ERROR = 45, 56
MINUTE = 60_000
_INDEX_ENTRY, _TIME_ENTRY = Struct(">ii"), Struct(">qi")


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    """Syncing cannot change what another process sees."""
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, lambda fd: None)
    monkeypatch.setattr(log_module, "_sync_file", os.fdatasync)


@pytest.fixture
def tmp_path():
    """A directory in memory: a thousand lives of a hundred files each would keep a disk busy for minutes."""
    memory = "/dev/shm"
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as directory:
        yield directory


class Partition:
    """What a partition's clients know of it: what must be there, and what may be."""

    def __init__(self):
        self.topic_id = TOPIC_ID
        self.sent: dict[int, tuple[bytes, int, int]] = {}
        """By offset: value, producer, sequence of all that may be found."""
        self.acknowledged: set[int] = set()
        self.start = 0
        """No acknowledged record from here on may be missing."""
        self.may_be_gone = False
        self.half_truncated = False
        self.sequences: dict[int, int] = {}


class World:
    """One log directory, the broker's part of it that owns logs, and what its clients know."""

    def __init__(self, directory, config=CONFIG):
        self.directory = directory
        self.config = config
        self.clock = ManualClock()
        self.partitions: dict[TopicPartition, Partition] = {}
        self.manager: LogManager | None = None
        self.number = 0
        self.refused = 0
        """How many requests were answered with a storage error."""
        os.makedirs(directory, exist_ok=True)

    @contextlib.contextmanager
    def asked(self):
        """Take a storage error as an IO worker does: one answer, and a directory that failed goes offline."""
        try:
            yield
        except KafkaError as error:
            assert error.code == KAFKA_STORAGE_ERROR, (error.code, str(error))
            self.refused += 1
        except LogDirFailed as error:
            self.manager.fail_dir(0, error)
            self.refused += 1

    # ------------------------------------------------------------------------------------------------- the broker

    def start(self):
        """Open everything as a broker that starts, or a worker that is born anew, does."""
        try:
            clean = checkpoints.begin_run(self.directory)
        except OSError:
            # The broker says so and does not start; somebody starts it again.
            clean = checkpoints.begin_run(self.directory)
        self.manager = LogManager([self.directory], lambda _: self.config, self.clock)
        self.manager.open_all(lambda _: True, [clean])
        for name, partition in list(self.partitions.items()):
            if not partition.may_be_gone:
                with self.asked():
                    self.manager.create(name, partition.topic_id, is_new=False)
        return clean

    def stop(self):
        """Stop in order; return whether that worked, so that the next start need not recover."""
        if not self.manager.close():
            return False
        try:
            checkpoints.end_run(self.directory)
        except OSError:
            return False
        return True

    def log(self, name):
        """Return a partition's log, which is opened when that did not succeed before."""
        partition, log = self.partitions[name], self.manager.create(name, self.partitions[name].topic_id, is_new=False)
        if partition.half_truncated and log.state == PartitionRowState.ONLINE:
            partition.half_truncated = False
            self.look_again(partition, log)
        return log

    def look_again(self, partition, log):
        """Take what is in the log for what was sent."""
        partition.sent = {record[0]: record[1:4] for record in contents(log)}
        partition.sequences = {
            producer: entry.batches[-1].last_sequence + 1 for producer, entry in log.producers.entries.items()
        }

    def abandon(self):
        """Let go of everything, as the death of the process does."""
        for log in self.manager.logs.values() if self.manager else ():
            log.close_files()

    def create(self, name, topic_id=TOPIC_ID):
        partition = Partition()
        partition.topic_id = topic_id
        self.partitions[name] = partition
        with self.asked():
            self.manager.create(name, topic_id)

    def delete(self, name):
        self.partitions[name].may_be_gone = True
        with self.asked():
            self.manager.delete(name)

    def begin_leader_epoch(self, name, epoch):
        with self.asked():
            self.log(name).begin_leader_epoch(epoch)

    def flush(self, name):
        with self.asked():
            self.log(name).flush()

    def later(self, milliseconds):
        self.clock.advance(milliseconds)
        self.manager.tick(self.clock.wall_ms())

    # ------------------------------------------------------------------------------------------------ its clients

    def batch(self, producer, sequence, count, value):
        builder = BatchBuilder(producer_id=producer, producer_epoch=0, base_sequence=sequence)
        for number in range(count):
            builder.append(None, b"%s/%d" % (value, number), self.clock.wall_ms())
        return memoryview(bytearray(builder.build()))

    def append(self, name, producer=1, count=1, epoch=0, padding=20):
        """Append two batches in one write; those that stand when that has returned are acknowledged."""
        with self.asked():
            partition, log = self.partitions[name], self.log(name)
            before, sequence = dict(partition.sent), partition.sequences.get(producer, 0)
            try:
                try:
                    for _ in range(2):
                        self._stage(partition, log, producer, count, epoch, padding)
                finally:
                    # As at the end of an IO worker's turn, whoever was refused in it.
                    log.write_staged()
            except (KafkaError, LogDirFailed):
                stand = {offset: sent for offset, sent in partition.sent.items() if offset < log.log_end_offset}
                partition.sent = before | stand
                written = [sent[2] + 1 for offset, sent in stand.items() if offset not in before]
                partition.sequences[producer] = max([sequence, *written])
                raise
            finally:
                new = partition.sent.keys() - before.keys()
                partition.acknowledged.update(offset for offset in new if offset < log.log_end_offset)

    def _stage(self, partition, log, producer, count, epoch, padding):
        self.number += 1
        value = b"%d-" % self.number + b"x" * padding
        sequence = partition.sequences.get(producer, 0)
        records = self.batch(producer, sequence, count, value)
        base_offset = log._next_offset
        for number in range(count):
            partition.sent[base_offset + number] = (b"%s/%d" % (value, number), producer, sequence + number)
        append = log.stage(records, epoch, self.clock.wall_ms())
        assert append.base_offset == base_offset, "sent at another offset than foreseen"
        partition.sequences[producer] = sequence + count

    def delete_records(self, name, offset):
        with self.asked():
            log = self.log(name)
            self.partitions[name].start = max(self.partitions[name].start, min(offset, log.log_end_offset))
            log.advance_log_start(min(offset, log.log_end_offset))

    def truncate(self, name, records):
        """Cut about as many records off, where a batch begins, as followers do."""
        with self.asked():
            partition, log = self.partitions[name], self.log(name)
            offset = max(0, max(partition.acknowledged, default=0) - records)
            while offset > 0 and not partition.sent.get(offset, (b"",))[0].endswith(b"/0"):
                offset -= 1
            partition.acknowledged = {known for known in partition.acknowledged if known < offset}
            partition.half_truncated = True
            log.truncate_to(offset)
            partition.half_truncated = False
            partition.sent = {known: sent for known, sent in partition.sent.items() if known < offset}
            partition.sequences = {}
            for _, producer, sequence in partition.sent.values():
                partition.sequences[producer] = sequence + 1

    def start_afresh(self, name, offset):
        with self.asked():
            partition, log = self.partitions[name], self.log(name)
            partition.acknowledged, partition.start = set(), offset
            partition.half_truncated = True
            log.truncate_fully_and_start_at(offset)
            partition.half_truncated = False
            partition.sent, partition.sequences = {}, {}


def live(world):
    """Live the whole life: each kind of change to the files at least once, most of them several times."""
    world.start()
    world.create(T0)
    world.create(T1)
    for number in range(5):
        world.append(T0, producer=1 + number % 2, count=1 + number % 3)
    world.append(T1)
    world.later(5_000)  # flushes what was rolled, writes the high watermarks
    world.later(MINUTE)  # all checkpoints
    world.append(T0, producer=3, epoch=1, count=3)
    world.append(T0, producer=1, epoch=1)
    world.delete_records(T0, 9)
    world.later(5 * MINUTE)  # retention: segments before offset 9 go; their files a second later
    world.append(T0, producer=1, epoch=2)
    world.later(MINUTE)
    world.begin_leader_epoch(T0, 3)
    world.truncate(T0, 3)
    world.append(T0, producer=2, epoch=4)
    world.create(T2)
    world.append(T2)
    world.later(MINUTE)
    world.delete(T2)
    world.later(MINUTE)
    world.create(T2, OTHER_TOPIC_ID)
    world.append(T2)
    world.stop()
    world.start()
    world.append(T0, producer=1, epoch=5)
    world.append(T1)
    world.flush(T0)
    world.abandon()
    world.start()
    world.append(T0, producer=3, epoch=6, count=4)
    world.start_afresh(T1, 100)
    world.append(T1)
    world.append(T1, count=4)
    world.stop()


# ------------------------------------------------------------------------------------------------------ what is left


def contents(log):
    """Return (offset, value, producer, sequence, leader epoch) of all records that a consumer gets."""
    reader, row, offset, found = LogReader(log.directory), log.row(), log.log_start_offset, []
    while offset < row.log_end_offset:
        piece = reader.read(row, offset, 400, row.log_end_offset)
        if piece is None:
            break
        content, before = read_bytes(piece), offset
        for header in iterate_batch_headers(content):
            for number, record in enumerate(iterate_records(content, header)):
                if record.offset >= offset:
                    sequence = header.base_sequence + number
                    found.append(
                        (
                            record.offset,
                            bytes(record.value),
                            header.producer_id,
                            sequence,
                            header.partition_leader_epoch,
                        )
                    )
            offset = header.last_offset + 1
        assert offset > before, f"nothing whole at offset {offset}"
    return found


def check_log(log, partition):
    found = contents(log)
    offsets = [record[0] for record in found]
    assert offsets == sorted(set(offsets))
    for offset, value, producer, sequence, epoch in found:
        assert partition.sent[offset] == (value, producer, sequence)
        begun = [known for known, start in log.epochs.entries if start <= offset]
        assert begun[-1] == epoch, (offset, epoch, log.epochs.entries)
    needed = {offset for offset in partition.acknowledged if offset >= max(partition.start, log.log_start_offset)}
    assert needed <= set(offsets)
    assert log.log_start_offset <= partition.start
    check_files(log)
    check_producers(log, partition, found)


def check_files(log):
    """Indexes fit their segments; nothing is there that does not belong to one."""
    bases = log.segment_base_offsets
    with open(f"{log.directory}/{bases[-1]:020d}.log", "rb") as file:
        assert os.fstat(file.fileno()).st_size == log.row().active_size_bytes
    for base in bases:
        stem = f"{log.directory}/{base:020d}"
        with open(stem + ".log", "rb") as file:
            size = os.fstat(file.fileno()).st_size
            batches = {batch.position: batch for batch in iterate_file_batches(file.fileno(), 0, size)}
        assert sum(batch.size_bytes for batch in batches.values()) == size
        with open(stem + ".index", "rb") as file:
            entries = list(_INDEX_ENTRY.iter_unpack(file.read()))
        assert entries == sorted(set(entries))
        assert all(base + relative == batches[position].last_offset for relative, position in entries)
        with open(stem + ".timeindex", "rb") as file:
            times = list(_TIME_ENTRY.iter_unpack(file.read()))
        assert times == sorted(set(times))
        ends = {batch.last_offset: batch.max_timestamp for batch in batches.values()}
        assert all(ends[base + relative] == timestamp for timestamp, relative in times)
    allowed = {f"{base:020d}{suffix}" for base in bases for suffix in (".log", ".index", ".timeindex", ".snapshot")}
    allowed |= {f"{log.log_end_offset:020d}.snapshot", "leader-epoch-checkpoint", "partition.metadata"}
    renamed = {os.path.basename(pending.path) for pending in log.pending_deletes}
    names = set(os.listdir(log.directory)) - allowed - renamed
    # The producers' state as the last restart left it; the next one removes it.
    assert all(name.endswith(".snapshot") for name in names) and len(names) <= 1, names


def check_producers(log, partition, found):
    """What was written is recognised; what comes next is taken; a gap is not."""
    world = World(log.directory)
    last: dict[int, tuple[int, int]] = {}
    for offset, _, producer, sequence, _ in found:
        last[producer] = (offset, sequence)
    for producer, (offset, sequence) in last.items():
        entry = log.producers.entries[producer]
        batch = entry.batches[-1]
        assert (batch.last_offset, batch.last_sequence) == (offset, sequence)
        count = batch.offset_delta + 1
        again = log.stage(world.batch(producer, sequence - count + 1, count, b"again"), 9, 0)
        assert (again.duplicate, again.last_offset) == (True, offset)
        with pytest.raises(KafkaError) as refused:
            log.stage(world.batch(producer, sequence + 2, 1, b"gap"), 9, 0)
        assert refused.value.code == OUT_OF_ORDER
    for producer in partition.sequences:
        acknowledged = [
            sent[2]
            for offset, sent in partition.sent.items()
            if offset in partition.acknowledged and sent[1] == producer
        ]
        # Deleting records does not forget who sent them.
        if acknowledged:
            assert max(acknowledged) <= log.producers.entries[producer].batches[-1].last_sequence


def state(world):
    """Return all that can be seen of the logs."""
    return {
        name: (
            log.topic_id,
            # Closing adds the last entry to the time index.
            log.row()._replace(segments_version=0, active_time_index_entries=0),
            contents(log),
            log.epochs.entries,
            {producer: entry._replace(batches=entry.batches[-1:]) for producer, entry in log.producers.entries.items()},
        )
        for name, log in world.manager.logs.items()
    }


def check(world):
    """Open what is left, look at everything, write on, and open it twice more."""
    world.start()
    left = [name for name in os.listdir(world.directory) if name.endswith((".tmp", ".swap", ".cleaned"))]
    assert not left
    for name, partition in world.partitions.items():
        log = world.manager.logs.get(name)
        if partition.may_be_gone:
            continue
        assert log.topic_id == partition.topic_id
        assert log.state == PartitionRowState.ONLINE
        check_log(log, partition)
        world.look_again(partition, log)
        partition.acknowledged = set(partition.sent)
        partition.start = log.log_start_offset
        refused = world.refused
        world.append(name, epoch=max(7, log.leader_epoch))
        assert world.refused == refused
        check_log(log, partition)
    before = state(world)
    assert world.stop()
    assert world.start()
    assert state(world) == before
    world.later(10 * MINUTE)
    assert not [name for name in os.listdir(world.directory) if name.endswith("-delete")]
    world.abandon()


def operations_of(directory):
    world = World(directory)
    with FileFaults() as faults:
        live(world)
    return faults.operations


def crash_at(directory, number, torn):
    world = World(directory)
    faults = FileFaults(number, torn)
    with faults, contextlib.suppress(Crash):
        live(world)
    assert faults.struck is not None
    world.abandon()
    return world


def test_the_life_is_whole(tmp_path):
    """What the other tests interrupt: all kinds of operations occur, and without a fault nothing is wrong."""
    world = World(f"{tmp_path}/life")
    with FileFaults() as faults:
        live(world)
    kinds = {operation.name for operation in faults.operations}
    assert kinds >= {"open", "write", "pwritev", "ftruncate", "replace", "rename", "unlink", "rmdir", "fdatasync"}
    check(world)


def test_a_crash_at_any_operation_loses_nothing_acknowledged(tmp_path):
    for number, torn in crash_points(operations_of(f"{tmp_path}/count")):
        directory = f"{tmp_path}/{number}-{torn}"
        world = crash_at(directory, number, torn)
        try:
            check(world)
        except BaseException as error:
            error.add_note(f"crashed at operation {number}, {torn} bytes through")
            raise
        shutil.rmtree(directory)


def test_a_crash_while_recovering_from_a_crash(tmp_path):
    chance = random.Random(7)
    points = crash_points(operations_of(f"{tmp_path}/count"))
    for number, torn in chance.sample(points, 60):
        directory = f"{tmp_path}/{number}-{torn}"
        world = crash_at(directory, number, torn)
        shutil.copytree(directory, directory + "-copy")
        with FileFaults() as faults:
            world.start()
        world.abandon()
        shutil.rmtree(directory)
        os.rename(directory + "-copy", directory)
        second = chance.choice(crash_points(faults.operations))
        with FileFaults(*second), contextlib.suppress(Crash):
            world.start()
        world.abandon()
        try:
            check(world)
        except BaseException as error:
            error.add_note(f"crashed at operation {number}, {torn} bytes through, and at {second} of the recovery")
            raise
        shutil.rmtree(directory)


def fail_at(directory, number, torn, code):
    """Live with an operation that the system refuses; the disk is well again afterwards."""
    world = World(directory)
    faults = FileFaults(number, torn, code)
    with faults:
        live(world)
    assert faults.struck is not None
    world.abandon()
    return world, faults.struck


def test_a_full_disk_at_any_operation_is_survived(tmp_path):
    """Only operations that take space: at most two requests are refused, and everything goes on by itself."""
    operations = operations_of(f"{tmp_path}/count")
    for number, torn in crash_points(operations):
        if operations[number].name not in {"open", "write", "pwritev", "mkdir"}:
            continue
        directory = f"{tmp_path}/{number}-{torn}"
        try:
            world, _ = fail_at(directory, number, torn, errno.ENOSPC)
            assert world.refused <= 2
            assert not world.manager.offline_dirs
            check(world)
        except BaseException as error:
            error.add_note(f"disk full at operation {number}, {operations[number]}, {torn} bytes through")
            raise
        shutil.rmtree(directory)


def test_a_disk_that_fails_at_any_operation_loses_nothing_acknowledged(tmp_path):
    operations = operations_of(f"{tmp_path}/count")
    for number, torn in crash_points(operations):
        directory = f"{tmp_path}/{number}-{torn}"
        try:
            world, _ = fail_at(directory, number, torn, errno.EIO)
            check(world)
        except BaseException as error:
            error.add_note(f"disk failed at operation {number}, {operations[number]}, {torn} bytes through")
            raise
        shutil.rmtree(directory)
