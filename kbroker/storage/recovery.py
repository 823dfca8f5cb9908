"""
Opening a partition's directory: finishing what a crash interrupted, and finding out what can be trusted.

After an orderly stop the files are taken as they are. Otherwise every segment from the recovery point on is walked,
each batch held against its checksum; the log ends after the last whole, valid batch, and what follows is cut off.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import zlib
from collections.abc import Callable, Iterator
from stat import S_ISREG
from typing import NamedTuple

from fastcrc import crc32

from kbroker.errors import KafkaError
from kbroker.protocol.record_batch import CONTROL_FLAG, TRANSACTIONAL_FLAG, iterate_records, read_batch_header
from kbroker.storage import offset_index
from kbroker.storage.file_batches import FileBatch, iterate_file_batches, iterate_indexed_batches, parse_batch
from kbroker.storage.log_config import LogConfig
from kbroker.storage.paths import (
    CLEANED_SUFFIX,
    DELETED_SUFFIX,
    INDEX_SUFFIX,
    LEADER_EPOCH_CHECKPOINT,
    LOG_SUFFIX,
    PARTITION_METADATA,
    SEGMENT_SUFFIXES,
    SWAP_SUFFIX,
    parse_segment_name,
    segment_base_offsets,
    segment_path,
)
from kbroker.storage.producer_state import ProducerState
from kbroker.storage.segment import MAX_RELATIVE_OFFSET, Segment
from kbroker.types import Buffer

logger = logging.getLogger(__name__)

_crc32c = crc32.iscsi
_WINDOW_BYTES = 4 * 1024 * 1024
_WALK_WINDOW_BYTES = 64 * 1024

Progress = Callable[[], None]
"""Called every few MiB of work, so that whoever watches this process sees that it lives."""


def no_progress() -> None:
    """Tell nobody."""


def finish_interrupted_changes(directory: str) -> None:
    """
    Clean up what was under way when the log was last used.

    `.deleted` and `.cleaned` files go: they are past their life, or never began it. A `.swap` segment is complete and
    takes the place of the segments whose offsets it covers, unless an unfinished split (`.cleaned` at or before it)
    shows that its siblings are missing. Raises OSError.
    """
    names = os.listdir(directory)
    cleaned = [parse_segment_name(name[: -len(CLEANED_SUFFIX)]) for name in names if name.endswith(CLEANED_SUFFIX)]
    first_cleaned = min((found[0] for found in cleaned if found), default=None)
    swaps: list[tuple[int, str]] = []
    for name in names:
        path = f"{directory}/{name}"
        if _is_remains(name):
            os.unlink(path)
        elif name.endswith(SWAP_SUFFIX):
            found = parse_segment_name(name[: -len(SWAP_SUFFIX)])
            if found is None:
                continue
            if first_cleaned is not None and found[0] >= first_cleaned:
                os.unlink(path)
            else:
                swaps.append((found[0], found[1]))
    swapped = [base_offset for base_offset, suffix in swaps if suffix == LOG_SUFFIX]
    for base_offset in swapped:
        end = _end_offset(segment_path(directory, base_offset, LOG_SUFFIX) + SWAP_SUFFIX, base_offset)
        for other in segment_base_offsets(directory):
            if base_offset <= other < max(end, base_offset + 1):
                for suffix in SEGMENT_SUFFIXES:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(segment_path(directory, other, suffix))
    for base_offset, suffix in swaps:
        path = segment_path(directory, base_offset, suffix)
        os.replace(path + SWAP_SUFFIX, path)
    kept = set(segment_base_offsets(directory))
    for name in os.listdir(directory):
        found = parse_segment_name(name)
        if found and found[0] not in kept and found[1] in SEGMENT_SUFFIXES:
            logger.warning("%s/%s: index without its log, removed", directory, name)
            os.unlink(f"{directory}/{name}")


def _is_remains(name: str) -> bool:
    """Return whether a file is one of ours, past its life or never begun, and not something like notes.tmp."""
    stem, suffix = os.path.splitext(name)
    if suffix in {DELETED_SUFFIX, CLEANED_SUFFIX}:
        return parse_segment_name(stem) is not None
    return suffix == ".tmp" and (
        stem in {LEADER_EPOCH_CHECKPOINT, PARTITION_METADATA} or parse_segment_name(stem) is not None
    )


def _end_offset(path: str, base_offset: int) -> int:
    """Return the offset after the last batch of a segment file."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        end = base_offset
        for batch in iterate_file_batches(fd, 0, os.fstat(fd).st_size, _WALK_WINDOW_BYTES):
            end = batch.last_offset + 1
        return end
    finally:
        os.close(fd)


