"""ControllerRegistration (70): a controller makes itself known to the active one."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, boolean, int16, int32, string, uint16, uuid
from kbroker.types import Uuid


class Listener(Message):
    """One entry of `listeners` in ControllerRegistrationRequest."""

    name: str = string()
    host: str = string()
    port: int = uint16()
    security_protocol: int = int16()


class Feature(Message):
    """One entry of `features` in ControllerRegistrationRequest."""

    name: str = string()
    min_supported_version: int = int16()
    max_supported_version: int = int16()


class ControllerRegistrationRequest(Message, api_key=70, versions=(0, 0), flexible=0):
    """What a client asks with ControllerRegistration."""

    controller_id: int = int32()
    incarnation_id: Uuid = uuid()
    zk_migration_ready: bool = boolean()
    listeners: list[Listener] = array(Listener)
    features: list[Feature] = array(Feature)


class ControllerRegistrationResponse(Message, api_key=70, versions=(0, 0), flexible=0):
    """What the broker answers to ControllerRegistration."""

    throttle_time_ms: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable_since=0)
