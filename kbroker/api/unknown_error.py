"""What a client is told when a handler fails in a way nobody foresaw."""

from __future__ import annotations

from kbroker.errors import KbrokerError
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.registry import response_class
from kbroker.protocol.schema import Payload


def unknown_server_error(api_key: int, api_version: int) -> list[Payload] | None:
    """
    Return an encoded response that says UNKNOWN_SERVER_ERROR; None when the API has no error for the whole request.

    Produce, Metadata and some others only have errors per topic: their clients see the connection closed and try again.
    """
    try:
        response = response_class(api_key)
        if not any(field.name == "error_code" and field.in_version(api_version) for field in response.FIELDS):
            return None
        return response(error_code=ErrorCode.UNKNOWN_SERVER_ERROR).encode_parts(api_version)
    except (KeyError, ValueError, KbrokerError):
        return None
