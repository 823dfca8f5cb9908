"""
One segment of a log: `<base offset>.log` and its two indexes, as their owner sees them.

Files are opened when first needed and closed when the segment is sealed: a worker may own thousands of partitions of
which few are written at a time.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
from collections.abc import Iterable, Sequence
from typing import Final

from kbroker.protocol.record_batch import CONTROL_FLAG, CURRENT_MAGIC
from kbroker.storage import offset_index, time_index
from kbroker.storage.checkpoints import replace_file
from kbroker.storage.file_batches import FileBatch
from kbroker.storage.paths import (
    DELETED_SUFFIX,
    INDEX_SUFFIX,
    LOG_SUFFIX,
    SEGMENT_SUFFIXES,
    TIME_INDEX_SUFFIX,
    segment_path,
)
from kbroker.types import Buffer

MAX_RELATIVE_OFFSET: Final = 2**31 - 1
_MAX_BUFFERS: Final = 1024
_PIECE_BYTES: Final = 32 * 1024
_WHOLE_WRITE_BYTES: Final = 64 * 1024


def write_at(fd: int, buffers: Sequence[Buffer], position: int) -> None:
    """
    Write all of `buffers` one after the other from `position` on: little in one system call, much in pieces.

    Raises OSError; then any part of it may have been written.

    Why pieces: the kernel fills its page cache with blocks as large as the write. Blocks of up to 32 KiB come from the
    CPU's own store of pages in use a moment ago; larger ones are cut from free memory, which a virtual machine may have
    handed back to its host: 1.2 to 2.0 s of CPU per GB with writes of 1 MB, 0.3 s with 32 KiB (docs/decisions/0007).
    """
    pending: list[Buffer] = list(buffers)
    left = sum(len(buffer) for buffer in pending)
    while left:
        first = pending[0]
        piece_bytes = _PIECE_BYTES - position % _PIECE_BYTES
        if left <= _WHOLE_WRITE_BYTES:
            written = os.pwritev(fd, pending[:_MAX_BUFFERS], position)
        elif len(first) > _PIECE_BYTES:
            # What large batches are made of: all pieces but the last, which goes with the batch after it.
            written = _write_pieces(fd, memoryview(first), position, piece_bytes)
        else:
            written = os.pwritev(fd, _first_bytes(pending, piece_bytes), position)
        left -= written
        if not left:
            return
        # More pieces; or a short write: a signal, a full disk (the next call says so), more than the system takes.
        position += written
        done = 0
        while written >= len(pending[done]):
            written -= len(pending[done])
            done += 1
        del pending[:done]
        if written:
            pending[0] = memoryview(pending[0])[written:]


def _write_pieces(fd: int, view: memoryview, position: int, piece_bytes: int) -> int:
    """Write the pieces that `view` holds whole, the first of `piece_bytes`; return how much, less on a short write."""
    start = 0
    end = piece_bytes
    size = len(view)
    while end <= size:
        start += os.pwrite(fd, view[start:end], position + start)
        if start < end:
            break
        end += _PIECE_BYTES
    return start


def _first_bytes(buffers: list[Buffer], size_bytes: int) -> list[Buffer]:
    """Return what makes up the first `size_bytes` of the buffers, which hold more; nothing is copied."""
    taken: list[Buffer] = []
    for buffer in itertools.islice(buffers, _MAX_BUFFERS):
        if len(buffer) >= size_bytes:
            taken.append(memoryview(buffer)[:size_bytes])
            break
        taken.append(buffer)
        size_bytes -= len(buffer)
    return taken


class Segment:
    """
    What the owner knows of one segment.

    directory    the partition's directory
    base_offset  first offset the segment may hold
    created_ms   when it was made (or opened), for rolling by time when its batches carry no timestamp
    """

    __slots__ = (
        "base_offset",
        "created_ms",
        "directory",
        "fd",
        "first_timestamp",
        "holds_markers",
        "index_entries",
        "index_fd",
        "last_indexed_timestamp",
        "max_timestamp",
        "offset_of_max_timestamp",
        "preallocated",
        "roll_jitter_ms",
        "since_index_entry",
        "size_bytes",
        "time_index_entries",
        "time_index_fd",
    )

    def __init__(self, directory: str, base_offset: int, created_ms: int) -> None:
        self.directory = directory
        self.base_offset = base_offset
        self.created_ms = created_ms
        self.size_bytes = 0
        self.index_entries = 0
        self.time_index_entries = 0
        self.max_timestamp = -1
        self.offset_of_max_timestamp = -1
        self.last_indexed_timestamp = -1
        """Timestamp of the time index's last entry."""
        self.since_index_entry = 0
        """Bytes of batches since the offset index's last entry."""
        self.first_timestamp = -1
        """Largest timestamp of the first batch; -1 when not known (yet)."""
        self.holds_markers: bool | None = None
        """Whether control batches were met when the segment was walked; None: it was not."""
        self.roll_jitter_ms = 0
        self.preallocated = False
        self.fd = -1
        self.index_fd = -1
        self.time_index_fd = -1

    def path(self, suffix: str = LOG_SUFFIX) -> str:
        """Return the path of one of the segment's files."""
        return segment_path(self.directory, self.base_offset, suffix)

    def create(self, jitter_ms: int, allocate_bytes: int = 0) -> None:
        """
        Make the segment's files, empty; all of them or none. Raises OSError.

        jitter_ms       the segment is rolled up to that much earlier, by chance, so that partitions do not roll at once
        allocate_bytes  disk space to take at once, given back when the segment is sealed
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        try:
            self.fd = os.open(self.path(), flags, 0o644)
            if allocate_bytes:
                os.posix_fallocate(self.fd, 0, allocate_bytes)
                self.preallocated = True
            for suffix in (INDEX_SUFFIX, TIME_INDEX_SUFFIX):
                os.close(os.open(self.path(suffix), flags, 0o644))
        except OSError:
            # A segment left behind here would end the log at its base offset, whatever is appended before it.
            self.close()
            for suffix in SEGMENT_SUFFIXES:
                with contextlib.suppress(OSError):
                    os.unlink(self.path(suffix))
            raise
        self.roll_jitter_ms = random.randrange(jitter_ms) if jitter_ms > 0 else 0

    def log_fd(self) -> int:
        """Return the open log file. Raises OSError."""
        if self.fd < 0:
            self.fd = os.open(self.path(), os.O_RDWR | os.O_CLOEXEC)
        return self.fd

    def append_index(self, offset_entries: Buffer, time_entries: Buffer) -> None:
        """Write packed index entries after those that are there; the counters move with them. Raises OSError."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        if offset_entries:
            if self.index_fd < 0:
                self.index_fd = os.open(self.path(INDEX_SUFFIX), flags, 0o644)
            write_at(self.index_fd, (offset_entries,), self.index_entries * offset_index.ENTRY_BYTES)
        if time_entries:
            if self.time_index_fd < 0:
                self.time_index_fd = os.open(self.path(TIME_INDEX_SUFFIX), flags, 0o644)
            write_at(self.time_index_fd, (time_entries,), self.time_index_entries * time_index.ENTRY_BYTES)
            self.time_index_entries += len(time_entries) // time_index.ENTRY_BYTES
        self.index_entries += len(offset_entries) // offset_index.ENTRY_BYTES

    def close(self) -> bool:
        """Close the files that are open; return whether any was."""
        any_open = False
        for fd in (self.fd, self.index_fd, self.time_index_fd):
            if fd >= 0:
                os.close(fd)
                any_open = True
        self.fd = self.index_fd = self.time_index_fd = -1
        return any_open

    def seal(self) -> None:
        """Write the time index's last entry, the segment's largest timestamp; give spare space back. Raises OSError."""
        if self.preallocated:
            os.ftruncate(self.log_fd(), self.size_bytes)
            self.preallocated = False
        if self.max_timestamp > self.last_indexed_timestamp and self.size_bytes:
            relative = self.offset_of_max_timestamp - self.base_offset
            self.append_index(b"", time_index.pack_entry(self.max_timestamp, relative))
            self.last_indexed_timestamp = self.max_timestamp

    def largest_timestamp(self) -> int:
        """Return the newest record's timestamp, or when the file was last written if its records carry none."""
        if self.max_timestamp >= 0:
            return self.max_timestamp
        return os.stat(self.path()).st_mtime_ns // 1_000_000

    def move_away(self) -> list[str]:
        """Rename the segment's files to `….deleted` and return their new paths. Raises OSError."""
        self.close()
        moved: list[str] = []
        for suffix in SEGMENT_SUFFIXES:
            path = self.path(suffix)
            try:
                os.rename(path, path + DELETED_SUFFIX)
            except FileNotFoundError:
                continue
            moved.append(path + DELETED_SUFFIX)
        return moved

    def load_indexes(self) -> bool:
        """
        Take over the indexes found on disk; return False when one is missing or unsound and must be rebuilt.

        size_bytes must be set. Raises OSError.
        """
        try:
            with open(self.path(INDEX_SUFFIX), "rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(max(0, size - 2 * offset_index.ENTRY_BYTES))
                tail = file.read()
            if size % offset_index.ENTRY_BYTES or not offset_index.is_sound(tail, self.size_bytes):
                return False
            with open(self.path(TIME_INDEX_SUFFIX), "rb") as file:
                time_size = os.fstat(file.fileno()).st_size
                file.seek(max(0, time_size - 2 * time_index.ENTRY_BYTES))
                time_tail = file.read()
            if time_size % time_index.ENTRY_BYTES or not time_index.is_sound(time_tail):
                return False
        except FileNotFoundError:
            return False
        self.index_entries = size // offset_index.ENTRY_BYTES
        self.time_index_entries = time_size // time_index.ENTRY_BYTES
        if self.time_index_entries:
            last = len(time_tail) // time_index.ENTRY_BYTES - 1
            self.max_timestamp, self.offset_of_max_timestamp = time_index.entry(time_tail, last, self.base_offset)
            self.last_indexed_timestamp = self.max_timestamp
        elif self.size_bytes:
            # Kafka leaves the time index of a segment without timestamps empty; a lost one looks the same.
            return False
        self.since_index_entry = 0
        return True

    def rebuild(self, batches: Iterable[FileBatch], interval_bytes: int, *, with_last_entry: bool) -> None:
        """
        Make both indexes anew from the segment's batches, and all that is derived from them.

        batches          all batches of the segment, in order; size_bytes becomes the end of the last
        with_last_entry  end the time index with the segment's largest timestamp, as a sealed segment has it

        Raises OSError.
        """
        base_offset = self.base_offset
        offsets, times = bytearray(), bytearray()
        end = 0
        self.max_timestamp = self.offset_of_max_timestamp = self.last_indexed_timestamp = self.first_timestamp = -1
        self.since_index_entry = 0
        self.holds_markers = False
        for batch in batches:
            if batch.attributes & CONTROL_FLAG and batch.magic == CURRENT_MAGIC:
                self.holds_markers = True
            if not end:
                self.first_timestamp = batch.max_timestamp
            if batch.max_timestamp > self.max_timestamp:
                self.max_timestamp, self.offset_of_max_timestamp = batch.max_timestamp, batch.last_offset
            if self.since_index_entry > interval_bytes:
                offsets += offset_index.pack_entry(batch.last_offset - base_offset, batch.position)
                if self.max_timestamp > self.last_indexed_timestamp:
                    times += time_index.pack_entry(self.max_timestamp, self.offset_of_max_timestamp - base_offset)
                    self.last_indexed_timestamp = self.max_timestamp
                self.since_index_entry = 0
            self.since_index_entry += batch.size_bytes
            end = batch.position + batch.size_bytes
        if with_last_entry and self.max_timestamp > self.last_indexed_timestamp:
            times += time_index.pack_entry(self.max_timestamp, self.offset_of_max_timestamp - base_offset)
            self.last_indexed_timestamp = self.max_timestamp
        self.close()
        # New files under the old names: readers may have the old ones mapped, see offset_index.
        replace_file(self.path(INDEX_SUFFIX), bytes(offsets), durable=False)
        replace_file(self.path(TIME_INDEX_SUFFIX), bytes(times), durable=False)
        self.index_entries = len(offsets) // offset_index.ENTRY_BYTES
        self.time_index_entries = len(times) // time_index.ENTRY_BYTES
        self.size_bytes = end
