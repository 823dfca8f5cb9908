"""A bare connection that sends what no client library would."""

from __future__ import annotations

import socket
import struct
from typing import Any, Self

from kbroker.protocol.api_keys import API_VERSIONS, ApiKey
from kbroker.protocol.headers import encode_request_header
from kbroker.protocol.messages.registry import response_class
from kbroker.protocol.schema import Message


class RawConnection:
    """Requests as frames on a socket, one after the other, answered or not."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host.strip("[]"), int(port)), 30)
        self._correlation_id = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.socket.close()

    def send(self, request: Message, version: int) -> None:
        """Send a request."""
        self._correlation_id += 1
        body = encode_request_header(request.API_KEY, version, self._correlation_id, "raw") + request.encode(version)
        self.socket.sendall(struct.pack(">i", len(body)) + body)

    def receive(self) -> bytes:
        """Return the next frame without its length; b"" when the broker has closed the connection."""
        size = self._exactly(4)
        return self._exactly(struct.unpack(">i", size)[0]) if size else b""

    def ask(self, request: Message, version: int) -> Any:
        """Send a request and return its answer, read to its last byte; fails when the broker closes the connection."""
        api_key = request.API_KEY
        assert api_key is not None
        self.send(request, version)
        frame = self.receive()
        assert frame, f"{type(request).__name__} v{version}: the broker closed the connection"
        flexible = version >= API_VERSIONS[api_key].flexible_since
        answer, end = response_class(api_key).decode(
            frame, version, 5 if flexible and api_key != ApiKey.API_VERSIONS else 4
        )
        assert end == len(frame)
        return answer

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                return b""
            data += part
        return data
