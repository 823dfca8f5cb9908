"""CreateDelegationToken (38): a token that stands for a principal."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, bytes_, int16, int32, int64, string
from kbroker.types import Buffer


class CreatableRenewers(Message):
    """One entry of `renewers` in CreateDelegationTokenRequest."""

    principal_type: str = string()
    principal_name: str = string()


class CreateDelegationTokenRequest(Message, api_key=38, versions=(0, 3), flexible=2):
    """What a client asks with CreateDelegationToken."""

    owner_principal_type: str | None = string(since=3, nullable_since=3)
    owner_principal_name: str | None = string(since=3, nullable_since=3)
    renewers: list[CreatableRenewers] = array(CreatableRenewers)
    max_lifetime_ms: int = int64()


class CreateDelegationTokenResponse(Message, api_key=38, versions=(0, 3), flexible=2):
    """What the broker answers to CreateDelegationToken."""

    error_code: int = int16()
    principal_type: str = string()
    principal_name: str = string()
    token_requester_principal_type: str = string(since=3)
    token_requester_principal_name: str = string(since=3)
    issue_timestamp_ms: int = int64()
    expiry_timestamp_ms: int = int64()
    max_timestamp_ms: int = int64()
    token_id: str = string()
    hmac: Buffer = bytes_()
    throttle_time_ms: int = int32()
