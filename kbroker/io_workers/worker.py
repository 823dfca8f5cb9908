"""
An IO worker: the composition of one process. It wires; it decides nothing.

Start: the metadata image arrives, the worker opens (and recovers) the logs that are its own, publishes their rows,
loads the group coordinators, and is ready. Appends that come before that wait in their messages. Stop: what is staged
is written, logs are flushed and closed, checkpoints are written.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kbroker.clock import SystemClock
from kbroker.config.broker_config import BrokerConfig
from kbroker.config.live_config import LiveConfig
from kbroker.errors import KafkaError, LogDirFailed, NoLogDirectory, StartupError
from kbroker.io_workers.dispatch import AppendDispatcher, Committed
from kbroker.io_workers.flusher import Flusher
from kbroker.io_workers.groups import GroupCoordinators
from kbroker.io_workers.partitions import OwnedPartitions, PartitionChanges, log_config
from kbroker.io_workers.producer_list import describe_producers
from kbroker.ipc.command_server import CommandServer, Completions
from kbroker.ipc.commands import SENDER, Command, CommandKind, body_of
from kbroker.ipc.event_loop import EventLoop
from kbroker.log_levels import LogLevels
from kbroker.logging_setup import tell_left_out
from kbroker.metadata.delta import decode_delta
from kbroker.metadata.image import MissedDelta
from kbroker.protocol.error_codes import ErrorCode
from kbroker.shared.layout import SharedState
from kbroker.shared.worker_table import MAX_SHARED_DIRECTORIES, WorkerField, WorkerState
from kbroker.storage.log import Log
from kbroker.storage.log_config import LogConfig
from kbroker.storage.log_manager import LogManager, LogManagerConfig
from kbroker.types import TopicPartition

logger = logging.getLogger(__name__)

HEARTBEAT_INTERVAL_MS = 250
TICK_INTERVAL_MS = 500
OPEN_AGAIN_INTERVAL_MS = 2000
_SHORTEST_FLUSH_CHECK_MS = 200
GENERATION = WorkerField.GENERATION
_STOP_STAGE = int(WorkerField.STOP_STAGE)


@dataclass(frozen=True, slots=True)
class IoWorkerSpec:
    """
    What the supervisor's side hands to an IO worker.

    index               which IO worker, from 0
    clean_directories   log directories whose last stop was orderly: their logs need no recovery
    failed_directories  log directories that could not be used at the start
    """

    config: BrokerConfig
    broker_id: int
    index: int
    clean_directories: frozenset[str]
    failed_directories: frozenset[str]


def main(shared: SharedState, spec: IoWorkerSpec) -> None:
    """Run an IO worker until the broker stops; the first line after the fork."""
    IoWorker(shared, spec).run()


class IoWorker:
    """One IO worker's parts and its life."""

    def __init__(self, shared: SharedState, spec: IoWorkerSpec) -> None:
        self._shared = shared
        self._table = shared.workers
        self._number = self._table.io_worker(spec.index)
        self._spec = spec
        self._config = spec.config
        self._live = LiveConfig(spec.config, spec.broker_id)
        self._levels = LogLevels()
        self._loop = EventLoop()
        self._clock = SystemClock()
        self._flusher = Flusher(self._loop)
        self._completions = Completions(self._loop, shared, spec.index)
        self._dispatcher = AppendDispatcher(
            shared.partitions,
            [arena.memory for arena in shared.arenas],
            self._completions,
            self._clock,
            self._log_dir_failed,
            self._flush,
        )
        intervals = spec.config.log_manager
        self._manager = LogManager(
            spec.config.log_dirs.directories,
            self._config_for,
            self._clock,
            worker=spec.index,
            intervals=LogManagerConfig(
                retention_check_interval_ms=intervals.log_retention_check_interval_ms,
                flush_scheduler_interval_ms=max(
                    _SHORTEST_FLUSH_CHECK_MS, min(1000, intervals.log_flush_scheduler_interval_ms)
                ),
                flush_offset_checkpoint_interval_ms=intervals.log_flush_offset_checkpoint_interval_ms,
                flush_start_offset_checkpoint_interval_ms=intervals.log_flush_start_offset_checkpoint_interval_ms,
                high_watermark_checkpoint_interval_ms=intervals.replica_high_watermark_checkpoint_interval_ms,
                producer_id_expiration_check_interval_ms=intervals.producer_id_expiration_check_interval_ms,
            ),
            background=self._flusher.submit,
        )
        self._partitions = OwnedPartitions(
            self._manager, self._config_for, self._dispatcher, spec.broker_id, spec.index, self._table.io
        )
        self._groups = GroupCoordinators(spec.config.groups, self._partitions, self._dispatcher, self._completions)
        self._calls: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "delete_records": self._delete_records,
            "describe_producers": self._describe_producers,
        }
        self._ready = False
        # Commands that came before the logs were open.
        self._held: list[tuple[int, bytes, Command]] = []
        self._server = CommandServer(
            self._loop,
            shared,
            self._number,
            {
                CommandKind.APPEND: self._append,
                CommandKind.REQUEST: self._request,
                CommandKind.CALL: self._call,
                CommandKind.METADATA: self._metadata,
            },
            before_fence=self._finish_turn,
        )

    def run(self) -> None:
        """Serve until the supervisor says stop."""
        loop = self._loop
        loop.every(HEARTBEAT_INTERVAL_MS, self._beat)
        loop.every(TICK_INTERVAL_MS, self._tick)
        loop.every(OPEN_AGAIN_INTERVAL_MS, self._open_again)
        loop.at_turn_end(self._end_turn)
        loop.run()
        if self._no_directory_left():
            self._finish_turn()
            raise NoLogDirectory("no log directory is left; the broker ends")
        self._close()

    # --- turns ------------------------------------------------------------------------------------------------------

    def _end_turn(self) -> None:
        # Producers first: they wait for no more than the write.
        self._dispatcher.end_turn()
        self._completions.flush()
        self._groups.advance(self._loop)
        self._dispatcher.end_turn()
        self._completions.flush()
        if self._table.get(self._number, _STOP_STAGE):
            self._loop.stop()

    def _finish_turn(self) -> None:
        self._dispatcher.end_turn()
        self._completions.flush()

    def _beat(self) -> None:
        table = self._table
        table.set(self._number, WorkerField.HEARTBEAT_MS, time.monotonic_ns() // 1_000_000)
        table.set(self._number, WorkerField.REQUESTS, self._dispatcher.appends)
        table.set(self._number, WorkerField.PARTITIONS, len(self._dispatcher.partitions))
        tell_left_out()

    def _tick(self) -> None:
        if self._ready:
            # What is staged belongs to the active segment; retention may roll it.
            self._dispatcher.end_turn()
            self._partitions.publish(self._manager.tick(self._clock.wall_ms()))
            self._share_failures()

    def _open_again(self) -> None:
        if self._ready:
            self._dispatcher.end_turn()
            self._groups.load_again(self._loop.now_ms, self._beat)
            changes = self._partitions.open_again()
            if changes.opened:
                self._changed(changes)

    # --- commands ---------------------------------------------------------------------------------------------------

    def _append(self, sender: int, message: bytes, command: Command) -> None:
        if self._ready:
            self._dispatcher.append(sender, message, command)
        else:
            self._held.append((sender, message, command))

    def _request(self, sender: int, message: bytes, command: Command) -> None:
        if self._ready:
            self._groups.handle(sender, message, command, self._loop.now_ms)
        else:
            self._held.append((sender, message, command))

    def _call(self, sender: int, message: bytes, command: Command) -> None:
        arguments = json.loads(body_of(message, command))
        answer = self._calls[arguments["call"]](arguments)
        self._completions.reply(sender, command.command_id, json.dumps(answer).encode())

    def _delete_records(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Move a log's start: offset -1 stands for the high watermark."""
        name = TopicPartition(arguments["topic"], arguments["partition"])
        owned = self._dispatcher.partitions.get(arguments["row"])
        if owned is None or owned.log is None or owned.log.topic_partition != name:
            code = ErrorCode.NOT_LEADER_OR_FOLLOWER if owned is None else ErrorCode.KAFKA_STORAGE_ERROR
            return {"error": int(code), "low_watermark": -1}
        self._dispatcher.end_turn()
        log = owned.log
        offset = log.high_watermark if arguments["offset"] == -1 else arguments["offset"]
        try:
            if offset < 0 or offset > log.high_watermark:
                raise KafkaError(ErrorCode.OFFSET_OUT_OF_RANGE)
            if log.config.compacts and not log.config.deletes:
                raise KafkaError(ErrorCode.POLICY_VIOLATION)
            log.advance_log_start(offset)
        except KafkaError as error:
            return {"error": error.code, "low_watermark": -1}
        except LogDirFailed as failure:
            self._log_dir_failed(failure)
            return {"error": int(ErrorCode.KAFKA_STORAGE_ERROR), "low_watermark": -1}
        self._dispatcher.publish(owned)
        return {"error": 0, "low_watermark": log.log_start_offset}

    def _describe_producers(self, arguments: dict[str, Any]) -> dict[str, Any]:
        # What is staged is written first: whoever was told of an append finds its producer, and of no other.
        self._dispatcher.end_turn()
        return describe_producers(self._dispatcher.partitions, arguments)

    def _metadata(self, _sender: int, message: bytes, command: Command) -> None:
        delta = decode_delta(body_of(message, command))
        try:
            image = self._partitions.image.apply(delta)
        except MissedDelta:
            self._server.send(0, CommandKind.HELLO, 0, b"")
            return
        self._dispatcher.end_turn()
        reconfigured = self._live.follow(image.broker_configs)
        self._levels.follow(image.log_levels)
        if self._ready:
            self._changed(self._partitions.apply(image))
            if reconfigured:
                self._partitions.reconfigure()
        else:
            clean = self._spec.clean_directories
            was_clean = [directory in clean for directory in self._config.log_dirs.directories]
            self._give_up_failed_directories()
            changes = self._partitions.load(image, was_clean, self._beat)
            self._changed(changes)
            self._share_failures()
            self._become_ready()
        self._table.set(self._number, WorkerField.METADATA_VERSION, image.version)
        self._server.send(0, CommandKind.APPLIED, image.version, b"")

    def _changed(self, changes: PartitionChanges) -> None:
        self._groups.follow(changes, self._loop.now_ms, self._beat)

    def _become_ready(self) -> None:
        self._ready = True
        self._server.append_one = self._dispatcher.append_one
        self._beat()
        self._table.set(self._number, WorkerField.STATE, WorkerState.READY)
        held, self._held = self._held, []
        for sender, message, command in held:
            # What a network worker that died meanwhile had asked for lies in memory that its successor uses.
            if SENDER.unpack_from(message, 0)[2] != self._table.get(sender, WorkerField.GENERATION):
                continue
            (self._append if command.kind == CommandKind.APPEND else self._request)(sender, message, command)

    # --- disks ------------------------------------------------------------------------------------------------------

    def _config_for(self, topic: str) -> LogConfig:
        return log_config(
            self._live.current.topic_defaults,
            self._partitions.topic(topic),
            self._live.current.log_manager.producer_id_expiration_ms,
        )

    def _flush(self, log: Log, done: Committed) -> None:
        def flushed(durable: bool) -> None:
            done(ErrorCode.NONE if durable else ErrorCode.KAFKA_STORAGE_ERROR)

        self._manager.flush_in_background(log, log.flush_plan(), flushed)

    def _give_up_failed_directories(self) -> None:
        """Take those offline that could not be used at the start, or that any IO worker has found unusable."""
        found = self._table.offline_directories()
        for index, directory in enumerate(self._config.log_dirs.directories):
            if directory in self._spec.failed_directories:
                self._went_offline(self._manager.fail_dir(index, StartupError("it could not be used at the start")))
            elif index < MAX_SHARED_DIRECTORIES and found >> index & 1:
                self._went_offline(self._manager.fail_dir(index, StartupError("it has failed for another worker")))

    def _share_failures(self) -> None:
        """A directory that one IO worker cannot use is offline for all; without any, the broker ends."""
        self._give_up_failed_directories()
        own = sum(1 << index for index in self._manager.offline_indexes if index < MAX_SHARED_DIRECTORIES)
        self._table.set(self._number, WorkerField.OFFLINE_DIRECTORIES, own)
        if self._no_directory_left():
            self._loop.stop()

    def _no_directory_left(self) -> bool:
        return len(self._manager.offline_indexes) == len(self._config.log_dirs.directories)

    def _log_dir_failed(self, failure: LogDirFailed) -> None:
        for index, directory in enumerate(self._config.log_dirs.directories):
            if failure.directory == directory or failure.directory.startswith(directory + "/"):
                self._went_offline(self._manager.fail_dir(index, failure))
                self._share_failures()
                return

    def _went_offline(self, logs: list[Log]) -> None:
        self._partitions.went_offline(logs)

    def _close(self) -> None:
        """Leave everything as an orderly stop leaves it."""
        self._table.set(self._number, WorkerField.STATE, WorkerState.STOPPING)
        self._dispatcher.end_turn()
        self._completions.flush()
        self._flusher.close()
        # Answers that waited for the disk.
        self._completions.flush()
        if not self._ready:
            # Nothing can be said of logs that were never opened.
            raise SystemExit("stopped before its logs were open")
        if not self._manager.close():
            raise SystemExit("a log could not be closed in order")
        self._server.close()
