"""DescribeClientQuotas (48): the quotas that match a filter."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, boolean, float64, int8, int16, int32, string


class ComponentData(Message):
    """One entry of `components` in DescribeClientQuotasRequest."""

    entity_type: str = string()
    match_type: int = int8()
    match: str | None = string(nullable_since=0)


class DescribeClientQuotasRequest(Message, api_key=48, versions=(0, 1), flexible=1):
    """What a client asks with DescribeClientQuotas."""

    components: list[ComponentData] = array(ComponentData)
    strict: bool = boolean()


class EntityData(Message):
    """One entry of `entity` in DescribeClientQuotasResponse."""

    entity_type: str = string()
    entity_name: str | None = string(nullable_since=0)


class ValueData(Message):
    """One entry of `values` in DescribeClientQuotasResponse."""

    key: str = string()
    value: float = float64()


class EntryData(Message):
    """One entry of `entries` in DescribeClientQuotasResponse."""

    entity: list[EntityData] = array(EntityData)
    values: list[ValueData] = array(ValueData)


class DescribeClientQuotasResponse(Message, api_key=48, versions=(0, 1), flexible=1):
    """What the broker answers to DescribeClientQuotas."""

    throttle_time_ms: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable_since=0)
    entries: list[EntryData] | None = array(EntryData, nullable_since=0)
