"""
The small files of a log directory, in Apache Kafka's formats.

    recovery-point-offset-checkpoint   up to where each partition's log has been flushed   (an "offset checkpoint")
    log-start-offset-checkpoint        log start offsets that no segment's name tells
    replication-offset-checkpoint      high watermarks
    cleaner-offset-checkpoint          how far each log has been compacted
    meta.properties                    whose directory this is
    .kafka_cleanshutdown               present after an orderly stop: the logs need no recovery
    <partition>/partition.metadata     topic id

Offset checkpoint: a line "0" (version), a line with the number of entries, then "topic partition offset" per line.

Several IO workers share a log directory and take no locks. Each writes its own part, `<checkpoint>.<worker>`, and
readers let parts win over the file itself. `merge_checkpoints` folds the parts in when all workers have ended, so that
Kafka finds the standard files; `begin_run` folds in what a killed broker left, before the first worker starts. So a
partition is in at most one part, whatever the number of workers was last time.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

from kbroker.errors import StartupError
from kbroker.storage.paths import PARTITION_METADATA, partition_directories
from kbroker.types import TopicPartition, Uuid

logger = logging.getLogger(__name__)

RECOVERY_POINT_CHECKPOINT = "recovery-point-offset-checkpoint"
LOG_START_CHECKPOINT = "log-start-offset-checkpoint"
REPLICATION_CHECKPOINT = "replication-offset-checkpoint"
CLEANER_CHECKPOINT = "cleaner-offset-checkpoint"
OFFSET_CHECKPOINTS = (RECOVERY_POINT_CHECKPOINT, LOG_START_CHECKPOINT, REPLICATION_CHECKPOINT, CLEANER_CHECKPOINT)

_WITHOUT = {
    RECOVERY_POINT_CHECKPOINT: "after a crash the logs are checked from their beginning",
    LOG_START_CHECKPOINT: "deleted records whose segment is still there can be read again",
}

META_PROPERTIES = "meta.properties"
CLEAN_SHUTDOWN = ".kafka_cleanshutdown"


def replace_file(path: str, content: bytes, *, durable: bool = True) -> None:
    """
    Replace a file as a whole: readers and crashes see the old content or the new, never a mixture.

    durable  wait until file and name are on the disk

    Raises OSError.
    """
    temporary = path + ".tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(fd, left) :]
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)
    os.replace(temporary, path)
    if durable:
        sync_directory(os.path.dirname(path) or ".")


def sync_directory(directory: str) -> None:
    """Make the names in a directory durable. Raises OSError."""
    fd = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _read_file(path: str) -> bytes | None:
    """Return a file's content, None when there is none."""
    try:
        # A pipe of that name, which is no file of ours, must not make us wait for somebody to write to it.
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def read_offset_checkpoint(path: str) -> dict[TopicPartition, int]:
    """
    Return the offsets of an offset checkpoint; empty when there is no such file.

    Raises StartupError for a file that is none, OSError.
    """
    content = _read_file(path)
    if not content:
        return {}
    try:
        lines = content.decode().splitlines()
        if int(lines[0]) != 0:
            raise StartupError(f"{path}: checkpoint version {lines[0]} is not known, only 0")
        offsets: dict[TopicPartition, int] = {}
        for line in lines[2:]:
            if line:
                topic, partition, text = line.split()
                offset = int(text)
                if not 0 <= offset < 2**63:
                    raise ValueError(f"offset {offset}")
                offsets[TopicPartition(topic, int(partition))] = offset
        if len(offsets) != int(lines[1]):
            raise ValueError(f"{lines[1]} entries expected, {len(offsets)} found")
        return offsets
    except (ValueError, IndexError) as error:
        raise StartupError(f"{path}: damaged checkpoint ({error})") from error


