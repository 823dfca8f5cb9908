"""
The read side of a partition's log: any process, no lock, nothing asked of the log's owner.

A reader sees two things: the row its owner publishes, and files. The row says which segment is being written and up to
where its bytes count; everything below the active segment is sealed and never changes, except that retention removes
the oldest files. `segments_version` tells that the set of files has changed and that what was cached is stale.

Finding an offset: the segment by its name, a place shortly before it by the mapped index, then batch headers from
there. An index entry that does not name a batch where it points is damaged; the segment is then walked from its
beginning. A consumer at the end of the log, the common case, asks for the offset where its last slice ended; that place
is remembered, and costs no system call at all.

Truncation: bytes below the high watermark are never cut nor written anew, so a read bounded by it (every consumer's)
finds what its row promised, whatever the owner does meanwhile. A follower's read, bounded by the log's end, may race a
truncation: its slice can then be short, or begin with a batch of the new history. It checks offsets and checksums, asks
again, and finds the new `segments_version`.
"""

from __future__ import annotations

import mmap
import os
import time
from bisect import bisect_right
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from kbroker.errors import CorruptIndex, KafkaError
from kbroker.protocol.record_batch import CURRENT_MAGIC, LOG_APPEND_TIME_FLAG
from kbroker.protocol.record_times import LOOK_NS, TimeSteps, read_time_steps
from kbroker.storage import offset_index, time_index
from kbroker.storage.disk_faults import is_out_of_descriptors
from kbroker.storage.file_batches import FileBatch, iterate_file_batches, iterate_indexed_batches
from kbroker.storage.paths import (
    INDEX_SUFFIX,
    LOG_SUFFIX,
    TIME_INDEX_SUFFIX,
    TRANSACTION_INDEX_SUFFIX,
    parse_segment_name,
    segment_base_offsets,
    segment_path,
)
from kbroker.storage.transaction_index import AbortedTransaction, read_transaction_index

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kbroker.shared.partition_table import PartitionRow

_OFFSET_OUT_OF_RANGE = 1
_KAFKA_STORAGE_ERROR = 56
_MANY_ABORTED = 100
_WALK_BYTES = 65536
_PREFIX_BYTES = 12
DEFAULT_CACHED_FILES = 64
_KEPT_BATCHES = 16

_BatchKey = tuple[str, int, int, int]
"""Of a batch: directory, base offset of its segment, position, first offset that counts."""


class OpenFile:
    """A file open for reading; closed when the last one who holds it lets go."""

    __slots__ = ("fd", "size_bytes")

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size_bytes = os.fstat(self.fd).st_size
        """When it was opened."""

    def __del__(self) -> None:
        """Close the file."""
        if hasattr(self, "size_bytes"):
            os.close(self.fd)


class MappedIndex:
    """An index file in memory; unmapped when the last one who holds it lets go."""

    __slots__ = ("content",)

    def __init__(self, path: str) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(fd).st_size
            self.content = memoryview(mmap.mmap(fd, size, access=mmap.ACCESS_READ) if size else b"")
        finally:
            os.close(fd)


