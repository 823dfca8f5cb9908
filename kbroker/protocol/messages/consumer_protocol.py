"""What members of a classic consumer group tell each other through JoinGroup and SyncGroup, as clients write it.

A two-byte version stands in front of each; the broker reads it to describe groups and to know subscribed topics.
"""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, bytes_, int32, string
from kbroker.types import Buffer


class TopicPartition(Message):
    """One entry of `owned_partitions` in ConsumerProtocolSubscription."""

    topic: str = string(since=1)
    partitions: list[int] = array(int32(), since=1)


class ConsumerProtocolSubscription(Message, versions=(0, 3)):
    """What ConsumerProtocolSubscription carries."""

    topics: list[str] = array(string())
    user_data: Buffer | None = bytes_(nullable_since=0, default=None)
    owned_partitions: list[TopicPartition] = array(TopicPartition, since=1)
    generation_id: int = int32(since=2, default=-1)
    rack_id: str | None = string(since=3, nullable_since=3, default=None)


class RequestTopicPartition(Message):
    """One entry of `assigned_partitions` in ConsumerProtocolAssignment."""

    topic: str = string()
    partitions: list[int] = array(int32())


class ConsumerProtocolAssignment(Message, versions=(0, 3)):
    """What ConsumerProtocolAssignment carries."""

    assigned_partitions: list[RequestTopicPartition] = array(RequestTopicPartition)
    user_data: Buffer | None = bytes_(nullable_since=0, default=None)
