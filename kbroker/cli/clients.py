"""What the tools share: where the broker is, and clients (confluent-kafka) that talk to it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import click

from kbroker.cli.broker_connection import Security
from kbroker.cli.cluster_client import ClusterClient, open_any
from kbroker.cli.command_error import CommandError
from kbroker.cli.option_types import as_utf8
from kbroker.cli.stop_signals import StopSignals
from kbroker.config.properties import parse_properties

DEFAULT_BOOTSTRAP_SERVER = "localhost:9092"
REQUEST_TIMEOUT_S = 30.0
_STEP_S = 1.0


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
        except UnicodeError:
            raise CommandError(f"cannot read {path}: it is no UTF-8 text") from None
    for pair in map(as_utf8, pairs):
        key, equals, value = pair.partition("=")
        if not equals:
            raise CommandError(f"{option} {pair}: expected key=value")
        settings[key.strip()] = value
    return settings


def name_unknown(properties: Mapping[str, str], known: Iterable[str], option: str) -> None:
    """Say on standard error which properties are none of the known, and which they come near."""
    names = list(known)
    for name in properties:
        # Kafka's formatters hand on what follows the name of a class of theirs.
        if name in names or any(name.startswith(f"{one}.") for one in names if one.endswith("deserializer")):
            continue
        import difflib  # noqa: PLC0415 - for mistakes only

        near = difflib.get_close_matches(name, names, 1)
        meant = f"; did you mean {near[0]}?" if near else ""
        click.echo(f"kbroker: {option} {name} is unknown and is left out{meant}", err=True)


def make_client(kind: str, servers: str, settings: Mapping[str, Any]) -> Any:
    """
    Return a client of confluent-kafka; settings that only the Java clients have are named and left out.

    kind  Consumer or Producer

    Raises CommandError when the broker cannot be reached or a setting has a wrong value.
    """
    for name, value in settings.items():
        if not _is_utf8(f"{name}={value}"):
            raise CommandError(f"{name}={value}: is no UTF-8 text")
    open_any(servers, Security.from_settings(settings).of_transport()).close()
    import confluent_kafka  # noqa: PLC0415 - costs 60 ms that nobody need pay who has no broker

    # The library's own log says in other words what we report ourselves.
    config: dict[str, Any] = {"log_level": 0, "error_cb": _tell_once(), **settings, "bootstrap.servers": servers}
    while True:
        try:
            return getattr(confluent_kafka, kind)(config)
        except confluent_kafka.KafkaException as error:
            message = error.args[0].str()
            unknown = re.search(r'No such configuration property: "([^"]+)"', message)
            if not unknown or unknown[1] not in config:
                raise CommandError(message) from None
            click.echo(f"kbroker: {unknown[1]} is unknown to the client library and is left out", err=True)
            del config[unknown[1]]


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeError:
        return False
    return True


def _tell_once() -> Callable[[Any], None]:
    """Return what tells the library's errors, such as a broker that is advertised where nobody is, each one once."""
    told: set[str] = set()

    def tell(error: Any) -> None:
        # What stands in parentheses counts repetitions and milliseconds.
        text = re.sub(r" \([^()]*\)", "", error.str())
        if error.name() != "_ALL_BROKERS_DOWN" and text not in told:
            told.add(text)
            click.echo(f"kbroker: {text}", err=True)

    return tell


def find_topic(client: Any, topic: str, stop: StopSignals) -> Any:
    """
    Return what the broker says of a topic (the library's TopicMetadata); None when a signal came first.

    Asking makes the topic where the broker makes topics by itself. Raises CommandError.
    """
    from confluent_kafka import KafkaException  # noqa: PLC0415 - see make_client

    deadline_s = time.monotonic() + REQUEST_TIMEOUT_S
    while stop.number is None:
        try:
            # In steps: the library does not hear of signals while it waits.
            return client.list_topics(topic, timeout=_STEP_S).topics[topic]
        except KafkaException as error:
            if not error.args[0].retriable() and error.args[0].name() not in {"_TRANSPORT", "_TIMED_OUT"}:
                raise CommandError(f"topic {topic}: {error_text(error)}") from None
            if time.monotonic() >= deadline_s:
                raise CommandError(f"the broker does not answer for topic {topic}") from None
    return None


def make_cluster_client(
    servers: str, command_config: str | None, timeout_s: float = REQUEST_TIMEOUT_S
) -> ClusterClient:
    """
    Return a client for administration.

    command_config  properties file of a client, None for none; what it says beyond security is named and left out
    timeout_s       for each answer

    Raises CommandError when no broker answers.
    """
    settings = read_client_config(command_config)
    for name in settings:
        if not name.startswith(("security.", "ssl.", "sasl.", "enable.ssl.")):
            click.echo(f"kbroker: {name} means nothing to this command and is left out", err=True)
    return ClusterClient(servers, Security.from_settings(settings), timeout_s)


def error_text(error: BaseException) -> str:
    """Return the words of an error of the client library: the broker's own, without the library's codes."""
    first = error.args[0] if error.args else None
    text = getattr(first, "str", None)
    return (str(text()) if callable(text) else str(error)).rpartition("Broker: ")[2]
