"""BrokerRegistration (62): a broker makes itself known to the controller."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, boolean, int16, int32, int64, string, uint16, uuid
from kbroker.types import Uuid


class Listener(Message):
    """One entry of `listeners` in BrokerRegistrationRequest."""

    name: str = string()
    host: str = string()
    port: int = uint16()
    security_protocol: int = int16()


class Feature(Message):
    """One entry of `features` in BrokerRegistrationRequest."""

    name: str = string()
    min_supported_version: int = int16()
    max_supported_version: int = int16()


class BrokerRegistrationRequest(Message, api_key=62, versions=(0, 4), flexible=0):
    """What a client asks with BrokerRegistration."""

    broker_id: int = int32()
    cluster_id: str = string()
    incarnation_id: Uuid = uuid()
    listeners: list[Listener] = array(Listener)
    features: list[Feature] = array(Feature)
    rack: str | None = string(nullable_since=0)
    is_migrating_zk_broker: bool = boolean(since=1)
    log_dirs: list[Uuid] = array(uuid(), since=2)
    previous_broker_epoch: int = int64(since=3, default=-1)


class BrokerRegistrationResponse(Message, api_key=62, versions=(0, 4), flexible=0):
    """What the broker answers to BrokerRegistration."""

    throttle_time_ms: int = int32()
    error_code: int = int16()
    broker_epoch: int = int64(default=-1)
