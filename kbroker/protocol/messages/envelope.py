"""Envelope (58): a broker forwards a request to the controller together with its principal."""

from __future__ import annotations

from kbroker.protocol.schema import Message, bytes_, int16
from kbroker.types import Buffer


class EnvelopeRequest(Message, api_key=58, versions=(0, 0), flexible=0):
    """What a client asks with Envelope."""

    request_data: Buffer = bytes_()
    request_principal: Buffer | None = bytes_(nullable_since=0)
    client_host_address: Buffer = bytes_()


class EnvelopeResponse(Message, api_key=58, versions=(0, 0), flexible=0):
    """What the broker answers to Envelope."""

    response_data: Buffer | None = bytes_(nullable_since=0, default=None)
    error_code: int = int16()
