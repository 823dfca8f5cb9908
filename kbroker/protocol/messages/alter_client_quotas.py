"""AlterClientQuotas (49): set and remove quotas of users and clients."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, boolean, float64, int16, int32, string


class EntityData(Message):
    """One entry of `entity` in AlterClientQuotasRequest."""

    entity_type: str = string()
    entity_name: str | None = string(nullable_since=0)


class OpData(Message):
    """One entry of `ops` in AlterClientQuotasRequest."""

    key: str = string()
    value: float = float64()
    remove: bool = boolean()


class RequestEntryData(Message):
    """One entry of `entries` in AlterClientQuotasRequest."""

    entity: list[EntityData] = array(EntityData)
    ops: list[OpData] = array(OpData)


class AlterClientQuotasRequest(Message, api_key=49, versions=(0, 1), flexible=1):
    """What a client asks with AlterClientQuotas."""

    entries: list[RequestEntryData] = array(RequestEntryData)
    validate_only: bool = boolean()


class ResponseEntryData(Message):
    """One entry of `entries` in AlterClientQuotasResponse."""

    error_code: int = int16()
    error_message: str | None = string(nullable_since=0)
    entity: list[EntityData] = array(EntityData)


class AlterClientQuotasResponse(Message, api_key=49, versions=(0, 1), flexible=1):
    """What the broker answers to AlterClientQuotas."""

    throttle_time_ms: int = int32()
    entries: list[ResponseEntryData] = array(ResponseEntryData)
