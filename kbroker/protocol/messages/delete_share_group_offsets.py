"""DeleteShareGroupOffsets (92): forget where a share group starts."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int16, int32, string, uuid
from kbroker.types import Uuid


class DeleteShareGroupOffsetsRequestTopic(Message):
    """One entry of `topics` in DeleteShareGroupOffsetsRequest."""

    topic_name: str = string()


class DeleteShareGroupOffsetsRequest(Message, api_key=92, versions=(0, 0), flexible=0):
    """What a client asks with DeleteShareGroupOffsets."""

    group_id: str = string()
    topics: list[DeleteShareGroupOffsetsRequestTopic] = array(DeleteShareGroupOffsetsRequestTopic)


class DeleteShareGroupOffsetsResponseTopic(Message):
    """One entry of `responses` in DeleteShareGroupOffsetsResponse."""

    topic_name: str = string()
    topic_id: Uuid = uuid()
    error_code: int = int16()
    error_message: str | None = string(nullable_since=0, default=None)


class DeleteShareGroupOffsetsResponse(Message, api_key=92, versions=(0, 0), flexible=0):
    """What the broker answers to DeleteShareGroupOffsets."""

    throttle_time_ms: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable_since=0, default=None)
    responses: list[DeleteShareGroupOffsetsResponseTopic] = array(DeleteShareGroupOffsetsResponseTopic)
