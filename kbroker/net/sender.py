"""
Sends what a connection has to say: bytes, and slices of files that go from the page cache to the socket by sendfile.

Small slices are read and sent together with the bytes before them: two system calls less, and no tiny packet. Before a
large slice the bytes go out with MSG_MORE, so that the kernel joins the response header to the first packet of data.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from typing import Final

from kbroker.protocol.schema import Payload
from kbroker.storage.log_reader import FileSlice, read_bytes

SMALL_SLICE_BYTES: Final = 32 * 1024
_GATHER_BYTES: Final = 256 * 1024


def size_of(part: Payload) -> int:
    """Return the bytes a part stands for."""
    return part.size_bytes if isinstance(part, FileSlice) else len(part)  # type: ignore[arg-type]


class Sender:
    """
    The outgoing side of one socket.

    waiting_bytes  what has been queued and not yet been taken by the socket
    """

    __slots__ = ("_parts", "_position", "_sock", "waiting_bytes")

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._parts: deque[Payload] = deque()
        self._position = 0
        self.waiting_bytes = 0

    def queue(self, part: Payload) -> None:
        """Add a part behind those waiting."""
        self._parts.append(part)
        self.waiting_bytes += size_of(part)

    def queue_bytes(self, data: bytes) -> None:
        """Add bytes behind what is waiting."""
        self._parts.append(data)
        self.waiting_bytes += len(data)

    def send(self) -> bool:
        """
        Send as much as the socket takes; return whether everything is out.

        Raises OSError when the connection is broken.
        """
        parts = self._parts
        try:
            if len(parts) == 1 and not self._position:
                only = parts[0]
                if type(only) is bytes:
                    sent = self._sock.send(only)
                    if sent == len(only):
                        parts.clear()
                        self.waiting_bytes = 0
                    else:
                        self._position = sent
                        self.waiting_bytes -= sent
            while parts:
                if isinstance(parts[0], FileSlice) and (self._position or parts[0].size_bytes > SMALL_SLICE_BYTES):
                    self._send_slice(parts[0])
                else:
                    self._send_bytes()
        except BlockingIOError:
            return False
        return True

    def _send_bytes(self) -> None:
        parts = self._parts
        gathered: list[bytes | memoryview] = []
        size = 0
        more = 0
        for part in parts:
            if isinstance(part, FileSlice):
                length = part.size_bytes
                if length > SMALL_SLICE_BYTES:
                    more = socket.MSG_MORE
                    break
                data = read_bytes(part)
                if len(data) != length:
                    raise ConnectionError(f"the log file ended {length - len(data)} bytes before the slice being sent")
                gathered.append(data)
            else:
                gathered.append(part)  # type: ignore[arg-type]
                length = len(part)  # type: ignore[arg-type]
            size += length
            if size >= _GATHER_BYTES or len(gathered) >= 64:
                break
        joined = gathered[0] if len(gathered) == 1 else b"".join(gathered)
        if self._position:
            # Only the first part can have been sent in part.
            joined = memoryview(joined)[self._position :]
        sent = self._sock.send(joined, more)
        self.waiting_bytes -= sent
        sent += self._position
        self._position = 0
        while parts and sent >= size_of(parts[0]):
            sent -= size_of(parts.popleft())
        if sent:
            self._position = sent

    def _send_slice(self, part: FileSlice) -> None:
        position = self._position
        remaining = part.size_bytes - position
        sent = os.sendfile(self._sock.fileno(), part.fd, part.position + position, remaining)
        if sent == 0:
            # The file is shorter than its row said: only truncation by a disk fault or by hand does that.
            raise ConnectionError(f"the log file ended {remaining} bytes before the slice being sent")
        self.waiting_bytes -= sent
        if sent == remaining:
            self._parts.popleft()
            self._position = 0
        else:
            self._position = position + sent