class FileCache:
    """
    The files a process keeps open for reading, the least recently used dropped first.

    capacity  how many; a mapped index counts as one
    """

    __slots__ = ("_capacity", "_entries", "_time_steps")

    def __init__(self, capacity: int = DEFAULT_CACHED_FILES) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[tuple[str, int, str], OpenFile | MappedIndex] = OrderedDict()
        self._time_steps: dict[_BatchKey, TimeSteps] = {}

    def __len__(self) -> int:
        """Return how many files are held."""
        return len(self._entries)

    def file(self, directory: str, base_offset: int) -> OpenFile:
        """Return a segment's log file. Raises FileNotFoundError, OSError."""
        key = (directory, base_offset, LOG_SUFFIX)
        found = self._entries.get(key)
        if found is None:
            found = self._put(key, self._opened(OpenFile, key))
        else:
            self._entries.move_to_end(key)
        assert isinstance(found, OpenFile)
        return found

    def index(self, directory: str, base_offset: int, suffix: str, least_bytes: int) -> memoryview:
        """
        Return the content of an index; mapped anew when what is mapped is shorter than `least_bytes`.

        Raises FileNotFoundError, OSError.
        """
        key = (directory, base_offset, suffix)
        found = self._entries.get(key)
        if isinstance(found, MappedIndex) and len(found.content) >= least_bytes:
            self._entries.move_to_end(key)
            return found.content
        mapped = self._opened(MappedIndex, key)
        self._put(key, mapped)
        assert isinstance(mapped, MappedIndex)
        return mapped.content

    def _opened(self, kind: type[OpenFile | MappedIndex], key: tuple[str, int, str]) -> OpenFile | MappedIndex:
        """Open a file; when there are too many, instead of those kept. Raises FileNotFoundError, OSError."""
        path = segment_path(*key)
        try:
            return kind(path)
        except OSError as error:
            if not is_out_of_descriptors(error) or not self._entries:
                raise
            self._entries.clear()
        return kind(path)

    def _put(self, key: tuple[str, int, str], value: OpenFile | MappedIndex) -> OpenFile | MappedIndex:
        entries = self._entries
        entries[key] = value
        entries.move_to_end(key)
        if len(entries) > self._capacity:
            entries.popitem(last=False)
        return value

    def time_steps(self, key: _BatchKey) -> TimeSteps | None:
        """Return what is known of the times in a batch."""
        return self._time_steps.get(key)

    def keep_time_steps(self, key: _BatchKey, steps: TimeSteps) -> None:
        """Keep what was found out of the times in a batch, for the next who asks; little of it, and the newest."""
        while len(self._time_steps) >= _KEPT_BATCHES:
            del self._time_steps[next(iter(self._time_steps))]
        self._time_steps[key] = steps

    def drop(self, directory: str) -> None:
        """Let go of all files of a partition's directory."""
        for key in [key for key in self._entries if key[0] == directory]:
            del self._entries[key]
        for batch_key in [batch_key for batch_key in self._time_steps if batch_key[0] == directory]:
            del self._time_steps[batch_key]

    def clear(self) -> None:
        """Let go of all files."""
        self._entries.clear()
        self._time_steps.clear()


class FileSlice(NamedTuple):
    """Bytes of a segment file to be sent; the file stays open as long as the slice is held."""

    file: OpenFile
    position: int
    size_bytes: int

    @property
    def fd(self) -> int:
        """Return the open file's number, valid as long as this slice is held."""
        return self.file.fd


class TimestampOffset(NamedTuple):
    """A record found by its time."""

    timestamp: int
    offset: int
    leader_epoch: int
    """Epoch of the leader that took the record in; -1 when its format does not tell."""


def read_bytes(file_slice: FileSlice) -> bytes:
    """Return the bytes of a slice. Raises OSError."""
    return os.pread(file_slice.file.fd, file_slice.size_bytes, file_slice.position)


