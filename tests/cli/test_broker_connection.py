"""Whatever is at the other end of an address, a tool says what it is within its time."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from click.testing import Result

from kbroker.cli import broker_connection
from kbroker.cli.broker_connection import BrokerConnection, Security, Unreachable
from kbroker.cli.cluster_client import ClusterClient, open_any, parse_servers
from kbroker.cli.command_error import CommandError
from kbroker.protocol.messages.api_versions import ApiVersion, ApiVersionsResponse
from kbroker.protocol.messages.metadata import MetadataRequest, MetadataResponse, MetadataResponseBroker

PLAIN = Security()


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_connection, "CONNECT_TIMEOUT_S", 0.5)


@pytest.fixture
def serve() -> Iterator[Callable[[bytes | None], int]]:
    """Return a function that starts a server which answers each request with these bytes (None: never); its port."""
    servers = []

    def start(answer: bytes | None) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def run() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                # Whoever is told nonsense leaves without reading all of it.
                with connection, contextlib.suppress(ConnectionError):
                    while request := connection.recv(4096):
                        if answer is None:
                            continue
                        if not answer:
                            break
                        connection.sendall(answer.replace(b"CORR", request[8:12]))

        if answer is not None:
            threading.Thread(target=run, daemon=True).start()
        return server.getsockname()[1]

    yield start
    for server in servers:
        # Closing alone would leave its thread waiting.
        server.shutdown(socket.SHUT_RDWR)
        server.close()


def frame(body: bytes) -> bytes:
    return struct.pack(">i", len(body) + 4) + b"CORR" + body


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(None, "takes connections but does not answer", id="silence"),
        pytest.param(b"", "ended the connection instead of answering; if it speaks TLS, say so", id="the end"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", "speaks HTTP", id="HTTP"),
        pytest.param(b"\x15\x03\x03\x00\x02\x02\x46", "speaks TLS, say so: security.protocol=SSL", id="TLS"),
        pytest.param(b"\xff" * 40, "does not speak Kafka's protocol", id="a negative size"),
        pytest.param(b"\x7f" * 40, "does not speak Kafka's protocol", id="a size of gigabytes"),
        pytest.param(b"\0\0\0\x10" + b"z" * 16, "does not speak Kafka's protocol", id="another correlation id"),
        pytest.param(frame(b"\0\0\0\0\xff\xff"), "gave an answer that cannot be read", id="a count without rows"),
        pytest.param(b"\0\0\0\x20CORR", "takes connections but does not answer", id="half an answer"),
        pytest.param(frame(b"\0\x23\0\0\0\0"), "refused to talk", id="an error"),
    ],
)
def test_what_is_no_broker_is_told_apart(
    serve: Callable[[bytes | None], int], answer: bytes | None, reason: str
) -> None:
    port = serve(answer)
    started_s = time.monotonic()
    with pytest.raises(CommandError, match=f"^cannot connect to 127.0.0.1:{port}: {reason}"):
        open_any(f"127.0.0.1:{port}", PLAIN)
    assert time.monotonic() - started_s < 20


def test_all_servers_are_tried_and_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(CommandError) as caught:
            open_any(f"127.0.0.1:{port},no-such-host.invalid:1", PLAIN)
    assert str(caught.value).startswith(f"cannot connect to 127.0.0.1:{port}: connection refused; no-such-host.inv")
    assert str(caught.value).endswith("Start one with: kbroker start")


@pytest.mark.parametrize("servers", ["a", "a:", "a:b", "a:0", "a:65536", "a:²", "a:1,", ""])
def test_what_is_no_list_of_servers(servers: str) -> None:
    with pytest.raises(CommandError, match="expected host:port"):
        parse_servers(servers)


def test_addresses_of_ipv6_stand_in_brackets() -> None:
    assert parse_servers("[::1]:9092, b:1") == [("::1", 9092), ("b", 1)]


def test_a_name_that_never_resolves_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: released.wait(30) and [])
    with pytest.raises(CommandError, match=r"the name cannot be resolved in 0\.5 s"):
        open_any("slow:1", PLAIN)
    released.set()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(None, "does not answer"), (b"", "speaks no TLS that fits ours"), (b"HTTP/1.1 400\r\n\r\n", "speaks no TLS")],
)
def test_tls_that_finds_none(serve: Callable[[bytes | None], int], answer: bytes | None, reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        open_any(f"127.0.0.1:{serve(answer)}", Security("SSL"))


def test_security_is_read_from_the_client_librarys_settings() -> None:
    settings = {"security.protocol": "sasl_ssl", "sasl.mechanism": "PLAIN", "sasl.username": "u", "acks": "1"}
    security = Security.from_settings(settings)
    exchange = security.exchange()
    assert security.encrypted
    assert exchange is not None
    assert exchange.answer(b"") == b"\0u\0"
    assert security.of_transport().exchange() is None
    relaxed = Security("SSL", {"enable.ssl.certificate.verification": "false"}).context()
    assert relaxed.verify_mode == ssl.CERT_NONE
    for wrong in ({"security.protocol": "TLS"}, {"security.protocol": "SASL_SSL", "sasl.mechanism": "GSSAPI"}):
        with pytest.raises(CommandError):
            Security.from_settings(wrong).exchange()
    with pytest.raises(CommandError, match="TLS settings"):
        Security("SSL", {"ssl.ca.location": "/nonexistent"}).context()


def test_a_broker_that_is_advertised_where_nobody_is(serve: Callable[[bytes | None], int]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        versions = ApiVersionsResponse(api_keys=[ApiVersion(api_key=3, min_version=0, max_version=13)])
        address = f"127.0.0.1:{serve(frame(versions.encode(0)))}"
        with ClusterClient(address, PLAIN, 1.0) as cluster:
            assert cluster.speaks(3)
            node = MetadataResponseBroker(node_id=5, host="127.0.0.1", port=port)
            with pytest.raises(CommandError, match=f"broker 5 is advertised as 127.0.0.1:{port}, but there"):
                cluster.call_node(node, MetadataRequest())


def test_an_api_that_the_broker_lacks_is_named(serve: Callable[[bytes | None], int]) -> None:
    versions = ApiVersionsResponse(api_keys=[ApiVersion(api_key=1, min_version=0, max_version=1)])
    port = serve(frame(versions.encode(0)))
    connection = BrokerConnection.open("127.0.0.1", port, PLAIN)
    try:
        with pytest.raises(CommandError, match=f"the broker at 127.0.0.1:{port} does not serve METADATA"):
            connection.call(MetadataRequest(), 1.0)
    finally:
        connection.close()


def test_an_answer_that_never_comes_has_a_deadline(serve: Callable[[bytes | None], int]) -> None:
    connection = BrokerConnection("somewhere:1", socket.create_connection(("127.0.0.1", serve(None))))
    connection._versions = {3: (0, 13)}
    try:
        with pytest.raises(CommandError, match=r"^the broker at somewhere:1 takes connections but does not answer$"):
            connection.call(MetadataRequest(), 0.2)
        with pytest.raises(CommandError, match="cannot be sent"):
            connection.call(MetadataResponse(cluster_id="\udcff"), 0.2)
    finally:
        connection.close()


@pytest.mark.parametrize(
    "arguments",
    [
        ("topics", "--list"),
        ("topics", "--create", "--topic", "t"),
        ("console-producer", "--topic", "t"),
        ("console-consumer", "--topic", "t"),
        ("consumer-groups", "--list"),
        ("consumer-groups", "--describe", "--all-groups"),
    ],
    ids=" ".join,
)
def test_every_tool_gives_up_on_a_silent_port(
    run: Callable[..., Result], serve: Callable[[bytes | None], int], arguments: tuple[str, ...]
) -> None:
    port = serve(None)
    result = run(*arguments, "--bootstrap-server", f"127.0.0.1:{port}")
    assert str(result.exception) == f"cannot connect to 127.0.0.1:{port}: takes connections but does not answer"


def test_unreachable_is_a_command_error() -> None:
    assert issubclass(Unreachable, CommandError)
