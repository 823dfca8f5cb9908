"""
Appends of one turn: staged as they come, written once per partition when the turn ends, answered, announced.

Staging assigns offsets and checks producer sequences; nothing is visible yet. At the end of the turn each touched log
is written with one system call, its row is published, and only then are the completions put into the rings: whoever
reads an answer finds the row that goes with it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

from kbroker.clock import Clock
from kbroker.errors import KafkaError, LogDirFailed
from kbroker.ipc.command_server import Completions
from kbroker.ipc.commands import (
    APPEND_ENTRY,
    APPEND_HEAD,
    COMMAND,
    AppendResult,
    Command,
)
from kbroker.protocol.error_codes import ErrorCode
from kbroker.shared.partition_table import PartitionRow, PartitionRowState, PartitionTable
from kbroker.storage.log import Log

logger = logging.getLogger(__name__)

_ENTRIES_AT: Final = APPEND_HEAD.size - COMMAND.size
_ENTRY_BYTES: Final = APPEND_ENTRY.size
_new: Final = tuple.__new__
"""Makes a named tuple without a call of Python code."""
_NONE: Final = int(ErrorCode.NONE)
_OF_THE_PRODUCER: Final = frozenset({ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, ErrorCode.INVALID_PRODUCER_EPOCH})
"""Refusals that tell where the log starts, as Kafka's do."""

Committed = Callable[[int], None]
"""Told the error code (0: written) of an internal append."""


class OwnedPartition:
    """
    A partition this worker owns.

    log           None while its log directory is offline
    leader_epoch  written into the batches appended
    """

    __slots__ = ("high_watermark", "leader_epoch", "log", "row", "touched")

    def __init__(self, row: int, log: Log | None, leader_epoch: int) -> None:
        self.row = row
        self.log = log
        self.leader_epoch = leader_epoch
        self.high_watermark = 0 if log is None else log.row().high_watermark
        self.touched = False
        """Whether something was staged in this turn."""


class _Staged:
    """One entry of a command: where it went and what to answer. An append stands if `last_offset` was written."""

    __slots__ = ("last_offset", "partition", "result")

    def __init__(self, partition: OwnedPartition | None, last_offset: int, result: AppendResult) -> None:
        self.partition = partition
        self.last_offset = last_offset
        self.result = result


class _Answer:
    """A command and its entries, in the order asked for."""

    __slots__ = ("command_id", "entries", "sender")

    def __init__(self, sender: int, command_id: int, entries: list[_Staged]) -> None:
        self.sender = sender
        self.command_id = command_id
        self.entries = entries


class _Internal(NamedTuple):
    """An append of our own making."""

    partition: OwnedPartition
    last_offset: int
    committed: Committed