class LogReader:
    """
    Reads one partition.

    directory  the partition's directory
    files      shared by all readers of the process
    """

    __slots__ = ("_aborted", "_bases", "_end_mark", "_files", "_version", "directory")

    def __init__(self, directory: str, files: FileCache | None = None) -> None:
        self.directory = directory
        self._files = files if files is not None else FileCache()
        self._version = -1
        self._bases: list[int] = []
        self._aborted: list[AbortedTransaction] | None = None
        """Of all segments; they change only with the set of files, as long as no transaction can end here."""
        self._end_mark = (-1, -1, -1)
        """(base offset, offset, position): an offset whose place in a segment is known."""

    def read(
        self, row: PartitionRow, offset: int, max_bytes: int, upper_offset: int, at_least_one: bool = True
    ) -> FileSlice | None:
        """
        Return where the batches from `offset` on lie in one segment, None when there is nothing to send.

        row           the partition's row, just read
        offset        the slice begins with the batch that holds it, or the next one there is
        max_bytes     the slice is no longer, so its last batch may be cut off
        upper_offset  no batch from here on is in the slice: high watermark, last stable offset or log end
        at_least_one  the first batch goes in whole, however large

        Raises KafkaError(OFFSET_OUT_OF_RANGE) below the log's start and past its end, OSError.
        """
        if row.segments_version != self._version:
            self.follow(row)
        if not row.log_start_offset <= offset <= row.log_end_offset:
            raise out_of_range(row, offset)
        if offset >= upper_offset:
            return None
        try:
            return self._read(row, offset, max_bytes, upper_offset, at_least_one)
        except (FileNotFoundError, CorruptIndex):
            # Retention or truncation got in between the row and the file: look once more at what there is now.
            self.forget()
        try:
            return self._read(row, offset, max_bytes, upper_offset, at_least_one)
        except (FileNotFoundError, CorruptIndex):
            raise out_of_range(row, offset) from None

    def follow(self, row: PartitionRow) -> None:
        """Let go of everything cached if the set of files has changed since; deleted files take up space till then."""
        if row.segments_version != self._version:
            self.forget()
            self._version = row.segments_version

    def forget(self) -> None:
        """Let go of everything cached: segment list, open files, maps."""
        self._bases = []
        self._aborted = None
        self._end_mark = (-1, -1, -1)
        self._files.drop(self.directory)

    def _read(
        self, row: PartitionRow, offset: int, max_bytes: int, upper_offset: int, at_least_one: bool
    ) -> FileSlice | None:
        active = row.active_base_offset
        base_offset = active if offset >= active else self._segment_of(offset)
        file = self._files.file(self.directory, base_offset)
        size = row.active_size_bytes if base_offset == active else file.size_bytes
        mark_base, mark_offset, position = self._end_mark
        first_size = -1
        if mark_offset != offset or mark_base != base_offset or position >= size:
            batch = self._find(row, file, base_offset, size, offset)
            while batch is None:
                if base_offset == active:
                    return None
                # The segment ends in a gap that compaction left; the next one goes on.
                base_offset = self._next_segment(base_offset, active)
                file = self._files.file(self.directory, base_offset)
                size = row.active_size_bytes if base_offset == active else file.size_bytes
                batch = self._find(row, file, base_offset, size, offset)
            position, first_size = batch.position, batch.size_bytes
        if upper_offset >= row.log_end_offset or (
            base_offset != active and upper_offset >= self._next_base(base_offset, active)
        ):
            end = size
        else:
            boundary = self._find(row, file, base_offset, size, upper_offset)
            end = size if boundary is None else boundary.position
            if end <= position:
                return None
        if end - position > max_bytes:
            if at_least_one:
                if first_size < 0:
                    first_size = _batch_size(file.fd, position)
                max_bytes = max(max_bytes, first_size)
            end = min(end, position + max_bytes)
            if end <= position:
                return None
        elif end == size and base_offset == active and upper_offset == row.log_end_offset:
            self._end_mark = (base_offset, upper_offset, end)
        return FileSlice(file, position, end - position)

    def aborted_transactions(self, offset: int, piece: FileSlice, upper_offset: int) -> list[AbortedTransaction]:
        """
        Return the aborted transactions that touch a slice just read; mostly none, at the cost of a comparison.

        offset        what the slice was read for
        upper_offset  its bound: the last stable offset

        Raises KafkaError(KAFKA_STORAGE_ERROR) when an index is unsound: better nothing than wrong records; OSError.
        """
        if self._aborted is None:
            self._aborted = _read_aborted(self.directory)
        if not self._aborted:
            return []
        found = [entry for entry in self._aborted if entry.last_offset >= offset and entry.first_offset < upper_offset]
        if len(found) > _MANY_ABORTED:
            # Those past the slice would be harmless, but be sent again and again.
            end = upper_offset
            for batch in iterate_file_batches(piece.fd, piece.position, piece.position + piece.size_bytes, _WALK_BYTES):
                end = batch.last_offset + 1
            found = [entry for entry in found if entry.first_offset < end]
        return found

    # ------------------------------------------------------------------------------------------------- by timestamp

    def offset_for_timestamp(
        self,
        row: PartitionRow,
        timestamp_ms: int,
        upper_offset: int | None = None,
        deadline_ns: int | None = None,
    ) -> TimestampOffset | None:
        """
        Return the first record whose timestamp is at or after `timestamp_ms`, None when there is none.

        upper_offset  records from here on do not count; None: log end
        deadline_ns   until when records may be looked at, by time.monotonic_ns; None: as long as one look may take

        When a batch is too costly to look at as a whole, the answer is the first of its records that was not looked at:
        a reader that begins there misses nothing.
        Raises OSError, KafkaError(CORRUPT_MESSAGE) for a batch that cannot be decompressed.
        """
        if deadline_ns is None:
            deadline_ns = time.monotonic_ns() + LOOK_NS
        if timestamp_ms > row.max_timestamp:
            return None
        if row.segments_version != self._version:
            self.follow(row)
        upper = row.log_end_offset if upper_offset is None else upper_offset
        for base_offset in self._segments_from(row, row.log_start_offset):
            if base_offset >= upper and base_offset != row.active_base_offset:
                return None
            try:
                found = self._search_segment(row, base_offset, timestamp_ms, deadline_ns)
            except (FileNotFoundError, CorruptIndex):
                continue  # removed by retention meanwhile: what it held no longer counts
            if found is not None:
                return found if found.offset < upper else None
        return None

    def _search_segment(
        self, row: PartitionRow, base_offset: int, timestamp_ms: int, deadline_ns: int
    ) -> TimestampOffset | None:
        sealed = base_offset != row.active_base_offset
        times = self._index_entries(row, base_offset, TIME_INDEX_SUFFIX, time_index.ENTRY_BYTES)
        count = len(times) // time_index.ENTRY_BYTES if sealed else row.active_time_index_entries
        start_offset = max(row.log_start_offset, base_offset)
        if count:
            if sealed and time_index.entry(times, count - 1, base_offset)[0] < timestamp_ms:
                return None
            floor = time_index.floor_entry(times, count, base_offset, timestamp_ms)
            if floor is not None:
                start_offset = max(start_offset, floor[1])
        file = self._files.file(self.directory, base_offset)
        size = file.size_bytes if sealed else row.active_size_bytes
        entry = self._floor_entry(row, base_offset, start_offset)
        # Where messages of format 0 and 1 begin, only the message before them tells.
        begin = max(base_offset, row.log_start_offset)
        for batch in iterate_indexed_batches(file.fd, entry, base_offset, size):
            if batch.max_timestamp >= timestamp_ms and batch.last_offset >= row.log_start_offset:
                if batch.magic == CURRENT_MAGIC:
                    begin = max(batch.base_offset, row.log_start_offset)
                    if batch.attributes & LOG_APPEND_TIME_FLAG:
                        return TimestampOffset(batch.max_timestamp, begin, batch.leader_epoch)
                steps = self._steps_of(file.fd, base_offset, batch, begin, deadline_ns)
                step = steps.find(timestamp_ms)
                if step is not None:
                    return TimestampOffset(step[0], step[1], batch.leader_epoch)
                if steps.unseen_from >= 0:
                    unseen = max(steps.unseen_from, begin)
                    return TimestampOffset(batch.max_timestamp, unseen, batch.leader_epoch)
            begin = max(begin, batch.last_offset + 1)
        return None

    def _steps_of(self, fd: int, base_offset: int, batch: FileBatch, begin: int, deadline_ns: int) -> TimeSteps:
        """Return a batch's steps: looked at once, whatever times are asked for."""
        key = (self.directory, base_offset, batch.position, begin)
        steps = self._files.time_steps(key)
        if steps is None:
            has_time = deadline_ns - time.monotonic_ns() > LOOK_NS // 2
            steps = read_time_steps(os.pread(fd, batch.size_bytes, batch.position), begin, deadline_ns)
            if has_time or steps.unseen_from < 0:
                self._files.keep_time_steps(key, steps)
        return steps

    def max_timestamp(self, row: PartitionRow, deadline_ns: int | None = None) -> TimestampOffset | None:
        """
        Return the first record with the log's largest timestamp, None when no record has one.

        Raises OSError, KafkaError as offset_for_timestamp does.
        """
        if row.max_timestamp < 0 or row.log_end_offset == row.log_start_offset:
            return None
        return self.offset_for_timestamp(row, row.max_timestamp, None, deadline_ns)

    def earliest(self, row: PartitionRow) -> TimestampOffset:
        """Return the log's start, with the epoch of the batch there (-1: no batch). Raises OSError."""
        offset = row.log_start_offset
        epoch = -1
        found = self.read(row, offset, 1, row.log_end_offset)
        if found is not None:
            batch = next(iterate_file_batches(found.fd, found.position, found.position + found.size_bytes, 64), None)
            epoch = -1 if batch is None else batch.leader_epoch
        return TimestampOffset(-1, offset, epoch)

    # -------------------------------------------------------------------------------------------------------- finding

    def _load_bases(self) -> list[int]:
        if not self._bases:
            self._bases = segment_base_offsets(self.directory)
        return self._bases

    def _segment_of(self, offset: int) -> int:
        """Return the base offset of the segment that holds `offset`. Raises FileNotFoundError."""
        bases = self._load_bases()
        number = bisect_right(bases, offset) - 1
        if number < 0:
            raise FileNotFoundError(f"{self.directory}: no segment for offset {offset}")
        return bases[number]

    def _next_base(self, base_offset: int, active: int) -> int:
        bases = self._load_bases()
        number = bisect_right(bases, base_offset)
        return bases[number] if number < len(bases) else active

    def _next_segment(self, base_offset: int, active: int) -> int:
        following = self._next_base(base_offset, active)
        if following <= base_offset:
            raise FileNotFoundError(f"{self.directory}: nothing after segment {base_offset}")
        return min(following, active)

    def _segments_from(self, row: PartitionRow, offset: int) -> Iterator[int]:
        """Yield the base offsets of the segments from the one that holds `offset` to the active one."""
        bases = self._load_bases()
        for base_offset in bases[max(0, bisect_right(bases, offset) - 1) :]:
            if base_offset < row.active_base_offset:
                yield base_offset
        yield row.active_base_offset

    def _index_entries(self, row: PartitionRow, base_offset: int, suffix: str, entry_bytes: int) -> memoryview:
        """Return an index's content, empty when there is none. Raises OSError."""
        least = 0
        if base_offset == row.active_base_offset:
            entries = row.active_index_entries if suffix == INDEX_SUFFIX else row.active_time_index_entries
            if not entries:
                return memoryview(b"")
            least = entries * entry_bytes
        try:
            return self._files.index(self.directory, base_offset, suffix, least)
        except FileNotFoundError:
            if least:
                raise
            return memoryview(b"")

    def _floor_entry(self, row: PartitionRow, base_offset: int, offset: int) -> tuple[int, int] | None:
        """Return the index entry from which to walk a segment to find `offset`, None: from its beginning."""
        entries = self._index_entries(row, base_offset, INDEX_SUFFIX, offset_index.ENTRY_BYTES)
        if base_offset == row.active_base_offset:
            count = row.active_index_entries
        else:
            count = len(entries) // offset_index.ENTRY_BYTES
        return offset_index.floor_entry(entries, count, base_offset, offset)

    def _find(self, row: PartitionRow, file: OpenFile, base_offset: int, size: int, offset: int) -> FileBatch | None:
        """Return the first batch of a segment that ends at or after `offset`, None when there is none."""
        entry = self._floor_entry(row, base_offset, offset)
        for batch in iterate_indexed_batches(file.fd, entry, base_offset, size):
            if batch.last_offset >= offset:
                return batch
        return None


def _read_aborted(directory: str) -> list[AbortedTransaction]:
    names = os.listdir(directory)
    parsed = sorted(found for found in map(parse_segment_name, names) if found and found[1] == TRANSACTION_INDEX_SUFFIX)
    try:
        return [entry for base_offset, _ in parsed for entry in read_transaction_index(directory, base_offset)]
    except ValueError as error:
        raise KafkaError(_KAFKA_STORAGE_ERROR, f"{directory}: damaged transaction index: {error}") from error


def out_of_range(row: PartitionRow, offset: int) -> KafkaError:
    """Return the error for an offset that the log does not hold."""
    return KafkaError(_OFFSET_OUT_OF_RANGE, f"offset {offset} is not in {row.log_start_offset} to {row.log_end_offset}")


def _batch_size(fd: int, position: int) -> int:
    prefix = os.pread(fd, _PREFIX_BYTES, position)
    return int.from_bytes(prefix[8:12], "big") + _PREFIX_BYTES
