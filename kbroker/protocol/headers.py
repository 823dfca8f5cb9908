"""
What stands in front of each message.

    request header 0   api_key int16, api_version int16, correlation_id int32      (ControlledShutdown version 0 only)
    request header 1   + client_id nullable string, two-byte length
    request header 2   + tagged section                                            (flexible versions)
    response header 0  correlation_id int32
    response header 1  + tagged section                                            (flexible versions)

ApiVersions is always answered under response header 0: the client may have asked in a version that we lack. The reply
to an unknown API or version needs the correlation id, so the first eight bytes are delivered even when nothing else
can be understood.
"""

from __future__ import annotations

from struct import Struct
from struct import error as struct_error
from typing import Final, NamedTuple

from kbroker.errors import MalformedMessage
from kbroker.protocol.api_keys import API_VERSIONS, ApiKey
from kbroker.protocol.field import NEVER
from kbroker.protocol.primitives import foreign_text, skip_tagged_fields
from kbroker.types import Buffer


class RequestHeader(NamedTuple):
    """The header of a request and where its body starts."""

    api_key: int
    api_version: int
    correlation_id: int
    client_id: str | None
    body_position: int
    """Bytes from the start of the buffer that was read."""


_unpack_header: Final = Struct(">hhih").unpack_from
_unpack_short_header: Final = Struct(">hhi").unpack_from
_pack_response: Final = Struct(">i").pack
_pack_flexible_response: Final = Struct(">ix").pack
_pack_request: Final = Struct(">hhih").pack
_pack_short_request: Final = Struct(">hhi").pack
_FLEXIBLE_SINCE: Final = {key: versions.flexible_since for key, versions in API_VERSIONS.items()}
_FLEXIBLE_RESPONSE_SINCE: Final = _FLEXIBLE_SINCE | {int(ApiKey.API_VERSIONS): NEVER}
_new: Final = tuple.__new__


def decode_request_header(buffer: Buffer, position: int = 0) -> RequestHeader:
    """
    Return the header that starts at `position`.

    buffer  ends where the request's frame ends

    For an API or a version that our tables lack, client_id and body_position are what could be made out.
    Raises MalformedMessage when a header of a known version is cut off, or when not even eight bytes are there.
    """
    try:
        api_key, api_version, correlation_id, length = _unpack_header(buffer, position)
        flexible_since = _FLEXIBLE_SINCE[api_key]
        if api_version or api_key != 7:
            body = position + 10
            if length > 0:
                client_id = str(buffer[body : body + length], "utf-8")
                body += length
                if body > len(buffer):
                    raise IndexError
            elif length == 0:
                client_id = ""
            else:
                client_id = None
            if api_version >= flexible_since:
                body = body + 1 if buffer[body] == 0 else skip_tagged_fields(buffer, body)
            return _new(RequestHeader, (api_key, api_version, correlation_id, client_id, body))
    except (struct_error, KeyError, IndexError, ValueError) as error:
        return _decode_unusual_header(buffer, position, error)
    return RequestHeader(api_key, api_version, correlation_id, None, position + 8)


def _decode_unusual_header(buffer: Buffer, position: int, error: Exception) -> RequestHeader:
    """Deliver what can be read of a header that the usual way could not."""
    try:
        api_key, api_version, correlation_id = _unpack_short_header(buffer, position)
    except struct_error:
        raise MalformedMessage("request header is cut off") from None
    if api_key == ApiKey.CONTROLLED_SHUTDOWN and api_version == 0:
        return RequestHeader(api_key, api_version, correlation_id, None, position + 8)
    known = API_VERSIONS.get(api_key)
    if known is not None and known.lowest <= api_version <= known.highest:
        if isinstance(error, UnicodeDecodeError):
            return _decode_foreign_client_id(buffer, position)
        raise MalformedMessage(
            f"header of a {ApiKey(api_key).name} request, version {api_version}, is cut off"
        ) from None
    try:
        length = _unpack_header(buffer, position)[3]
        body = position + 10 + max(length, 0)
        if length >= 0 and body <= len(buffer):
            client_id = str(buffer[position + 10 : body], "utf-8")
            return RequestHeader(api_key, api_version, correlation_id, client_id, body)
    except (struct_error, ValueError):
        pass
    return RequestHeader(api_key, api_version, correlation_id, None, position + 8)


def _decode_foreign_client_id(buffer: Buffer, position: int) -> RequestHeader:
    """Deliver a header whose client id is no UTF-8, as Kafka does: with what stands for bytes that cannot be read."""
    api_key, api_version, correlation_id, length = _unpack_header(buffer, position)
    body = position + 10 + length
    try:
        if body > len(buffer):
            raise IndexError
        client_id = foreign_text(buffer[position + 10 : body])
        if api_version >= _FLEXIBLE_SINCE[api_key]:
            body = skip_tagged_fields(buffer, body)
    except (IndexError, ValueError):
        raise MalformedMessage(f"header of a {ApiKey(api_key).name} request is cut off") from None
    return RequestHeader(api_key, api_version, correlation_id, client_id, body)


def encode_request_header(api_key: int, api_version: int, correlation_id: int, client_id: str | None) -> bytes:
    """Return the header that a client of that version sends; for requests from broker to broker, and for tests."""
    if api_key == ApiKey.CONTROLLED_SHUTDOWN and api_version == 0:
        return _pack_short_request(api_key, api_version, correlation_id)
    name = b"" if client_id is None else client_id.encode()
    length = -1 if client_id is None else len(name)
    tags = b"\0" if api_version >= _FLEXIBLE_SINCE[api_key] else b""
    return _pack_request(api_key, api_version, correlation_id, length) + name + tags


def encode_response_header(api_key: int, api_version: int, correlation_id: int) -> bytes:
    """Return the header in front of the answer; an unknown API gets the plain form."""
    if api_version >= _FLEXIBLE_RESPONSE_SINCE.get(api_key, NEVER):
        return _pack_flexible_response(correlation_id)
    return _pack_response(correlation_id)


def decode_response_header(buffer: Buffer, position: int, api_key: int, api_version: int) -> tuple[int, int]:
    """
    Return the correlation id and where the body starts, of an answer to a request that we sent.

    Raises MalformedMessage when it is cut off.
    """
    try:
        correlation_id = int.from_bytes(buffer[position : position + 4], "big", signed=True)
        position += 4
        if api_version >= _FLEXIBLE_RESPONSE_SINCE[api_key]:
            position = skip_tagged_fields(buffer, position)
        if position > len(buffer):
            raise IndexError
    except (IndexError, ValueError):
        raise MalformedMessage("response header is cut off") from None
    return correlation_id, position
