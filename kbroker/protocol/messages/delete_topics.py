"""DeleteTopics (20): delete topics by name, from version 6 also by id."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int16, int32, string, uuid
from kbroker.types import Uuid


class DeleteTopicState(Message):
    """One entry of `topics` in DeleteTopicsRequest."""

    name: str | None = string(since=6, nullable_since=6, default=None)
    topic_id: Uuid = uuid(since=6)


class DeleteTopicsRequest(Message, api_key=20, versions=(0, 6), flexible=4):
    """What a client asks with DeleteTopics."""

    topics: list[DeleteTopicState] = array(DeleteTopicState, since=6)
    topic_names: list[str] = array(string(), until=5)
    timeout_ms: int = int32()


class DeletableTopicResult(Message):
    """One entry of `responses` in DeleteTopicsResponse."""

    name: str | None = string(nullable_since=6)
    topic_id: Uuid = uuid(since=6)
    error_code: int = int16()
    error_message: str | None = string(since=5, nullable_since=5, default=None)


class DeleteTopicsResponse(Message, api_key=20, versions=(0, 6), flexible=4):
    """What the broker answers to DeleteTopics."""

    throttle_time_ms: int = int32(since=1)
    responses: list[DeletableTopicResult] = array(DeletableTopicResult)
