"""AlterReplicaLogDirs (34): move replicas between the log directories of one broker."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int16, int32, string


class AlterReplicaLogDirTopic(Message):
    """One entry of `topics` in AlterReplicaLogDirsRequest."""

    name: str = string()
    partitions: list[int] = array(int32())


class AlterReplicaLogDir(Message):
    """One entry of `dirs` in AlterReplicaLogDirsRequest."""

    path: str = string()
    topics: list[AlterReplicaLogDirTopic] = array(AlterReplicaLogDirTopic)


class AlterReplicaLogDirsRequest(Message, api_key=34, versions=(0, 2), flexible=2):
    """What a client asks with AlterReplicaLogDirs."""

    dirs: list[AlterReplicaLogDir] = array(AlterReplicaLogDir)


class AlterReplicaLogDirPartitionResult(Message):
    """One entry of `partitions` in AlterReplicaLogDirsResponse."""

    partition_index: int = int32()
    error_code: int = int16()


class AlterReplicaLogDirTopicResult(Message):
    """One entry of `results` in AlterReplicaLogDirsResponse."""

    topic_name: str = string()
    partitions: list[AlterReplicaLogDirPartitionResult] = array(AlterReplicaLogDirPartitionResult)


class AlterReplicaLogDirsResponse(Message, api_key=34, versions=(0, 2), flexible=2):
    """What the broker answers to AlterReplicaLogDirs."""

    throttle_time_ms: int = int32()
    results: list[AlterReplicaLogDirTopicResult] = array(AlterReplicaLogDirTopicResult)
