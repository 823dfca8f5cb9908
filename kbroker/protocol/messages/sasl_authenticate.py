"""SaslAuthenticate (36): one step of the exchange of the chosen SASL mechanism."""

from __future__ import annotations

from kbroker.protocol.schema import Message, bytes_, int16, int64, string
from kbroker.types import Buffer


class SaslAuthenticateRequest(Message, api_key=36, versions=(0, 2), flexible=2):
    """What a client asks with SaslAuthenticate."""

    auth_bytes: Buffer = bytes_()


class SaslAuthenticateResponse(Message, api_key=36, versions=(0, 2), flexible=2):
    """What the broker answers to SaslAuthenticate."""

    error_code: int = int16()
    error_message: str | None = string(nullable_since=0)
    auth_bytes: Buffer = bytes_()
    session_lifetime_ms: int = int64(since=1)
