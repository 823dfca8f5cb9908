"""
DescribeUserScramCredentials (50), AlterUserScramCredentials (51): nobody has credentials while SASL is not served.

What asks for something impossible is answered as Kafka answers it; what would store a credential is refused with the
reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from kbroker.api.handler import Handler, answering
from kbroker.errors import bounded_message
from kbroker.protocol.api_keys import ApiKey
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.alter_user_scram_credentials import (
    AlterUserScramCredentialsRequest,
    AlterUserScramCredentialsResponse,
    AlterUserScramCredentialsResult,
)
from kbroker.protocol.messages.describe_user_scram_credentials import (
    DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse,
    DescribeUserScramCredentialsResult,
)

_MECHANISMS: Final = frozenset({1, 2})
"""SCRAM-SHA-256 and SCRAM-SHA-512."""
_MIN_ITERATIONS: Final = 4_096
_MAX_ITERATIONS: Final = 16_384

_Refusal = tuple[ErrorCode, str]


def _describe(request: DescribeUserScramCredentialsRequest) -> DescribeUserScramCredentialsResponse:
    asked = Counter(user.name for user in request.users or ())
    return DescribeUserScramCredentialsResponse(
        error_message="",
        results=[
            DescribeUserScramCredentialsResult(user=name, error_code=error, error_message=bounded_message(reason))
            for name, (error, reason) in ((name, _why_none(name, times)) for name, times in asked.items())
        ],
    )


def _why_none(name: str, times: int) -> _Refusal:
    if times > 1:
        return ErrorCode.DUPLICATE_RESOURCE, f"User {name} is named {times} times in one request."
    return ErrorCode.RESOURCE_NOT_FOUND, f"User {name} has no SCRAM credential."


def _alter(request: AlterUserScramCredentialsRequest) -> AlterUserScramCredentialsResponse:
    refused: dict[str, _Refusal] = {}
    for deletion in request.deletions:
        refused[deletion.name] = _bad_user(deletion.name, deletion.mechanism) or (
            ErrorCode.RESOURCE_NOT_FOUND,
            f"User {deletion.name} has no SCRAM credential to delete.",
        )
    seen: set[tuple[str, int]] = set()
    for upsertion in request.upsertions:
        name, key = upsertion.name, (upsertion.name, upsertion.mechanism)
        if key in seen:
            refused[name] = (ErrorCode.DUPLICATE_RESOURCE, f"User {name} is named twice in one request.")
        seen.add(key)
        refused.setdefault(
            name,
            _bad_user(name, upsertion.mechanism)
            or _bad_iterations(upsertion.iterations)
            or (
                ErrorCode.UNSUPPORTED_VERSION,
                "SASL is not served in this version of the broker: a SCRAM credential would be of no use.",
            ),
        )
    return AlterUserScramCredentialsResponse(
        results=[
            AlterUserScramCredentialsResult(user=name, error_code=error, error_message=bounded_message(reason))
            for name, (error, reason) in refused.items()
        ]
    )


def _bad_user(name: str, mechanism: int) -> _Refusal | None:
    if not name:
        return ErrorCode.UNACCEPTABLE_CREDENTIAL, "A user's name must not be empty."
    if mechanism not in _MECHANISMS:
        return ErrorCode.UNSUPPORTED_SASL_MECHANISM, f"There is no SCRAM mechanism of number {mechanism}."
    return None


def _bad_iterations(iterations: int) -> _Refusal | None:
    if _MIN_ITERATIONS <= iterations <= _MAX_ITERATIONS:
        return None
    return (
        ErrorCode.UNACCEPTABLE_CREDENTIAL,
        f"{iterations} iterations: {_MIN_ITERATIONS} to {_MAX_ITERATIONS} are allowed.",
    )


HANDLERS: Final[Mapping[int, Handler]] = {
    ApiKey.DESCRIBE_USER_SCRAM_CREDENTIALS: answering(DescribeUserScramCredentialsRequest, _describe),
    ApiKey.ALTER_USER_SCRAM_CREDENTIALS: answering(AlterUserScramCredentialsRequest, _alter),
}
