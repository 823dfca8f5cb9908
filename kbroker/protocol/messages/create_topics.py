"""CreateTopics (19): create topics, or check whether that would work."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, boolean, int8, int16, int32, string, uuid
from kbroker.types import Uuid


class CreatableReplicaAssignment(Message):
    """One entry of `assignments` in CreateTopicsRequest."""

    partition_index: int = int32()
    broker_ids: list[int] = array(int32())


class CreatableTopicConfig(Message):
    """One entry of `configs` in CreateTopicsRequest."""

    name: str = string()
    value: str | None = string(nullable_since=0)


class CreatableTopic(Message):
    """One entry of `topics` in CreateTopicsRequest."""

    name: str = string()
    num_partitions: int = int32()
    replication_factor: int = int16()
    assignments: list[CreatableReplicaAssignment] = array(CreatableReplicaAssignment)
    configs: list[CreatableTopicConfig] = array(CreatableTopicConfig)


class CreateTopicsRequest(Message, api_key=19, versions=(0, 7), flexible=5):
    """What a client asks with CreateTopics."""

    topics: list[CreatableTopic] = array(CreatableTopic)
    timeout_ms: int = int32(default=60000)
    validate_only: bool = boolean(since=1)


class CreatableTopicConfigs(Message):
    """One entry of `configs` in CreateTopicsResponse."""

    name: str = string(since=5)
    value: str | None = string(since=5, nullable_since=5)
    read_only: bool = boolean(since=5)
    config_source: int = int8(since=5, default=-1)
    is_sensitive: bool = boolean(since=5)


class CreatableTopicResult(Message):
    """One entry of `topics` in CreateTopicsResponse."""

    name: str = string()
    topic_id: Uuid = uuid(since=7)
    error_code: int = int16()
    error_message: str | None = string(since=1, nullable_since=0)
    topic_config_error_code: int = int16(since=5, tag=0)
    num_partitions: int = int32(since=5, default=-1)
    replication_factor: int = int16(since=5, default=-1)
    configs: list[CreatableTopicConfigs] | None = array(CreatableTopicConfigs, since=5, nullable_since=5)


class CreateTopicsResponse(Message, api_key=19, versions=(0, 7), flexible=5):
    """What the broker answers to CreateTopics."""

    throttle_time_ms: int = int32(since=2)
    topics: list[CreatableTopicResult] = array(CreatableTopicResult)
