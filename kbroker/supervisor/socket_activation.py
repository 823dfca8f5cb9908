"""
Sockets that systemd has bound for the broker (sd_listen_fds(3)): descriptors from 3 on, told in three variables.

    LISTEN_PID      whom they are for
    LISTEN_FDS      how many
    LISTEN_FDNAMES  their names, separated by colons: FileDescriptorName= of the .socket unit, else the unit's own name

A socket belongs to the listener that has its name; else to the one that has its port, and of two with the same port to
the one of its address family. A socket that no listener takes is an error: clients would wait for ever in its queue.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping, Sequence
from typing import NamedTuple

from kbroker.config.listeners import Listener
from kbroker.errors import StartupError

FIRST_DESCRIPTOR = 3
VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")


class PassedSocket(NamedTuple):
    """A socket and the name that systemd gave it; "" for none."""

    name: str
    sock: socket.socket

    def where(self) -> str:
        """Return its address, for people."""
        host, port = self.sock.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def take_sockets(environment: MutableMapping[str, str]) -> list[PassedSocket]:
    """
    Return the sockets passed to this process; its children inherit neither them nor the variables, which are removed.

    Raises StartupError for a descriptor that is no listening TCP socket.
    """
    pid, count, names, _ = (environment.pop(name, "") for name in VARIABLES)
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    named = names.split(":") if names else []
    return [
        _taken(FIRST_DESCRIPTOR + number, named[number] if number < len(named) else "") for number in range(int(count))
    ]


def _taken(fd: int, name: str) -> PassedSocket:
    what = f"descriptor {fd}{f' ({name})' if name else ''}, passed by systemd,"
    try:
        os.set_inheritable(fd, False)
        sock = socket.socket(fileno=fd)
        listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise StartupError(f"{what} cannot be used ({error.strerror}); the broker takes ListenStream= only") from error
    refusal = ""
    if sock.family not in {socket.AF_INET, socket.AF_INET6} or sock.type != socket.SOCK_STREAM:
        refusal = "is no TCP socket; the broker takes ListenStream= with a port, or address and port"
    elif not listens:
        refusal = "is a connection; the .socket unit needs Accept=no"
    if refusal:
        sock.close()
        raise StartupError(f"{what} {refusal}")
    sock.setblocking(False)
    return PassedSocket(name, sock)


def match_sockets(listeners: Sequence[Listener], passed: Sequence[PassedSocket]) -> dict[str, list[socket.socket]]:
    """
    Return listener name → the sockets that are its own; listeners without any are missing.

    Raises StartupError for a socket that no listener takes.
    """
    matched: dict[str, list[socket.socket]] = {}
    for one in passed:
        listener = _listener_of(one, listeners)
        if listener is None:
            known = ", ".join(map(str, listeners))
            raise StartupError(
                f"systemd listens on {one.where()}, which is none of listeners={known}: "
                f"name the port there, or give the .socket unit FileDescriptorName={listeners[0].name}"
            )
        matched.setdefault(listener.name, []).append(one.sock)
    return matched


def _listener_of(passed: PassedSocket, listeners: Sequence[Listener]) -> Listener | None:
    for listener in listeners:
        if listener.name == passed.name.upper():
            return listener
    port = passed.sock.getsockname()[1]
    found = [listener for listener in listeners if listener.port == port]
    if len(found) > 1:
        found = [one for one in found if (":" in one.host) == (passed.sock.family == socket.AF_INET6)]
    return found[0] if len(found) == 1 else None