def write_offset_checkpoint(path: str, offsets: Mapping[TopicPartition, int], *, durable: bool = True) -> None:
    """Replace an offset checkpoint. Raises OSError."""
    lines = [f"{topic} {partition} {offset}\n" for (topic, partition), offset in offsets.items()]
    replace_file(path, f"0\n{len(lines)}\n{''.join(lines)}".encode(), durable=durable)


def part_path(log_dir: str, name: str, worker: int) -> str:
    """Return where IO worker `worker` keeps its part of the checkpoint `name`."""
    return f"{log_dir}/{name}.{worker}"


def _parts(log_dir: str, name: str) -> list[str]:
    """Return the paths of all parts of a checkpoint."""
    prefix = name + "."
    return [
        f"{log_dir}/{entry}"
        for entry in sorted(os.listdir(log_dir))
        if entry.startswith(prefix) and entry[len(prefix) :].isdigit()
    ]


def read_merged_checkpoint(log_dir: str, name: str) -> dict[TopicPartition, int]:
    """
    Return a checkpoint with the parts of all IO workers; parts win.

    A damaged file counts as missing, with a warning that says what follows: logs are checked from their beginning, or
    start where their first segment does. So does something else of that name, or what may not be read. Raises OSError.
    """
    offsets: dict[TopicPartition, int] = {}
    for path in (f"{log_dir}/{name}", *_parts(log_dir, name)):
        try:
            offsets |= read_offset_checkpoint(path)
        except StartupError as error:
            logger.warning("%s; going on without it: %s", error, _WITHOUT.get(name, "nothing is lost by it"))
        except (IsADirectoryError, PermissionError) as error:
            what_follows = _WITHOUT.get(name, "nothing is lost by it")
            logger.warning("%s: %s; going on without it: %s", path, error.strerror, what_follows)
    return offsets


def merge_checkpoints(log_dir: str) -> None:
    """
    Fold the parts of all IO workers into the standard files and remove them; only while no IO worker runs.

    Entries of partitions that are gone are dropped. Raises OSError.
    """
    for name in OFFSET_CHECKPOINTS:
        parts = _parts(log_dir, name)
        if not parts:
            continue
        present = partition_directories(log_dir)
        merged = read_merged_checkpoint(log_dir, name)
        write_offset_checkpoint(f"{log_dir}/{name}", {key: merged[key] for key in merged if key in present})
        for part in parts:
            os.unlink(part)


