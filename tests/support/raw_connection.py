"""A bare connection that sends what no client library would."""

from __future__ import annotations

import socket
import struct
from typing import Self

from kbroker.protocol.headers import encode_request_header
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

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                return b""
            data += part
        return data
