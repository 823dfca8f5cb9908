"""PushTelemetry (72): a client delivers its metrics."""

from __future__ import annotations

from kbroker.protocol.schema import Message, boolean, bytes_, int8, int16, int32, uuid
from kbroker.types import Buffer, Uuid


class PushTelemetryRequest(Message, api_key=72, versions=(0, 0), flexible=0):
    """What a client asks with PushTelemetry."""

    client_instance_id: Uuid = uuid()
    subscription_id: int = int32()
    terminating: bool = boolean()
    compression_type: int = int8()
    metrics: Buffer = bytes_()


class PushTelemetryResponse(Message, api_key=72, versions=(0, 0), flexible=0):
    """What the broker answers to PushTelemetry."""

    throttle_time_ms: int = int32()
    error_code: int = int16()