class AppendDispatcher:
    """
    Carries out APPEND commands for one IO worker.

    arenas   the network workers' arenas, in their order
    offline  called with a failed log directory
    flush    flush(log, done): make a log durable off the loop, then call done with an error code (0: durable)
    """

    def __init__(
        self,
        table: PartitionTable,
        arenas: Sequence[memoryview],
        completions: Completions,
        clock: Clock,
        offline: Callable[[LogDirFailed], None],
        flush: Callable[[Log, Committed], None],
    ) -> None:
        self.partitions: dict[int, OwnedPartition] = {}
        """By row."""
        self.appends = 0
        self._table = table
        self._arenas = arenas
        self._completions = completions
        self._clock = clock
        self._offline = offline
        self._flush = flush
        self._touched: list[OwnedPartition] = []
        self._answers: list[_Answer] = []
        self._internal: list[_Internal] = []

    def append(self, sender: int, message: bytes, command: Command) -> None:
        """Stage what an APPEND command names."""
        arena = self._arenas[sender - 1]
        position = command.position + _ENTRIES_AT
        now_ms = self._clock.wall_ms()
        entries: list[_Staged] = []
        for _ in range(command.entries):
            row, start, size = APPEND_ENTRY.unpack_from(message, position)
            position += _ENTRY_BYTES
            entries.append(self._stage(row, arena[start : start + size], now_ms))
        self.appends += 1
        self._answers.append(_Answer(sender, command.command_id, entries))

    def append_one(self, sender: int, command_id: int, row: int, start: int, size: int) -> None:
        """Stage an APPEND of one entry: `size` bytes from `start` on in the sender's arena."""
        staged = self._stage(row, self._arenas[sender - 1][start : start + size], self._clock.wall_ms())
        self.appends += 1
        self._answers.append(_Answer(sender, command_id, [staged]))

    def _stage(self, row: int, records: memoryview, now_ms: int) -> _Staged:
        partition = self.partitions.get(row)
        if partition is None:
            return _refused(ErrorCode.NOT_LEADER_OR_FOLLOWER)
        log = partition.log
        if log is None:
            return _refused(ErrorCode.KAFKA_STORAGE_ERROR)
        try:
            base_offset, last_offset, append_time, log_start, _ = log.stage(records, partition.leader_epoch, now_ms)
        except KafkaError as error:
            return _refused(error.code, log.log_start_offset if error.code in _OF_THE_PRODUCER else -1)
        except LogDirFailed as failure:
            self._offline(failure)
            return _refused(ErrorCode.KAFKA_STORAGE_ERROR)
        if not partition.touched:
            partition.touched = True
            self._touched.append(partition)
        result = _new(AppendResult, (_NONE, base_offset, append_time, log_start))
        return _Staged(partition, last_offset, result)

    def append_internal(self, row: int, batch: bytes, committed: Committed) -> None:
        """Append a batch of our own making (a coordinator's records); `committed` is told when the turn is written."""
        partition = self.partitions.get(row)
        if partition is None or partition.log is None:
            committed(ErrorCode.NOT_COORDINATOR)
            return
        try:
            staged = partition.log.stage(
                memoryview(bytearray(batch)), partition.leader_epoch, self._clock.wall_ms(), from_client=False
            )
        except KafkaError as error:
            committed(error.code)
            return
        except LogDirFailed as failure:
            self._offline(failure)
            committed(ErrorCode.KAFKA_STORAGE_ERROR)
            return
        if not partition.touched:
            partition.touched = True
            self._touched.append(partition)
        self._internal.append(_Internal(partition, staged.last_offset, committed))

    def end_turn(self) -> None:
        """Write, publish, answer. Internal appends may cause more of them: repeats until there are none."""
        if not self._touched and not self._answers and not self._internal:
            return
        while self._touched or self._answers or self._internal:
            touched, self._touched = self._touched, []
            answers, self._answers = self._answers, []
            internal, self._internal = self._internal, []
            failed: dict[OwnedPartition, int] = {}
            to_flush: list[tuple[OwnedPartition, Log]] = []
            for partition in touched:
                partition.touched = False
                code = self._write(partition)
                if code:
                    failed[partition] = code
                else:
                    log = partition.log
                    if log is not None and log.unflushed_records >= log.config.flush_messages:
                        to_flush.append((partition, log))
            if to_flush:
                self._answer_when_flushed(to_flush, answers, internal, failed)
            else:
                self._answer(answers, internal, failed)

    def _answer_when_flushed(
        self,
        to_flush: list[tuple[OwnedPartition, Log]],
        answers: list[_Answer],
        internal: list[_Internal],
        failed: dict[OwnedPartition, int],
    ) -> None:
        """Hold this turn's answers until the logs that flush.messages speaks of are on the disk."""
        remaining = len(to_flush)

        def flushed(partition: OwnedPartition, code: int) -> None:
            nonlocal remaining
            if code:
                failed[partition] = code
            remaining -= 1
            if not remaining:
                self._answer(answers, internal, failed, written_is_enough=False)

        for partition, log in to_flush:
            self._flush(log, partial(flushed, partition))

    def _write(self, partition: OwnedPartition) -> int:
        log = partition.log
        if log is None:
            return ErrorCode.KAFKA_STORAGE_ERROR
        try:
            log.write_staged()
        except KafkaError as error:
            logger.error("%s: %s", log.topic_partition, error)
            self.publish(partition)
            return error.code
        except LogDirFailed as failure:
            self._offline(failure)
            return ErrorCode.KAFKA_STORAGE_ERROR
        self.publish(partition)
        return _NONE

    def publish(self, partition: OwnedPartition) -> None:
        """Publish a partition's row; tell who waits for it when its high watermark moved."""
        log = partition.log
        if log is None:
            self._table.publish(partition.row, PartitionRow(state=PartitionRowState.OFFLINE))
            self._completions.advanced(partition.row)
            return
        row = log.row()
        self._table.publish(partition.row, row)
        if row.high_watermark != partition.high_watermark:
            partition.high_watermark = row.high_watermark
            self._completions.advanced(partition.row)

    def _answer(
        self,
        answers: list[_Answer],
        internal: list[_Internal],
        failed: dict[OwnedPartition, int],
        *,
        written_is_enough: bool = True,
    ) -> None:
        completions = self._completions
        for answer in answers:
            entries = answer.entries
            if failed:
                results = [
                    AppendResult(failed[entry.partition], -1, -1, -1)
                    if entry.partition in failed and not (written_is_enough and _stands(entry))
                    else entry.result
                    for entry in entries
                ]
                completions.appended(answer.sender, answer.command_id, results)
            elif len(entries) == 1:
                completions.appended_one(answer.sender, answer.command_id, entries[0].result)
            else:
                completions.appended(answer.sender, answer.command_id, [entry.result for entry in entries])
        for own in internal:
            code = failed.get(own.partition, _NONE)
            own.committed(_NONE if code and written_is_enough and _stands(own) else code)


def _refused(code: int, log_start_offset: int = -1) -> _Staged:
    return _Staged(None, -1, AppendResult(code, -1, -1, log_start_offset))


def _stands(entry: _Staged | _Internal) -> bool:
    """Return whether an append is in the log although its turn's last write failed: a roll had written it before."""
    partition = entry.partition
    return partition is not None and partition.log is not None and entry.last_offset < partition.log.log_end_offset
