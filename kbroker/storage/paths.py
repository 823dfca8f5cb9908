"""
Names in a log directory, which are Apache Kafka's.

    <topic>-<partition>/                          one partition
    <topic>-<partition>.<32 hex digits>-delete/   a deleted partition, removed after file.delete.delay.ms
    <topic>-<partition>.<32 hex digits>-stray/    another topic's partition of the same name, set aside; never removed
    <topic>-<partition>.<32 hex digits>-future/   a copy that Kafka was moving here; left alone
    <topic>-<partition>/<20 digits>.log           a segment, named by the first offset it may hold; its siblings:
                                    .index .timeindex .txnindex .snapshot
    ….deleted  ….cleaned  ….swap                  a segment on its way out, being compacted, about to replace others
"""

from __future__ import annotations

import os
import re
import uuid

from kbroker.types import TopicPartition

LOG_SUFFIX = ".log"
INDEX_SUFFIX = ".index"
TIME_INDEX_SUFFIX = ".timeindex"
TRANSACTION_INDEX_SUFFIX = ".txnindex"
SNAPSHOT_SUFFIX = ".snapshot"
DELETED_SUFFIX = ".deleted"
CLEANED_SUFFIX = ".cleaned"
SWAP_SUFFIX = ".swap"
SEGMENT_SUFFIXES = (LOG_SUFFIX, INDEX_SUFFIX, TIME_INDEX_SUFFIX, TRANSACTION_INDEX_SUFFIX)
"""What belongs to one segment; snapshots live on when a segment is only replaced."""

LEADER_EPOCH_CHECKPOINT = "leader-epoch-checkpoint"
PARTITION_METADATA = "partition.metadata"

_MAX_NAME_BYTES = 255
_MAX_PARTITION = 2**31 - 1
# As we would write it: "t-00" is no other name of "t-0".
_PARTITION_DIRECTORY = re.compile(r"(?P<topic>[A-Za-z0-9._-]+)-(?P<partition>0|[1-9][0-9]{0,9})")
_MARKED_DIRECTORY = re.compile(
    r"(?P<topic>[A-Za-z0-9._-]*)-(?P<partition>0|[1-9][0-9]{0,9})\.[0-9a-fA-F]{32}-(?P<mark>delete|stray|future)"
)
_SEGMENT_FILE = re.compile(r"([0-9]{20})(\.[a-z.]+)")


def segment_path(directory: str, base_offset: int, suffix: str) -> str:
    """Return the path of a segment's file; `suffix` with its dot."""
    return f"{directory}/{base_offset:020d}{suffix}"


def parse_segment_name(name: str) -> tuple[int, str] | None:
    """Return (base offset, suffix with its dot) of a segment's file, None for any other name."""
    match = _SEGMENT_FILE.fullmatch(name)
    return (int(match[1]), match[2]) if match else None


def parse_partition_directory(name: str) -> TopicPartition | None:
    """Return whose log a directory of that name holds, None when it is no partition's directory."""
    match = _PARTITION_DIRECTORY.fullmatch(name)
    if match is None or int(match["partition"]) > _MAX_PARTITION:
        return None
    return TopicPartition(match["topic"], int(match["partition"]))


def parse_deleted_directory(name: str) -> TopicPartition | None:
    """Return whose log a `-delete` directory held (a very long topic name may be cut), None for any other name."""
    match = _MARKED_DIRECTORY.fullmatch(name)
    if match is None or match["mark"] != "delete":
        return None
    return TopicPartition(match["topic"], int(match["partition"]))


def directory_mark(name: str) -> str:
    """Return "delete", "stray" or "future" for a directory's name that carries such a mark, else an empty string."""
    match = _MARKED_DIRECTORY.fullmatch(name)
    return match["mark"] if match else ""


def deleted_directory_name(topic_partition: TopicPartition) -> str:
    """Return a fresh name for the directory of a deleted partition; at most 255 bytes, as Kafka cuts it."""
    return _marked_directory_name(topic_partition, "delete")


def stray_directory_name(topic_partition: TopicPartition) -> str:
    """Return a fresh name for a partition's directory that the cluster does not know; at most 255 bytes."""
    return _marked_directory_name(topic_partition, "stray")


def _marked_directory_name(topic_partition: TopicPartition, mark: str) -> str:
    ending = f"-{topic_partition.partition}.{uuid.uuid4().hex}-{mark}"
    return topic_partition.topic[: _MAX_NAME_BYTES - len(ending)] + ending


def partition_directories(log_dir: str) -> dict[TopicPartition, str]:
    """
    Return the directory of each partition that lies in `log_dir`.

    Raises OSError when the directory cannot be listed.
    """
    found: dict[TopicPartition, str] = {}
    with os.scandir(log_dir) as entries:
        for entry in entries:
            topic_partition = parse_partition_directory(entry.name)
            if topic_partition is not None and entry.is_dir():
                found[topic_partition] = entry.path
    return found


def segment_base_offsets(directory: str) -> list[int]:
    """
    Return the base offsets of the segments in a partition's directory, ascending.

    Raises OSError when the directory cannot be listed.
    """
    return sorted(
        int(name[:20])
        for name in os.listdir(directory)
        if len(name) == 24 and name.endswith(LOG_SUFFIX) and name[:20].isascii() and name[:20].isdigit()
    )
