"""What a frame may look like, and what to tell a person about one that does not: a frame is [int32 size][request]."""

from __future__ import annotations

from kbroker.api.handler import Handler
from kbroker.protocol.api_keys import ApiKey

MIN_FRAME_BYTES = 8
"""The shortest request header: api key, api version, correlation id."""

_HTTP_METHODS = (b"GET ", b"POST", b"PUT ", b"HEAD", b"DELE", b"OPTI", b"PATC")


def explain(beginning: bytes, size: int, limit: int) -> str:
    """Say why a frame of `size` bytes, starting with `beginning`, cannot be read."""
    if beginning[:4] in _HTTP_METHODS:
        return "the client speaks HTTP; this port speaks the Kafka protocol"
    if beginning[0] == 0x16 and beginning[1:2] == b"\x03":
        return "the client starts a TLS handshake; this listener is PLAINTEXT (set security.protocol=PLAINTEXT there)"
    if beginning[:4] == b"SSH-":
        return "the client speaks SSH; this port speaks the Kafka protocol"
    if size > limit:
        return f"a request of {size} bytes is larger than socket.request.max.bytes={limit}"
    return f"a request of {size} bytes: no Kafka request is shorter than {MIN_FRAME_BYTES} bytes"


def api_name(api_key: int, version: int) -> str:
    """Return a request's name for the log: Fetch v12."""
    try:
        name = ApiKey(api_key).name.title().replace("_", "")
    except ValueError:
        name = f"API {api_key}"
    return f"{name} v{version}"


def explain_unknown(api_key: int, version: int, handler: Handler | None) -> str:
    """Say why a request's API or version is not served."""
    if handler is None:
        return f"{api_name(api_key, version)} is not served"
    return f"{api_name(api_key, version)} is not served; versions {handler.min_version} to {handler.max_version} are"