def _walk(fd: int, end: int, progress: Progress, entry: tuple[int, int] | None = None) -> Iterator[FileBatch]:
    """Yield the batches of a segment, headers only, from its beginning or an index entry on, and show progress."""
    report = _WINDOW_BYTES
    progress()
    for batch in iterate_indexed_batches(fd, entry, 0, end, _WALK_WINDOW_BYTES):
        if batch.position > report:
            report = batch.position + _WINDOW_BYTES
            progress()
        yield batch


def _file_size(segment: Segment) -> int:
    """Return the size of a segment's log file. Raises OSError, also for something else of that name."""
    status = os.stat(segment.path())
    if not S_ISREG(status.st_mode):
        # Opening a pipe would wait for whoever writes to it.
        raise OSError(errno.EISDIR, "no regular file", segment.path())
    return status.st_size


def load_segment(
    directory: str, base_offset: int, now_ms: int, config: LogConfig, progress: Progress, *, sealed: bool
) -> Segment:
    """
    Return a segment as its files describe it; its indexes are rebuilt when they are missing or unsound.

    sealed  whether a later segment exists

    Raises OSError.
    """
    segment = Segment(directory, base_offset, now_ms)
    segment.size_bytes = _file_size(segment)
    if not segment.load_indexes():
        if segment.size_bytes:
            logger.info("%s: indexes missing or unsound, rebuilt", segment.path())
        file_size = segment.size_bytes
        batches = _walk(segment.log_fd(), file_size, progress)
        segment.rebuild(batches, config.index_interval_bytes, with_last_entry=sealed)
        if sealed:
            # A sealed segment is trusted here; only recovery cuts logs.
            segment.size_bytes = file_size
    return segment


class Findings:
    """What was met while recovering segments, so that they need not be walked again for it."""

    __slots__ = ("epochs", "first_producer_offset")

    def __init__(self) -> None:
        self.epochs: list[tuple[int, int]] = []
        """(leader epoch, offset of its first batch), both ascending."""
        self.first_producer_offset = -1
        """First offset written by an idempotent producer; -1: none."""

    def watch(self, batches: Iterator[FileBatch]) -> Iterator[FileBatch]:
        """Pass batches on, noting what is met."""
        latest = self.epochs[-1][0] if self.epochs else -1
        for batch in batches:
            if batch.leader_epoch > latest:
                latest = batch.leader_epoch
                self.epochs.append((latest, batch.base_offset))
            if batch.producer_id >= 0 and self.first_producer_offset < 0:
                self.first_producer_offset = batch.base_offset
            yield batch


def recover_segment(
    segment: Segment, config: LogConfig, progress: Progress, findings: Findings, *, sealed: bool
) -> int:
    """
    Cut a segment after its last whole, valid batch and rebuild its indexes; return how many bytes were cut.

    Raises OSError.
    """
    file_size = _file_size(segment)
    batches = _valid_batches(segment.log_fd(), segment.base_offset, file_size, progress)
    segment.rebuild(findings.watch(batches), config.index_interval_bytes, with_last_entry=sealed)
    if segment.size_bytes < file_size:
        os.ftruncate(segment.log_fd(), segment.size_bytes)
    return file_size - segment.size_bytes


def _valid_batches(fd: int, base_offset: int, end: int, progress: Progress) -> Iterator[FileBatch]:
    """Yield the batches of a segment file up to the first that is cut off, damaged or out of order."""
    position = 0
    next_offset = base_offset
    while position < end:
        progress()
        window = memoryview(os.pread(fd, _WINDOW_BYTES, position))
        batch = parse_batch(window, 0, end - position, position)
        if batch is None:
            return
        if batch.size_bytes > len(window):
            window = memoryview(os.pread(fd, batch.size_bytes, position))
        start = 0
        while batch is not None and start + batch.size_bytes <= len(window):
            if not next_offset <= batch.last_offset <= base_offset + MAX_RELATIVE_OFFSET:
                return
            if batch.base_offset < next_offset or not checksum_holds(
                window[start : start + batch.size_bytes], batch.magic
            ):
                return
            yield batch
            next_offset = batch.last_offset + 1
            start += batch.size_bytes
            position += batch.size_bytes
            batch = parse_batch(window, start, end - position, position)
        if start == 0:
            return


def checksum_holds(content: memoryview, magic: int) -> bool:
    """Return whether a batch's checksum is right."""
    if magic == 2:
        return int(_crc32c(content[21:])) == int.from_bytes(content[17:21], "big")
    return zlib.crc32(content[16:]) == int.from_bytes(content[12:16], "big")


class Marker(NamedTuple):
    """What ends a transaction; `kind` is 0 for an abort, 1 for a commit."""

    kind: int
    coordinator_epoch: int


