"""DescribeAcls (29): the access rules that match a filter."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int8, int16, int32, string


class DescribeAclsRequest(Message, api_key=29, versions=(0, 3), flexible=2):
    """What a client asks with DescribeAcls."""

    resource_type_filter: int = int8()
    resource_name_filter: str | None = string(nullable_since=0)
    pattern_type_filter: int = int8(since=1, default=3)
    principal_filter: str | None = string(nullable_since=0)
    host_filter: str | None = string(nullable_since=0)
    operation: int = int8()
    permission_type: int = int8()


class AclDescription(Message):
    """One entry of `acls` in DescribeAclsResponse."""

    principal: str = string()
    host: str = string()
    operation: int = int8()
    permission_type: int = int8()


class DescribeAclsResource(Message):
    """One entry of `resources` in DescribeAclsResponse."""

    resource_type: int = int8()
    resource_name: str = string()
    pattern_type: int = int8(since=1, default=3)
    acls: list[AclDescription] = array(AclDescription)


class DescribeAclsResponse(Message, api_key=29, versions=(0, 3), flexible=2):
    """What the broker answers to DescribeAcls."""

    throttle_time_ms: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable_since=0)
    resources: list[DescribeAclsResource] = array(DescribeAclsResource)
