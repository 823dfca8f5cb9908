"""
Partition directories the metadata store does not know: written by Apache Kafka, or by us before the store was lost.

They are adopted: each becomes a partition of a topic with the id its `partition.metadata` tells (a new one when it
tells none, as before Kafka 2.8). Nothing on the disk is touched here; `Controller.adopt` writes the plan into the
store, and the IO workers then open the logs as they do any other.

Directories of topics whose deletion was under way when the broker died are told apart by their topic id: they are
garbage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kbroker.cluster.topic_rules import check_topic_name
from kbroker.errors import KafkaError, StartupError
from kbroker.metadata.image import TopicState
from kbroker.storage.checkpoints import read_partition_metadata
from kbroker.storage.leader_epoch_cache import read_leader_epochs
from kbroker.storage.paths import PARTITION_METADATA, partition_directories, segment_base_offsets
from kbroker.types import TopicPartition, Uuid

_LISTED = 5


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

    topics   unknown topics, and known ones with more partitions on disk than in the store
    garbage  directories of deleted topics, to be removed
    summary  one line for the log; empty when there is nothing to tell
    """

    topics: tuple[AdoptedTopic, ...] = ()
    garbage: tuple[str, ...] = ()
    summary: str = ""


def plan_adoption(
    log_dirs: Sequence[str], known: Mapping[str, TopicState], deleted: Mapping[Uuid, str]
) -> AdoptionPlan:
    """
    Return what to adopt.

    log_dirs  those that can be read
    known     topics of the store, by name
    deleted   as `tree_reader.read_deleted_topics`

    Raises StartupError when a partition lies in two places, or the partitions of a topic name two topic ids; OSError.
    """
    places: dict[TopicPartition, str] = {}
    unknown: dict[str, dict[int, str]] = {}
    ids: dict[str, tuple[Uuid, str]] = {}
    garbage = []
    for log_dir in log_dirs:
        for key, directory in partition_directories(log_dir).items():
            topic, partition = key
            state = known.get(topic)
            in_store = state is not None and partition < len(state.partitions)
            if not in_store and not _is_partition(topic, directory):
                continue
            # Reading every directory's file would slow down each start, and only tells anything new in these cases.
            topic_id = read_partition_metadata(directory) if deleted or not in_store else None
            if topic_id in deleted and (state is None or state.topic_id != topic_id):
                garbage.append(directory)
                continue
            elsewhere = places.setdefault(key, directory)
            if elsewhere != directory:
                raise StartupError(
                    f"{directory} and {elsewhere} both hold partition {partition} of topic {topic}; "
                    "move the one away that is out of date"
                )
            if in_store:
                continue
            unknown.setdefault(topic, {})[partition] = directory
            if topic_id is not None:
                first_id, first_directory = ids.setdefault(topic, (topic_id, directory))
                if first_id != topic_id:
                    raise StartupError(
                        f"{first_directory}/{PARTITION_METADATA} and {directory}/{PARTITION_METADATA} name different "
                        f"topic ids for topic {topic}: they belong to two topics of that name; move one of them away"
                    )
    topics = tuple(_adopted(name, unknown[name], ids.get(name), known.get(name)) for name in sorted(unknown))
    return AdoptionPlan(topics, tuple(sorted(garbage)), _summary(topics, log_dirs, garbage))


def _is_partition(topic: str, directory: str) -> bool:
    """Return whether a directory with a fitting name is a partition's, and not something like "backup-2024"."""
    try:
        check_topic_name(topic)
    except KafkaError:
        return False
    return bool(segment_base_offsets(directory)) or read_partition_metadata(directory) is not None


def _adopted(
    name: str, directories: Mapping[int, str], found_id: tuple[Uuid, str] | None, state: TopicState | None
) -> AdoptedTopic:
    if state is not None and found_id is not None and found_id[0] != state.topic_id:
        raise StartupError(
            f"{found_id[1]} belongs to another topic {name} than the one in the metadata store (its topic id differs); "
            "move the directory away"
        )
    epochs = [0] * (max(directories) + 1)
    for partition, directory in directories.items():
        entries = read_leader_epochs(directory)
        if entries:
            epochs[partition] = entries[-1][0] + 1
    return AdoptedTopic(
        name,
        state.topic_id if state is not None else found_id[0] if found_id is not None else None,
        tuple(epochs),
        frozenset(directories),
    )


def _summary(topics: Sequence[AdoptedTopic], log_dirs: Iterable[str], garbage: Sequence[str]) -> str:
    parts = []
    if topics:
        names = ", ".join(topic.name for topic in topics[:_LISTED])
        more = f" and {len(topics) - _LISTED} more" if len(topics) > _LISTED else ""
        partitions = sum(len(topic.found) for topic in topics)
        parts.append(
            f"adopted {len(topics)} topic(s) with {partitions} partition(s) found in {', '.join(log_dirs)} that the "
            f"metadata store did not know: {names}{more}; their topic configurations are the defaults"
        )
    if garbage:
        parts.append(f"{len(garbage)} directories of deleted topics are left to remove")
    return "; ".join(parts)
