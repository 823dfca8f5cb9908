"""Where a client reaches the brokers: the answer depends on the listener, and on the address, that it came through."""

from __future__ import annotations

from kbroker.api.request import ConnectionInfo
from kbroker.metadata.image import BrokerState

_IPV4_MAPPED = "::ffff:"


def dialled_host(connection: ConnectionInfo) -> str:
    """Return the address the client dialled; IPv4 in its own form where a socket for both families shows it as IPv6."""
    host = connection.local_host
    if host.startswith(_IPV4_MAPPED) and "." in host:
        return host[len(_IPV4_MAPPED) :]
    return host


def client_endpoint(broker: BrokerState, broker_id: int, connection: ConnectionInfo) -> tuple[str, int] | None:
    """
    Return (host, port) under which the client reaches `broker`; None when it has no such listener.

    broker_id  this broker: where neither advertised.listeners nor listeners names a host, its clients are told the very
               address they dialled, so that containers, tunnels and second interfaces work (docs/decisions/0020)
    """
    endpoint = broker.endpoint(connection.listener_name)
    if endpoint is not None and endpoint.host and (connection.by_name or broker.broker_id != broker_id):
        return endpoint.host, endpoint.port
    if broker.broker_id == broker_id:
        return dialled_host(connection), connection.local_port
    if endpoint is not None:
        return dialled_host(connection), endpoint.port
    return None


def told_listeners(broker: BrokerState, broker_id: int, connection: ConnectionInfo) -> tuple[str, ...]:
    """Return NAME://host:port of each listener of `broker` as this client is told them; see `client_endpoint`."""
    told = []
    for endpoint in broker.endpoints:
        host, port = endpoint.host or dialled_host(connection), endpoint.port
        if endpoint.listener_name == connection.listener_name:
            host, port = client_endpoint(broker, broker_id, connection) or (host, port)
        told.append(f"{endpoint.listener_name}://{f'[{host}]' if ':' in host else host}:{port}")
    return tuple(told)
