"""
The log of one partition, as its one writer sees it.

An append has two steps. `stage` checks a run of batches and gives it its offsets; `write_staged` brings all that was
staged to the file in one system call. Between the two nothing is visible: not in `row()`, not to readers. When the disk
refuses, the files are cut back, the producers' state is put back, and the log stands as before the first `stage`.

    staged:   _next_offset, _next_position, _next_...     moves with each stage
    written:  log_end_offset, the active segment's fields  moves with write_staged, published by row()
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import random
from bisect import bisect_right
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from fastcrc import crc32

from kbroker.errors import KafkaError, LogDirFailed
from kbroker.protocol.record_batch import CONTROL_FLAG, LOG_APPEND_TIME_FLAG, TRANSACTIONAL_FLAG
from kbroker.shared.partition_table import PartitionRow, PartitionRowState
from kbroker.storage import offset_index, recovery, time_index
from kbroker.storage.checkpoints import (
    read_partition_metadata,
    replace_file,
    sync_directory,
    write_partition_metadata,
)
from kbroker.storage.disk_faults import is_out_of_descriptors, passes, storage_error
from kbroker.storage.file_batches import BATCH_HEADER, iterate_file_batches
from kbroker.storage.leader_epoch_cache import LeaderEpochCache
from kbroker.storage.paths import (
    DELETED_SUFFIX,
    LEADER_EPOCH_CHECKPOINT,
    PARTITION_METADATA,
    SEGMENT_SUFFIXES,
    SNAPSHOT_SUFFIX,
    deleted_directory_name,
    segment_base_offsets,
    segment_path,
    stray_directory_name,
)
from kbroker.storage.producer_state import (
    ProducerEntry,
    ProducerState,
    encode_snapshot,
    load_newest_snapshot,
    snapshot_offsets,
)
from kbroker.storage.retention import SegmentFacts, count_deletable
from kbroker.storage.segment import MAX_RELATIVE_OFFSET, Segment, write_at
from kbroker.storage.transaction_recovery import mend_transaction_indexes
from kbroker.types import ZERO_UUID, Offset, TopicPartition, Uuid

if TYPE_CHECKING:
    from collections.abc import Callable

    from kbroker.clock import Clock
    from kbroker.storage.log_config import LogConfig

logger = logging.getLogger(__name__)

_OFFSET_OUT_OF_RANGE: Final = 1
_CORRUPT_MESSAGE: Final = 2
_RECORD_LIST_TOO_LARGE: Final = 18
_KAFKA_STORAGE_ERROR: Final = 56
_INCONSISTENT_TOPIC_ID: Final = 103

_unpack_header: Final = BATCH_HEADER.unpack_from
_unpack_of_one: Final = Struct(">8xi11xi8xqq").unpack_from
"""Of a batch's header: length, last offset delta, largest timestamp, producer id."""
_pack_prefix: Final = Struct(">qii").pack_into
_pack_attributes: Final = Struct(">h").pack_into
_pack_timestamp: Final = Struct(">q").pack_into
_pack_crc: Final = Struct(">I").pack_into
_pack_index_entry: Final = offset_index.pack_entry
_pack_time_index_entry: Final = time_index.pack_entry
_crc32c: Final = crc32.iscsi
_new: Final = tuple.__new__
"""Makes a named tuple without a call of Python code."""

_ONLINE: Final = int(PartitionRowState.ONLINE)
_OFFLINE: Final = int(PartitionRowState.OFFLINE)
_TIME_INDEX_ENTRY_BYTES: Final = time_index.ENTRY_BYTES

_Header = tuple[int, int, int, int, int, int, int, int, int, int, int, int, int]
_sync_file: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)


def _no_spare_descriptors() -> bool:
    return False


class StagedAppend(NamedTuple):
    """
    What a producer is told of its append, once it is written.

    After a write_staged that raised, an append stands if and only if its last_offset is below log.log_end_offset.
    """

    base_offset: int
    last_offset: int
    log_append_time_ms: int
    """-1 when the topic keeps the producers' timestamps; of a duplicate, its largest timestamp in the log."""
    log_start_offset: int
    duplicate: bool
    """The producer had sent it before: nothing was staged, the offsets are those of the first time."""


class FlushPlan:
    """
    Files to be made durable, independent of the log's further life.

    offset  what the log's recovery point may become once run() has returned
    """

    __slots__ = ("_directory", "_paths", "names_version", "offset", "truncations")

    def __init__(self, directory: str, paths: list[str], offset: int, names_version: int, truncations: int) -> None:
        self._directory = directory
        self._paths = paths
        self.offset = offset
        self.names_version = names_version
        self.truncations = truncations

    def run(self) -> None:
        """
        Wait until everything is on the disk; may be called from any thread.

        Files that have meanwhile been deleted need no flush. Raises OSError: as of an input/output error when something
        could not be synced, whatever the reason: what the system held of it may be lost.
        """
        for path in self._paths:
            try:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                _sync_file(fd)
            except OSError as error:
                raise OSError(errno.EIO, f"not synced: {error}", path) from error
            finally:
                os.close(fd)
        if self._paths:
            with contextlib.suppress(FileNotFoundError):
                sync_directory(self._directory)


class PendingDelete(NamedTuple):
    """A file or directory renamed out of the way, to be removed when nobody can be reading it any more."""

    due_ms: int
    path: str


