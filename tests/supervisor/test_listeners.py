"""Listeners are bound before anything else starts; what is in the way is said in one line."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from typing import Any

import pytest

from kbroker.config.listeners import Listener
from kbroker.errors import StartupError
from kbroker.supervisor import listeners as module
from kbroker.supervisor.listeners import BoundListener, bind


def close(bound: list[BoundListener]) -> None:
    for listener in bound:
        listener.close()


def sockets_of(host: str, port: int = 0) -> BoundListener:
    return bind([Listener("A", "PLAINTEXT", host, port)], 50)[0]


def serves(listener: BoundListener) -> set[str]:
    """Return which of the loopback addresses take a connection on the listener's port."""
    taken = set()
    for host in ("127.0.0.1", "::1"):
        with suppress(OSError), socket.create_connection((host, listener.port), 5):
            taken.add(host)
    return taken


def resolver_that_knows(monkeypatch: pytest.MonkeyPatch, names: dict[str, list[str]]) -> None:
    """Let the system's resolver know these names and no other."""
    real = socket.getaddrinfo

    def look_up(host: str, port: int | None, family: int = 0, **_others: int) -> Any:
        if host not in names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        found = [entry for address in names[host] for entry in real(address, port, type=socket.SOCK_STREAM)]
        if family and not any(entry[0] == family for entry in found):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [entry for entry in found if family in {0, entry[0]}]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def has_ipv6() -> bool:
    with suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


def refused(*listeners: Listener) -> str:
    with pytest.raises(StartupError) as caught:
        bind(listeners, 50)
    return str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", ""])
def test_port_0_is_any_free_port_the_same_for_all_addresses(host: str) -> None:
    bound = bind([Listener("PLAINTEXT", "PLAINTEXT", host, 0)], 50)
    (listener,) = bound
    assert listener.port > 0
    assert {one.sock.getsockname()[1] for one in listener.sockets} == {listener.port}
    assert all(not one.sock.getblocking() for one in listener.sockets)
    with socket.create_connection(("127.0.0.1", listener.port), 5):
        pass
    close(bound)


def test_several_listeners_keep_their_order_and_names() -> None:
    wanted = [Listener(name, "PLAINTEXT", "127.0.0.1", 0) for name in ("INTERNAL", "EXTERNAL")]
    bound = bind(wanted, 50)
    assert [listener.name for listener in bound] == ["INTERNAL", "EXTERNAL"]
    assert bound[0].port != bound[1].port
    close(bound)


def test_a_port_in_use_is_named_with_another_one_to_take_and_nothing_stays_bound() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with socket.create_server(("127.0.0.1", 0)) as probe:
            free = probe.getsockname()[1]
        message = refused(Listener("A", "PLAINTEXT", "127.0.0.1", free), Listener("B", "PLAINTEXT", "127.0.0.1", port))
    assert message.startswith(f"listeners=B://127.0.0.1:{port}: the port is in use")
    assert f"--override listeners=B://127.0.0.1:{port + 1}" in message
    close(bind([Listener("A", "PLAINTEXT", "127.0.0.1", free)], 50))


def test_a_port_can_be_taken_again_right_after_a_stop() -> None:
    bound = bind([Listener("A", "PLAINTEXT", "127.0.0.1", 0)], 50)
    port = bound[0].port
    client = socket.create_connection(("127.0.0.1", port), 5)
    accepted = socket.socket(fileno=os.dup(bound[0].sockets[0].sock.accept()[0].detach()))
    close(bound)
    accepted.close()
    close(bind([Listener("A", "PLAINTEXT", "127.0.0.1", port)], 50))
    client.close()


def test_a_host_that_is_no_address_of_this_machine() -> None:
    message = refused(Listener("A", "PLAINTEXT", "192.0.2.1", 0))
    assert message.startswith("listeners=A://192.0.2.1:0: the host is no address of this machine")


def test_a_host_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_arguments: object, **_keywords: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    message = refused(Listener("A", "PLAINTEXT", "no-such-host", 0))
    assert message.startswith("listeners=A://no-such-host:0: the host name is not known here")


def test_a_name_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def unanswered(*_arguments: object, **_keywords: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", unanswered)
    assert "cannot be looked up just now" in refused(Listener("A", "PLAINTEXT", "some-host", 0))


@needs_ipv6
@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("::", {"127.0.0.1", "::1"}),
        ("0::0", {"127.0.0.1", "::1"}),
        ("", {"127.0.0.1", "::1"}),
        ("localhost", {"127.0.0.1", "::1"}),
        ("LOCALHOST", {"127.0.0.1", "::1"}),
        ("0.0.0.0", {"127.0.0.1"}),
        ("127.0.0.1", {"127.0.0.1"}),
        ("127.1", {"127.0.0.1"}),
        ("::1", {"::1"}),
        ("::ffff:127.0.0.1", {"127.0.0.1"}),
    ],
)
def test_which_families_a_host_stands_for(host: str, addresses: set[str]) -> None:
    listener = sockets_of(host)
    assert serves(listener) == addresses
    listener.close()


