"""Appends of a turn are written together, answered one by one, and fail where they must."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kbroker.clock import ManualClock
from kbroker.errors import LogDirFailed
from kbroker.io_workers.dispatch import AppendDispatcher, OwnedPartition
from kbroker.ipc.commands import MESSAGE, SENDER, AppendResult, iterate_commands, pack_append
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.record_batch import BatchBuilder, iterate_batch_headers
from kbroker.shared.partition_table import PartitionRowState, PartitionTable, region_size
from kbroker.storage.log import Log
from kbroker.storage.log_config import LogConfig
from kbroker.types import TopicPartition

NET = 1


class Completed:
    """Keeps what was answered and announced, in order."""

    def __init__(self) -> None:
        self.answers: dict[int, list[AppendResult]] = {}
        self.advances: list[int] = []

    def appended_one(self, _sender: int, command_id: int, result: AppendResult) -> None:
        self.appended(_sender, command_id, [result])

    def appended(self, _sender: int, command_id: int, results: list[AppendResult]) -> None:
        assert command_id not in self.answers, "answered twice"
        self.answers[command_id] = [AppendResult(*result) for result in results]

    def advanced(self, row: int) -> None:
        self.advances.append(row)


class Worker:
    """A dispatcher over three logs in two directories; row number = partition."""

    def __init__(self, base: Path, config: LogConfig) -> None:
        self.table = PartitionTable(memoryview(bytearray(region_size(8))), 8)
        self.arena = memoryview(bytearray(1 << 20))
        self.completed = Completed()
        self.failures: list[LogDirFailed] = []
        self.flushes: list[tuple[Log, Callable[[int], None]]] = []
        self.dispatcher = AppendDispatcher(
            self.table,
            [self.arena],
            self.completed,  # type: ignore[arg-type]
            ManualClock(),
            self._offline,
            lambda log, done: self.flushes.append((log, done)),
        )
        self.logs = []
        for row, directory in enumerate(("d0", "d0", "d1")):
            os.makedirs(base / directory, exist_ok=True)
            log = Log.open(f"{base}/{directory}/t-{row}", TopicPartition("t", row), config, clock=ManualClock())
            self.logs.append(log)
            owned = OwnedPartition(row, log, 7)
            self.dispatcher.partitions[row] = owned
            self.dispatcher.publish(owned)
        self._next_id = 0
        self._end = 0

    def _offline(self, failure: LogDirFailed) -> None:
        """What the worker does: all logs of the directory go."""
        self.failures.append(failure)
        for owned in self.dispatcher.partitions.values():
            if owned.log is not None and owned.log.directory.startswith(failure.directory + "/"):
                owned.log = None
                self.dispatcher.publish(owned)

    def append(self, *rows: int, **fields: Any) -> int:
        """Have batches appended by one command; return its id."""
        entries = []
        for row in rows:
            builder = BatchBuilder(**fields)
            builder.append(None, b"value", 1000)
            data = builder.build()
            self.arena[self._end : self._end + len(data)] = data
            entries.append((row, self._end, len(data)))
            self._end += len(data)
        self._next_id += 1
        message = SENDER.pack(MESSAGE, NET, 1) + pack_append(self._next_id, 1, 1000, entries)
        (command,) = iterate_commands(message)
        self.dispatcher.append(NET, message, command)
        return self._next_id

    def answer(self, command_id: int) -> list[tuple[int, int]]:
        """Return error code and base offset of each entry of a command."""
        return [(result.error_code, result.base_offset) for result in self.completed.answers[command_id]]

    def close(self) -> None:
        for log in self.logs:
            if log.state == PartitionRowState.ONLINE:
                log.close()
            else:
                log.close_files()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    made: list[Worker] = []

    def make(**config: Any) -> Worker:
        made.append(Worker(tmp_path, LogConfig(**config)))
        return made[-1]

    yield make
    for worker in made:
        worker.close()


@pytest.fixture
def worker(make: Callable[..., Worker]) -> Worker:
    return make()


def refuse_writes(monkeypatch: pytest.MonkeyPatch, number: int, *, directory: str = "") -> None:
    """Let writes fail with an error number, all or those below a directory."""
    for name in ("pwrite", "pwritev", "write", "writev"):
        original = getattr(os, name)

        def failing(fd: int, *arguments: Any, original: Any = original) -> Any:
            if directory in os.readlink(f"/proc/self/fd/{fd}"):
                raise OSError(number, os.strerror(number))
            return original(fd, *arguments)

        monkeypatch.setattr(os, name, failing)


def test_nothing_is_visible_or_answered_before_the_end_of_the_turn(worker: Worker) -> None:
    first, second = worker.append(0), worker.append(1, 0, 2)
    assert not worker.completed.answers
    assert worker.table.read(0).log_end_offset == 0
    worker.dispatcher.end_turn()
    assert worker.answer(first) == [(0, 0)]
    assert worker.answer(second) == [(0, 0), (0, 1), (0, 0)]
    assert worker.table.read(0).high_watermark == 2
    assert sorted(worker.completed.advances) == [0, 1, 2], "once per partition and turn"
    assert worker.dispatcher.appends == 2


def test_offset_and_leader_epoch_are_written_into_the_batches(worker: Worker) -> None:
    worker.append(0)
    worker.append(0)
    worker.dispatcher.end_turn()
    data = Path(worker.logs[0].directory, "00000000000000000000.log").read_bytes()
    assert [(h.base_offset, h.partition_leader_epoch) for h in iterate_batch_headers(data)] == [(0, 7), (1, 7)]


def test_a_turn_with_nothing_in_it_changes_nothing(worker: Worker) -> None:
    worker.dispatcher.end_turn()
    assert worker.completed.advances == []


def test_partitions_of_others_are_refused_and_the_rest_of_the_command_is_written(worker: Worker) -> None:
    command = worker.append(5, 0)
    worker.dispatcher.end_turn()
    assert worker.answer(command) == [(ErrorCode.NOT_LEADER_OR_FOLLOWER, -1), (0, 0)]


def test_a_sequence_out_of_order_is_refused_alone_and_a_duplicate_gets_its_old_offset(worker: Worker) -> None:
    fields = {"producer_id": 9, "producer_epoch": 0}
    first = worker.append(0, base_sequence=0, **fields)
    gap = worker.append(0, base_sequence=5, **fields)
    again = worker.append(0, base_sequence=0, **fields)
    second = worker.append(0, base_sequence=1, **fields)
    worker.dispatcher.end_turn()
    assert worker.answer(first) == [(0, 0)]
    assert worker.answer(gap) == [(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, -1)]
    assert worker.completed.answers[gap][0].log_start_offset == 0, "known, as in Kafka"
    assert worker.answer(again) == [(0, 0)]
    assert worker.answer(second) == [(0, 1)]
    assert worker.table.read(0).log_end_offset == 2


def test_a_full_disk_fails_the_appends_and_nothing_else(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the turn stays behind, the log stays online, and once there is room it goes on where it was."""
    worker.append(0)
    worker.dispatcher.end_turn()
    with monkeypatch.context() as patch:
        refuse_writes(patch, errno.ENOSPC)
        failed = worker.append(0, 0)
        worker.dispatcher.end_turn()
    assert worker.answer(failed) == [(ErrorCode.KAFKA_STORAGE_ERROR, -1)] * 2
    assert not worker.failures
    assert worker.table.read(0).state == PartitionRowState.ONLINE
    assert worker.table.read(0).log_end_offset == 1
    after = worker.append(0)
    worker.dispatcher.end_turn()
    assert worker.answer(after) == [(0, 1)]


