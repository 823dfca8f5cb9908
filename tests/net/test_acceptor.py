"""Connections are taken over from the listeners with the right addresses, within the limits."""

from __future__ import annotations

import logging
import os
import resource
import socket
from collections.abc import Callable, Iterator

import pytest
from connection_room import Room

from kbroker.net.acceptor import Acceptor


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as sock:
        sock.setblocking(False)
        yield sock


def acceptor_of(
    room: Room, listener: socket.socket, may_open: Callable[[str], str | None] = lambda _host: None
) -> Acceptor:
    acceptor = Acceptor(
        room.loop,
        room.connections,
        "INTERNAL",
        listener,
        by_name=False,
        buffer_bytes=(100_000, -1),
        may_open=may_open,
    )
    acceptor.open()
    return acceptor


def dial(room: Room, listener: socket.socket, host: str = "127.0.0.1") -> socket.socket:
    client = socket.create_connection((host, listener.getsockname()[1]), timeout=5)
    room.clients.append(client)
    return client


def test_a_connection_knows_the_address_that_was_dialled(room: Room, listener: socket.socket) -> None:
    """IPv4 clients of a dual-stack socket are answered with IPv4 addresses, or they could not dial them."""
    acceptor_of(room, listener)
    dial(room, listener)
    room.until(lambda: len(room.connections) == 1)
    (connection,) = room.connections._connections.values()
    assert connection.info.listener_name == "INTERNAL"
    assert not connection.info.by_name
    assert connection.info.local_host == "127.0.0.1"
    assert connection.info.local_port == listener.getsockname()[1]
    assert connection.info.client_host == "/127.0.0.1"
    assert room.hosts == {"/127.0.0.1": 1}
    assert connection._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert connection._sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) >= 100_000


def test_a_refused_client_is_hung_up_on_and_the_others_are_served(
    room: Room, listener: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    def one_per_address(host: str) -> str | None:
        return "it has 1 connections already" if room.hosts["/" + host] >= 1 else None

    acceptor_of(room, listener, one_per_address)
    with caplog.at_level(logging.WARNING):
        first = dial(room, listener)
        room.until(lambda: len(room.connections) == 1)
        second = dial(room, listener)
        port = second.getsockname()[1]
        assert room.is_closed(second)
    assert f"Connection of 127.0.0.1:{port} refused: it has 1 connections already" in caplog.text
    first.close()
    room.until(lambda: not len(room.connections))
    dial(room, listener)
    room.until(lambda: len(room.connections) == 1)


def test_out_of_descriptors_accepting_pauses_and_goes_on(
    room: Room, listener: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    acceptor_of(room, listener)
    dial(room, listener)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    turns: list[int] = []
    room.loop.at_turn_end(lambda: turns.append(1))
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        room.loop.call_later(30, room.loop.stop)
        room.loop.run()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "Listener INTERNAL cannot accept: " in caplog.text
    assert len(turns) < 10, "it burns no CPU meanwhile"
    room.until(lambda: len(room.connections) == 1)


def test_a_closed_acceptor_stays_closed_even_if_it_was_pausing(room: Room, listener: socket.socket) -> None:
    acceptor = acceptor_of(room, listener)
    acceptor.close()
    acceptor._pause = room.loop.call_later(1, acceptor.open)
    acceptor.close()
    dial(room, listener)
    room.loop.call_later(20, room.loop.stop)
    room.loop.run()
    assert not len(room.connections)
