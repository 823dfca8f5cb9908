"""AlterConfigs (33): replace the whole dynamic configuration of resources."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, boolean, int8, int16, int32, string


class AlterableConfig(Message):
    """One entry of `configs` in AlterConfigsRequest."""

    name: str = string()
    value: str | None = string(nullable_since=0)


class AlterConfigsResource(Message):
    """One entry of `resources` in AlterConfigsRequest."""

    resource_type: int = int8()
    resource_name: str = string()
    configs: list[AlterableConfig] = array(AlterableConfig)


class AlterConfigsRequest(Message, api_key=33, versions=(0, 2), flexible=2):
    """What a client asks with AlterConfigs."""

    resources: list[AlterConfigsResource] = array(AlterConfigsResource)
    validate_only: bool = boolean()


class AlterConfigsResourceResponse(Message):
    """One entry of `responses` in AlterConfigsResponse."""

    error_code: int = int16()
    error_message: str | None = string(nullable_since=0)
    resource_type: int = int8()
    resource_name: str = string()


class AlterConfigsResponse(Message, api_key=33, versions=(0, 2), flexible=2):
    """What the broker answers to AlterConfigs."""

    throttle_time_ms: int = int32()
    responses: list[AlterConfigsResourceResponse] = array(AlterConfigsResourceResponse)
