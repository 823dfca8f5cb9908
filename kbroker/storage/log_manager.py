"""
The logs of one IO worker, over all log directories.

Several IO workers share each directory without locks: a partition belongs to one of them, and so do its files; of the
files that all partitions share, the checkpoints, each worker writes its own part (see checkpoints).

A directory whose disk fails goes offline alone: its logs answer KAFKA_STORAGE_ERROR, those of the others go on. So does
a log with a fault of its own. What passes is tried again; disk_faults says which is which.
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
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from kbroker.errors import KafkaError, LogDirFailed
from kbroker.shared.partition_table import PartitionRowState
from kbroker.storage.checkpoints import (
    LOG_START_CHECKPOINT,
    RECOVERY_POINT_CHECKPOINT,
    REPLICATION_CHECKPOINT,
    part_path,
    read_merged_checkpoint,
    write_offset_checkpoint,
)
from kbroker.storage.disk_faults import (
    Concerns,
    Identity,
    directory_identity,
    directory_trouble,
    disk_fault,
    is_out_of_descriptors,
    passes,
    storage_error,
    told,
)
from kbroker.storage.log import FlushPlan, Log, PendingDelete
from kbroker.storage.partition_directory import Way, choose, is_deleted_log, way_to
from kbroker.storage.paths import (
    parse_deleted_directory,
    parse_partition_directory,
    partition_directories,
    stray_directory_name,
)
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
_LOOKS = 50
_LOOK_PAUSE_S = 0.05
_PLACING_TRIES = 100
_PLACING_PAUSE_S = 0.001

_Looked = TypeVar("_Looked")

Done = Callable[[OSError | None], None]
Background = Callable[[Callable[[], None], Done], None]
"""Run a job somewhere, then, on the owner's thread, tell `done` how it went. Jobs run in the order given."""


class InOfflineDirectory(KafkaError):
    """A partition's log may lie in a log directory that is offline: there is nothing to try again."""


def _any_topic(_: TopicPartition) -> Uuid | None:
    return ZERO_UUID


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