def test_a_failing_disk_takes_its_directory_offline_and_no_other(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what was staged in this turn for another partition of the directory is answered with the error."""
    with monkeypatch.context() as patch:
        refuse_writes(patch, errno.EIO, directory="/d0/")
        commands = [worker.append(0), worker.append(1), worker.append(2), worker.append(0, 1, 2)]
        worker.dispatcher.end_turn()
    failed = (ErrorCode.KAFKA_STORAGE_ERROR, -1)
    assert [worker.answer(command) for command in commands] == [
        [failed],
        [failed],
        [(0, 0)],
        [failed, failed, (0, 1)],
    ]
    assert [failure.directory.endswith("/d0") for failure in worker.failures] == [True]
    assert [worker.table.read(row).state for row in range(3)] == [
        PartitionRowState.OFFLINE,
        PartitionRowState.OFFLINE,
        PartitionRowState.ONLINE,
    ]
    assert {0, 1} <= set(worker.completed.advances), "who waits there must be told"
    later = worker.append(0, 2)
    worker.dispatcher.end_turn()
    assert worker.answer(later) == [failed, (0, 2)]


def test_internal_appends_are_told_and_may_cause_more_of_them(worker: Worker) -> None:
    told: list[tuple[str, int]] = []
    builder = BatchBuilder()
    builder.append(b"key", b"value", 1000)
    data = builder.build()

    def first_done(code: int) -> None:
        told.append(("first", code))
        worker.dispatcher.append_internal(1, data, lambda code: told.append(("second", code)))

    worker.dispatcher.append_internal(0, data, first_done)
    assert told == []
    worker.dispatcher.end_turn()
    assert told == [("first", 0), ("second", 0)]
    assert worker.table.read(1).log_end_offset == 1


def test_internal_appends_fail_with_their_disk(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    builder = BatchBuilder()
    builder.append(b"key", b"value", 1000)
    data = builder.build()
    with monkeypatch.context() as patch:
        refuse_writes(patch, errno.EIO)
        worker.dispatcher.append_internal(0, data, told.append)
        worker.dispatcher.end_turn()
    worker.dispatcher.append_internal(0, data, told.append)
    worker.dispatcher.append_internal(6, data, told.append)
    worker.dispatcher.end_turn()
    assert told[0] == ErrorCode.KAFKA_STORAGE_ERROR
    assert len(told) == 3
    assert all(told)


def test_with_flush_messages_the_answer_waits_until_it_is_on_the_disk(make: Callable[..., Worker]) -> None:
    worker = make(flush_messages=1)
    fine, failing = worker.append(0), worker.append(2)
    worker.dispatcher.end_turn()
    assert not worker.completed.answers
    assert {log.topic_partition.partition for log, _ in worker.flushes} == {0, 2}
    by_row = {log.topic_partition.partition: done for log, done in worker.flushes}
    by_row[0](0)
    by_row[2](ErrorCode.KAFKA_STORAGE_ERROR)
    assert worker.answer(fine) == [(0, 0)]
    assert worker.answer(failing) == [(ErrorCode.KAFKA_STORAGE_ERROR, -1)]
