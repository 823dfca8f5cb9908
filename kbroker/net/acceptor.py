"""Accept connections from the listeners that all network workers share."""

from __future__ import annotations

import logging
import select
import socket
from collections.abc import Callable
from typing import Any

from kbroker.api.request import ConnectionInfo
from kbroker.ipc.event_loop import EventLoop, Timer
from kbroker.logging_setup import name_client
from kbroker.net.connection_set import ConnectionSet

logger = logging.getLogger(__name__)

_ACCEPTS_PER_TURN = 64
_OUT_OF_DESCRIPTORS_PAUSE_MS = 100


class Acceptor:
    """
    Accepts for one listening socket.

    by_name   whether the listener's host name leads to this socket
    may_open  asked with the client's host before a connection is taken over; returns why not, or None
    """

    def __init__(
        self,
        loop: EventLoop,
        connections: ConnectionSet,
        listener_name: str,
        sock: socket.socket,
        *,
        by_name: bool,
        buffer_bytes: tuple[int, int],
        may_open: Callable[[str], str | None],
    ) -> None:
        self._loop = loop
        self._connections = connections
        self._listener_name = listener_name
        self._sock = sock
        self._by_name = by_name
        self._send_buffer_bytes, self._receive_buffer_bytes = buffer_bytes
        self._may_open = may_open
        self._pause: Timer | None = None

    def open(self) -> None:
        """Start accepting; of several idle workers the kernel wakes one."""
        self._pause = None
        self._loop.add(self._sock.fileno(), select.EPOLLIN | select.EPOLLEXCLUSIVE, self._accept)

    def close(self) -> None:
        """Stop accepting; the socket stays open for the other workers."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove(self._sock.fileno())

    def _accept(self, _events: int) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            try:
                sock, address = self._sock.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                # Out of descriptors: the connection stays in the backlog; trying at once again would only burn the CPU.
                logger.warning("Listener %s cannot accept: %s; trying again soon", self._listener_name, error)
                self.close()
                self._pause = self._loop.call_later(_OUT_OF_DESCRIPTORS_PAUSE_MS, self.open)
                return
            self._take(sock, address)

    def _take(self, sock: socket.socket, address: tuple[str, int]) -> None:
        client_host = _plain_ipv4(address[0])
        refusal = self._may_open(client_host)
        if refusal is not None:
            logger.warning("Connection of %s refused: %s", name_client(client_host, address[1]), refusal)
            sock.close()
            return
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self._send_buffer_bytes >= 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._send_buffer_bytes)
            if self._receive_buffer_bytes >= 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer_bytes)
            local = sock.getsockname()
        except OSError:
            # The client has gone already.
            sock.close()
            return
        info = ConnectionInfo(
            self._listener_name,
            _with_zone(_plain_ipv4(local[0]), local),
            local[1],
            "/" + client_host,
            by_name=self._by_name,
            client_port=address[1],
        )
        self._connections.open(sock, info)


def _plain_ipv4(host: str) -> str:
    """Return a.b.c.d for ::ffff:a.b.c.d: a client that dialled an IPv4 address must be answered with one."""
    return host.removeprefix("::ffff:")


def _with_zone(host: str, sockaddr: tuple[Any, ...]) -> str:
    """Return a link-local address with the interface it lies on: without that nobody can dial it."""
    if len(sockaddr) < 4 or not sockaddr[3]:
        return host
    try:
        return f"{host}%{socket.if_indextoname(sockaddr[3])}"
    except OSError:
        return f"{host}%{sockaddr[3]}"