def read_marker(content: Buffer) -> Marker | None:
    """
    Return the transaction marker in a control batch, None when it is of another kind.

    content  the whole batch
    """
    try:
        for record in iterate_records(content, read_batch_header(content, 0)):
            key, value = record.key, record.value
            if key is None or value is None or len(key) < 4 or len(value) < 6:
                continue
            kind = int.from_bytes(key[2:4], "big")
            if kind in {0, 1}:
                return Marker(kind, int.from_bytes(value[2:6], "big", signed=True))
    except KafkaError:
        return None
    return None


def replay_producers(
    state: ProducerState, segments: list[Segment], end_offset: int, progress: Progress = no_progress
) -> None:
    """Bring the producers' state from `map_end_offset` up to `end_offset`. Raises OSError."""
    start_offset = state.map_end_offset
    for number, segment in enumerate(segments):
        segment_end = segments[number + 1].base_offset if number + 1 < len(segments) else end_offset
        if segment_end <= start_offset or segment.base_offset >= end_offset:
            continue
        fd = os.open(segment.path(), os.O_RDONLY | os.O_CLOEXEC)
        try:
            for batch in walk_from(segment, fd, start_offset, progress):
                if batch.producer_id >= 0 and batch.base_offset >= start_offset:
                    _replay(state, batch, fd)
        finally:
            os.close(fd)
    state.map_end_offset = max(state.map_end_offset, end_offset)


def walk_from(segment: Segment, fd: int, offset: int, progress: Progress) -> Iterator[FileBatch]:
    """Yield a segment's batches, headers only, from shortly before `offset` on. Raises OSError."""
    return _walk(fd, segment.size_bytes, progress, _floor_entry(segment, offset))


def _replay(state: ProducerState, batch: FileBatch, fd: int) -> None:
    if batch.attributes & CONTROL_FLAG:
        marker = read_marker(os.pread(fd, batch.size_bytes, batch.position))
        if marker is not None:
            state.append_marker(
                batch.producer_id, batch.producer_epoch, marker.coordinator_epoch, batch.max_timestamp, check=False
            )
        return
    state.append(
        batch.producer_id,
        batch.producer_epoch,
        batch.base_sequence,
        batch.last_offset - batch.base_offset,
        batch.base_offset,
        batch.max_timestamp,
        transactional=bool(batch.attributes & TRANSACTIONAL_FLAG),
        check=False,
    )


def _floor_entry(segment: Segment, offset: int) -> tuple[int, int] | None:
    """Return the index entry from which to walk a segment to find `offset`. Raises OSError."""
    try:
        with open(segment.path(INDEX_SUFFIX), "rb") as file:
            entries = file.read(segment.index_entries * offset_index.ENTRY_BYTES)
    except FileNotFoundError:
        return None
    return offset_index.floor_entry(entries, len(entries) // offset_index.ENTRY_BYTES, segment.base_offset, offset)


def position_of(segment: Segment, offset: int) -> tuple[int, int]:
    """
    Return (position of the first batch that ends at or after `offset`, its base offset); (size, -1) when there is none.

    Raises OSError.
    """
    fd = os.open(segment.path(), os.O_RDONLY | os.O_CLOEXEC)
    try:
        for batch in iterate_indexed_batches(
            fd, _floor_entry(segment, offset), segment.base_offset, segment.size_bytes
        ):
            if batch.last_offset >= offset:
                return batch.position, batch.base_offset
    finally:
        os.close(fd)
    return segment.size_bytes, -1


def end_of(segment: Segment) -> tuple[int, int]:
    """Return (offset after the segment's last whole batch, position after it). Raises OSError."""
    end, position = segment.base_offset, 0
    fd = os.open(segment.path(), os.O_RDONLY | os.O_CLOEXEC)
    try:
        entry = _floor_entry(segment, segment.base_offset + MAX_RELATIVE_OFFSET)
        for batch in iterate_indexed_batches(fd, entry, segment.base_offset, segment.size_bytes, _WALK_WINDOW_BYTES):
            end = batch.last_offset + 1
            position = batch.position + batch.size_bytes
    finally:
        os.close(fd)
    return end, position


def first_batch_of(segment: Segment) -> FileBatch | None:
    """Return the segment's first batch, None when it is empty. Raises OSError."""
    fd = os.open(segment.path(), os.O_RDONLY | os.O_CLOEXEC)
    try:
        return next(iterate_file_batches(fd, 0, segment.size_bytes, 64), None)
    finally:
        os.close(fd)


def find_leader_epochs(segments: list[Segment], progress: Progress) -> list[tuple[int, int]]:
    """Return (leader epoch, offset of its first batch) of all epochs met in the segments' batches. Raises OSError."""
    findings = Findings()
    for segment in segments:
        fd = os.open(segment.path(), os.O_RDONLY | os.O_CLOEXEC)
        try:
            for _ in findings.watch(_walk(fd, segment.size_bytes, progress)):
                pass
        finally:
            os.close(fd)
    return findings.epochs
