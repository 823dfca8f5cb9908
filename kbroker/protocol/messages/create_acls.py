"""CreateAcls (30): add access rules."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int8, int16, int32, string


class AclCreation(Message):
    """One entry of `creations` in CreateAclsRequest."""

    resource_type: int = int8()
    resource_name: str = string()
    resource_pattern_type: int = int8(since=1, default=3)
    principal: str = string()
    host: str = string()
    operation: int = int8()
    permission_type: int = int8()


class CreateAclsRequest(Message, api_key=30, versions=(0, 3), flexible=2):
    """What a client asks with CreateAcls."""

    creations: list[AclCreation] = array(AclCreation)


class AclCreationResult(Message):
    """One entry of `results` in CreateAclsResponse."""

    error_code: int = int16()
    error_message: str | None = string(nullable_since=0)


class CreateAclsResponse(Message, api_key=30, versions=(0, 3), flexible=2):
    """What the broker answers to CreateAcls."""

    throttle_time_ms: int = int32()
    results: list[AclCreationResult] = array(AclCreationResult)
