"""Listeners: where the broker binds, and what it tells clients about it."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kbroker.errors import ConfigError

SECURITY_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")

_LISTENER = re.compile(r"([^:/]+)://(\[[0-9a-zA-Z%._:-]*\]|[0-9a-zA-Z%._-]*|[0-9a-fA-F:.%]*):(-?[0-9]+)")


@dataclass(frozen=True, slots=True)
class Listener:
    """
    One address with a name.

    name               upper case, unique
    security_protocol  how clients speak to it; PLAINTEXT in this version
    host               name or address without brackets; empty: all interfaces (v4 and v6)
    port               0: the kernel chooses
    """

    name: str
    security_protocol: str
    host: str
    port: int

    def __str__(self) -> str:
        """Return the form of server.properties."""
        return f"{self.name}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def host_name(self) -> str:
        """The host if it is a name, which clients are told as it is written; "" for addresses and wildcards."""
        return "" if is_address(self.host) else self.host


@dataclass(frozen=True, slots=True)
class ListenerConfig:
    """
    All listeners.

    listeners      where to bind, in order
    advertised     what Metadata tells clients, by listener name; None: the name written in `listeners`, and where that
                   is an address or a wildcard, the address each client dialled
    inter_broker   name of the listener other brokers use
    """

    listeners: tuple[Listener, ...]
    advertised: tuple[Listener, ...] | None
    inter_broker: str


def is_address(host: str) -> bool:
    """Return whether a host is an address, in any notation that the system takes: ::1, fe80::1%eth0, 127.1."""
    try:
        if ":" in host:
            ipaddress.IPv6Address(host.partition("%")[0])
        else:
            socket.inet_aton(host)
    except (ValueError, OSError):
        return False
    return True


def is_loopback_name(host: str) -> bool:
    """Return whether a host is a name that means "this machine" wherever it is said (RFC 6761): localhost."""
    name = host.lower().removesuffix(".")
    return name in {"localhost", "localhost.localdomain"} or name.endswith(".localhost")


def parse_protocol_map(entries: Sequence[str]) -> dict[str, str]:
    """
    Return listener name → security protocol from `NAME:PROTOCOL` entries.

    Raises ConfigError for a bad entry, an unknown protocol or a name given twice.
    """
    result: dict[str, str] = {}
    for entry in entries:
        name, colon, protocol = (part.strip() for part in entry.partition(":"))
        if not colon or not name or protocol.upper() not in SECURITY_PROTOCOLS:
            raise ConfigError(f"expected NAME:PROTOCOL with one of {', '.join(SECURITY_PROTOCOLS)}, not '{entry}'")
        if name.upper() in result:
            raise ConfigError(f"listener name {name.upper()} is given twice")
        result[name.upper()] = protocol.upper()
    return result


def parse_listeners(
    entries: Sequence[str],
    protocols: Mapping[str, str],
    *,
    skip: frozenset[str] = frozenset(),
    advertised: bool = False,
) -> tuple[Listener, ...]:
    """
    Return the listeners of `NAME://host:port` entries.

    entries     as in `listeners`; an empty host means all interfaces
    protocols   listener name → security protocol
    skip        names left out (KRaft's controller listeners: there is no such port here)
    advertised  for clients: an empty host becomes this machine's name, 0.0.0.0 is refused, ports may repeat

    Raises ConfigError for anything that cannot be bound or is not in this version.
    """
    result = []
    for entry in entries:
        match = _LISTENER.fullmatch(entry)
        if not match:
            raise ConfigError(f"expected NAME://host:port, for example PLAINTEXT://localhost:9092, not '{entry}'")
        name, host, port = match[1].upper(), match[2].strip("[]"), int(match[3])
        if name in skip:
            continue
        protocol = protocols.get(name)
        if protocol is None:
            raise ConfigError(f"listener {name} has no protocol: name it in listener.security.protocol.map")
        if protocol != "PLAINTEXT":
            raise ConfigError(f"listener {name} uses {protocol}, which is not in this version; PLAINTEXT is")
        if not 0 <= port <= 65535:
            raise ConfigError(f"port {port} of '{entry}' is not between 0 and 65535")
        if advertised:
            if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
                raise ConfigError(f"'{entry}' cannot be reached by a client: advertise a name or an address")
            host = host or socket.gethostname()
        result.append(Listener(name, protocol, host, port))
    _check_unique(result, ports=not advertised)
    if not result:
        raise ConfigError("expected at least one listener")
    return tuple(result)


def _check_unique(listeners: Sequence[Listener], *, ports: bool) -> None:
    """Refuse a name used twice, and a port used twice except by one IPv4 and one IPv6 address (KIP-797)."""
    names: set[str] = set()
    by_port: dict[int, list[Listener]] = {}
    for listener in listeners:
        if listener.name in names:
            raise ConfigError(f"listener name {listener.name} is used twice: each listener needs its own")
        names.add(listener.name)
        if ports and listener.port:
            by_port.setdefault(listener.port, []).append(listener)
    for port, sharing in by_port.items():
        families = sorted(":" in listener.host for listener in sharing)
        pair = families == [False, True] and all(re.fullmatch(r"[0-9.]+|.*:.*", one.host) for one in sharing)
        if len(sharing) > 1 and not pair:
            raise ConfigError(f"port {port} is used by {' and '.join(map(str, sharing))}: each listener needs its own")