class Log:
    """
    One partition's log. Made by `Log.open`; every method is called by the one worker that owns it.

    Every method that touches files raises what disk_faults.storage_error says: KafkaError(KAFKA_STORAGE_ERROR) for what
    passes, as a full disk (the log stays usable, unless a truncation was interrupted: then it is offline until opened
    anew), and for what concerns this log alone (it is then offline); LogDirFailed for its directory (so it is then).
    """

    __slots__ = (
        "_active",
        "_append_time",
        "_checked_offset",
        "_failed_staging",
        "_index_interval",
        "_max_index_entries",
        "_max_time_entries",
        "_names_flushed",
        "_names_version",
        "_next_max_timestamp",
        "_next_max_timestamp_offset",
        "_next_offset",
        "_next_position",
        "_next_since_index",
        "_producers_before",
        "_sealed_size",
        "_segment_bytes",
        "_segment_ms",
        "_segments",
        "_snapshot_offset",
        "_staged",
        "_staged_epochs",
        "_staged_index",
        "_staged_last_indexed_timestamp",
        "_staged_time_index",
        "_transactions_changed",
        "_truncations",
        "clock",
        "config",
        "directory",
        "epochs",
        "high_watermark",
        "last_flush_ms",
        "leader_epoch",
        "log_dir_index",
        "log_end_offset",
        "log_start_offset",
        "max_timestamp",
        "offset_of_max_timestamp",
        "open_transactions_from",
        "pending_deletes",
        "producers",
        "recovery_point",
        "replicated",
        "segments_version",
        "spare_descriptors",
        "state",
        "topic_id",
        "topic_partition",
    )

    def __init__(
        self,
        directory: str,
        topic_partition: TopicPartition,
        config: LogConfig,
        clock: Clock,
        *,
        replicated: bool = False,
    ) -> None:
        self.directory = directory
        self.topic_partition = topic_partition
        self.clock = clock
        self.replicated = replicated
        """Whether others say when records are committed; else what is written is committed."""
        self.log_dir_index = 0
        self.topic_id: Uuid = ZERO_UUID
        self.state = _ONLINE
        self.leader_epoch = 0
        """The leader epoch published in the row; set by whoever knows who leads."""
        self.log_start_offset = 0
        self.high_watermark = 0
        self.log_end_offset = 0
        self.recovery_point = 0
        """All batches below are on the disk."""
        self.last_flush_ms = clock.monotonic_ms()
        self.max_timestamp = -1
        self.offset_of_max_timestamp = -1
        # Unlike any version an earlier owner of the partition can have published: readers outlive their writers.
        self.segments_version = clock.wall_ms() << 20 | random.getrandbits(18)
        self.pending_deletes: list[PendingDelete] = []
        """What the log renamed away; whoever drives the log takes it from here."""
        self.producers = ProducerState()
        self.epochs = LeaderEpochCache(directory)
        self._segments: list[Segment] = []
        self._sealed_size = 0
        self._truncations = 0
        self._names_version = 1
        self._names_flushed = 0
        self._snapshot_offset = 0
        self.open_transactions_from = -1
        """Where the oldest open transaction begins: no consumer with read_committed gets further. -1: none is open."""
        self._transactions_changed = False
        self._failed_staging: KafkaError | LogDirFailed | None = None
        self._checked_offset = -1
        self.spare_descriptors: Callable[[], bool] = _no_spare_descriptors
        """Closes what others have open but do not need just now; returns whether that is worth another try."""
        self._next_offset = self._next_position = self._next_since_index = 0
        self._next_max_timestamp = self._next_max_timestamp_offset = self._staged_last_indexed_timestamp = -1
        self._staged: list[memoryview] = []
        self._staged_index = bytearray()
        self._staged_time_index = bytearray()
        self._staged_epochs: list[tuple[int, int]] = []
        self._producers_before: list[tuple[int, ProducerEntry | None]] = []
        self.update_config(config)

    # ------------------------------------------------------------------------------------------------ opening, closing

    @classmethod
    def open(
        cls,
        directory: str,
        topic_partition: TopicPartition,
        config: LogConfig,
        *,
        clock: Clock,
        recovery_point: int = 0,
        clean_shutdown: bool = False,
        topic_id: Uuid | None = None,
        log_start_offset: int = 0,
        high_watermark: int = 0,
        log_dir_index: int = 0,
        replicated: bool = False,
        progress: recovery.Progress = recovery.no_progress,
    ) -> Log:
        """
        Return the log in `directory`, which is made when it does not exist.

        recovery_point    up to where the checkpoint says the log was flushed
        clean_shutdown    the files were closed in order: trust them; else recover from the recovery point on
        topic_id          what the cluster says; recorded when the directory has none; None: not known
        log_start_offset  what the checkpoint says; the first segment's name when that is larger
        high_watermark    what the checkpoint says; ignored unless `replicated`
        progress          called every few MiB of recovery

        Raises KafkaError(INCONSISTENT_TOPIC_ID) when the directory belongs to another topic of the same name,
        LogDirFailed, KafkaError(KAFKA_STORAGE_ERROR).
        """
        log = cls(directory, topic_partition, config, clock, replicated=replicated)
        log.log_dir_index = log_dir_index
        try:
            log._load(recovery_point, clean_shutdown, topic_id, log_start_offset, progress)
        except OSError as error:
            log.close_files()
            raise log._storage_error(error) from error
        # Opened again by the first append: of thousands of logs few are written.
        log.close_files()
        log.high_watermark = log.log_end_offset
        if replicated:
            log.high_watermark = min(max(high_watermark, log.log_start_offset), log.log_end_offset)
        return log

    def _load(
        self,
        recovery_point: int,
        clean_shutdown: bool,
        topic_id: Uuid | None,
        log_start_offset: int,
        progress: recovery.Progress,
    ) -> None:
        directory, now_ms = self.directory, self.clock.wall_ms()
        if not os.path.isdir(directory):
            # Not with its parents: a log directory that was removed must be noticed, not made anew.
            os.mkdir(directory)
        self.topic_id = read_partition_metadata(directory) or ZERO_UUID
        if topic_id is not None:
            self.adopt_topic_id(topic_id)

        recovery.finish_interrupted_changes(directory)
        bases = segment_base_offsets(directory)
        cut = False
        findings = recovery.Findings()
        first_recovered = -1
        for number, base_offset in enumerate(bases):
            sealed = number + 1 < len(bases)
            if clean_shutdown or (sealed and bases[number + 1] <= recovery_point):
                self._segments.append(
                    recovery.load_segment(directory, base_offset, now_ms, self.config, progress, sealed=sealed)
                )
                continue
            segment = Segment(directory, base_offset, now_ms)
            if cut:
                self._remember_deleted(segment.move_away())
                continue
            self._segments.append(segment)
            bytes_cut = recovery.recover_segment(segment, self.config, progress, findings, sealed=sealed)
            if first_recovered < 0:
                first_recovered = base_offset
            if bytes_cut:
                logger.warning("%s: cut %d bytes after the last whole batch", segment.path(), bytes_cut)
                # What follows a hole can never be reached again.
                cut = True
        for segment in self._segments[:-1]:
            segment.close()
        self.log_start_offset = max(log_start_offset, self._segments[0].base_offset if self._segments else 0)
        end = 0
        if self._segments:
            last = self._segments[-1]
            end, position = recovery.end_of(last)
            if position != last.size_bytes:
                # Half a batch in a log that was closed in order: trust the file's content, not the marker.
                recovery.recover_segment(last, self.config, progress, findings, sealed=False)
                end, _ = recovery.end_of(last)
        if end < self.log_start_offset and self._segments and clean_shutdown:
            # No log that was closed in order ends before it starts: the checkpoint is wrong, not the log.
            first = self._segments[0].base_offset
            logger.warning(
                "%s: the log start offset %d in the checkpoint is past the log's end %d; taken for damaged, the log "
                "starts at %d",
                directory,
                self.log_start_offset,
                end,
                first,
            )
            self.log_start_offset = first
        if end < self.log_start_offset or not self._segments:
            # Everything was deleted up to an offset past what is left: the log's end was lost in a crash.
            if self._segments:
                logger.warning(
                    "%s: ends at %d, before its log start offset %d: what is left of it was deleted records; it goes",
                    directory,
                    end,
                    self.log_start_offset,
                )
            for segment in self._segments:
                self._remember_deleted(segment.move_away())
            self._segments = []
            end = self.log_start_offset
            self._add_segment(end)
        self.log_end_offset = end
        self.recovery_point = end if clean_shutdown else min(recovery_point, end)
        self._set_active(self._segments[-1])
        self._measure()
        self._load_epochs(findings, progress)
        if clean_shutdown or findings.first_producer_offset >= 0 or first_recovered < 0:
            self._load_producers(end, progress)
        else:
            # No idempotent producer wrote to what was just walked: no need to walk it again for the producers.
            self._load_producers(first_recovered, progress)
        if clean_shutdown and bases:
            self._names_flushed = self._names_version
        self._find_transactions(progress)
        if self.open_transactions_from >= 0:
            logger.warning(
                "%s: transactions are open from offset %d on, and this version has no transaction coordinator to "
                "end them: consumers with isolation.level=read_committed get the records before that offset only",
                self.topic_partition,
                self.open_transactions_from,
            )

    def _find_transactions(self, progress: recovery.Progress = recovery.no_progress) -> None:
        """Have the aborted transactions on disk, and know where the open ones begin. Raises OSError."""
        mend_transaction_indexes(self.directory, self._segments, progress)
        self.open_transactions_from = self.producers.first_open_offset()

    def _load_epochs(self, findings: recovery.Findings, progress: recovery.Progress) -> None:
        self.epochs.load()
        self.epochs.truncate_from_end(self.log_end_offset)
        found = findings.epochs
        if self.epochs.damaged and self.log_end_offset > self.log_start_offset:
            found = recovery.find_leader_epochs(self._segments, progress)
        self.epochs.assign_all(found)
        self._reach_log_start(progress)
        self.epochs.truncate_from_start(self.log_start_offset)
        self.leader_epoch = max(0, self.epochs.latest_epoch)

    def _reach_log_start(self, progress: recovery.Progress) -> None:
        """
        Let the known epochs begin at the log's start.

        When records are deleted the epochs are cut at once, but the checkpoint of log starts is written later: a crash
        in between brings the records back without their epochs.
        """
        entries = self.epochs.entries
        if not entries or entries[0][1] <= self.log_start_offset:
            return
        first = recovery.first_batch_of(self._segments[0])
        if first is not None and first.leader_epoch == entries[0][0]:
            self.epochs.replace([(first.leader_epoch, self.log_start_offset), *entries[1:]])
        elif first is not None and first.leader_epoch >= 0 and first.base_offset < entries[0][1]:
            self.epochs.replace(recovery.find_leader_epochs(self._segments, progress))

    def _load_producers(self, replay_to: int, progress: recovery.Progress = recovery.no_progress) -> None:
        """Bring the producers' state to the log's end; no batch from `replay_to` on has a producer. Raises OSError."""
        load_newest_snapshot(self.directory, self.producers, self.log_start_offset, self.log_end_offset)
        # After an orderly stop the newest snapshot lies at the log's end, and nothing is read, unless it was lost.
        recovery.replay_producers(self.producers, self._segments, replay_to, progress)
        self._snapshot_offset = self._remove_stray_snapshots()
        self.producers.map_end_offset = self.log_end_offset
        self.producers.expire(self.clock.wall_ms(), self.config.producer_id_expiration_ms)

    def adopt_topic_id(self, topic_id: Uuid) -> None:
        """
        Record the topic id the cluster knows, when the directory has none yet.

        Raises KafkaError(INCONSISTENT_TOPIC_ID) when the directory holds another topic of the same name.
        """
        if topic_id in {self.topic_id, ZERO_UUID}:
            return
        if self.topic_id != ZERO_UUID:
            raise KafkaError(_INCONSISTENT_TOPIC_ID, f"{self.directory} holds another topic of that name")
        try:
            write_partition_metadata(self.directory, topic_id)
        except OSError as error:
            raise self._storage_error(error) from error
        self.topic_id = topic_id
        self._names_version += 1

    def _remove_stray_snapshots(self) -> int:
        """Keep the newest snapshot and those with which a segment begins; return the newest's offset, 0 without any."""
        offsets = snapshot_offsets(self.directory)
        kept = {*self.segment_base_offsets, *offsets[-1:]}
        for offset in offsets:
            if offset not in kept:
                os.unlink(segment_path(self.directory, offset, SNAPSHOT_SUFFIX))
        return offsets[-1] if offsets else 0

    def close(self, *, clean: bool = True) -> None:
        """
        Close the files; nothing may be staged.

        clean  first make everything durable, with the producers' state, so that the next open needs no recovery
        """
        try:
            if clean and self.state == _ONLINE:
                self.write_staged()
                self._active.seal()
                if self._snapshot_offset != self.log_end_offset:
                    self._write_snapshot(self.log_end_offset)
                self.flush()
        except OSError as error:
            raise self._storage_error(error) from error
        finally:
            self.close_files()

    def close_files(self) -> bool:
        """Close the files and leave everything as it is; they are opened again when needed. Return whether any was."""
        any_open = False
        for segment in self._segments:
            any_open = segment.close() or any_open
        return any_open

    def update_config(self, config: LogConfig) -> None:
        """Use another configuration from now on."""
        self.config = config
        self._segment_bytes = min(config.segment_bytes, MAX_RELATIVE_OFFSET)
        self._segment_ms = config.segment_ms
        self._index_interval = config.index_interval_bytes
        self._max_index_entries = config.segment_index_bytes // offset_index.ENTRY_BYTES
        # One place is kept for the entry that is written when the segment is sealed.
        self._max_time_entries = config.segment_index_bytes // time_index.ENTRY_BYTES - 1
        self._append_time = config.log_append_time

    # ------------------------------------------------------------------------------------------------------- appending

    def stage(self, records: memoryview, leader_epoch: int, now_ms: int, *, from_client: bool = True) -> StagedAppend:
        """
        Give a run of batches its offsets, to be written by the next write_staged.

        records       writable; whole batches of magic 2, their size, CRC and timestamps checked already; must stay
                      as it is until write_staged has returned
        leader_epoch  written into each batch
        now_ms        for topics with LogAppendTime, and for rolling by time
        from_client   hold idempotent producers to their sequence; False for what the broker itself writes

        Raises KafkaError: OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_PRODUCER_EPOCH, RECORD_LIST_TOO_LARGE for a run larger
        than a segment, CORRUPT_MESSAGE when the sizes of the batches do not add up, KAFKA_STORAGE_ERROR when a roll
        failed or the log is offline. Then nothing of this run is staged. LogDirFailed.
        """
        size = len(records)
        if size <= self._segment_bytes and self.state == _ONLINE and not self._append_time:
            length, last_offset_delta, timestamp, producer_id = _unpack_of_one(records, 0)
            if length + 12 == size and producer_id < 0:
                return self._stage_one(records, size, last_offset_delta, timestamp, leader_epoch, now_ms)
        headers = self._read_headers(records)
        first = headers[0]
        if first[9] >= 0 and from_client and first[11] >= 0:
            duplicate = self.producers.find_duplicate(first[9], first[10], first[11], first[6])
            if duplicate is not None:
                return StagedAppend(
                    duplicate.last_offset - duplicate.offset_delta,
                    duplicate.last_offset,
                    duplicate.timestamp,
                    self.log_start_offset,
                    True,
                )
        if len(headers) == 1:
            offsets = first[6] + 1
            max_timestamp = first[8]
        else:
            offsets = sum([header[6] + 1 for header in headers])
            max_timestamp = max([header[8] for header in headers])
        if self._append_time:
            max_timestamp = now_ms
        base_offset = self._next_offset
        end_offset = base_offset + offsets
        self._make_room(len(records), max_timestamp, base_offset, end_offset - 1, now_ms)

        if first[9] >= 0 or len(headers) > 1:
            self._note_producers(headers, records, base_offset, now_ms, from_client)
        if leader_epoch != self.epochs.latest_epoch and leader_epoch >= 0:
            self._staged_epochs.append((leader_epoch, base_offset))

        # From here on nothing can fail.
        position = 0
        offset = base_offset
        for header in headers:
            _pack_prefix(records, position, offset, header[1], leader_epoch)
            if self._append_time:
                self._stamp(records, position, header, now_ms)
            self._index_batch(offset + header[6], header[1] + 12, header[8] if not self._append_time else now_ms)
            position += header[1] + 12
            offset += header[6] + 1
        self._staged.append(records)
        self._next_offset = end_offset
        append_time = now_ms if self._append_time else -1
        return _new(StagedAppend, (base_offset, end_offset - 1, append_time, self.log_start_offset, False))

    def _stage_one(
        self, records: memoryview, size: int, last_offset_delta: int, timestamp: int, leader_epoch: int, now_ms: int
    ) -> StagedAppend:
        """Stage a single batch without a producer id, as most are, that keeps its timestamps."""
        base_offset = self._next_offset
        last_offset = base_offset + last_offset_delta
        self._make_room(size, timestamp, base_offset, last_offset, now_ms)
        if leader_epoch != self.epochs.latest_epoch and leader_epoch >= 0:
            self._staged_epochs.append((leader_epoch, base_offset))
        # From here on nothing can fail.
        _pack_prefix(records, 0, base_offset, size - 12, leader_epoch)
        self._index_batch(last_offset, size, timestamp)
        self._staged.append(records)
        self._next_offset = last_offset + 1
        return _new(StagedAppend, (base_offset, last_offset, -1, self.log_start_offset, False))

    def stage_replicated(self, records: memoryview, now_ms: int) -> int:
        """
        Take a run of batches as a leader gave it, offsets and epochs included; return the offset after it.

        records  whole batches of magic 2, checked already; must stay as it is until write_staged has returned
        now_ms   for rolling by time

        Raises KafkaError: OFFSET_OUT_OF_RANGE when the run begins before the log's end, and as stage does.
        """
        headers = self._read_headers(records)
        next_offset = self._next_offset
        for header in headers:
            if header[0] < next_offset:
                raise KafkaError(_OFFSET_OUT_OF_RANGE, f"batch at {header[0]} where the log goes on at {next_offset}")
            next_offset = header[0] + header[6] + 1
        self._make_room(len(records), max([header[8] for header in headers]), headers[0][0], next_offset - 1, now_ms)
        latest_epoch = self._staged_epochs[-1][0] if self._staged_epochs else self.epochs.latest_epoch
        position = 0
        for header in headers:
            if header[9] >= 0:
                self._note_producer(header, records, position, header[0], header[8], False, False)
            if header[2] > latest_epoch:
                latest_epoch = header[2]
                self._staged_epochs.append((latest_epoch, header[0]))
            self._index_batch(header[0] + header[6], header[1] + 12, header[8])
            position += header[1] + 12
        self._staged.append(records)
        self._next_offset = next_offset
        return next_offset

    def write_staged(self) -> int:
        """
        Write everything that was staged; return how many bytes.

        When it raises, nothing of it is written and the log is as before the first stage, see StagedAppend.
        """
        if self._failed_staging is not None:
            error, self._failed_staging = self._failed_staging, None
            if self._staged:
                self._forget_staged()
            raise error
        if not self._staged:
            return 0
        active = self._active
        before = active.size_bytes, active.index_entries, active.time_index_entries
        try:
            try:
                self._write_files(active)
            except OSError as error:
                if not is_out_of_descriptors(error) or not self.spare_descriptors():
                    raise
                # The same bytes to the same places.
                active.index_entries, active.time_index_entries = before[1], before[2]
                self._write_files(active)
            for epoch, start_offset in self._staged_epochs:
                self.epochs.assign(epoch, start_offset)
                self.leader_epoch = max(self.leader_epoch, epoch)
        except OSError as error:
            self._undo_write(before)
            if error.errno == errno.EFBIG and self._goes_on_in_new_segment():
                raise storage_error(os.path.dirname(self.directory), error) from error
            raise self._storage_error(error) from error
        written = self._next_position - active.size_bytes
        active.size_bytes = self._next_position
        active.since_index_entry = self._next_since_index
        active.last_indexed_timestamp = self._staged_last_indexed_timestamp
        self.log_end_offset = self._next_offset
        if not self.replicated:
            self.high_watermark = self._next_offset
        if self._next_max_timestamp > active.max_timestamp:
            active.max_timestamp = self._next_max_timestamp
            active.offset_of_max_timestamp = self._next_max_timestamp_offset
            if self._next_max_timestamp > self.max_timestamp:
                self.max_timestamp = self._next_max_timestamp
                self.offset_of_max_timestamp = self._next_max_timestamp_offset
        self._staged.clear()
        if self._staged_index or self._staged_time_index:
            # New ones: clear() would fail while a view of the old is held by a failed write's traceback.
            self._staged_index, self._staged_time_index = bytearray(), bytearray()
        if self._staged_epochs:
            self._staged_epochs.clear()
        if self._producers_before:
            self._producers_before.clear()
            if self._transactions_changed:
                self._transactions_changed = False
                self.open_transactions_from = self.producers.first_open_offset()
        self.producers.map_end_offset = self._next_offset
        return written

    def _write_files(self, active: Segment) -> None:
        write_at(active.log_fd(), self._staged, active.size_bytes)
        if self._staged_index or self._staged_time_index:
            active.append_index(self._staged_index, self._staged_time_index)

    def _goes_on_in_new_segment(self) -> bool:
        """Return whether a file that may grow no larger leaves the log usable: the next append finds a new one."""
        if not self._active.size_bytes:
            return True
        try:
            self.roll()
        except (KafkaError, LogDirFailed):
            return False
        return True

    def _read_headers(self, records: memoryview) -> list[_Header]:
        if self.state != _ONLINE:
            raise KafkaError(_KAFKA_STORAGE_ERROR, f"{self.directory} is offline")
        size = len(records)
        if size > self._segment_bytes:
            raise KafkaError(_RECORD_LIST_TOO_LARGE, f"{size} bytes do not fit a segment of {self._segment_bytes}")
        header: _Header = _unpack_header(records, 0)
        headers = [header]
        position = header[1] + 12
        while position < size - 60:
            header = _unpack_header(records, position)
            headers.append(header)
            position += max(header[1] + 12, 61)
        if position != size:
            raise KafkaError(_CORRUPT_MESSAGE, "batch sizes do not add up")
        return headers

    def _make_room(self, size: int, max_timestamp: int, first_offset: int, last_offset: int, now_ms: int) -> None:
        """Roll when the active segment cannot or should not take the run."""
        active = self._active
        position = self._next_position
        if not position:
            active.first_timestamp = max_timestamp
            if last_offset - active.base_offset <= MAX_RELATIVE_OFFSET:
                return
        elif (
            position + size <= self._segment_bytes
            and last_offset - active.base_offset <= MAX_RELATIVE_OFFSET
            and active.index_entries + (len(self._staged_index) >> 3) < self._max_index_entries
            and active.time_index_entries + len(self._staged_time_index) // _TIME_INDEX_ENTRY_BYTES
            < self._max_time_entries
        ):
            begun, reached = active.first_timestamp, max_timestamp
            if begun < 0:
                begun, reached = active.created_ms, now_ms
            if reached - begun <= self._segment_ms - active.roll_jitter_ms:
                return
        if self._staged:
            try:
                self.write_staged()
            except (KafkaError, LogDirFailed) as error:
                # Those whose runs were staged before ask write_staged for the outcome; keep it for them.
                self._failed_staging = error
                raise
        self.roll(first_offset)
        self._active.first_timestamp = max_timestamp

    def _index_batch(self, last_offset: int, size_bytes: int, timestamp: int) -> None:
        """Account for a batch at the staged end of the active segment."""
        if timestamp > self._next_max_timestamp:
            self._next_max_timestamp = timestamp
            self._next_max_timestamp_offset = last_offset
        if self._next_since_index > self._index_interval:
            base_offset = self._active.base_offset
            self._staged_index += _pack_index_entry(last_offset - base_offset, self._next_position)
            if self._next_max_timestamp > self._staged_last_indexed_timestamp:
                self._staged_time_index += _pack_time_index_entry(
                    self._next_max_timestamp, self._next_max_timestamp_offset - base_offset
                )
                self._staged_last_indexed_timestamp = self._next_max_timestamp
            self._next_since_index = 0
        self._next_since_index += size_bytes
        self._next_position += size_bytes

    def _stamp(self, records: memoryview, position: int, header: _Header, now_ms: int) -> None:
        """Make the append time the timestamp of a batch's records; both fields lie inside the checksum."""
        _pack_attributes(records, position + 21, header[5] | LOG_APPEND_TIME_FLAG)
        _pack_timestamp(records, position + 35, now_ms)
        _pack_crc(records, position + 17, _crc32c(records[position + 21 : position + header[1] + 12]))

    def _note_producers(
        self, headers: list[_Header], records: memoryview, offset: int, now_ms: int, check: bool
    ) -> None:
        mark = len(self._producers_before)
        position = 0
        try:
            for header in headers:
                if header[9] >= 0:
                    timestamp = now_ms if self._append_time else header[8]
                    self._note_producer(header, records, position, offset, timestamp, check, True)
                position += header[1] + 12
                offset += header[6] + 1
        except KafkaError:
            self._restore_producers(mark)
            raise

    def _note_producer(
        self, header: _Header, records: memoryview, position: int, offset: int, timestamp: int, check: bool, leads: bool
    ) -> None:
        producer_id = header[9]
        self._producers_before.append((producer_id, self.producers.entries.get(producer_id)))
        if header[5] & CONTROL_FLAG:
            marker = recovery.read_marker(records[position : position + header[1] + 12])
            if marker is not None:
                self._transactions_changed = True
                self.producers.append_marker(producer_id, header[10], marker.coordinator_epoch, timestamp, check=leads)
            return
        transactional = header[5] & TRANSACTIONAL_FLAG != 0
        if transactional:
            self._transactions_changed = True
        self.producers.append(
            producer_id, header[10], header[11], header[6], offset, timestamp, transactional=transactional, check=check
        )

    def _restore_producers(self, mark: int) -> None:
        for producer_id, entry in reversed(self._producers_before[mark:]):
            self.producers.restore(producer_id, entry)
        del self._producers_before[mark:]

    def _forget_staged(self) -> None:
        self._restore_producers(0)
        self._staged.clear()
        self._staged_epochs.clear()
        self._begin_staging()

    def _begin_staging(self) -> None:
        """Let what is staged next follow what is written."""
        active = self._active
        self._next_offset = self.log_end_offset
        self._next_position = active.size_bytes
        self._next_max_timestamp = active.max_timestamp
        self._next_max_timestamp_offset = active.offset_of_max_timestamp
        self._next_since_index = active.since_index_entry
        self._staged_last_indexed_timestamp = active.last_indexed_timestamp
        self._staged_index, self._staged_time_index = bytearray(), bytearray()

    def _undo_write(self, before: tuple[int, int, int]) -> None:
        """Cut the files back to what is written and forget what was staged."""
        active = self._active
        active.size_bytes, active.index_entries, active.time_index_entries = before
        self._forget_staged()
        self.epochs.truncate_in_memory(self.log_end_offset)
        # What cannot be cut now is overwritten by the next append, or cut by recovery: no row ever counts it.
        for fd, size in (
            (active.fd, before[0]),
            (active.index_fd, before[1] * offset_index.ENTRY_BYTES),
            (active.time_index_fd, before[2] * time_index.ENTRY_BYTES),
        ):
            if fd >= 0:
                with contextlib.suppress(OSError):
                    os.ftruncate(fd, size)

    def _storage_error(self, error: OSError) -> KafkaError | LogDirFailed:
        """Return what to raise for a failed system call; what does not pass takes the log offline."""
        if not passes(error):
            self.state = _OFFLINE
        return storage_error(os.path.dirname(self.directory), error)

    def lost_its_file(self) -> bool:
        """
        Return whether the segment that is written was removed under us: what is appended to it goes nowhere.

        Looks only when something was appended since the last time.
        """
        fd = self._active.fd
        if fd < 0 or self._checked_offset == self.log_end_offset or self.state != _ONLINE:
            return False
        self._checked_offset = self.log_end_offset
        return os.fstat(fd).st_nlink == 0

    # ------------------------------------------------------------------------------------------------------- publishing

    def row(self) -> PartitionRow:
        """Return what readers need to know, as of the last write."""
        active = self._active
        high_watermark = self.high_watermark
        last_stable_offset = high_watermark
        if self.open_transactions_from >= 0:
            last_stable_offset = min(high_watermark, max(self.open_transactions_from, self.log_start_offset))
        return _new(
            PartitionRow,
            (
                self.state,
                self.log_start_offset,
                last_stable_offset,
                high_watermark,
                self.log_end_offset,
                self.leader_epoch,
                self.log_dir_index,
                self.segments_version,
                active.base_offset,
                active.size_bytes,
                active.index_entries,
                active.time_index_entries,
                self.max_timestamp,
                self.offset_of_max_timestamp,
                self._sealed_size + active.size_bytes,
            ),
        )

    def begin_leader_epoch(self, epoch: int) -> None:
        """Note that this broker leads from here on under `epoch`: it begins at the log's end, and rows tell it."""
        try:
            if epoch > self.epochs.latest_epoch:
                self.epochs.assign(epoch, self.log_end_offset)
        except OSError as error:
            raise self._storage_error(error) from error
        self.leader_epoch = epoch

    def update_high_watermark(self, offset: int) -> bool:
        """Move the high watermark, kept between log start and log end; return whether it changed."""
        offset = min(max(offset, self.log_start_offset), self.log_end_offset)
        if offset == self.high_watermark:
            return False
        self.high_watermark = offset
        return True

    # ---------------------------------------------------------------------------------------------------------- rolling

    @property
    def segment_base_offsets(self) -> list[int]:
        """The base offsets of all segments, ascending."""
        return [segment.base_offset for segment in self._segments]

    def roll(self, base_offset: int | None = None) -> None:
        """
        Seal the active segment and go on in a new one; nothing may be staged.

        base_offset  name of the new segment when a follower's next batch lies past the log's end

        Nothing happens when the active segment is empty and would get the same name. The producers' state is saved
        with the new segment, so that a recovery can begin there.
        """
        new_base = max(self.log_end_offset, base_offset or 0)
        if new_base == self._active.base_offset:
            return
        try:
            self._write_snapshot(new_base)
            old = self._active
            self._add_segment(new_base)
            try:
                old.seal()
            except OSError:
                self._segments.pop().move_away()
                raise
            old.close()
        except OSError as error:
            raise self._storage_error(error) from error
        self._sealed_size += old.size_bytes
        self._set_active(self._segments[-1])

    def _add_segment(self, base_offset: int) -> None:
        segment = Segment(self.directory, base_offset, self.clock.wall_ms())
        size_bytes = self._segment_bytes if self.config.preallocate else 0
        segment.create(min(self.config.segment_jitter_ms, self.config.segment_ms), size_bytes)
        self._segments.append(segment)

    def _set_active(self, segment: Segment) -> None:
        if segment.size_bytes and segment.first_timestamp < 0:
            first = recovery.first_batch_of(segment)
            segment.first_timestamp = -1 if first is None else first.max_timestamp
        self._active = segment
        self._begin_staging()
        self._files_changed()

    def _files_changed(self) -> None:
        self.segments_version += 1
        self._names_version += 1

    def _measure(self) -> None:
        """Find the sums over all segments anew."""
        self._sealed_size = sum(segment.size_bytes for segment in self._segments[:-1])
        self.max_timestamp = self.offset_of_max_timestamp = -1
        for segment in self._segments:
            if segment.max_timestamp > self.max_timestamp:
                self.max_timestamp, self.offset_of_max_timestamp = (
                    segment.max_timestamp,
                    segment.offset_of_max_timestamp,
                )

    def _write_snapshot(self, offset: int) -> None:
        path = segment_path(self.directory, offset, SNAPSHOT_SUFFIX)
        replace_file(path, encode_snapshot(self.producers), durable=False)
        self._names_version += 1
        self._snapshot_offset = offset

    def _remember_deleted(self, paths: list[str]) -> None:
        due_ms = self.clock.monotonic_ms() + self.config.file_delete_delay_ms
        self.pending_deletes += [PendingDelete(due_ms, path) for path in paths]

    # --------------------------------------------------------------------------------------------------------- flushing

    @property
    def unflushed_records(self) -> int:
        """How many offsets are not yet known to be on the disk."""
        return self.log_end_offset - self.recovery_point

    @property
    def rolled_unflushed(self) -> bool:
        """Whether a sealed segment is not yet known to be on the disk."""
        return self.recovery_point < self._active.base_offset

    def flush_due(self, now_ms: int) -> bool:
        """Return whether flush.messages or flush.ms ask for a flush; `now_ms` is monotonic."""
        unflushed = self.log_end_offset - self.recovery_point
        return unflushed > 0 and (
            unflushed >= self.config.flush_messages or now_ms - self.last_flush_ms >= self.config.flush_ms
        )

    def flush_plan(self, *, sealed_only: bool = False) -> FlushPlan:
        """
        Return what must be synced to make the log durable up to its present end; tell flushed() when it has run.

        sealed_only  only up to the active segment, as after a roll
        """
        end_offset = self._active.base_offset if sealed_only else self.log_end_offset
        paths: list[str] = []
        if end_offset > self.recovery_point or self._names_version != self._names_flushed:
            first = max(0, bisect_right(self.segment_base_offsets, self.recovery_point) - 1)
            last = len(self._segments) - 1 if sealed_only else len(self._segments)
            for segment in self._segments[first:last]:
                paths += [segment.path(suffix) for suffix in SEGMENT_SUFFIXES]
                paths.append(segment.path(SNAPSHOT_SUFFIX))
            paths.append(segment_path(self.directory, end_offset, SNAPSHOT_SUFFIX))
            paths += [f"{self.directory}/{LEADER_EPOCH_CHECKPOINT}", f"{self.directory}/{PARTITION_METADATA}"]
        return FlushPlan(self.directory, paths, end_offset, self._names_version, self._truncations)

    def flushed(self, plan: FlushPlan) -> None:
        """Take note that `plan` has run: the recovery point moves up to its offset."""
        self.last_flush_ms = self.clock.monotonic_ms()
        if plan.truncations == self._truncations:
            self.recovery_point = max(self.recovery_point, plan.offset)
            self._names_flushed = plan.names_version

    def flush(self) -> None:
        """Make everything written durable, here and now."""
        plan = self.flush_plan()
        try:
            plan.run()
        except OSError as error:
            raise self._storage_error(error) from error
        self.flushed(plan)

    # --------------------------------------------------------------------------------------------- deleting, truncating

    def delete_old_segments(self, now_ms: int) -> int:
        """
        Let go of the segments that retention.ms, retention.bytes and the log start offset no longer want.

        Returns how many; their files are renamed to `….deleted` and put into pending_deletes.
        """
        try:
            count = count_deletable(self._facts(), self.config, now_ms, self.log_start_offset, self.high_watermark)
            if not count:
                return 0
            if count == len(self._segments):
                self.roll()
            self._drop_segments(count)
            if self._segments[0].base_offset > self.log_start_offset:
                self.log_start_offset = self._segments[0].base_offset
                self.epochs.truncate_from_start(self.log_start_offset)
        except OSError as error:
            raise self._storage_error(error) from error
        return count

    def _facts(self) -> list[SegmentFacts]:
        segments = self._segments
        ends = [*(segment.base_offset for segment in segments[1:]), self.log_end_offset]
        return [
            SegmentFacts(segment.base_offset, end, segment.size_bytes, segment.largest_timestamp())
            for segment, end in zip(segments, ends, strict=True)
        ]

    def _drop_segments(self, count: int) -> None:
        """Move the oldest `count` segments away, with their snapshots."""
        dropped = self._segments[:count]
        del self._segments[:count]
        self._measure()
        self._files_changed()
        for segment in dropped:
            moved = segment.move_away()
            snapshot = segment.path(SNAPSHOT_SUFFIX)
            with contextlib.suppress(FileNotFoundError):
                os.rename(snapshot, snapshot + DELETED_SUFFIX)
                moved.append(snapshot + DELETED_SUFFIX)
            self._remember_deleted(moved)

    def advance_log_start(self, offset: int) -> bool:
        """
        Delete all records below `offset`; return whether anything changed. Segments go with the next retention.

        offset  -1: up to the high watermark

        Raises KafkaError(OFFSET_OUT_OF_RANGE) past the high watermark.
        """
        if offset == -1:
            offset = self.high_watermark
        if offset > self.high_watermark or offset < 0:
            raise KafkaError(_OFFSET_OUT_OF_RANGE, f"offset {offset} is past the high watermark {self.high_watermark}")
        if offset <= self.log_start_offset:
            return False
        self.log_start_offset = offset
        try:
            self.epochs.truncate_from_start(offset)
        except OSError as error:
            raise self._storage_error(error) from error
        return True

    def truncate_to(self, offset: int) -> bool:
        """
        Cut the log so that it ends at `offset`, a follower's way back to its leader's history; nothing may be staged.

        A batch that holds `offset` goes as a whole. Returns whether anything was cut.
        """
        if offset >= self.log_end_offset:
            return False
        if offset < self._segments[0].base_offset:
            self.truncate_fully_and_start_at(Offset(offset))
            return True
        try:
            while self._segments[-1].base_offset > offset:
                self._remember_deleted(self._segments.pop().move_away())
            segment = self._segments[-1]
            position = recovery.position_of(segment, offset)[0]
            self._cut_segment(segment, position)
            self._after_truncation(segment, offset)
            self.epochs.truncate_from_end(offset)
            self._load_producers(offset)
            self._find_transactions()
        except OSError as error:
            raise self._half_truncated(error) from error
        return True

    def _half_truncated(self, error: OSError) -> KafkaError | LogDirFailed:
        """Return what to raise for a truncation that failed: only what is on the disk counts, so open the log anew."""
        self.state = _OFFLINE
        return self._storage_error(error)

    def _cut_segment(self, segment: Segment, position: int) -> None:
        """Shorten a segment to `position`, its indexes anew from its batches: rare, so simple. Raises OSError."""
        os.ftruncate(segment.log_fd(), position)
        segment.rebuild(
            iterate_file_batches(segment.log_fd(), 0, position, 65536),
            self.config.index_interval_bytes,
            with_last_entry=False,
        )

    def _after_truncation(self, active: Segment, end_offset: int) -> None:
        self._truncations += 1
        self.log_end_offset = end_offset
        self.recovery_point = min(self.recovery_point, end_offset)
        self.log_start_offset = min(self.log_start_offset, end_offset)
        self.high_watermark = min(self.high_watermark, end_offset)
        self._set_active(active)
        self._measure()

    def truncate_fully_and_start_at(self, offset: Offset) -> None:
        """Drop everything and go on, empty, at `offset`: a follower whose leader no longer has what it lacks."""
        try:
            while self._segments:
                self._remember_deleted(self._segments.pop().move_away())
            for snapshot in snapshot_offsets(self.directory):
                os.unlink(segment_path(self.directory, snapshot, SNAPSHOT_SUFFIX))
            self._add_segment(offset)
            self.log_start_offset = offset
            self._after_truncation(self._segments[-1], offset)
            self.log_start_offset = self.high_watermark = offset
            self.recovery_point = offset
            self.epochs.clear()
            self.producers.clear(offset)
            self.open_transactions_from = -1
        except OSError as error:
            raise self._half_truncated(error) from error

    def delete(self) -> None:
        """
        Delete the partition: its directory gets a `-delete` name and is put into pending_deletes.

        The log cannot be used afterwards.
        """
        self._remember_deleted([self._rename(deleted_directory_name(self.topic_partition))])

    def set_aside(self) -> str:
        """
        Give the partition's name free: its directory gets a `-stray` name, which is returned, and keeps its content.

        The log cannot be used afterwards.
        """
        return self._rename(stray_directory_name(self.topic_partition))

    def _rename(self, name: str) -> str:
        self.close_files()
        self.state = _OFFLINE
        path = f"{os.path.dirname(self.directory)}/{name}"
        try:
            os.rename(self.directory, path)
        except OSError as error:
            raise self._storage_error(error) from error
        return path
