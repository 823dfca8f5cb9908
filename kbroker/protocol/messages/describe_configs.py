"""DescribeConfigs (32): configuration of topics, brokers and other resources, with where each value comes from."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, boolean, int8, int16, int32, string


class DescribeConfigsResource(Message):
    """One entry of `resources` in DescribeConfigsRequest."""

    resource_type: int = int8()
    resource_name: str = string()
    configuration_keys: list[str] | None = array(string(), nullable_since=0)


class DescribeConfigsRequest(Message, api_key=32, versions=(0, 4), flexible=4):
    """What a client asks with DescribeConfigs."""

    resources: list[DescribeConfigsResource] = array(DescribeConfigsResource)
    include_synonyms: bool = boolean(since=1)
    include_documentation: bool = boolean(since=3)


class DescribeConfigsSynonym(Message):
    """One entry of `synonyms` in DescribeConfigsResponse."""

    name: str = string(since=1)
    value: str | None = string(since=1, nullable_since=0)
    source: int = int8(since=1)


class DescribeConfigsResourceResult(Message):
    """One entry of `configs` in DescribeConfigsResponse."""

    name: str = string()
    value: str | None = string(nullable_since=0)
    read_only: bool = boolean()
    config_source: int = int8(since=1, default=-1)
    is_default: bool = boolean(until=0)
    is_sensitive: bool = boolean()
    synonyms: list[DescribeConfigsSynonym] = array(DescribeConfigsSynonym, since=1)
    config_type: int = int8(since=3)
    documentation: str | None = string(since=3, nullable_since=0)


class DescribeConfigsResult(Message):
    """One entry of `results` in DescribeConfigsResponse."""

    error_code: int = int16()
    error_message: str | None = string(nullable_since=0)
    resource_type: int = int8()
    resource_name: str = string()
    configs: list[DescribeConfigsResourceResult] = array(DescribeConfigsResourceResult)


class DescribeConfigsResponse(Message, api_key=32, versions=(0, 4), flexible=4):
    """What the broker answers to DescribeConfigs."""

    throttle_time_ms: int = int32()
    results: list[DescribeConfigsResult] = array(DescribeConfigsResult)
