"""DescribeDelegationToken (41): the delegation tokens of some owners."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, bytes_, int16, int32, int64, string
from kbroker.types import Buffer


class DescribeDelegationTokenOwner(Message):
    """One entry of `owners` in DescribeDelegationTokenRequest."""

    principal_type: str = string()
    principal_name: str = string()


class DescribeDelegationTokenRequest(Message, api_key=41, versions=(0, 3), flexible=2):
    """What a client asks with DescribeDelegationToken."""

    owners: list[DescribeDelegationTokenOwner] | None = array(DescribeDelegationTokenOwner, nullable_since=0)


class DescribedDelegationTokenRenewer(Message):
    """One entry of `renewers` in DescribeDelegationTokenResponse."""

    principal_type: str = string()
    principal_name: str = string()


class DescribedDelegationToken(Message):
    """One entry of `tokens` in DescribeDelegationTokenResponse."""

    principal_type: str = string()
    principal_name: str = string()
    token_requester_principal_type: str = string(since=3)
    token_requester_principal_name: str = string(since=3)
    issue_timestamp: int = int64()
    expiry_timestamp: int = int64()
    max_timestamp: int = int64()
    token_id: str = string()
    hmac: Buffer = bytes_()
    renewers: list[DescribedDelegationTokenRenewer] = array(DescribedDelegationTokenRenewer)


class DescribeDelegationTokenResponse(Message, api_key=41, versions=(0, 3), flexible=2):
    """What the broker answers to DescribeDelegationToken."""

    error_code: int = int16()
    tokens: list[DescribedDelegationToken] = array(DescribedDelegationToken)
    throttle_time_ms: int = int32()