def _remove_half_written(log_dir: str) -> None:
    """Remove what replace_file left when the process died under it: a new content that never took its name."""
    for name in os.listdir(log_dir):
        if name.endswith(".tmp") and name.startswith((*OFFSET_CHECKPOINTS, META_PROPERTIES, CLEAN_SHUTDOWN)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{log_dir}/{name}")


def begin_run(log_dir: str) -> bool:
    """
    Prepare a log directory for a run, before the first IO worker starts; return whether the last stop was orderly.

    The clean-shutdown marker is removed: should this run die, the next one recovers. Raises OSError.
    """
    _remove_half_written(log_dir)
    merge_checkpoints(log_dir)
    try:
        os.unlink(f"{log_dir}/{CLEAN_SHUTDOWN}")
    except FileNotFoundError:
        return False
    sync_directory(log_dir)
    return True


def end_run(log_dir: str, broker_epoch: int = -1) -> None:
    """
    Finish an orderly run, after every IO worker has closed its logs: checkpoints as Kafka wants them, then the marker.

    broker_epoch  the epoch the broker was registered with, for the next registration; -1: none

    Raises OSError.
    """
    merge_checkpoints(log_dir)
    # The marker last: it vouches for everything before it.
    replace_file(
        f"{log_dir}/{CLEAN_SHUTDOWN}",
        json.dumps({"version": 0, "brokerEpoch": broker_epoch}, separators=(",", ":")).encode(),
    )


def read_clean_shutdown(log_dir: str) -> int | None:
    """
    Return the broker epoch in the clean-shutdown marker: -1 when it names none (Kafka before 3.7), None without marker.

    Raises OSError.
    """
    content = _read_file(f"{log_dir}/{CLEAN_SHUTDOWN}")
    if content is None:
        return None
    try:
        return int(json.loads(content)["brokerEpoch"])
    except (ValueError, KeyError, TypeError):
        return -1


def encode_uuid(uuid: Uuid) -> str:
    """Return 16 bytes as Kafka prints them: base64 for URLs, without padding."""
    return base64.urlsafe_b64encode(uuid).rstrip(b"=").decode()


def decode_uuid(text: str) -> Uuid:
    """Return the 16 bytes of Kafka's text form. Raises ValueError."""
    try:
        uuid = base64.urlsafe_b64decode(text + "==")
    except binascii.Error as error:
        raise ValueError(f"{text!r} is no UUID") from error
    if len(uuid) != 16:
        raise ValueError(f"{text!r} is no UUID")
    return uuid


def read_partition_metadata(directory: str) -> Uuid | None:
    """
    Return the topic id in a partition's directory, None when none is recorded there (or it is unreadable).

    Raises OSError.
    """
    content = _read_file(f"{directory}/{PARTITION_METADATA}")
    if content is None:
        return None
    try:
        fields = dict(line.split(": ", 1) for line in content.decode().splitlines() if line)
        return decode_uuid(fields["topic_id"])
    except (ValueError, KeyError):
        return None


def write_partition_metadata(directory: str, topic_id: Uuid) -> None:
    """Record the topic id in a partition's directory; durable with the log's next flush. Raises OSError."""
    content = f"version: 0\ntopic_id: {encode_uuid(topic_id)}"
    replace_file(f"{directory}/{PARTITION_METADATA}", content.encode(), durable=False)


@dataclass(frozen=True, slots=True)
class MetaProperties:
    """
    Whose log directory this is.

    version       0: written by brokers with ZooKeeper (`broker.id`); 1: by KRaft and kbroker (`node.id`)
    cluster_id    None when not recorded (Kafka before 0.10.1)
    node_id       None when not recorded
    directory_id  the directory's own id, Kafka's text form; None before Kafka 3.7
    """

    version: int = 1
    cluster_id: str | None = None
    node_id: int | None = None
    directory_id: str | None = None


def read_meta_properties(log_dir: str) -> MetaProperties | None:
    """
    Return what meta.properties says, None when the directory has none.

    Raises StartupError for a file that makes no sense, OSError.
    """
    path = f"{log_dir}/{META_PROPERTIES}"
    content = _read_file(path)
    if content is None:
        return None
    fields: dict[str, str] = {}
    for line in content.decode("utf-8", "replace").splitlines():
        line = line.strip()
        if line and line[0] not in "#!":
            key, separator, value = line.partition("=" if "=" in line else ":")
            if separator:
                fields[key.strip()] = value.strip().replace("\\", "")
    try:
        version = int(fields.get("version", "0"))
        node_id = fields.get("broker.id" if version == 0 else "node.id")
        if version not in (0, 1):
            raise ValueError(f"version {version}")
        return MetaProperties(
            version, fields.get("cluster.id"), None if node_id is None else int(node_id), fields.get("directory.id")
        )
    except ValueError as error:
        raise StartupError(f"{path}: cannot be understood ({error})") from error


def write_meta_properties(log_dir: str, properties: MetaProperties) -> None:
    """Replace meta.properties, durably. Raises OSError."""
    lines = ["#", "#" + time.strftime("%a %b %d %H:%M:%S UTC %Y", time.gmtime())]
    if properties.cluster_id is not None:
        lines.append(f"cluster.id={properties.cluster_id}")
    if properties.directory_id is not None:
        lines.append(f"directory.id={properties.directory_id}")
    if properties.node_id is not None:
        lines.append(f"{'broker.id' if properties.version == 0 else 'node.id'}={properties.node_id}")
    lines.append(f"version={properties.version}")
    replace_file(f"{log_dir}/{META_PROPERTIES}", ("\n".join(lines) + "\n").encode())
