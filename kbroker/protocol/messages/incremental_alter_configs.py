"""IncrementalAlterConfigs (44): set, delete, append to and subtract from single configuration values."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, boolean, int8, int16, int32, string


class AlterableConfig(Message):
    """One entry of `configs` in IncrementalAlterConfigsRequest."""

    name: str = string()
    config_operation: int = int8()
    value: str | None = string(nullable_since=0)


class AlterConfigsResource(Message):
    """One entry of `resources` in IncrementalAlterConfigsRequest."""

    resource_type: int = int8()
    resource_name: str = string()
    configs: list[AlterableConfig] = array(AlterableConfig)


class IncrementalAlterConfigsRequest(Message, api_key=44, versions=(0, 1), flexible=1):
    """What a client asks with IncrementalAlterConfigs."""

    resources: list[AlterConfigsResource] = array(AlterConfigsResource)
    validate_only: bool = boolean()


class AlterConfigsResourceResponse(Message):
    """One entry of `responses` in IncrementalAlterConfigsResponse."""

    error_code: int = int16()
    error_message: str | None = string(nullable_since=0)
    resource_type: int = int8()
    resource_name: str = string()


class IncrementalAlterConfigsResponse(Message, api_key=44, versions=(0, 1), flexible=1):
    """What the broker answers to IncrementalAlterConfigs."""

    throttle_time_ms: int = int32()
    responses: list[AlterConfigsResourceResponse] = array(AlterConfigsResourceResponse)
