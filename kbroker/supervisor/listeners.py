"""
Bind the broker's listeners before the fork; every network worker accepts from the same sockets.

Which sockets a host stands for:

    nothing           one for both families; 0.0.0.0 where there is no IPv6
    ::                the same, unless another listener has the port on IPv4 (KIP-797): then IPv6 alone
    0.0.0.0           IPv4 alone
    an address        that one; ::ffff:a.b.c.d is a.b.c.d
    localhost         both loopback addresses, whichever of them this machine's resolver knows (RFC 6761)
    any other name    every address it has that is one of this machine
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import logging
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from kbroker.config.listeners import Listener, is_address, is_loopback_name
from kbroker.errors import StartupError

logger = logging.getLogger(__name__)

_ANY_IPV4 = "0.0.0.0"  # noqa: S104 - what a wildcard asks for
_ANY_IPV6 = "::"
_LOOPBACKS = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_NOT_HERE = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
"""The address, or its whole family, is not on this machine."""
_PORT_ATTEMPTS = 32
"""How many free ports of one family are tried until one is free in the other, too."""


@dataclass(frozen=True, slots=True)
class BoundSocket:
    """
    One socket of a listener.

    by_name  whether who looks up the listener's host name comes to this address, and so may be told the name
    """

    sock: socket.socket
    by_name: bool


@dataclass(frozen=True, slots=True)
class BoundListener:
    """A listener that accepts connections; `port` is the real one."""

    name: str
    security_protocol: str
    host: str
    port: int
    sockets: tuple[BoundSocket, ...]

    def close(self) -> None:
        """Close the sockets."""
        for bound in self.sockets:
            bound.sock.close()


class _Place(NamedTuple):
    """
    One address of a listener.

    sockaddr  as bind takes it, but for the port
    optional  nobody named it: whether it can be had or not is no reason to fail
    """

    family: int
    sockaddr: tuple[str | int, ...]
    optional: bool = False
    by_name: bool = True
    both_families: bool = False


def bind(
    listeners: Sequence[Listener], backlog: int, inherited: Mapping[str, Sequence[socket.socket]] | None = None
) -> list[BoundListener]:
    """
    Return the listeners, bound and listening, in their order.

    backlog    socket.listen.backlog.size; connections waiting for a worker
    inherited  listener name → sockets that somebody else has bound for it and that are taken as they are

    Raises StartupError naming the listener, the cause and the fix.
    """
    given = {} if inherited is None else inherited
    bound: dict[str, BoundListener] = {}
    try:
        # Chosen ports last, so that none takes one that another listener asks for.
        for listener in sorted(listeners, key=lambda one: one.port == 0):
            if listener.name in given:
                bound[listener.name] = _take_over(listener, given[listener.name])
            else:
                alone = not any(other.port == listener.port and other is not listener for other in listeners)
                bound[listener.name] = _bind_one(listener, backlog, both_families=alone or listener.port == 0)
    except StartupError:
        for earlier in bound.values():
            earlier.close()
        raise
    return [bound[listener.name] for listener in listeners]


def _take_over(listener: Listener, sockets: Sequence[socket.socket]) -> BoundListener:
    """Return a listener with sockets that were bound as somebody else saw fit; its name counts if it fits them."""
    address, port = sockets[0].getsockname()[:2]
    by_name = [
        not is_loopback_name(listener.host)
        or sock.getsockname()[0] in _looked_up_by_clients(listener.host, sock.family)
        for sock in sockets
    ]
    host = listener.host if listener.host_name and any(by_name) else str(address)
    taken = tuple(map(BoundSocket, sockets, by_name))
    return BoundListener(listener.name, listener.security_protocol, host, port, taken)


def _bind_one(listener: Listener, backlog: int, *, both_families: bool) -> BoundListener:
    for attempt in range(_PORT_ATTEMPTS):
        try:
            return _bind_places(listener, _places(listener.host, listener.port, both_families), backlog)
        except OSError as error:
            if listener.port == 0 and error.errno == errno.EADDRINUSE and attempt + 1 < _PORT_ATTEMPTS:
                continue
            raise StartupError(_explain(listener, error)) from error
    raise AssertionError


def _bind_places(listener: Listener, places: Sequence[_Place], backlog: int) -> BoundListener:
    """Bind what can be bound of the places. Raises OSError, whose filename is the address, when one is in the way."""
    several = len(places) > 1
    sockets: list[BoundSocket] = []
    not_here: OSError | None = None
    port = listener.port
    try:
        for place in places:
            try:
                sock = _listen(place, port, backlog)
            except OSError as error:
                error.filename = str(place.sockaddr[0]) if several else None
                if several and error.errno in _NOT_HERE:
                    not_here = error
                    continue
                if place.optional and error.errno == errno.EADDRINUSE and listener.port:
                    logger.warning(
                        "listeners=%s: another process has the port on %s, which is left to it",
                        listener,
                        error.filename,
                    )
                    continue
                raise
            sockets.append(BoundSocket(sock, place.by_name))
            # A second address of the same listener follows the port the first one was given.
            port = sock.getsockname()[1]
        if not sockets and not_here is not None:
            raise not_here
    except OSError:
        for bound in sockets:
            bound.sock.close()
        raise
    host = listener.host
    if sockets[0].sock.family == socket.AF_INET and _unspecified(host) == _ANY_IPV6:
        host = _ANY_IPV4
    return BoundListener(listener.name, listener.security_protocol, host, port, tuple(sockets))


def _listen(place: _Place, port: int, backlog: int) -> socket.socket:
    sock = socket.socket(place.family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if place.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if place.both_families else 1)
        host, *rest = place.sockaddr
        sock.bind((host, port, *rest))
        sock.listen(backlog)
    except OSError:
        sock.close()
        raise
    return sock


def _places(host: str, port: int, both_families: bool) -> list[_Place]:
    """Return what a host stands for, IPv4 first. Raises OSError when a name is not known."""
    any_ipv4 = _Place(socket.AF_INET, (_ANY_IPV4,))
    unspecified = _unspecified(host)
    if unspecified == _ANY_IPV6:
        if not socket.has_ipv6 or not _family_exists(socket.AF_INET6):
            return [any_ipv4]
        return [_Place(socket.AF_INET6, (_ANY_IPV6,), both_families=both_families)]
    if unspecified == "":
        if socket.has_dualstack_ipv6() and ipv6_works():
            return [_Place(socket.AF_INET6, (_ANY_IPV6,), both_families=True)]
        return [any_ipv4]
    if unspecified == _ANY_IPV4:
        return [any_ipv4]
    if is_loopback_name(host):
        return _loopback_places(host, port)
    found = socket.getaddrinfo(_without_mapping(host), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    places = [_Place(family, _without_port(sockaddr)) for family, _, _, _, sockaddr in found]
    return sorted(dict.fromkeys(places), key=lambda place: place.family)


def _loopback_places(host: str, port: int) -> list[_Place]:
    """Return the loopback addresses, and what else a name such as localhost has here."""
    known: list[str] = []
    # Without a hosts file it is no name for the resolver, but still one for us.
    with contextlib.suppress(socket.gaierror):
        known = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    others = [
        (socket.AF_INET6 if ":" in address else socket.AF_INET, address)
        for address in dict.fromkeys(known)
        if (address not in {loopback for _, loopback in _LOOPBACKS})
    ]
    return [
        _Place(
            family,
            (address,),
            optional=bool(known) and address not in known,
            by_name=address in _looked_up_by_clients(host, family),
        )
        for family, address in (*_LOOPBACKS, *others)
    ]


def _looked_up_by_clients(host: str, family: int) -> list[str]:
    """
    Return the addresses of a family that clients find for a name such as localhost.

    Clients look names up with AI_ADDRCONFIG (librdkafka, curl, Java): where no interface but the loopback one has an
    address, in a container without a network for example, the C library then knows no name, localhost neither.
    """
    try:
        found = socket.getaddrinfo(host, None, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    except socket.gaierror:
        return []
    return [str(entry[4][0]) for entry in found]


def _unspecified(host: str) -> str | None:
    """Return "", 0.0.0.0 or :: for a host that stands for every interface, however it is written; else None."""
    if not host:
        return ""
    if not is_address(host):
        return None
    if ":" not in host:
        return _ANY_IPV4 if socket.inet_aton(host) == bytes(4) else None
    return _ANY_IPV6 if ipaddress.IPv6Address(host.partition("%")[0]).packed == bytes(16) else None


def _without_mapping(host: str) -> str:
    """Return a.b.c.d for ::ffff:a.b.c.d: IPv6 sockets of ours take no IPv4."""
    if ":" in host:
        mapped = ipaddress.IPv6Address(host.partition("%")[0]).ipv4_mapped
        return host if mapped is None else str(mapped)
    return host


def _without_port(sockaddr: tuple[Any, ...]) -> tuple[str | int, ...]:
    return (sockaddr[0], *sockaddr[2:])


def _family_exists(family: int) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM):
            return True
    except OSError:
        return False


def ipv6_works() -> bool:
    """Return whether this machine has an IPv6 loopback address."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _explain(listener: Listener, error: OSError) -> str:
    where = f"listeners={listener}"
    on = f" on {error.filename}" if error.filename else ""
    if error.errno == errno.EADDRINUSE:
        if not listener.port:
            return f"{where}: no port is free{on}"
        other = replace(listener, port=listener.port + 1 if listener.port < 65535 else listener.port - 1)
        return (
            f"{where}: the port is in use by another process{on}; "
            f"stop that one or choose another port, e.g. --override listeners={other}"
        )
    if error.errno == errno.EACCES:
        return f"{where}: ports below 1024 need privileges; choose a higher port"
    if isinstance(error, socket.gaierror):
        if error.errno == socket.EAI_AGAIN:
            return f"{where}: the host name cannot be looked up just now; is the network there?"
        return f"{where}: the host name is not known here; use an address of this machine or leave it empty"
    if error.errno in _NOT_HERE and is_loopback_name(listener.host):
        return f"{where}: this machine's loopback interface is down (ip link set lo up)"
    if error.errno in _NOT_HERE:
        return f"{where}: the host is no address of this machine; use one that is, or leave it empty"
    return f"{where}: {os.strerror(error.errno or 0)}"
