"""
The logs of one IO worker, over all log directories.

Several IO workers share each directory without locks: a partition belongs to one of them, and so do its files; of the
files that all partitions share, the checkpoints, each worker writes its own part (see checkpoints).

A directory whose disk fails goes offline alone: its logs answer KAFKA_STORAGE_ERROR, those of the others go on.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from kbroker.errors import KafkaError, LogDirFailed, StartupError
from kbroker.shared.partition_table import PartitionRowState
from kbroker.storage.checkpoints import (
    LOG_START_CHECKPOINT,
    RECOVERY_POINT_CHECKPOINT,
    REPLICATION_CHECKPOINT,
    part_path,
    read_merged_checkpoint,
    write_offset_checkpoint,
)
from kbroker.storage.log import FlushPlan, Log, PendingDelete, is_disk_full, storage_error
from kbroker.storage.paths import parse_deleted_directory, parse_partition_directory, partition_directories
from kbroker.storage.recovery import Progress, no_progress
from kbroker.types import ZERO_UUID, TopicPartition, Uuid

if TYPE_CHECKING:
    from kbroker.clock import Clock
    from kbroker.storage.log_config import LogConfig

logger = logging.getLogger(__name__)

_KAFKA_STORAGE_ERROR = 56
_INCONSISTENT_TOPIC_ID = 103
_RETENTION_SLICE_MS = 20
_CHECKPOINTS = (RECOVERY_POINT_CHECKPOINT, LOG_START_CHECKPOINT, REPLICATION_CHECKPOINT)
_PLACING_TRIES = 100
_PLACING_PAUSE_S = 0.001

Done = Callable[[OSError | None], None]
Background = Callable[[Callable[[], None], Done], None]
"""Run a job somewhere, then, on the owner's thread, tell `done` how it went. Jobs run in the order given."""


def run_now(job: Callable[[], None], done: Done) -> None:
    """Run a job here and now: a Background for tests and for shutting down."""
    try:
        job()
    except OSError as error:
        done(error)
    else:
        done(None)


@dataclass(frozen=True, slots=True)
class LogManagerConfig:
    """How often things are looked at, in milliseconds; Kafka's keys and defaults."""

    retention_check_interval_ms: int = 5 * 60 * 1000
    """log.retention.check.interval.ms"""
    flush_scheduler_interval_ms: int = 1000
    """log.flush.scheduler.interval.ms (Kafka's default, never, means: as often as flush.ms needs)"""
    flush_offset_checkpoint_interval_ms: int = 60_000
    """log.flush.offset.checkpoint.interval.ms"""
    flush_start_offset_checkpoint_interval_ms: int = 60_000
    """log.flush.start.offset.checkpoint.interval.ms"""
    high_watermark_checkpoint_interval_ms: int = 5000
    """replica.high.watermark.checkpoint.interval.ms"""
    producer_id_expiration_check_interval_ms: int = 600_000
    """producer.id.expiration.check.interval.ms"""


