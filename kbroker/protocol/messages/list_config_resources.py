"""ListConfigResources (74): names of resources that can be configured; client metrics only in version 0."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int8, int16, int32, string


class ListConfigResourcesRequest(Message, api_key=74, versions=(0, 1), flexible=0):
    """What a client asks with ListConfigResources."""

    resource_types: list[int] = array(int8(), since=1)


class ConfigResource(Message):
    """One entry of `config_resources` in ListConfigResourcesResponse."""

    resource_name: str = string()
    resource_type: int = int8(since=1, default=16)


class ListConfigResourcesResponse(Message, api_key=74, versions=(0, 1), flexible=0):
    """What the broker answers to ListConfigResources."""

    throttle_time_ms: int = int32()
    error_code: int = int16()
    config_resources: list[ConfigResource] = array(ConfigResource)
