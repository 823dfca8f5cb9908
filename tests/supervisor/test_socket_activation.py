"""Sockets that systemd has bound find their listener, or the start says what does not fit."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Callable

import pytest

from kbroker.config.listeners import Listener
from kbroker.errors import StartupError
from kbroker.supervisor import socket_activation
from kbroker.supervisor.listeners import bind
from kbroker.supervisor.socket_activation import PassedSocket, match_sockets, take_sockets


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, str]]:
    """Return a function that passes descriptors as systemd does, and returns the environment."""

    def passing(*sockets: socket.socket, **variables: str) -> dict[str, str]:
        # Real ones start at 3, where pytest has files of its own.
        first = fcntl.fcntl(0, fcntl.F_DUPFD, 200)
        os.close(first)
        for number, sock in enumerate(sockets):
            os.dup2(sock.fileno(), first + number)
            sock.close()
        monkeypatch.setattr(socket_activation, "FIRST_DESCRIPTOR", first)
        return {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(sockets)), **variables}

    return passing


def listening(host: str = "127.0.0.1") -> socket.socket:
    return socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)


def test_sockets_are_taken_with_their_names_and_nobody_inherits_anything(passed) -> None:
    environment = passed(listening(), listening(), LISTEN_FDNAMES="plaintext:kbroker.socket", PATH="/bin")
    first, second = take_sockets(environment)
    assert environment == {"PATH": "/bin"}
    assert (first.name, second.name) == ("plaintext", "kbroker.socket")
    for one in (first, second):
        assert not one.sock.get_inheritable()
        assert not one.sock.getblocking()
        one.sock.close()


@pytest.mark.parametrize(
    "variables",
    [{"LISTEN_PID": "1"}, {"LISTEN_PID": ""}, {"LISTEN_FDS": "x"}, {"LISTEN_FDS": "-1"}, {"LISTEN_FDS": ""}],
)
def test_what_is_meant_for_another_process_is_not_taken_nor_passed_on(passed, variables: dict[str, str]) -> None:
    environment = passed(LISTEN_FDNAMES="x") | variables
    assert take_sockets(environment) == []
    assert environment == {}
    assert take_sockets({}) == []


@pytest.mark.parametrize(
    ("kind", "words"), [("file", "cannot be used"), ("unix", "no TCP socket"), ("connected", "needs Accept=no")]
)
def test_descriptors_that_are_no_listening_tcp_sockets(passed, kind: str, words: str) -> None:
    if kind == "connected":
        with listening() as server:
            sock = socket.create_connection(server.getsockname())
    elif kind == "unix":
        sock = socket.socket(socket.AF_UNIX)
        sock.bind("")
        sock.listen()
    else:
        sock = open(os.devnull)  # type: ignore[assignment]  # noqa: SIM115
    environment = passed(sock, LISTEN_FDNAMES="mine")
    with pytest.raises(StartupError, match=rf"^descriptor \d+ \(mine\), passed by systemd,.*{words}"):
        take_sockets(environment)
    if kind == "file":
        os.close(socket_activation.FIRST_DESCRIPTOR)


def test_a_name_counts_before_a_port() -> None:
    a, b = listening(), listening()
    inside = Listener("INSIDE", "PLAINTEXT", "127.0.0.1", b.getsockname()[1])
    outside = Listener("OUTSIDE", "PLAINTEXT", "127.0.0.1", 1)
    matched = match_sockets([inside, outside], [PassedSocket("outside", a), PassedSocket("kbroker.socket", b)])
    assert matched == {"OUTSIDE": [a], "INSIDE": [b]}
    a.close()
    b.close()


def test_of_two_listeners_with_one_port_the_family_decides() -> None:
    four = listening()
    port = four.getsockname()[1]
    six = socket.create_server(("::", port), family=socket.AF_INET6)
    listeners = [Listener("SIX", "PLAINTEXT", "::", port), Listener("FOUR", "PLAINTEXT", "0.0.0.0", port)]
    assert match_sockets(listeners, [PassedSocket("", four), PassedSocket("", six)]) == {"FOUR": [four], "SIX": [six]}
    four.close()
    six.close()


def test_a_socket_that_no_listener_takes_is_told() -> None:
    with listening() as sock:
        port = sock.getsockname()[1]
        with pytest.raises(StartupError) as caught:
            match_sockets(
                [Listener("PLAINTEXT", "PLAINTEXT", "localhost", 9092)], [PassedSocket("kbroker.socket", sock)]
            )
    assert str(caught.value) == (
        f"systemd listens on 127.0.0.1:{port}, which is none of listeners=PLAINTEXT://localhost:9092: "
        "name the port there, or give the .socket unit FileDescriptorName=PLAINTEXT"
    )


@pytest.mark.parametrize(
    ("host", "address", "shown", "by_name"),
    [
        ("kafka.example", "0.0.0.0", "kafka.example", True),
        ("localhost", "127.0.0.1", "localhost", True),
        ("localhost", "0.0.0.0", "0.0.0.0", False),
        ("127.0.0.1", "0.0.0.0", "0.0.0.0", True),
    ],
)
def test_a_listener_with_a_passed_socket_serves_there(
    monkeypatch: pytest.MonkeyPatch, host: str, address: str, shown: str, by_name: bool
) -> None:
    """The name is told as ever, but not that of the loopback for a socket that is open to all."""
    monkeypatch.setattr("kbroker.supervisor.listeners._looked_up_by_clients", lambda _host, _family: ["127.0.0.1"])
    sock = listening(address)
    (bound,) = bind([Listener("A", "PLAINTEXT", host, 9)], 50, {"A": [sock]})
    assert (bound.host, bound.port) == (shown, sock.getsockname()[1])
    assert [(one.sock, one.by_name) for one in bound.sockets] == [(sock, by_name)]
    bound.close()