class _Unopened(NamedTuple):
    """What is known of a log that is not open, beyond its files."""

    recovery_point: int = 0
    log_start_offset: int = 0
    was_clean: bool = False
    """Whether the last who wrote it stopped in order."""


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
        "_identities",
        "_intervals",
        "_known",
        "_log_dirs",
        "_lost",
        "_online",
        "_pending_deletes",
        "_replicated",
        "_retention_queue",
        "_told",
        "_unopened",
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
        self._identities: list[Identity | None] = [None for _ in self._log_dirs]
        """What each directory was when this worker opened its logs."""
        self._lost: set[TopicPartition] = set()
        """Partitions whose files somebody removed under us; they are not made anew before a restart."""
        self._unopened: dict[TopicPartition, _Unopened] = {}
        """Logs that could not be opened, or have to be opened again."""
        self._told: dict[TopicPartition, set[str]] = {}
        self._checkpointed: list[dict[str, dict[TopicPartition, int]]] = [{} for _ in self._log_dirs]
        """Per directory and checkpoint: what this worker last wrote into its part."""
        self._known: list[set[TopicPartition]] = [set() for _ in self._log_dirs]
        """Per directory: partitions with entries, perhaps out of date, in the checkpoints found at the start."""
        self._pending_deletes: list[PendingDelete] = []
        self._flushing: set[TopicPartition] = set()
        self._retention_queue: list[Log] = []
        self._failed: list[Log] = []
        """Logs that went offline between two ticks."""
        # Not by the wall clock: set back by an hour it would put off all of this for an hour.
        now_ms = clock.monotonic_ms()
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
        self,
        owns: Callable[[TopicPartition], bool],
        was_clean: Sequence[bool],
        progress: Progress = no_progress,
        topic_id_of: Callable[[TopicPartition], Uuid | None] = _any_topic,
    ) -> None:
        """
        Open the logs found on disk that belong to this worker, and note what is left of deleted ones.

        owns         whether a partition is this worker's
        was_clean    per log directory, what begin_run said; all False when the worker was reborn within a run
        progress     called every few MiB of recovery, and once per log
        topic_id_of  the id of the partition's topic; None for one that the metadata store does not know: left alone

        A directory that cannot be read goes offline. What cannot be opened for another reason is told, and tried again
        by create().
        """
        offsets: list[dict[str, dict[TopicPartition, int]]] = [{} for _ in self._log_dirs]
        places: dict[TopicPartition, list[int]] = {}
        for index, log_dir in enumerate(self._log_dirs):
            self._identities[index] = directory_identity(log_dir)
            if not self._online[index]:
                continue
            try:
                found = _tried_again(partial(_read_checkpoints, log_dir), progress)
                names = _tried_again(partial(os.listdir, log_dir), progress)
            except OSError as error:
                self.fail_dir(index, error)
                continue
            offsets[index] = found
            for checkpoint in found.values():
                self._known[index].update(checkpoint)
            for name in names:
                deleted = parse_deleted_directory(name)
                topic_partition = parse_partition_directory(name)
                if deleted is not None and owns(deleted):
                    self._remember_deleted(deleted, f"{log_dir}/{name}")
                elif topic_partition is not None and owns(topic_partition):
                    places.setdefault(topic_partition, []).append(index)
        for topic_partition in sorted(places):
            progress()
            topic_id = topic_id_of(topic_partition)
            if topic_id is None:
                continue
            try:
                self._open_found(topic_partition, topic_id, places[topic_partition], was_clean, offsets, progress)
            except KafkaError as error:
                # Something that passes, or that somebody may put right: create() tries again.
                logger.error("%s: not opened: %s", topic_partition, error)
                clean = all(was_clean[index] for index in places[topic_partition])
                self._unopened.setdefault(topic_partition, _Unopened(was_clean=clean))
            except LogDirFailed as error:
                self._fail_dir_of(error)

    def _remember_deleted(self, topic_partition: TopicPartition, path: str) -> None:
        try:
            if not is_deleted_log(path):
                logger.warning("%s: no log, whatever its name says; left alone", path)
                return
        except OSError as error:
            logger.warning("%s: left alone: %s", path, error)
            return
        delay_ms = self._config_for(topic_partition.topic).file_delete_delay_ms
        heapq.heappush(self._pending_deletes, PendingDelete(self._clock.monotonic_ms() + delay_ms, path))

    def _open_found(
        self,
        topic_partition: TopicPartition,
        topic_id: Uuid,
        places: list[int],
        was_clean: Sequence[bool],
        offsets: list[dict[str, dict[TopicPartition, int]]],
        progress: Progress,
    ) -> None:
        """Open whichever directory with a partition's name holds its log. Raises KafkaError, LogDirFailed."""
        index = self._place_of(topic_partition, topic_id, places)
        if index is None:
            return
        known = _Unopened(
            offsets[index][RECOVERY_POINT_CHECKPOINT].get(topic_partition, 0),
            offsets[index][LOG_START_CHECKPOINT].get(topic_partition, 0),
            was_clean[index],
        )
        # For another try, should this one fail.
        self._unopened[topic_partition] = known
        self.logs[topic_partition] = self._open(
            index,
            topic_partition,
            recovery_point=known.recovery_point,
            clean_shutdown=known.was_clean,
            log_start_offset=known.log_start_offset,
            high_watermark=offsets[index][REPLICATION_CHECKPOINT].get(topic_partition, 0),
            progress=progress,
        )
        del self._unopened[topic_partition]

    def _place_of(self, topic_partition: TopicPartition, topic_id: Uuid, places: list[int]) -> int | None:
        """
        Return the number of the log directory where the partition's log lies, None when it lies nowhere.

        Raises KafkaError when it cannot be told, or not be looked at; LogDirFailed.
        """
        places = [index for index in places if self._online[index]]
        paths = {f"{self._log_dirs[index]}/{topic_partition}": index for index in places}
        if not paths:
            return None
        try:
            choice = choose(list(paths), topic_id, self._log_dirs)
        except OSError as error:
            raise storage_error(self._log_dirs[places[0]], error) from error
        for stranger in choice.left_alone:
            self._tell(topic_partition, f"left alone: {stranger}")
        if choice.conflict:
            raise KafkaError(_KAFKA_STORAGE_ERROR, choice.conflict)
        return None if choice.path is None else paths[choice.path]

    def _tell(self, topic_partition: TopicPartition, text: str) -> None:
        """Say something of a partition, once: what cannot be opened is tried again every few seconds."""
        if self._told.setdefault(topic_partition, set()).isdisjoint({text}):
            self._told[topic_partition].add(text)
            logger.warning("%s: %s", topic_partition, text)

    def create(self, topic_partition: TopicPartition, topic_id: Uuid, *, is_new: bool = True) -> Log:
        """
        Return the partition's log, which is made, in the directory with fewest partitions, when there is none.

        A log that a full disk or a fault of its own left half changed, or unopened, is opened from the disk.
        A log of another topic of that name, deleted while this broker was down, is set aside: its directory gets a
        `-stray` name and stays for a person to look at.

        is_new  the partition was just made; else its log may lie in a directory that is offline, and is not made anew

        Raises KafkaError(KAFKA_STORAGE_ERROR) when no directory takes it; InOfflineDirectory when it may lie in one.
        """
        log = self.logs.get(topic_partition)
        if log is not None and log.state != PartitionRowState.ONLINE and self._online[log.log_dir_index]:
            # Its disk was full at a bad moment, or it had a fault of its own.
            if not os.path.isdir(log.directory) or topic_partition in self._lost:
                raise KafkaError(
                    _KAFKA_STORAGE_ERROR,
                    f"{log.directory}: its files were removed under the broker; restart it to begin with what is there",
                )
            # The checkpoint may not tell yet where it starts: deleted records must not come back.
            self._unopened[topic_partition] = _Unopened(log.recovery_point, log.log_start_offset)
            self.logs.pop(topic_partition).close_files()
            log = None
        if log is not None and topic_id in {log.topic_id, ZERO_UUID}:
            return log
        try:
            log = self._find_or_make(log, topic_partition, topic_id, is_new=is_new)
        except KafkaError as error:
            if not is_out_of_descriptors(error.__cause__) or not self.release_descriptors():
                raise
            log = self._find_or_make(None, topic_partition, topic_id, is_new=is_new)
        self.logs[topic_partition] = log
        self._told.pop(topic_partition, None)
        self._unopened.pop(topic_partition, None)
        return log

    def _find_or_make(self, log: Log | None, topic_partition: TopicPartition, topic_id: Uuid, *, is_new: bool) -> Log:
        try:
            if log is None:
                log = self._open_existing(topic_partition, topic_id, is_new=is_new)
            if log is not None and self._is_another_topic(log, topic_id):
                log = None
            if log is None:
                if not is_new and not all(self._online):
                    raise InOfflineDirectory(
                        _KAFKA_STORAGE_ERROR, f"{topic_partition} may be in an offline log directory"
                    )
                log = self._make(topic_partition, topic_id)
        except LogDirFailed as error:
            self._fail_dir_of(error)
            raise KafkaError(_KAFKA_STORAGE_ERROR, str(error)) from error
        return log

    def _open_existing(self, topic_partition: TopicPartition, topic_id: Uuid, *, is_new: bool) -> Log | None:
        """Return a log that lies on disk unopened, e.g. because the disk was full when it was made."""
        places = [
            index
            for index, log_dir in enumerate(self._log_dirs)
            if self._online[index] and os.path.isdir(f"{log_dir}/{topic_partition}")
        ]
        if is_new:
            # What a new topic finds under its name is not its own, unless it was begun a moment ago.
            places = [index for index in places if self._way(index, topic_partition, topic_id) is Way.FREE]
        index = self._place_of(topic_partition, topic_id, places)
        if index is None:
            return None
        try:
            starts = read_merged_checkpoint(self._log_dirs[index], LOG_START_CHECKPOINT)
        except OSError as error:
            raise storage_error(self._log_dirs[index], error) from error
        known = self._unopened.get(topic_partition, _Unopened())
        return self._open(
            index,
            topic_partition,
            recovery_point=known.recovery_point,
            log_start_offset=max(known.log_start_offset, starts.get(topic_partition, 0)),
        )

    def _is_another_topic(self, log: Log, topic_id: Uuid) -> bool:
        """Give the log the topic id; set it aside and return True when it has another."""
        try:
            log.adopt_topic_id(topic_id)
        except KafkaError as error:
            if error.code != _INCONSISTENT_TOPIC_ID:
                log.close_files()
                raise
            self.logs.pop(log.topic_partition, None)
            log.set_aside()
            self._was_set_aside(log.log_dir_index, log.topic_partition)
            return True
        return False

    def _was_set_aside(self, index: int, topic_partition: TopicPartition) -> None:
        path = f"{self._log_dirs[index]}/{topic_partition}"
        logger.warning("%s held another topic of that name: set aside as …-stray", path)
        self._known[index].add(topic_partition)

    def _way(self, index: int, topic_partition: TopicPartition, topic_id: Uuid) -> Way:
        try:
            return way_to(f"{self._log_dirs[index]}/{topic_partition}", topic_id)
        except OSError as error:
            raise storage_error(self._log_dirs[index], error) from error

    def _make(self, topic_partition: TopicPartition, topic_id: Uuid) -> Log:
        """Make a log in the emptiest directory. Raises KafkaError(KAFKA_STORAGE_ERROR), LogDirFailed."""
        with self._alone_placing():
            index = self._place_for(topic_partition, topic_id)
            if topic_partition in self._known[index]:
                # A topic of that name was deleted; its recovery point must not vouch for the new log's batches.
                for name in _CHECKPOINTS:
                    error = self._save_checkpoint(index, name, {topic_partition: 0})
                    if error is not None:
                        raise storage_error(self._log_dirs[index], error)
            return self._open(index, topic_partition, topic_id=topic_id)

    def _place_for(self, topic_partition: TopicPartition, topic_id: Uuid) -> int:
        """Return the number of the directory for a new log: the emptiest where nothing is in its way."""
        foreign = -1
        for index in self._emptiest_dirs():
            way = self._way(index, topic_partition, topic_id)
            if way is Way.FREE:
                return index
            if way is Way.FOREIGN and foreign < 0:
                foreign = index
        if foreign < 0:
            raise KafkaError(
                _KAFKA_STORAGE_ERROR,
                f"{self._log_dirs[0]}/{topic_partition} is in the way of a new partition and not the broker's; "
                "it is left alone: move it away",
            )
        log_dir = self._log_dirs[foreign]
        try:
            os.rename(f"{log_dir}/{topic_partition}", f"{log_dir}/{stray_directory_name(topic_partition)}")
        except OSError as error:
            raise storage_error(log_dir, error) from error
        self._was_set_aside(foreign, topic_partition)
        return foreign

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
        self,
        index: int,
        topic_partition: TopicPartition,
        *,
        topic_id: Uuid | None = None,
        recovery_point: int = 0,
        clean_shutdown: bool = False,
        log_start_offset: int = 0,
        high_watermark: int = 0,
        progress: Progress = no_progress,
    ) -> Log:
        log = Log.open(
            f"{self._log_dirs[index]}/{topic_partition}",
            topic_partition,
            self._config_for(topic_partition.topic),
            clock=self._clock,
            recovery_point=recovery_point,
            clean_shutdown=clean_shutdown,
            topic_id=topic_id,
            log_start_offset=log_start_offset,
            high_watermark=high_watermark,
            log_dir_index=index,
            replicated=self._replicated,
            progress=progress,
        )
        log.spare_descriptors = self.release_descriptors
        return log

    def release_descriptors(self) -> bool:
        """Close the files of all logs, which are opened again when next written; return whether any was open."""
        any_open = False
        for log in self.logs.values():
            any_open = log.close_files() or any_open
        return any_open

    def _fail_dir_of(self, error: LogDirFailed) -> None:
        if error.directory in self._log_dirs:
            self._failed += self.fail_dir(self._log_dirs.index(error.directory), error)

    def _emptiest_dirs(self) -> list[int]:
        """Return the numbers of the online directories, fewest partitions first; a failing disk is noticed here."""
        counts: list[tuple[int, int]] = []
        candidates = [index for index, online in enumerate(self._online) if online]
        if len(candidates) == 1:
            return candidates
        for index in candidates:
            try:
                counts.append((len(partition_directories(self._log_dirs[index])), index))
            except OSError as error:
                failure = storage_error(self._log_dirs[index], error)
                if isinstance(failure, KafkaError):
                    raise failure from error
                self._failed += self.fail_dir(index, error)
        if not counts:
            raise KafkaError(_KAFKA_STORAGE_ERROR, "no log directory is online")
        return [index for _, index in sorted(counts)]

    def delete(self, topic_partition: TopicPartition) -> None:
        """
        Delete a partition; its files are removed after file.delete.delay.ms. Nothing happens when there is none.

        Raises KafkaError(KAFKA_STORAGE_ERROR) when its disk fails.
        """
        self._unopened.pop(topic_partition, None)
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
        self._lost.discard(topic_partition)
        self._collect_deletes(log)

    # ------------------------------------------------------------------------------------------------------ offline

    @property
    def offline_indexes(self) -> frozenset[int]:
        """The numbers of the log directories that are offline."""
        return frozenset(index for index, online in enumerate(self._online) if not online)

    @property
    def offline_dirs(self) -> list[str]:
        """The log directories whose disk has failed."""
        return [log_dir for log_dir, online in zip(self._log_dirs, self._online, strict=True) if not online]

    def fail_dir(self, index: int, error: Exception) -> list[Log]:
        """Take a log directory offline; return its logs, whose rows now say OFFLINE; [] the second time."""
        if not self._online[index]:
            return []
        self._online[index] = False
        cause = error.cause if isinstance(error, LogDirFailed) else error
        why = told(cause, disk_fault(cause, self._log_dirs[index])) if isinstance(cause, OSError) else str(cause)
        logger.error("log directory %s is offline: %s", self._log_dirs[index], why)
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

        now_ms  by the wall clock, by which records and producers grow old

        Costs next to nothing when nothing is due; call it every second or so.
        """
        changed, self._failed = self._failed, []
        for index, log_dir in enumerate(self._log_dirs):
            trouble = directory_trouble(log_dir, self._identities[index]) if self._online[index] else None
            if trouble is not None:
                changed += self.fail_dir(index, trouble)
        if self._retention_queue:
            changed += self._enforce_retention(now_ms)
        monotonic_ms = self._clock.monotonic_ms()
        due = [name for name, due_ms in self._due.items() if monotonic_ms >= due_ms]
        schedule = self._schedule() if due else {}
        for name in due:
            self._due[name] = monotonic_ms + schedule[name]
            if name == "retention":
                self._retention_queue = list(self.logs.values())
                changed += self._enforce_retention(now_ms)
            elif name == "flush":
                changed += self._find_lost()
                self._flush_due(monotonic_ms)
            elif name == "producers":
                for log in self.logs.values():
                    log.producers.expire(now_ms, log.config.producer_id_expiration_ms)
            else:
                for index in range(len(self._log_dirs)):
                    changed += self._write_checkpoint(index, name)
        for log in self.logs.values():
            if log.pending_deletes:
                self._collect_deletes(log)
        while self._pending_deletes and self._pending_deletes[0].due_ms <= monotonic_ms:
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

    def _find_lost(self) -> list[Log]:
        """Take the logs offline whose files somebody removed: what they acknowledged since is gone."""
        lost = [log for log in self.logs.values() if self._online[log.log_dir_index] and log.lost_its_file()]
        for log in lost:
            logger.error(
                "%s is offline: its files were removed under the broker, and records that were acknowledged are gone "
                "with them; restart the broker to begin with what is there",
                log.directory,
            )
            self._lost.add(log.topic_partition)
            log.state = int(PartitionRowState.OFFLINE)
            log.close_files()
        return lost

    def _flush_due(self, now_ms: int) -> None:
        for log in self.logs.values():
            if (
                log.topic_partition in self._flushing
                or not self._online[log.log_dir_index]
                or log.state != PartitionRowState.ONLINE
            ):
                continue
            if log.flush_due(now_ms):
                self.flush_in_background(log, log.flush_plan())
            elif log.rolled_unflushed:
                self.flush_in_background(log, log.flush_plan(sealed_only=True))

    def flush_in_background(self, log: Log, plan: FlushPlan, done: Callable[[bool], None] | None = None) -> None:
        """
        Run a flush plan where it does not hold up the loop.

        done  told afterwards whether the log is durable up to the plan's offset; if not, either that is tried again, or
              log or directory are offline and the next tick returns the logs concerned
        """
        self._flushing.add(log.topic_partition)

        def finished(error: OSError | None) -> None:
            self._flushing.discard(log.topic_partition)
            if error is None:
                log.flushed(plan)
            else:
                self._flush_failed(log, error)
            if done is not None:
                done(error is None)

        self._background(plan.run, finished)

    def _flush_failed(self, log: Log, error: OSError) -> None:
        fault = disk_fault(error, self._log_dirs[log.log_dir_index])
        if fault.concerns is Concerns.DIRECTORY:
            self._failed += self.fail_dir(log.log_dir_index, error)
        elif self._online[log.log_dir_index] and self.logs.get(log.topic_partition) is log:
            # Neither deleted nor opened anew meanwhile.
            logger.warning("%s: not flushed: %s", log.topic_partition, told(error, fault))
            if fault.concerns is Concerns.PARTITION:
                log.state = int(PartitionRowState.OFFLINE)
                self._failed.append(log)

    def _collect_deletes(self, log: Log) -> None:
        for pending in log.pending_deletes:
            heapq.heappush(self._pending_deletes, pending)
        log.pending_deletes.clear()

    def _write_checkpoint(self, index: int, name: str) -> list[Log]:
        """Write this worker's part of a checkpoint when it has changed; return the logs that go offline by it."""
        error = self._save_checkpoint(index, name)
        if error is None:
            return []
        fault = disk_fault(error, self._log_dirs[index])
        if fault.concerns is Concerns.DIRECTORY:
            return self.fail_dir(index, error)
        # The older one is as true, only further back; it is tried again next time.
        logger.warning("%s of log directory %s not written: %s", name, self._log_dirs[index], told(error, fault))
        return []

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

        With a log that is offline, or that needs a check and could not be opened for it, it does not: the next start
        would trust its files.
        """
        well = all(self._online) and all(log.was_clean for log in self._unopened.values())
        for log in self.logs.values():
            if not self._online[log.log_dir_index]:
                continue
            if log.state != PartitionRowState.ONLINE:
                # Neither is it flushed, nor is what a failed system call left of it cut off.
                logger.warning("%s: not closed in order: it is offline", log.topic_partition)
                well = False
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


def _read_checkpoints(log_dir: str) -> dict[str, dict[TopicPartition, int]]:
    return {name: read_merged_checkpoint(log_dir, name) for name in _CHECKPOINTS}


def _tried_again(look: Callable[[], _Looked], progress: Progress) -> _Looked:
    """Return what `look` finds, tried again for a while when what it lacks may come. Raises OSError."""
    for _ in range(_LOOKS):
        try:
            return look()
        except OSError as error:
            if not passes(error):
                raise
            progress()
            time.sleep(_LOOK_PAUSE_S)
    return look()


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