class LogManager:
    """
    Opens, creates, deletes and looks after the logs of one IO worker.

    log_dirs    the log directories, in the order of log.dirs; they exist
    config_for  the configuration of a topic's logs
    worker      number of the IO worker, for its parts of the checkpoints
    intervals   how often tick looks at what
    background  where syncing and unlinking happen
    replicated  whether high watermarks are moved by others, see Log
    """

    __slots__ = (
        "_background",
        "_checkpointed",
        "_clock",
        "_config_for",
        "_due",
        "_failed",
        "_flushing",
        "_intervals",
        "_known",
        "_log_dirs",
        "_online",
        "_pending_deletes",
        "_replicated",
        "_retention_queue",
        "_worker",
        "logs",
    )

    def __init__(
        self,
        log_dirs: Sequence[str],
        config_for: Callable[[str], LogConfig],
        clock: Clock,
        *,
        worker: int = 0,
        intervals: LogManagerConfig | None = None,
        background: Background = run_now,
        replicated: bool = False,
    ) -> None:
        self._log_dirs = [os.path.abspath(log_dir) for log_dir in log_dirs]
        self._config_for = config_for
        self._clock = clock
        self._worker = worker
        self._intervals = intervals or LogManagerConfig()
        self._background = background
        self._replicated = replicated
        self._online = [True] * len(self._log_dirs)
        self._checkpointed: list[dict[str, dict[TopicPartition, int]]] = [{} for _ in self._log_dirs]
        """Per directory and checkpoint: what this worker last wrote into its part."""
        self._known: list[set[TopicPartition]] = [set() for _ in self._log_dirs]
        """Per directory: partitions with entries, perhaps out of date, in the checkpoints found at the start."""
        self._pending_deletes: list[PendingDelete] = []
        self._flushing: set[TopicPartition] = set()
        self._retention_queue: list[Log] = []
        self._failed: list[Log] = []
        """Logs that went offline between two ticks."""
        now_ms = clock.wall_ms()
        self._due = {name: now_ms + interval for name, interval in self._schedule().items()}
        self.logs: dict[TopicPartition, Log] = {}

    def _schedule(self) -> dict[str, int]:
        intervals = self._intervals
        return {
            "retention": intervals.retention_check_interval_ms,
            "flush": intervals.flush_scheduler_interval_ms,
            "producers": intervals.producer_id_expiration_check_interval_ms,
            RECOVERY_POINT_CHECKPOINT: intervals.flush_offset_checkpoint_interval_ms,
            LOG_START_CHECKPOINT: intervals.flush_start_offset_checkpoint_interval_ms,
            REPLICATION_CHECKPOINT: intervals.high_watermark_checkpoint_interval_ms,
        }

    # -------------------------------------------------------------------------------------- opening, creating, deleting

    def open_all(
        self, owns: Callable[[TopicPartition], bool], was_clean: Sequence[bool], progress: Progress = no_progress
    ) -> None:
        """
        Open the logs found on disk that belong to this worker.

        owns       whether a partition is this worker's
        was_clean  per log directory, what begin_run said; all False when the worker was reborn within a run
        progress   called every few MiB of recovery, and once per log

        A directory that cannot be read goes offline. Raises StartupError when two directories hold the same partition.
        """
        for index, log_dir in enumerate(self._log_dirs):
            try:
                offsets = {name: read_merged_checkpoint(log_dir, name) for name in _CHECKPOINTS}
                for checkpoint in offsets.values():
                    self._known[index].update(checkpoint)
                for name in sorted(os.listdir(log_dir)):
                    progress()
                    try:
                        self._open_entry(index, name, owns, was_clean[index], offsets, progress)
                    except KafkaError as error:
                        # The disk is full: create() opens it when there is space again.
                        logger.error("%s: not opened: %s", name, error)
            except (OSError, LogDirFailed) as error:
                self.fail_dir(index, error)

    def _open_entry(
        self,
        index: int,
        name: str,
        owns: Callable[[TopicPartition], bool],
        clean: bool,
        offsets: dict[str, dict[TopicPartition, int]],
        progress: Progress,
    ) -> None:
        """Look at one entry of a log directory: a partition is opened, a deleted one will be removed."""
        path = f"{self._log_dirs[index]}/{name}"
        deleted = parse_deleted_directory(name)
        if deleted is not None:
            if owns(deleted):
                delay_ms = self._config_for(deleted.topic).file_delete_delay_ms
                heapq.heappush(self._pending_deletes, PendingDelete(self._clock.wall_ms() + delay_ms, path))
            return
        topic_partition = parse_partition_directory(name)
        if topic_partition is None or not owns(topic_partition) or not os.path.isdir(path):
            return
        other = self.logs.get(topic_partition)
        if other is not None:
            raise StartupError(f"{topic_partition} is in two log directories: {other.directory} and {path}; remove one")
        self.logs[topic_partition] = Log.open(
            path,
            topic_partition,
            self._config_for(topic_partition.topic),
            clock=self._clock,
            recovery_point=offsets[RECOVERY_POINT_CHECKPOINT].get(topic_partition, 0),
            clean_shutdown=clean,
            log_start_offset=offsets[LOG_START_CHECKPOINT].get(topic_partition, 0),
            high_watermark=offsets[REPLICATION_CHECKPOINT].get(topic_partition, 0),
            log_dir_index=index,
            replicated=self._replicated,
            progress=progress,
        )

    def create(self, topic_partition: TopicPartition, topic_id: Uuid, *, is_new: bool = True) -> Log:
        """
        Return the partition's log, which is made, in the directory with fewest partitions, when there is none.

        A log that a full disk left half changed, or unopened, is opened from the disk.
        A log of another topic of that name, deleted while this broker was down, is set aside: its directory gets a
        `-stray` name and stays for a person to look at.

        is_new  the partition was just made; else its log may lie in a directory that is offline, and is not made anew

        Raises KafkaError(KAFKA_STORAGE_ERROR) when no directory takes it.
        """
        log = self.logs.get(topic_partition)
        if log is not None and log.state != PartitionRowState.ONLINE and self._online[log.log_dir_index]:
            # Its disk was full at a bad moment.
            self.logs.pop(topic_partition).close_files()
            log = None
        if log is not None and topic_id in {log.topic_id, ZERO_UUID}:
            return log
        try:
            if log is None:
                log = self._open_existing(topic_partition)
            if log is not None and self._is_another_topic(log, topic_id):
                log = None
            if log is None:
                if not is_new and not all(self._online):
                    raise KafkaError(_KAFKA_STORAGE_ERROR, f"{topic_partition} may be in an offline log directory")
                log = self._make(topic_partition, topic_id)
        except LogDirFailed as error:
            self._fail_dir_of(error)
            raise KafkaError(_KAFKA_STORAGE_ERROR, str(error)) from error
        self.logs[topic_partition] = log
        return log

    def _open_existing(self, topic_partition: TopicPartition) -> Log | None:
        """Return a log that lies on disk unopened, e.g. because the disk was full when it was made."""
        for index, log_dir in enumerate(self._log_dirs):
            if self._online[index] and os.path.isdir(f"{log_dir}/{topic_partition}"):
                try:
                    starts = read_merged_checkpoint(log_dir, LOG_START_CHECKPOINT)
                except OSError as error:
                    raise LogDirFailed(log_dir, error) from error
                return self._open(index, topic_partition, log_start_offset=starts.get(topic_partition, 0))
        return None

    def _is_another_topic(self, log: Log, topic_id: Uuid) -> bool:
        """Give the log the topic id; set it aside and return True when it has another."""
        try:
            log.adopt_topic_id(topic_id)
        except KafkaError as error:
            if error.code != _INCONSISTENT_TOPIC_ID:
                raise
            self.logs.pop(log.topic_partition, None)
            log.set_aside()
            logger.warning("%s held another topic of that name: set aside as …-stray", log.directory)
            self._known[log.log_dir_index].add(log.topic_partition)
            return True
        return False

    def _make(self, topic_partition: TopicPartition, topic_id: Uuid) -> Log:
        """Make a log in the emptiest directory. Raises KafkaError(KAFKA_STORAGE_ERROR), LogDirFailed."""
        with self._alone_placing():
            index = self._emptiest_dir()
            if topic_partition in self._known[index]:
                # A topic of that name was deleted; its recovery point must not vouch for the new log's batches.
                for name in _CHECKPOINTS:
                    error = self._save_checkpoint(index, name, {topic_partition: 0})
                    if error is not None:
                        raise storage_error(self._log_dirs[index], error)
            return self._open(index, topic_partition, topic_id=topic_id)

    @contextlib.contextmanager
    def _alone_placing(self) -> Iterator[None]:
        """Keep other IO workers from counting meanwhile: two that look at once find the same directory emptiest."""
        online = [directory for directory, online in zip(self._log_dirs, self._online, strict=True) if online]
        lock = -1
        if len(online) > 1:
            # Neither a disk that fails just now nor a worker that hangs costs more than the evenness.
            with contextlib.suppress(OSError):
                lock = os.open(online[0], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                _lock_soon(lock)
        try:
            yield
        finally:
            if lock >= 0:
                os.close(lock)

    def _open(
        self, index: int, topic_partition: TopicPartition, *, topic_id: Uuid | None = None, log_start_offset: int = 0
    ) -> Log:
        return Log.open(
            f"{self._log_dirs[index]}/{topic_partition}",
            topic_partition,
            self._config_for(topic_partition.topic),
            clock=self._clock,
            topic_id=topic_id,
            log_start_offset=log_start_offset,
            log_dir_index=index,
            replicated=self._replicated,
        )

    def _fail_dir_of(self, error: LogDirFailed) -> None:
        if error.directory in self._log_dirs:
            self._failed += self.fail_dir(self._log_dirs.index(error.directory), error)

    def _emptiest_dir(self) -> int:
        """Return the number of the online directory with fewest partitions; another's failing disk is noticed here."""
        counts: list[tuple[int, int]] = []
        candidates = [index for index, online in enumerate(self._online) if online]
        if len(candidates) == 1:
            return candidates[0]
        for index in candidates:
            try:
                counts.append((len(partition_directories(self._log_dirs[index])), index))
            except OSError as error:
                self._failed += self.fail_dir(index, error)
        if not counts:
            raise KafkaError(_KAFKA_STORAGE_ERROR, "no log directory is online")
        return min(counts)[1]

    def delete(self, topic_partition: TopicPartition) -> None:
        """
        Delete a partition; its files are removed after file.delete.delay.ms. Nothing happens when there is none.

        Raises KafkaError(KAFKA_STORAGE_ERROR) when its disk fails.
        """
        log = self.logs.pop(topic_partition, None)
        if log is None:
            return
        # From now on the checkpoints hold an entry too many, see create.
        self._known[log.log_dir_index].add(topic_partition)
        try:
            log.delete()
        except LogDirFailed as error:
            self._failed += self.fail_dir(log.log_dir_index, error)
            raise KafkaError(_KAFKA_STORAGE_ERROR, str(error)) from error
        self._collect_deletes(log)

    # ------------------------------------------------------------------------------------------------------ offline

    @property
    def offline_dirs(self) -> list[str]:
        """The log directories whose disk has failed."""
        return [log_dir for log_dir, online in zip(self._log_dirs, self._online, strict=True) if not online]

    def fail_dir(self, index: int, error: Exception) -> list[Log]:
        """Take a log directory offline; return its logs, whose rows now say OFFLINE; [] the second time."""
        if not self._online[index]:
            return []
        self._online[index] = False
        logger.error("log directory %s is offline: %s", self._log_dirs[index], error)
        failed = [log for log in self.logs.values() if log.log_dir_index == index]
        for log in failed:
            log.state = int(PartitionRowState.OFFLINE)
            with contextlib.suppress(OSError):
                log.close_files()
        return failed

    # --------------------------------------------------------------------------------------------------- looking after

    def tick(self, now_ms: int) -> list[Log]:
        """
        Do what is due: retention, flushes, checkpoints, removal of deleted files; return the logs whose rows changed.

        Costs next to nothing when nothing is due; call it every second or so.
        """
        changed, self._failed = self._failed, []
        if self._retention_queue:
            changed += self._enforce_retention(now_ms)
        due = [name for name, due_ms in self._due.items() if now_ms >= due_ms]
        schedule = self._schedule() if due else {}
        for name in due:
            self._due[name] = now_ms + schedule[name]
            if name == "retention":
                self._retention_queue = list(self.logs.values())
                changed += self._enforce_retention(now_ms)
            elif name == "flush":
                self._flush_due(now_ms)
            elif name == "producers":
                for log in self.logs.values():
                    log.producers.expire(now_ms, log.config.producer_id_expiration_ms)
            else:
                for index in range(len(self._log_dirs)):
                    changed += self._write_checkpoint(index, name)
        for log in self.logs.values():
            if log.pending_deletes:
                self._collect_deletes(log)
        while self._pending_deletes and self._pending_deletes[0].due_ms <= now_ms:
            path = heapq.heappop(self._pending_deletes).path
            self._background(partial(_remove, path), partial(_report_removal, path))
        return changed

    def _enforce_retention(self, now_ms: int) -> list[Log]:
        """Go on with the queue for a while: deleting much at once would hold up the appends of all partitions."""
        changed: list[Log] = []
        stop_ms = self._clock.monotonic_ms() + _RETENTION_SLICE_MS
        while self._retention_queue and self._clock.monotonic_ms() <= stop_ms:
            log = self._retention_queue.pop()
            if not self._online[log.log_dir_index] or self.logs.get(log.topic_partition) is not log:
                continue
            try:
                if log.delete_old_segments(now_ms):
                    changed.append(log)
            except KafkaError as error:
                logger.warning("%s: old segments not deleted: %s", log.topic_partition, error)
            except LogDirFailed as error:
                changed += self.fail_dir(log.log_dir_index, error)
        return changed

    def _flush_due(self, now_ms: int) -> None:
        for log in self.logs.values():
            if log.topic_partition in self._flushing or not self._online[log.log_dir_index]:
                continue
            if log.flush_due(now_ms):
                self.flush_in_background(log, log.flush_plan())
            elif log.rolled_unflushed:
                self.flush_in_background(log, log.flush_plan(sealed_only=True))

    def flush_in_background(self, log: Log, plan: FlushPlan, done: Callable[[bool], None] | None = None) -> None:
        """
        Run a flush plan where it does not hold up the loop.

        done  told afterwards whether the log is durable up to the plan's offset; if not, its directory is offline and
              the next tick returns the logs concerned
        """
        self._flushing.add(log.topic_partition)

        def finished(error: OSError | None) -> None:
            self._flushing.discard(log.topic_partition)
            if error is None:
                log.flushed(plan)
            else:
                self._failed += self.fail_dir(log.log_dir_index, error)
            if done is not None:
                done(error is None)

        self._background(plan.run, finished)

    def _collect_deletes(self, log: Log) -> None:
        for pending in log.pending_deletes:
            heapq.heappush(self._pending_deletes, pending)
        log.pending_deletes.clear()

    def _write_checkpoint(self, index: int, name: str) -> list[Log]:
        """Write this worker's part of a checkpoint when it has changed; return the logs that go offline by it."""
        error = self._save_checkpoint(index, name)
        if error is None:
            return []
        if is_disk_full(error):
            # The older one is as true, only further back; it is tried again next time.
            logger.warning("%s of log directory %s not written: %s", name, self._log_dirs[index], error)
            return []
        return self.fail_dir(index, error)

    def _save_checkpoint(self, index: int, name: str, extra: dict[TopicPartition, int] | None = None) -> OSError | None:
        """Write this worker's part of a checkpoint when it has changed; return why that failed."""
        if not self._online[index]:
            return None
        offsets = self._offsets(index, name) | (extra or {})
        if offsets == self._checkpointed[index].get(name, {}):
            return None
        try:
            # An older high watermark is as safe as the newest, and these are written every few seconds.
            durable = name != REPLICATION_CHECKPOINT
            write_offset_checkpoint(part_path(self._log_dirs[index], name, self._worker), offsets, durable=durable)
        except OSError as error:
            self._checkpointed[index].pop(name, None)
            return error
        self._checkpointed[index][name] = offsets
        return None

    def _offsets(self, index: int, name: str) -> dict[TopicPartition, int]:
        logs = {key: log for key, log in self.logs.items() if log.log_dir_index == index}
        if name == RECOVERY_POINT_CHECKPOINT:
            return {key: log.recovery_point for key, log in logs.items()}
        if name == REPLICATION_CHECKPOINT:
            return {key: log.high_watermark for key, log in logs.items()}
        # Like Kafka, only what the first segment's name does not tell, and what corrects an older entry.
        known = self._known[index]
        return {
            key: log.log_start_offset
            for key, log in logs.items()
            if key in known or log.log_start_offset > log.segment_base_offsets[0]
        }

    def close(self, *, clean: bool = True) -> bool:
        """
        Close all logs and write the checkpoints; return whether all went well, so that the stop counts as orderly.

        clean  make everything durable first
        """
        well = all(self._online)
        for log in self.logs.values():
            if not self._online[log.log_dir_index]:
                continue
            try:
                log.close(clean=clean)
            except (KafkaError, LogDirFailed) as error:
                logger.warning("%s: not closed in order: %s", log.topic_partition, error)
                well = False
        if clean:
            for index, log_dir in enumerate(self._log_dirs):
                for name in _CHECKPOINTS:
                    failure = self._save_checkpoint(index, name)
                    if failure is not None:
                        logger.warning("%s of log directory %s not written: %s", name, log_dir, failure)
                        well = False
        return well and all(self._online)


def _remove(path: str) -> None:
    """Remove a file or a directory with all it holds; it may be gone already."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        shutil.rmtree(path)


def _report_removal(path: str, error: OSError | None) -> None:
    if error is not None:
        logger.warning("%s: not removed: %s", path, error)


def _lock_soon(fd: int) -> None:
    """Lock a file for this process alone; give up, without an error, when that takes longer than it should."""
    for _ in range(_PLACING_TRIES):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PLACING_PAUSE_S)
        else:
            return
