"""What Metadata tells a client is where that client can reach the broker."""

from __future__ import annotations

import socket

import pytest
from confluent_kafka.admin import AdminClient

from kbroker.testing import Broker


def _told(address: str) -> set[str]:
    """Return the brokers' addresses as a client that dialled `address` is told them."""
    metadata = AdminClient({"bootstrap.servers": address}).list_topics(timeout=30)
    return {
        f"[{node.host}]:{node.port}" if ":" in node.host else f"{node.host}:{node.port}"
        for node in metadata.brokers.values()
    }


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def test_unset_each_client_is_told_the_address_it_dialled() -> None:
    """So that containers, tunnels and second interfaces need no configuration."""
    with Broker({"listeners": "PLAINTEXT://:0"}) as broker:
        for host in ("127.0.0.1", "127.0.0.2"):
            assert _told(f"{host}:{broker.port}") == {f"{host}:{broker.port}"}
        # A name is resolved before it is dialled: what arrives is an address.
        assert _told(f"localhost:{broker.port}") <= {f"127.0.0.1:{broker.port}", f"[::1]:{broker.port}"}
        if _has_ipv6():
            assert _told(f"[::1]:{broker.port}") == {f"[::1]:{broker.port}"}


def test_set_it_is_told_whatever_was_dialled() -> None:
    with Broker({"advertised.listeners": "PLAINTEXT://broker.example:19092"}) as broker:
        assert _told(broker.bootstrap_servers) == {"broker.example:19092"}


def test_several_listeners_serve_the_same_and_each_tells_its_own_address() -> None:
    config = {
        "listeners": "INSIDE://127.0.0.1:0,OUTSIDE://127.0.0.3:0",
        "listener.security.protocol.map": "INSIDE:PLAINTEXT,OUTSIDE:PLAINTEXT",
        "inter.broker.listener.name": "INSIDE",
    }
    with Broker(config) as broker:
        assert broker.listeners.keys() == {"INSIDE", "OUTSIDE"}
        assert broker.create_topic("seen-from-both") == "seen-from-both"
        for address in broker.listeners.values():
            assert _told(address) == {address}
            assert "seen-from-both" in AdminClient({"bootstrap.servers": address}).list_topics(timeout=30).topics
        before = dict(broker.listeners)
        broker.restart()
        assert broker.listeners == before


def test_an_address_of_another_interface_is_not_served() -> None:
    with Broker() as broker, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.9", broker.port), 5)