@needs_ipv6
def test_the_ipv6_wildcard_leaves_ipv4_to_a_listener_of_the_same_port() -> None:
    """KIP-797: one port, one listener for each family."""
    port = sockets_of("::")
    port.close()
    bound = bind(
        [Listener("SIX", "PLAINTEXT", "::", port.port), Listener("FOUR", "PLAINTEXT", "127.0.0.1", port.port)], 50
    )
    assert [listener.name for listener in bound] == ["SIX", "FOUR"]
    assert [one.sock.family for listener in bound for one in listener.sockets] == [socket.AF_INET6, socket.AF_INET]
    close(bound)


def test_the_ipv6_wildcard_where_there_is_no_ipv6_is_the_ipv4_one(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket

    class OnlyIpv4(real):
        def __init__(self, family: int = -1, *arguments: int, **keywords: Any) -> None:
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
            super().__init__(family, *arguments, **keywords)

    monkeypatch.setattr(socket, "socket", OnlyIpv4)
    for host in ("::", "", "localhost"):
        listener = sockets_of(host)
        assert serves(listener) == {"127.0.0.1"}, host
        assert listener.host == ("0.0.0.0" if host == "::" else host)
        listener.close()
    assert "the host is no address of this machine" in refused(Listener("A", "PLAINTEXT", "::1", 0))


@needs_ipv6
@pytest.mark.parametrize("known", [["127.0.0.1"], ["::1"], ["127.0.0.1", "::1"], []], ids=str)
def test_localhost_is_both_loopbacks_whatever_the_resolver_knows(
    monkeypatch: pytest.MonkeyPatch, known: list[str]
) -> None:
    """And the name is told only to whom it leads back to the address dialled."""
    resolver_that_knows(monkeypatch, {"localhost": known} if known else {})
    listener = sockets_of("localhost")
    told = {str(one.sock.getsockname()[0]): one.by_name for one in listener.sockets}
    assert told == {"127.0.0.1": "127.0.0.1" in known, "::1": "::1" in known}
    listener.close()


@needs_ipv6
def test_a_port_in_use_on_a_loopback_that_nobody_asked_for_is_left_to_its_owner(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    resolver_that_knows(monkeypatch, {"localhost": ["127.0.0.1"]})
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as other:
        listener = sockets_of("localhost", other.getsockname()[1])
        assert [one.sock.getsockname()[0] for one in listener.sockets] == ["127.0.0.1"]
        assert "another process has the port on ::1" in caplog.text
        listener.close()


@needs_ipv6
@pytest.mark.parametrize("taken", ["127.0.0.1", "::1"])
def test_a_port_in_use_on_one_family_is_told_with_the_address(monkeypatch: pytest.MonkeyPatch, taken: str) -> None:
    """Else a client of this broker might reach the other process."""
    resolver_that_knows(monkeypatch, {"localhost": ["127.0.0.1", "::1"]})
    family = socket.AF_INET6 if ":" in taken else socket.AF_INET
    with socket.create_server((taken, 0), family=family) as other:
        message = refused(Listener("A", "PLAINTEXT", "localhost", other.getsockname()[1]))
    assert f"the port is in use by another process on {taken};" in message


@needs_ipv6
@pytest.mark.parametrize("host", ["::", ""])
def test_a_port_in_use_on_ipv4_alone_is_not_taken_by_a_wildcard_of_both(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert "the port is in use" in refused(Listener("A", "PLAINTEXT", host, other.getsockname()[1]))


@needs_ipv6
def test_port_0_is_a_port_that_is_free_on_both_families(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first choice of the kernel for IPv4 may be in use on IPv6: another one is taken."""
    busy = socket.create_server(("::1", 0), family=socket.AF_INET6)
    real = module._listen
    asked: list[int] = []

    def listen(place: Any, port: int, backlog: int) -> socket.socket:
        asked.append(port)
        return real(place, busy.getsockname()[1] if len(asked) == 1 else port, backlog)

    monkeypatch.setattr(module, "_listen", listen)
    listener = sockets_of("localhost")
    assert listener.port != busy.getsockname()[1]
    assert serves(listener) == {"127.0.0.1", "::1"}
    listener.close()
    busy.close()


def test_no_listener_with_port_0_takes_the_port_of_another() -> None:
    probe = sockets_of("127.0.0.1")
    probe.close()
    bound = bind([Listener("ANY", "PLAINTEXT", "", 0), Listener("FIXED", "PLAINTEXT", "127.0.0.1", probe.port)], 50)
    assert [listener.name for listener in bound] == ["ANY", "FIXED"]
    assert bound[1].port == probe.port
    close(bound)


def test_a_name_is_bound_where_it_is_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name of several machines, or one whose IPv6 address is switched off."""
    resolver_that_knows(monkeypatch, {"brokers.example": ["192.0.2.1", "127.0.0.1"], "elsewhere": ["192.0.2.1"]})
    listener = sockets_of("brokers.example")
    assert [one.sock.getsockname()[0] for one in listener.sockets] == ["127.0.0.1"]
    assert [one.by_name for one in listener.sockets] == [True]
    listener.close()
    assert "the host is no address of this machine" in refused(Listener("A", "PLAINTEXT", "elsewhere", 0))


def test_the_last_port_in_use() -> None:
    """The port that is suggested exists."""
    with suppress(OSError), socket.create_server(("127.0.0.1", 65535)):
        assert "--override listeners=A://127.0.0.1:65534" in refused(Listener("A", "PLAINTEXT", "127.0.0.1", 65535))
