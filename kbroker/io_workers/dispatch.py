"""
Appends of one turn: staged as they come, written once per partition when the turn ends, answered, announced.

Staging assigns offsets and checks producer sequences; nothing is visible yet. At the end of the turn each touched log
is written with one system call, its row is published, and only then are the completions put into the rings: whoever
reads an answer finds the row that goes with it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

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

_ENTRIES_AT = APPEND_HEAD.size - COMMAND.size
_ENTRY_BYTES = APPEND_ENTRY.size
_NONE = int(ErrorCode.NONE)

Committed = Callable[[int], None]
"""Told the error code (0: written) of an internal append."""


class OwnedPartition:
    """
    A partition this worker owns.

    log           None while its log directory is offline
    leader_epoch  written into the batches appended
    """

    __slots__ = ("high_watermark", "leader_epoch", "log", "row", "waiting")

    def __init__(self, row: int, log: Log | None, leader_epoch: int) -> None:
        self.row = row
        self.log = log
        self.leader_epoch = leader_epoch
        self.high_watermark = 0 if log is None else log.row().high_watermark
        # Error code of this turn's write, while it is known only for the turn: None before the write.
        self.waiting = False


class AppendDispatcher:
    """
    Carries out APPEND commands for one IO worker.

    arenas     the network workers' arenas, in their order
    offline    called with a failed log directory
    """

    def __init__(
        self,
        table: PartitionTable,
        arenas: Sequence[memoryview],
        completions: Completions,
        clock: Clock,
        offline: Callable[[LogDirFailed], None],
    ) -> None:
        self.partitions: dict[int, OwnedPartition] = {}
        """By row."""
        self._table = table
        self._arenas = arenas
        self._completions = completions
        self._clock = clock
        self._offline = offline
        self._touched: list[OwnedPartition] = []
        self._answers: list[tuple[int, int, list[tuple[OwnedPartition | None, AppendResult]]]] = []
        self._internal: list[tuple[OwnedPartition, Committed]] = []
        self.appends = 0

    def append(self, sender: int, message: bytes, command: Command) -> None:
        """Stage what an APPEND command names."""
        arena = self._arenas[sender - 1]
        position = command.position + _ENTRIES_AT
        now_ms = self._clock.wall_ms()
        staged: list[tuple[OwnedPartition | None, AppendResult]] = []
        for _ in range(command.entries):
            row, start, size = APPEND_ENTRY.unpack_from(message, position)
            position += _ENTRY_BYTES
            staged.append(self._stage(row, arena[start : start + size], now_ms))
        self.appends += 1
        self._answers.append((sender, command.command_id, staged))

    def _stage(self, row: int, records: memoryview, now_ms: int) -> tuple[OwnedPartition | None, AppendResult]:
        partition = self.partitions.get(row)
        if partition is None:
            return None, AppendResult(ErrorCode.NOT_LEADER_OR_FOLLOWER, -1, -1, -1)
        log = partition.log
        if log is None:
            return None, AppendResult(ErrorCode.KAFKA_STORAGE_ERROR, -1, -1, -1)
        try:
            staged = log.stage(records, partition.leader_epoch, now_ms)
        except KafkaError as error:
            return None, AppendResult(error.code, -1, -1, -1)
        except LogDirFailed as failure:
            self._offline(failure)
            return None, AppendResult(ErrorCode.KAFKA_STORAGE_ERROR, -1, -1, -1)
        if not partition.waiting:
            partition.waiting = True
            self._touched.append(partition)
        return partition, AppendResult(_NONE, staged.base_offset, staged.log_append_time_ms, staged.log_start_offset)

    def append_internal(self, row: int, batch: bytes, committed: Committed) -> None:
        """Append a batch of our own making (a coordinator's records); `committed` is told when the turn is written."""
        partition = self.partitions.get(row)
        if partition is None or partition.log is None:
            committed(ErrorCode.NOT_COORDINATOR)
            return
        try:
            partition.log.stage(
                memoryview(bytearray(batch)), partition.leader_epoch, self._clock.wall_ms(), from_client=False
            )
        except KafkaError as error:
            committed(error.code)
            return
        except LogDirFailed as failure:
            self._offline(failure)
            committed(ErrorCode.KAFKA_STORAGE_ERROR)
            return
        if not partition.waiting:
            partition.waiting = True
            self._touched.append(partition)
        self._internal.append((partition, committed))

    def end_turn(self) -> None:
        """Write, publish, answer. Internal appends may cause more of them: repeats until there are none."""
        while self._touched or self._answers or self._internal:
            touched, self._touched = self._touched, []
            answers, self._answers = self._answers, []
            internal, self._internal = self._internal, []
            failed: dict[OwnedPartition, int] = {}
            for partition in touched:
                partition.waiting = False
                code = self._write(partition)
                if code:
                    failed[partition] = code
            self._answer(answers, failed)
            for partition, committed in internal:
                committed(failed.get(partition, _NONE))

    def _write(self, partition: OwnedPartition) -> int:
        log = partition.log
        if log is None:
            return ErrorCode.KAFKA_STORAGE_ERROR
        try:
            log.write_staged()
        except KafkaError as error:
            logger.error("%s: %s", log.topic_partition, error)
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
        answers: list[tuple[int, int, list[tuple[OwnedPartition | None, AppendResult]]]],
        failed: dict[OwnedPartition, int],
    ) -> None:
        completions = self._completions
        for sender, command_id, staged in answers:
            if failed:
                staged = [
                    (partition, result)
                    if partition is None or partition not in failed
                    else (partition, AppendResult(failed[partition], -1, -1, -1))
                    for partition, result in staged
                ]
            if len(staged) == 1:
                completions.appended_one(sender, command_id, staged[0][1])
            else:
                completions.appended(sender, command_id, [result for _, result in staged])
