"""Listeners are bound before anything else starts; what is in the way is said in one line."""

from __future__ import annotations

import os
import socket

import pytest

from kbroker.errors import StartupError
from kbroker.supervisor.listeners import BoundListener, ListenerAddress, bind


def close(bound: list[BoundListener]) -> None:
    for listener in bound:
        for sock in listener.sockets:
            sock.close()


def refused(*listeners: ListenerAddress) -> str:
    with pytest.raises(StartupError) as caught:
        bind(listeners, 50)
    return str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", ""])
def test_port_0_is_any_free_port_the_same_for_all_addresses(host: str) -> None:
    bound = bind([ListenerAddress("PLAINTEXT", "PLAINTEXT", host, 0)], 50)
    (listener,) = bound
    assert listener.port > 0
    assert {sock.getsockname()[1] for sock in listener.sockets} == {listener.port}
    assert all(not sock.getblocking() for sock in listener.sockets)
    with socket.create_connection(("127.0.0.1", listener.port), 5):
        pass
    close(bound)


def test_several_listeners_keep_their_order_and_names() -> None:
    wanted = [ListenerAddress(name, "PLAINTEXT", "127.0.0.1", 0) for name in ("INTERNAL", "EXTERNAL")]
    bound = bind(wanted, 50)
    assert [listener.name for listener in bound] == ["INTERNAL", "EXTERNAL"]
    assert bound[0].port != bound[1].port
    close(bound)


def test_a_port_in_use_is_named_with_another_one_to_take_and_nothing_stays_bound() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with socket.create_server(("127.0.0.1", 0)) as probe:
            free = probe.getsockname()[1]
        message = refused(
            ListenerAddress("A", "PLAINTEXT", "127.0.0.1", free), ListenerAddress("B", "PLAINTEXT", "127.0.0.1", port)
        )
    assert message.startswith(f"listeners=B://127.0.0.1:{port}: the port is in use")
    assert f"--override listeners=B://127.0.0.1:{port + 1}" in message
    close(bind([ListenerAddress("A", "PLAINTEXT", "127.0.0.1", free)], 50))


def test_a_port_can_be_taken_again_right_after_a_stop() -> None:
    bound = bind([ListenerAddress("A", "PLAINTEXT", "127.0.0.1", 0)], 50)
    port = bound[0].port
    client = socket.create_connection(("127.0.0.1", port), 5)
    accepted = socket.socket(fileno=os.dup(bound[0].sockets[0].accept()[0].detach()))
    close(bound)
    accepted.close()
    close(bind([ListenerAddress("A", "PLAINTEXT", "127.0.0.1", port)], 50))
    client.close()


def test_a_host_that_is_no_address_of_this_machine() -> None:
    message = refused(ListenerAddress("A", "PLAINTEXT", "192.0.2.1", 0))
    assert message.startswith("listeners=A://192.0.2.1:0: the host is no address of this machine")


def test_a_host_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_arguments: object, **_keywords: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    message = refused(ListenerAddress("A", "PLAINTEXT", "no-such-host", 0))
    assert message.startswith("listeners=A://no-such-host:0: the host name is not known here")
