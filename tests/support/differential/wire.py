"""A socket to a broker: frames out, and what comes of them, a connection that closes or keeps silent included."""

from __future__ import annotations

import socket
import struct
from enum import Enum
from typing import Final

from kbroker.protocol.api_keys import ApiKey
from kbroker.protocol.headers import encode_request_header
from kbroker.protocol.messages.api_versions import ApiVersionsRequest

ANSWER_TIMEOUT_S: Final = 4.0


class NoAnswer(Enum):
    """What may come instead of an answer."""

    CLOSED = "the connection is closed"
    TIMED_OUT = "no answer in time"
    NONE = "no answer, as asked for"


def header_bytes(api: int, version: int, correlation_id: int, client_id: str | None, *, flexible: bool) -> bytes:
    """Return a request header, of APIs and versions that nobody has, too."""
    name = b"" if client_id is None else client_id.encode()
    length = -1 if client_id is None else len(name)
    return struct.pack(">hhih", api, version, correlation_id, length) + name + (b"\0" if flexible else b"")


class Connection:
    """One connection to a broker."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), ANSWER_TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.correlation_id = 0
        self.is_open = True

    def next_correlation_id(self) -> int:
        """Return the number of the next request."""
        self.correlation_id += 1
        return self.correlation_id

    def send(self, frame: bytes, size: int | None = None) -> None:
        """Send a frame; `size` is what its length field says, unless it is the truth."""
        try:
            self._socket.sendall(struct.pack(">i", len(frame) if size is None else size) + frame)
        except OSError:
            self.close()

    def receive(self, timeout_s: float = ANSWER_TIMEOUT_S) -> bytes | NoAnswer:
        """Return the next frame without its length, or why there is none."""
        self._socket.settimeout(timeout_s) if self.is_open else None
        try:
            (size,) = struct.unpack(">i", self._exactly(4))
            return self._exactly(size)
        except TimeoutError:
            self.close()
            return NoAnswer.TIMED_OUT
        except OSError:
            self.close()
            return NoAnswer.CLOSED

    def receive_unless_silent(self) -> bytes | NoAnswer:
        """Return the answer to the last request, NONE when the broker answers a request after it first."""
        number = self.next_correlation_id()
        header = encode_request_header(ApiKey.API_VERSIONS, 0, number, "differential")
        self.send(header + ApiVersionsRequest().encode(0))
        answer = self.receive()
        if isinstance(answer, NoAnswer):
            return answer
        if int.from_bytes(answer[:4], "big") == number:
            return NoAnswer.NONE
        self.receive()
        return answer

    def close(self) -> None:
        """Close it."""
        self.is_open = False
        self._socket.close()

    def _exactly(self, size: int) -> bytes:
        if not self.is_open:
            raise OSError("closed")
        data = bytearray()
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                raise OSError("closed")
            data += part
        return bytes(data)
