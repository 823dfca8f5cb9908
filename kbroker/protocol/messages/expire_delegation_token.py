"""ExpireDelegationToken (40): make a delegation token expire sooner."""

from __future__ import annotations

from kbroker.protocol.schema import Message, bytes_, int16, int32, int64
from kbroker.types import Buffer


class ExpireDelegationTokenRequest(Message, api_key=40, versions=(0, 2), flexible=2):
    """What a client asks with ExpireDelegationToken."""

    hmac: Buffer = bytes_()
    expiry_time_period_ms: int = int64()


class ExpireDelegationTokenResponse(Message, api_key=40, versions=(0, 2), flexible=2):
    """What the broker answers to ExpireDelegationToken."""

    error_code: int = int16()
    expiry_timestamp_ms: int = int64()
    throttle_time_ms: int = int32()
