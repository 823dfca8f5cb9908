"""OffsetFetch (9): how far consumer groups have read; several groups per request from version 8."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, boolean, int16, int32, int64, string, uuid
from kbroker.types import Uuid


class OffsetFetchRequestTopic(Message):
    """One entry of `topics` in OffsetFetchRequest."""

    name: str = string(until=7)
    partition_indexes: list[int] = array(int32(), until=7)


class OffsetFetchRequestTopics(Message):
    """One entry of `topics` in OffsetFetchRequest."""

    name: str = string(since=8, until=9)
    topic_id: Uuid = uuid(since=10)
    partition_indexes: list[int] = array(int32(), since=8)


class OffsetFetchRequestGroup(Message):
    """One entry of `groups` in OffsetFetchRequest."""

    group_id: str = string(since=8)
    member_id: str | None = string(since=9, nullable_since=9, default=None)
    member_epoch: int = int32(since=9, default=-1)
    topics: list[OffsetFetchRequestTopics] | None = array(OffsetFetchRequestTopics, since=8, nullable_since=8)


class OffsetFetchRequest(Message, api_key=9, versions=(0, 10), flexible=6):
    """What a client asks with OffsetFetch."""

    group_id: str = string(until=7)
    topics: list[OffsetFetchRequestTopic] | None = array(OffsetFetchRequestTopic, until=7, nullable_since=2)
    groups: list[OffsetFetchRequestGroup] = array(OffsetFetchRequestGroup, since=8)
    require_stable: bool = boolean(since=7)


class OffsetFetchResponsePartition(Message):
    """One entry of `partitions` in OffsetFetchResponse."""

    partition_index: int = int32(until=7)
    committed_offset: int = int64(until=7)
    committed_leader_epoch: int = int32(since=5, until=7, default=-1)
    metadata: str | None = string(until=7, nullable_since=0)
    error_code: int = int16(until=7)


class OffsetFetchResponseTopic(Message):
    """One entry of `topics` in OffsetFetchResponse."""

    name: str = string(until=7)
    partitions: list[OffsetFetchResponsePartition] = array(OffsetFetchResponsePartition, until=7)


class OffsetFetchResponsePartitions(Message):
    """One entry of `partitions` in OffsetFetchResponse."""

    partition_index: int = int32(since=8)
    committed_offset: int = int64(since=8)
    committed_leader_epoch: int = int32(since=8, default=-1)
    metadata: str | None = string(since=8, nullable_since=8)
    error_code: int = int16(since=8)


class OffsetFetchResponseTopics(Message):
    """One entry of `topics` in OffsetFetchResponse."""

    name: str = string(since=8, until=9)
    topic_id: Uuid = uuid(since=10)
    partitions: list[OffsetFetchResponsePartitions] = array(OffsetFetchResponsePartitions, since=8)


class OffsetFetchResponseGroup(Message):
    """One entry of `groups` in OffsetFetchResponse."""

    group_id: str = string(since=8)
    topics: list[OffsetFetchResponseTopics] = array(OffsetFetchResponseTopics, since=8)
    error_code: int = int16(since=8)


class OffsetFetchResponse(Message, api_key=9, versions=(0, 10), flexible=6):
    """What the broker answers to OffsetFetch."""

    throttle_time_ms: int = int32(since=3)
    topics: list[OffsetFetchResponseTopic] = array(OffsetFetchResponseTopic, until=7)
    error_code: int = int16(since=2, until=7)
    groups: list[OffsetFetchResponseGroup] = array(OffsetFetchResponseGroup, since=8)
