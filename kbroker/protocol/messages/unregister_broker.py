"""UnregisterBroker (64): remove the registration of a broker that is gone."""

from __future__ import annotations

from kbroker.protocol.schema import Message, int16, int32, string


class UnregisterBrokerRequest(Message, api_key=64, versions=(0, 0), flexible=0):
    """What a client asks with UnregisterBroker."""

    broker_id: int = int32()


class UnregisterBrokerResponse(Message, api_key=64, versions=(0, 0), flexible=0):
    """What the broker answers to UnregisterBroker."""

    throttle_time_ms: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable_since=0)
