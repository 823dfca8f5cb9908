"""
Whose a directory is that lies in a log directory and is called like a partition.

Volumes bring `lost+found`, people make `backup-2024` or link to elsewhere. A directory is a partition's when it names
the topic's id in its partition.metadata, when it holds a valid segment, or when the metadata store knows the partition
(it may be empty then, or hold the first files of a log: the broker died while it made it). Whatever else there is, is a
stranger's: nothing is created in it, taken from it or deleted.

Two directories with one partition's name, in two log directories: the one with records is the partition's. When both
have records nobody can tell which are newer; then that partition is not served, and everything else is.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from stat import S_ISREG
from typing import NamedTuple

from kbroker.storage.checkpoints import read_partition_metadata
from kbroker.storage.file_batches import BATCH_HEADER_BYTES, parse_batch
from kbroker.storage.paths import (
    LEADER_EPOCH_CHECKPOINT,
    LOG_SUFFIX,
    PARTITION_METADATA,
    SEGMENT_SUFFIXES,
    SNAPSHOT_SUFFIX,
    parse_segment_name,
)
from kbroker.storage.recovery import checksum_holds
from kbroker.types import ZERO_UUID, Uuid


class Content(IntEnum):
    """What lies in a directory, the more convincing the larger."""

    STRANGE = 0
    """Something, but nothing of a log's."""
    BEGUN = 1
    """Nothing, or what a broker that died while it made the log has left."""
    SEGMENT = 2
    RECORDS = 3


class Examined(NamedTuple):
    """What was found in a directory with a partition's name; topic_id is None when it names none."""

    content: Content
    topic_id: Uuid | None
    magic: int = -1
    """The message format of the first record found; -1: none was."""

    @property
    def is_log(self) -> bool:
        """Whether it can be told without the metadata store that a broker made it."""
        return self.content >= Content.SEGMENT or self.topic_id is not None


def examine(path: str) -> Examined:
    """Return what lies in a directory. Raises OSError."""
    names = os.listdir(path)
    content = Content.BEGUN if not names or any(map(_is_of_a_log, names)) else Content.STRANGE
    magic = -1
    for name in sorted(names):
        parsed = parse_segment_name(name)
        if parsed is not None and parsed[1] == LOG_SUFFIX:
            found, magic = _segment_content(f"{path}/{name}", parsed[0])
            content = max(content, found)
            if content is Content.RECORDS:
                break
    topic_id = read_partition_metadata(path)
    return Examined(content, None if topic_id == ZERO_UUID else topic_id, magic)


def _segment_content(path: str, base_offset: int) -> tuple[Content, int]:
    """Return whether a segment file holds records, as its first batch tells, and their format. Raises OSError."""
    status = os.stat(path)
    if not S_ISREG(status.st_mode):
        return Content.STRANGE, -1
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        head = os.pread(fd, BATCH_HEADER_BYTES, 0)
        if not any(head):
            # Nothing yet; or only the space that was taken for it.
            return Content.SEGMENT, -1
        batch = parse_batch(head, 0, status.st_size, 0)
        if batch is None or batch.last_offset < base_offset:
            return Content.STRANGE, -1
        content = memoryview(os.pread(fd, batch.size_bytes, 0))
        whole = len(content) == batch.size_bytes
        if whole and checksum_holds(content, batch.magic):
            return Content.RECORDS, batch.magic
        return Content.STRANGE, -1
    finally:
        os.close(fd)


def is_deleted_log(path: str) -> bool:
    """Return whether a directory with a `-delete` name holds what is left of a log, and so may go. Raises OSError."""
    if os.path.islink(path) or not os.path.isdir(path):
        return False
    names = os.listdir(path)
    return not names or any(map(_is_of_a_log, names))


def _is_of_a_log(name: str) -> bool:
    """Return whether a file's name is one that only a broker gives."""
    return name.removesuffix(".tmp") in {PARTITION_METADATA, LEADER_EPOCH_CHECKPOINT} or _is_segments_file(name)


