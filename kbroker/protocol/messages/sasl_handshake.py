"""SaslHandshake (17): choose a SASL mechanism."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int16, string


class SaslHandshakeRequest(Message, api_key=17, versions=(0, 1)):
    """What a client asks with SaslHandshake."""

    mechanism: str = string()


class SaslHandshakeResponse(Message, api_key=17, versions=(0, 1)):
    """What the broker answers to SaslHandshake."""

    error_code: int = int16()
    mechanisms: list[str] = array(string())
