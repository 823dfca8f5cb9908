"""CreatePartitions (37): give topics more partitions."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, boolean, int16, int32, string


class CreatePartitionsAssignment(Message):
    """One entry of `assignments` in CreatePartitionsRequest."""

    broker_ids: list[int] = array(int32())


class CreatePartitionsTopic(Message):
    """One entry of `topics` in CreatePartitionsRequest."""

    name: str = string()
    count: int = int32()
    assignments: list[CreatePartitionsAssignment] | None = array(CreatePartitionsAssignment, nullable_since=0)


class CreatePartitionsRequest(Message, api_key=37, versions=(0, 3), flexible=2):
    """What a client asks with CreatePartitions."""

    topics: list[CreatePartitionsTopic] = array(CreatePartitionsTopic)
    timeout_ms: int = int32()
    validate_only: bool = boolean()


class CreatePartitionsTopicResult(Message):
    """One entry of `results` in CreatePartitionsResponse."""

    name: str = string()
    error_code: int = int16()
    error_message: str | None = string(nullable_since=0, default=None)


class CreatePartitionsResponse(Message, api_key=37, versions=(0, 3), flexible=2):
    """What the broker answers to CreatePartitions."""

    throttle_time_ms: int = int32()
    results: list[CreatePartitionsTopicResult] = array(CreatePartitionsTopicResult)
