"""
CreateDelegationToken (38) to DescribeDelegationToken (41): tokens stand for clients that were authenticated, and on
PLAINTEXT listeners nobody is. Answered as Kafka does there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kbroker.api.handler import Handler, answering
from kbroker.protocol.api_keys import ApiKey
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.create_delegation_token import (
    CreateDelegationTokenRequest,
    CreateDelegationTokenResponse,
)
from kbroker.protocol.messages.describe_delegation_token import (
    DescribeDelegationTokenRequest,
    DescribeDelegationTokenResponse,
)
from kbroker.protocol.messages.expire_delegation_token import (
    ExpireDelegationTokenRequest,
    ExpireDelegationTokenResponse,
)
from kbroker.protocol.messages.renew_delegation_token import RenewDelegationTokenRequest, RenewDelegationTokenResponse

_NOT_ALLOWED: Final = ErrorCode.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED
_TYPE, _NAME = "User", "ANONYMOUS"
"""Who a client is that has not said who it is."""
_NEVER: Final = -1


def _create(_request: CreateDelegationTokenRequest) -> CreateDelegationTokenResponse:
    return CreateDelegationTokenResponse(
        error_code=_NOT_ALLOWED,
        principal_type=_TYPE,
        principal_name=_NAME,
        token_requester_principal_type=_TYPE,
        token_requester_principal_name=_NAME,
        issue_timestamp_ms=_NEVER,
        expiry_timestamp_ms=_NEVER,
        max_timestamp_ms=_NEVER,
    )


def _renew(_request: RenewDelegationTokenRequest) -> RenewDelegationTokenResponse:
    return RenewDelegationTokenResponse(error_code=_NOT_ALLOWED, expiry_timestamp_ms=_NEVER)


def _expire(_request: ExpireDelegationTokenRequest) -> ExpireDelegationTokenResponse:
    return ExpireDelegationTokenResponse(error_code=_NOT_ALLOWED, expiry_timestamp_ms=_NEVER)


def _describe(_request: DescribeDelegationTokenRequest) -> DescribeDelegationTokenResponse:
    return DescribeDelegationTokenResponse(error_code=_NOT_ALLOWED)


HANDLERS: Final[Mapping[int, Handler]] = {
    ApiKey.CREATE_DELEGATION_TOKEN: answering(CreateDelegationTokenRequest, _create),
    ApiKey.RENEW_DELEGATION_TOKEN: answering(RenewDelegationTokenRequest, _renew),
    ApiKey.EXPIRE_DELEGATION_TOKEN: answering(ExpireDelegationTokenRequest, _expire),
    ApiKey.DESCRIBE_DELEGATION_TOKEN: answering(DescribeDelegationTokenRequest, _describe),
}
