"""A client that wants to authenticate on a PLAINTEXT listener is told so."""

from __future__ import annotations

import pytest

from kbroker.api.sasl import HANDLERS
from kbroker.protocol.api_keys import ApiKey
from kbroker.protocol.messages.sasl_authenticate import SaslAuthenticateRequest, SaslAuthenticateResponse
from kbroker.protocol.messages.sasl_handshake import SaslHandshakeRequest, SaslHandshakeResponse

ILLEGAL_SASL_STATE = 34


@pytest.mark.parametrize("version", range(2))
def test_no_mechanism_is_offered(world, version: int) -> None:
    exchange = world.send(HANDLERS[ApiKey.SASL_HANDSHAKE].handle, SaslHandshakeRequest(mechanism="PLAIN"), version)
    assert exchange.response(SaslHandshakeResponse) == SaslHandshakeResponse(error_code=ILLEGAL_SASL_STATE)


@pytest.mark.parametrize("version", range(3))
def test_credentials_are_not_wanted(world, version: int) -> None:
    exchange = world.send(HANDLERS[ApiKey.SASL_AUTHENTICATE].handle, SaslAuthenticateRequest(auth_bytes=b"x"), version)
    response = exchange.response(SaslAuthenticateResponse)
    assert response.error_code == ILLEGAL_SASL_STATE
    assert "security.protocol=PLAINTEXT" in response.error_message
