"""
A port that stays ours while no broker listens on it.

Between a stop and the next start the kernel may give a broker's port to anybody who asks for a free one: a broker of
another pytest worker, or a client's end of a connection. A socket that is bound to it and never listens prevents that
and does not stand in a broker's way: Linux lets sockets with SO_REUSEADDR share a port of which at most one listens.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence

from kbroker.supervisor.listeners import ipv6_works

_ATTEMPTS = 20


def hold_free_port(host: str) -> tuple[int, list[socket.socket]]:
    """
    Return a port that is free on every address of a host, and the sockets that hold it; (0, []) when none can be held.

    host  as in `listeners`; "" stands for every interface
    """
    for _ in range(_ATTEMPTS):
        held: list[socket.socket] = []
        port = 0
        try:
            for family, address in _addresses(host):
                held.append(socket.socket(family, socket.SOCK_STREAM))
                held[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    held[-1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                held[-1].bind((address, port, *_rest(family)))
                port = held[-1].getsockname()[1]
        except OSError:
            release(held)
        else:
            return port, held
    return 0, []


def _rest(family: int) -> tuple[int, ...]:
    """Return what follows host and port in an address of a family."""
    return (0, 0) if family == socket.AF_INET6 else ()


def release(held: Sequence[socket.socket]) -> None:
    """Let the ports go."""
    for sock in held:
        sock.close()


def _addresses(host: str) -> list[tuple[int, str]]:
    """Return family and address of each place that a listener on this host may bind; IPv6 where there is any."""
    names = {"": ("0.0.0.0", "::"), "::": ("0.0.0.0", "::"), "localhost": ("127.0.0.1", "::1")}  # noqa: S104
    found: dict[tuple[int, str], None] = {}
    for name in names.get(host, (host,)):
        with contextlib.suppress(socket.gaierror):
            for family, *_, address in socket.getaddrinfo(name, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE):
                if family != socket.AF_INET6 or ipv6_works():
                    found[family, str(address[0])] = None
    return sorted(found)
