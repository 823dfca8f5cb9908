"""RenewDelegationToken (39): make a delegation token live longer."""

from __future__ import annotations

from kbroker.protocol.schema import Message, bytes_, int16, int32, int64
from kbroker.types import Buffer


class RenewDelegationTokenRequest(Message, api_key=39, versions=(0, 2), flexible=2):
    """What a client asks with RenewDelegationToken."""

    hmac: Buffer = bytes_()
    renew_period_ms: int = int64()


class RenewDelegationTokenResponse(Message, api_key=39, versions=(0, 2), flexible=2):
    """What the broker answers to RenewDelegationToken."""

    error_code: int = int16()
    expiry_timestamp_ms: int = int64()
    throttle_time_ms: int = int32()
