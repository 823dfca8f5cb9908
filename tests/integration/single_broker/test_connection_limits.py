"""max.connections.per.ip and max.connections hold for the broker, however many network workers share the listener."""

from __future__ import annotations

import contextlib
import socket

import pytest
from raw_connection import RawConnection
from waiting import eventually

from kbroker.protocol.messages.api_versions import ApiVersionsRequest
from kbroker.testing import Broker


def is_served(connection: RawConnection) -> bool:
    """Return whether the broker answers on it, or has hung up."""
    with contextlib.suppress(ConnectionError):
        connection.send(ApiVersionsRequest(), 0)
        return bool(connection.receive())
    return False


@pytest.mark.parametrize("key", ["max.connections.per.ip", "max.connections"])
def test_one_connection_too_many_is_closed_and_the_others_are_served(key: str) -> None:
    with Broker({key: "6", "num.network.threads": "2"}) as broker:
        connections = [RawConnection(broker.bootstrap_servers) for _ in range(6)]
        assert all(map(is_served, connections))
        with RawConnection(broker.bootstrap_servers) as refused:
            assert not is_served(refused)
        connections.pop().socket.close()

        def another_is_served() -> bool:
            connection = RawConnection(broker.bootstrap_servers)
            connections.append(connection)
            if is_served(connection):
                return True
            connections.pop().socket.close()
            return False

        eventually(another_is_served)
        assert all(map(is_served, connections))
        pid = broker.kill_worker("net-0")
        broker.wait_worker_back("net-0", pid)
        for connection in connections:
            connection.socket.close()
        eventually(another_is_served)
        assert "connections already" in broker.log_text()
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.socket.shutdown(socket.SHUT_RDWR)
            connection.socket.close()
