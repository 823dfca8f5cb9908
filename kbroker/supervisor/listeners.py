"""Bind the broker's listeners before the fork; every network worker accepts from the same sockets."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kbroker.errors import StartupError


@dataclass(frozen=True, slots=True)
class ListenerAddress:
    """A listener as configured; host "" stands for every interface, port 0 for any free one."""

    name: str
    security_protocol: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class BoundListener:
    """A listener that accepts connections; `port` is the real one."""

    name: str
    security_protocol: str
    host: str
    port: int
    sockets: tuple[socket.socket, ...]


def bind(listeners: Iterable[ListenerAddress], backlog: int) -> list[BoundListener]:
    """
    Return the listeners, bound and listening.

    backlog  socket.listen.backlog.size; connections waiting for a worker

    Raises StartupError naming the listener, the cause and the fix.
    """
    bound: list[BoundListener] = []
    try:
        for listener in listeners:
            bound.append(_bind_one(listener, backlog))
    except StartupError:
        for earlier in bound:
            for sock in earlier.sockets:
                sock.close()
        raise
    return bound


def _bind_one(listener: ListenerAddress, backlog: int) -> BoundListener:
    sockets: list[socket.socket] = []
    port = listener.port
    try:
        for family, address in _addresses(listener.host, port):
            sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1 if listener.host else 0)
            # A second address of the same listener follows the port the first one was given.
            sock.bind((address, port))
            sock.listen(backlog)
            port = sock.getsockname()[1]
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise StartupError(_explain(listener, port, error)) from error
    return BoundListener(listener.name, listener.security_protocol, listener.host, port, tuple(sockets))


def _addresses(host: str, port: int) -> Sequence[tuple[socket.AddressFamily, str]]:
    if not host:
        if socket.has_dualstack_ipv6() and _ipv6_works():
            return [(socket.AF_INET6, "::")]
        return [(socket.AF_INET, "0.0.0.0")]  # noqa: S104 - what an empty host asks for
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    addresses = list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))
    # localhost names both loopbacks; one of them may be switched off on this machine.
    if len(addresses) > 1 and not _ipv6_works():
        addresses = [entry for entry in addresses if entry[0] != socket.AF_INET6]
    return sorted(addresses, key=lambda entry: entry[0])


def _ipv6_works() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _explain(listener: ListenerAddress, port: int, error: OSError) -> str:
    where = f"listeners={listener.name}://{listener.host}:{port or listener.port}"
    if error.errno == errno.EADDRINUSE:
        other = f"--override listeners={listener.name}://{listener.host}:{port + 1}"
        return f"{where}: the port is in use by another process; stop that one or choose another port, e.g. {other}"
    if error.errno == errno.EACCES:
        return f"{where}: ports below 1024 need privileges; choose a higher port"
    if isinstance(error, socket.gaierror):
        return f"{where}: the host name is not known here; use an address of this machine or leave it empty"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{where}: the host is no address of this machine; use one that is, or leave it empty"
    return f"{where}: {os.strerror(error.errno or 0)}"
