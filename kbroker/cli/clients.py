"""What the tools share: where the broker is, and clients (confluent-kafka) that talk to it."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kbroker.config.properties import parse_properties
from kbroker.errors import KbrokerError

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

DEFAULT_BOOTSTRAP_SERVER = "localhost:9092"
CONNECT_TIMEOUT_S = 5.0
REQUEST_TIMEOUT_S = 30.0

Client = TypeVar("Client")


class CommandError(KbrokerError):
    """A tool cannot do what it was asked; the message is one line for the user."""


def connection_options(*old_names: str) -> Callable[[Any], Any]:
    """
    Add the options that say where the broker is.

    old_names  more names of --bootstrap-server that older tools had, such as --broker-list
    """

    def add(function: Any) -> Any:
        function = click.option(
            "--zookeeper", metavar="HOST:PORT", help="Of old tools; topics live in the broker here."
        )(function)
        return click.option(
            "--bootstrap-server",
            *old_names,
            "bootstrap_server",
            metavar="HOST:PORT[,…]",
            help=f"The broker to talk to (default {DEFAULT_BOOTSTRAP_SERVER}).",
        )(function)

    return add


def choose_bootstrap_server(bootstrap_server: str | None, zookeeper: str | None) -> str:
    """Return the servers to ask; an address of ZooKeeper is explained on standard error and not used."""
    if zookeeper is not None:
        target = bootstrap_server or DEFAULT_BOOTSTRAP_SERVER
        click.echo(
            f"kbroker: --zookeeper {zookeeper} is not used: topics and offsets live in the broker, which is asked at "
            f"{target} (--bootstrap-server)",
            err=True,
        )
    return bootstrap_server or DEFAULT_BOOTSTRAP_SERVER


def check_reachable(servers: str) -> None:
    """
    Return when one of the servers accepts a connection.

    Raises CommandError naming the first address and what to do. A client library would go on trying in silence.
    """
    problems = []
    for server in servers.split(","):
        host, colon, port = server.strip().rpartition(":")
        if not colon or not port.isdecimal():
            raise CommandError(f"--bootstrap-server {servers}: expected host:port")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT_S):
                return
        except OSError as error:
            problems.append(f"{server.strip()}: {_reason(error)}")
    raise CommandError(f"cannot connect to {'; '.join(problems)}. Is the broker running? Start one with: kbroker start")


def _reason(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, TimeoutError):
        return f"no answer in {CONNECT_TIMEOUT_S:g} s"
    return (error.strerror or str(error)).lower()


def read_client_config(path: str | None, pairs: Iterable[str] = (), option: str = "--property") -> dict[str, str]:
    """
    Return client settings from a properties file and `key=value` pairs, which win.

    Raises ConfigError or CommandError for a file or pair that cannot be read.
    """
    settings: dict[str, str] = {}
    if path is not None:
        try:
            with open(path, encoding="utf-8") as file:
                settings.update((entry.key, entry.value) for entry in parse_properties(file.read(), path))
        except OSError as error:
            raise CommandError(f"cannot read {path}: {error.strerror}") from None
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise CommandError(f"{option} {pair}: expected key=value")
        settings[key.strip()] = value
    return settings


def make_client(kind: Callable[[dict[str, Any]], Client], servers: str, settings: Mapping[str, Any]) -> Client:
    """
    Return a client of confluent-kafka; settings that only the Java clients have are named and left out.

    Raises CommandError when the broker cannot be reached or a setting has a wrong value.
    """
    from confluent_kafka import KafkaException  # noqa: PLC0415 - costs 100 ms that other commands need not pay

    check_reachable(servers)
    # The library's own log says in other words what we report ourselves.
    config: dict[str, Any] = {"log_level": 0, **settings, "bootstrap.servers": servers}
    while True:
        try:
            return kind(config)
        except KafkaException as error:
            message = error.args[0].str()
            unknown = re.search(r'No such configuration property: "([^"]+)"', message)
            if not unknown or unknown[1] not in config:
                raise CommandError(message) from None
            click.echo(f"kbroker: {unknown[1]} is unknown to the client library and is left out", err=True)
            del config[unknown[1]]


def make_admin(servers: str, command_config: str | None) -> AdminClient:
    """Return a client for administration; raises CommandError as `make_client`."""
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415 - as above

    return make_client(AdminClient, servers, read_client_config(command_config))


def error_text(error: BaseException) -> str:
    """Return the words of an error of the client library: the broker's own, without the library's codes."""
    first = error.args[0] if error.args else None
    text = getattr(first, "str", None)
    return (str(text()) if callable(text) else str(error)).removeprefix("Broker: ")