def _is_segments_file(name: str) -> bool:
    parsed = parse_segment_name(name)
    return parsed is not None and "." + parsed[1].split(".")[1] in {*SEGMENT_SUFFIXES, SNAPSHOT_SUFFIX}


@dataclass(frozen=True, slots=True)
class Choice:
    """
    Which of the directories with a partition's name is the partition's.

    path        None when none is, or when it cannot be told
    left_alone  what the others are, for a person: "/d/t-0 (a link to /e)"
    conflict    why it cannot be told; empty when it can
    """

    path: str | None = None
    left_alone: tuple[str, ...] = ()
    conflict: str = ""


def choose(paths: Sequence[str], topic_id: Uuid, log_dirs: Sequence[str]) -> Choice:
    """
    Return which directory holds the log of a partition that the metadata store knows.

    paths     directories with the partition's name, in the order of log.dirs
    topic_id  the topic's id; ZERO_UUID when it is not known
    log_dirs  all log directories: a link into one of them would give a log two owners

    Raises OSError.
    """
    candidates: list[tuple[str, Examined]] = []
    left_alone: list[str] = []
    for path in paths:
        reason = why_no_log(path, log_dirs)
        if not reason:
            found = examine(path)
            if found.topic_id is not None and topic_id not in {ZERO_UUID, found.topic_id}:
                reason = f"its {PARTITION_METADATA} names another topic's id"
            elif not found.is_log and os.path.islink(path):
                reason = f"a link to {os.path.realpath(path)}, where no log is"
            elif not found.is_log and found.content is Content.STRANGE:
                reason = "holds no log"
        if reason:
            left_alone.append(f"{path} ({reason})")
        else:
            candidates.append((path, found))
    if not candidates:
        return Choice(None, tuple(left_alone))
    with_records = [candidate for candidate in candidates if candidate[1].content is Content.RECORDS]
    named = [candidate for candidate in with_records or candidates if candidate[1].topic_id == topic_id]
    fitting = named or with_records or candidates
    if len(fitting) > 1 and with_records:
        places = " and ".join(path for path, _ in fitting)
        return Choice(
            None, tuple(left_alone), f"{places} both hold its log; move the one away that is out of date, then restart"
        )
    chosen = fitting[0][0]
    left_alone += [f"{path} (the partition's log is {chosen})" for path, _ in candidates if path != chosen]
    return Choice(chosen, tuple(left_alone))


def why_no_log(path: str, log_dirs: Sequence[str]) -> str:
    """Return why a partition's log cannot lie at `path`, whatever is in it; empty when it can."""
    if not os.path.isdir(path):
        return "a link to nowhere" if os.path.islink(path) else "no directory"
    if os.path.islink(path):
        target = os.path.realpath(path)
        if any(target == top or target.startswith(top + "/") for top in map(os.path.realpath, log_dirs)):
            return f"a link to {target}, which lies in log.dirs itself"
    return ""


class Way(IntEnum):
    """Whether a partition's directory can be made at a path."""

    FREE = 0
    """There is nothing, or what an attempt to make it has left, or a directory of the same topic."""
    FOREIGN = 1
    """A directory of another topic of that name: it may get a `-stray` name."""
    BLOCKED = 2


def way_to(path: str, topic_id: Uuid) -> Way:
    """Return whether the log of a new partition can be made at `path`. Raises OSError."""
    if not os.path.lexists(path):
        return Way.FREE
    if os.path.islink(path) or not os.path.isdir(path):
        return Way.BLOCKED
    found = examine(path)
    if found.topic_id is None:
        only_begun = found.content is not Content.RECORDS and all(map(_is_of_a_log, os.listdir(path)))
        return Way.FREE if only_begun else Way.BLOCKED
    return Way.FREE if found.topic_id == topic_id else Way.FOREIGN
