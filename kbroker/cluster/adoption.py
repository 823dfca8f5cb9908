"""
Partition directories the metadata store does not know: written by Apache Kafka, or by us before the store was lost.

They are adopted: each becomes a partition of a topic with the id its `partition.metadata` tells (a new one when it
tells none, as before Kafka 2.8). Nothing on the disk is touched here; `Controller.adopt` writes the plan into the
store, and the IO workers then open the logs as they do any other.

Only a directory that names a topic id or holds a valid segment is taken for a partition (kbroker.storage.
partition_directory). Whatever else lies in a log directory is a stranger's and left alone; one line tells of it.

Directories of topics whose deletion was under way when the broker died are told apart by their topic id: they are
garbage.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from kbroker.cluster.topic_rules import check_topic_name
from kbroker.errors import KafkaError
from kbroker.logging_setup import in_one_line
from kbroker.metadata.image import TopicState
from kbroker.protocol.record_batch import CURRENT_MAGIC
from kbroker.storage.checkpoints import read_partition_metadata
from kbroker.storage.leader_epoch_cache import read_leader_epochs
from kbroker.storage.partition_directory import Content, examine, why_no_log
from kbroker.storage.paths import PARTITION_METADATA, directory_mark, parse_partition_directory
from kbroker.types import Uuid

_LISTED = 5
_STRANGERS_LISTED = 30
_KAFKAS_OWN = "__cluster_metadata-0"
"""KRaft's metadata log: of no use here, and no stranger's."""


@dataclass(frozen=True, slots=True)
class AdoptedTopic:
    """
    A topic found on disk.

    topic_id       None when no directory tells it
    leader_epochs  by partition, from 0 to the largest found: the epoch to begin with, above all that its log has seen
    found          partitions that have a directory; the others are created empty
    """

    name: str
    topic_id: Uuid | None
    leader_epochs: tuple[int, ...]
    found: frozenset[int]


@dataclass(frozen=True, slots=True)
class AdoptionPlan:
    """
    What to do with directories the store does not know.

    topics     unknown topics, and known ones with more partitions on disk than in the store
    garbage    directories of deleted topics, to be removed
    summary    one line for the log; empty when there is nothing to tell
    strangers  one line that names what is left alone, and why; empty when there is nothing
    """

    topics: tuple[AdoptedTopic, ...] = ()
    garbage: tuple[str, ...] = ()
    summary: str = ""
    strangers: str = ""


@dataclass(frozen=True, slots=True)
class _Found:
    """A directory that may be adopted."""

    partition: int
    path: str
    topic_id: Uuid | None
    has_records: bool
    is_old: bool
    """Its first records are of message format 0 or 1."""


def plan_adoption(
    log_dirs: Sequence[str], known: Mapping[str, TopicState], deleted: Mapping[Uuid, str], room: int = 2**31
) -> AdoptionPlan:
    """
    Return what to adopt.

    log_dirs  those that can be used; one that cannot be listed is passed over, whoever opens its logs finds out
    known     topics of the store, by name
    deleted   as `tree_reader.read_deleted_topics`
    room      for how many more partitions there is room
    """
    strangers: dict[str, str] = {}
    garbage: list[str] = []
    unknown: dict[str, list[_Found]] = {}
    names_by_id = {state.topic_id: name for name, state in known.items()}
    for path in _entries(log_dirs):
        key = parse_partition_directory(os.path.basename(path))
        if key is None:
            strangers[path] = _what(path)
            continue
        state = known.get(key.topic)
        in_store = state is not None and key.partition < len(state.partitions)
        try:
            reason = why_no_log(path, log_dirs)
            # Reading every directory's file would slow down each start, and only tells anything new in these cases.
            topic_id = read_partition_metadata(path) if not reason and (deleted or not in_store) else None
            if topic_id in deleted and (state is None or state.topic_id != topic_id):
                garbage.append(path)
            elif not in_store:
                found = _candidate(key.partition, path, topic_id) if not reason else None
                reason = reason or _why_not(key.topic, found, topic_id, state, names_by_id)
                if reason or found is None:
                    strangers[path] = reason
                else:
                    unknown.setdefault(key.topic, []).append(found)
        except OSError as error:
            if not in_store:
                strangers[path] = f"cannot be read: {error.strerror}"
    topics = tuple(_adoptable(unknown, known, room, strangers))
    old = sorted(found.path for directories in unknown.values() for found in directories if found.is_old)
    summary = _summary(topics, log_dirs, garbage, [path for path in old if path not in strangers])
    return AdoptionPlan(topics, tuple(sorted(garbage)), summary, _told_strangers(strangers))


def _entries(log_dirs: Sequence[str]) -> Iterator[str]:
    """Yield the directories and links of all log directories that need a look."""
    for log_dir in log_dirs:
        try:
            with os.scandir(log_dir) as entries:
                found = sorted(
                    entry.path
                    for entry in entries
                    if (entry.is_symlink() or entry.is_dir())
                    and entry.name != _KAFKAS_OWN
                    and directory_mark(entry.name) != "delete"
                )
        except OSError:
            continue
        yield from found


def _what(path: str) -> str:
    mark = directory_mark(os.path.basename(path))
    if mark == "stray":
        return "set aside earlier"
    return "a copy that Kafka was moving" if mark == "future" else "no partition's name"


def _candidate(partition: int, path: str, topic_id: Uuid | None) -> _Found | None:
    """Return what may be adopted at `path`, None when a stranger lies there. Raises OSError."""
    found = examine(path)
    if not found.is_log:
        return None
    is_old = 0 <= found.magic < CURRENT_MAGIC
    return _Found(partition, path, found.topic_id or topic_id, found.content is Content.RECORDS, is_old)


def _why_not(
    topic: str, found: _Found | None, topic_id: Uuid | None, state: TopicState | None, names_by_id: Mapping[Uuid, str]
) -> str:
    """Return why a directory that the store does not know is not adopted; empty when it is."""
    if found is None:
        return "holds no log"
    try:
        check_topic_name(topic)
    except KafkaError:
        return "no topic may be called so"
    owner = None if topic_id is None else names_by_id.get(topic_id)
    if owner is not None and owner != topic:
        return f"its {PARTITION_METADATA} names the id of topic {owner}"
    if state is not None and topic_id is not None and topic_id != state.topic_id:
        return f"its {PARTITION_METADATA} names another id than topic {topic} has"
    return ""


def _adoptable(
    unknown: Mapping[str, Sequence[_Found]],
    known: Mapping[str, TopicState],
    room: int,
    strangers: dict[str, str],
) -> Iterator[AdoptedTopic]:
    """Yield the topics that there is room for, by name; what is not adopted becomes a stranger."""
    chosen: dict[str, tuple[Uuid | None, dict[int, str]]] = {}
    wanted: dict[str, int] = {}
    ids: dict[Uuid, str] = {}
    for name in sorted(unknown):
        state = known.get(name)
        topic_id = state.topic_id if state is not None else _common_id(unknown[name])
        directories: dict[int, str] = {}
        for found in sorted(unknown[name], key=lambda found: not found.has_records):
            if found.topic_id not in {None, topic_id}:
                strangers[found.path] = f"its {PARTITION_METADATA} names another id than most of topic {name}"
            elif state is None and topic_id is not None and ids.setdefault(topic_id, name) != name:
                strangers[found.path] = f"its {PARTITION_METADATA} names the id of topic {ids[topic_id]}"
            else:
                # Of two with one partition's name, whoever opens the logs tells which it is.
                directories.setdefault(found.partition, found.path)
        if directories:
            chosen[name] = topic_id, directories
            wanted[name] = max(directories) + 1 - (0 if state is None else len(state.partitions))
    # The smallest first: a number that is none, like a date, must not take the room of real topics.
    for name in sorted(chosen, key=lambda name: (wanted[name], name)):
        if wanted[name] <= room:
            room -= wanted[name]
            continue
        _, directories = chosen.pop(name)
        for found in unknown[name]:
            strangers.setdefault(found.path, f"this broker has no room for {max(directories) + 1} partitions")
    for name, (topic_id, directories) in chosen.items():
        yield _adopted(name, directories, topic_id)


def _common_id(directories: Iterable[_Found]) -> Uuid | None:
    """Return the topic id that most directories name, of two that are named as often that of the lowest partition."""
    named = sorted((found.partition, found.topic_id) for found in directories if found.topic_id is not None)
    counts = Counter(topic_id for _, topic_id in named)
    return counts.most_common(1)[0][0] if counts else None


def _adopted(name: str, directories: Mapping[int, str], topic_id: Uuid | None) -> AdoptedTopic:
    epochs = [0] * (max(directories) + 1)
    for partition, directory in directories.items():
        entries = None
        # A file that cannot be read concerns its partition; whoever opens the log finds out.
        with contextlib.suppress(OSError):
            entries = read_leader_epochs(directory)
        if entries:
            epochs[partition] = entries[-1][0] + 1
    return AdoptedTopic(name, topic_id, tuple(epochs), frozenset(directories))


def _summary(
    topics: Sequence[AdoptedTopic], log_dirs: Iterable[str], garbage: Sequence[str], old: Sequence[str]
) -> str:
    parts = []
    if topics:
        names = ", ".join(topic.name for topic in topics[:_LISTED])
        more = f" and {len(topics) - _LISTED} more" if len(topics) > _LISTED else ""
        partitions = sum(len(topic.found) for topic in topics)
        parts.append(
            f"adopted {len(topics)} topic(s) with {partitions} partition(s) found in {', '.join(log_dirs)} that the "
            f"metadata store did not know: {names}{more}; their topic configurations are the defaults"
        )
    if old:
        names = ", ".join(map(os.path.basename, old[:_LISTED]))
        more = f" and {len(old) - _LISTED} more" if len(old) > _LISTED else ""
        parts.append(
            f"{len(old)} of them begin with messages of a format from before Kafka 0.11, which are served as they are, "
            f"to clients that know it: {names}{more}"
        )
    if garbage:
        parts.append(f"{len(garbage)} directories of deleted topics are left to remove")
    return "; ".join(parts)


def _told_strangers(strangers: Mapping[str, str]) -> str:
    if not strangers:
        return ""
    listed = [f"{in_one_line(path, longest=None)} ({strangers[path]})" for path in sorted(strangers)]
    more = f" and {len(listed) - _STRANGERS_LISTED} more" if len(listed) > _STRANGERS_LISTED else ""
    return f"left alone in log.dirs, not the broker's: {', '.join(listed[:_STRANGERS_LISTED])}{more}"
