"""
SaslHandshake (17), SaslAuthenticate (36): listeners are PLAINTEXT, so nobody is expected to say who they are.

A client that tries is told the state that Kafka names on such a listener: it ends with an error that a person can read,
instead of a connection that closes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kbroker.api.handler import Handler, answering
from kbroker.protocol.api_keys import ApiKey
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.sasl_authenticate import SaslAuthenticateRequest, SaslAuthenticateResponse
from kbroker.protocol.messages.sasl_handshake import SaslHandshakeRequest, SaslHandshakeResponse

_NOT_HERE: Final = "This listener takes clients without authentication: set security.protocol=PLAINTEXT there."


def _shake_hands(_request: SaslHandshakeRequest) -> SaslHandshakeResponse:
    return SaslHandshakeResponse(error_code=ErrorCode.ILLEGAL_SASL_STATE)


def _authenticate(_request: SaslAuthenticateRequest) -> SaslAuthenticateResponse:
    return SaslAuthenticateResponse(error_code=ErrorCode.ILLEGAL_SASL_STATE, error_message=_NOT_HERE)


HANDLERS: Final[Mapping[int, Handler]] = {
    ApiKey.SASL_HANDSHAKE: answering(SaslHandshakeRequest, _shake_hands),
    ApiKey.SASL_AUTHENTICATE: answering(SaslAuthenticateRequest, _authenticate),
}
