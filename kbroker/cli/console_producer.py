"""`kbroker console-producer`: kafka-console-producer with its flags: lines of standard input become records."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import click

from kbroker.cli.clients import (
    choose_bootstrap_server,
    connection_options,
    error_text,
    find_topic,
    make_client,
    name_unknown,
    read_client_config,
)
from kbroker.cli.command_error import CommandError
from kbroker.cli.line_source import read_lines
from kbroker.cli.option_types import WIRE_TEXT
from kbroker.cli.standard_streams import OutputFailed
from kbroker.cli.stop_signals import StopSignals

if TYPE_CHECKING:
    from confluent_kafka import Producer

_READERS = ("kafka.tools.ConsoleProducer$LineMessageReader", "org.apache.kafka.tools.LineMessageReader")
_STEP_S = 0.1
_PATIENCE_S = 2.0
_TOPIC_WAIT_S = 1.5
"""A topic that the broker is just making is there sooner."""


@dataclass(frozen=True, slots=True)
class LineFormat:
    """How a line is cut into headers, key and value; names are those of Kafka's line reader."""

    parse_key: bool = False
    key_separator: str = "\t"
    parse_headers: bool = False
    headers_delimiter: str = "\t"
    headers_separator: str = ","
    headers_key_separator: str = ":"
    ignore_error: bool = False
    null_marker: str | None = None

    @classmethod
    def from_properties(cls, properties: Mapping[str, str]) -> LineFormat:
        """Return the format that `--property` pairs describe; raises CommandError for separators that collide."""
        values: dict[str, Any] = {}
        for name in cls.__slots__:
            text = properties.get(name.replace("_", "."))
            if text is not None:
                flag = name in {"parse_key", "parse_headers", "ignore_error"}
                values[name] = text.strip().lower() == "true" if flag else text
        form = cls(**values)
        pairs = (
            ("headers.delimiter", "headers.separator"),
            ("headers.delimiter", "headers.key.separator"),
            ("headers.separator", "headers.key.separator"),
            ("null.marker", "key.separator"),
            ("null.marker", "headers.separator"),
            ("null.marker", "headers.delimiter"),
            ("null.marker", "headers.key.separator"),
        )
        for first, second in pairs:
            if getattr(form, first.replace(".", "_")) == getattr(form, second.replace(".", "_")):
                raise CommandError(f"{first} and {second} may not be equal")
        return form

    def parse(self, line: str, number: int) -> tuple[list[tuple[str, str | bytes | None]], bytes | None, bytes | None]:
        """
        Return (headers, key, value) of a line.

        number  of the line, from 1, for messages

        Raises CommandError when a separator is missing and errors are not to be ignored.
        """
        headers: list[tuple[str, str | bytes | None]] = []
        rest = line
        if self.parse_headers:
            text, rest = self._cut(line, rest, self.headers_delimiter, "headers delimiter", number)
            if text is not None and text != self.null_marker:
                headers = [self._header(pair, number) for pair in re.split(self.headers_separator, text)]
        key = None
        if self.parse_key:
            key, rest = self._cut(line, rest, self.key_separator, "key separator", number)
        return headers, self._bytes(key), self._bytes(rest)

    def _cut(self, line: str, rest: str, separator: str, name: str, number: int) -> tuple[str | None, str]:
        before, found, after = rest.partition(separator)
        if found:
            return before, after
        if self.ignore_error:
            return None, rest
        raise CommandError(f"No {name} found on line number {number}: '{line}'")

    def _header(self, pair: str, number: int) -> tuple[str, bytes | None]:
        name, found, value = pair.partition(self.headers_key_separator)
        # The client library takes anything else for the end of the world.
        if "\0" in name or (not name.isascii() and any("\udc80" <= letter <= "\udcff" for letter in name)):
            raise CommandError(f"The name of header {name!a} on line number {number} is no UTF-8 text")
        if not found:
            if self.ignore_error:
                return pair, None
            raise CommandError(f"No header key separator found in pair '{pair}' on line number {number}")
        if name == self.null_marker:
            raise CommandError(
                f"Header keys should not be equal to the null marker '{self.null_marker}' as they can't be null"
            )
        return name, self._bytes(value)

    def _bytes(self, text: str | None) -> bytes | None:
        return None if text is None or text == self.null_marker else text.encode("utf-8", "surrogateescape")


_EPILOG = """\b
Examples:
  kbroker console-producer --topic test
  echo 'key:value' | kbroker console-producer --topic test --property parse.key=true --property key.separator=:"""


@click.command(epilog=_EPILOG)
@connection_options("--broker-list")
@click.option("--topic", type=WIRE_TEXT, required=True, help="Where the records go.")
@click.option("--sync", is_flag=True, help="Wait for each record to be acknowledged.")
@click.option(
    "--compression-codec",
    is_flag=False,
    flag_value="gzip",
    type=click.Choice(["none", "gzip", "snappy", "lz4", "zstd"]),
    help="Compression; gzip when named without a codec.",
)
@click.option("--batch-size", type=int, default=16384, show_default=True, help="Bytes per batch and partition.")
@click.option("--message-send-max-retries", type=int, default=3, show_default=True, help="Attempts per record.")
@click.option("--retry-backoff-ms", type=int, default=100, show_default=True, help="Pause between them.")
@click.option(
    "--timeout", "linger_ms", type=int, default=1000, show_default=True, help="Longest wait for a batch to fill, ms."
)
@click.option("--request-required-acks", default="-1", show_default=True, help="Acknowledgements: 0, 1, -1 or all.")
@click.option("--request-timeout-ms", type=int, default=1500, show_default=True, help="Wait for an answer.")
@click.option(
    "--metadata-expiry-ms", type=int, default=300000, show_default=True, help="Age at which metadata is renewed."
)
@click.option("--max-block-ms", type=int, default=60000, show_default=True, help="Longest wait for room and metadata.")
@click.option("--max-memory-bytes", type=int, default=33554432, show_default=True, help="Memory of records waiting.")
@click.option("--max-partition-memory-bytes", type=int, help="Old name of --batch-size.")
@click.option("--socket-buffer-size", type=int, default=102400, show_default=True, help="Send buffer of the socket.")
@click.option(
    "--property",
    "--reader-property",
    "properties",
    multiple=True,
    metavar="KEY=VALUE",
    help="Of the line reader: parse.key, key.separator, parse.headers, headers.delimiter, headers.separator, "
    "headers.key.separator, ignore.error, null.marker. Repeatable.",
)
@click.option("--reader-config", metavar="FILE", help="The same from a file.")
@click.option(
    "--producer-property",
    "--command-property",
    "producer_properties",
    multiple=True,
    metavar="KEY=VALUE",
    help="Of the producer. Repeatable.",
)
@click.option("--producer.config", "--command-config", "producer_config", metavar="FILE", help="The same from a file.")
@click.option("--line-reader", hidden=True)
@click.option("--old-producer", "--new-producer", is_flag=True, hidden=True)
def command(bootstrap_server: str | None, zookeeper: str | None, topic: str, **flags: Any) -> None:
    """
    Send lines of standard input as records.

    Exits with 1 when a record could not be sent.
    """
    if flags["line_reader"] not in (None, *_READERS):
        raise CommandError(f"--line-reader {flags['line_reader']}: readers are Java classes; use --property instead")
    properties = read_client_config(flags["reader_config"], flags["properties"])
    name_unknown(properties, [name.replace("_", ".") for name in LineFormat.__slots__], "--property")
    form = LineFormat.from_properties(properties)
    settings = {
        **producer_settings(flags),
        **read_client_config(flags["producer_config"], flags["producer_properties"], "--producer-property"),
    }
    producer: Producer = make_client("Producer", choose_bootstrap_server(bootstrap_server, zookeeper), settings)
    with StopSignals() as stop:
        check_topic(producer, topic, stop)
        sender = RecordSender(producer, topic, form, sync=flags["sync"], max_block_ms=flags["max_block_ms"])
        sender.send(sys.stdin.buffer, stop)
        sys.exit(int(bool(sender.failures)) if stop.exit_code is None else stop.exit_code)


def producer_settings(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the client library's settings for the command's flags."""
    settings: dict[str, Any] = {
        "client.id": "console-producer",
        # Java's partition of a key.
        "partitioner": "murmur2_random",
        "acks": flags["request_required_acks"],
        "batch.size": flags["max_partition_memory_bytes"] or flags["batch_size"],
        "retries": flags["message_send_max_retries"],
        "retry.backoff.ms": flags["retry_backoff_ms"],
        "linger.ms": 0 if flags["sync"] else flags["linger_ms"],
        "request.timeout.ms": flags["request_timeout_ms"],
        "delivery.timeout.ms": max(flags["max_block_ms"], flags["request_timeout_ms"] + flags["linger_ms"]),
        "metadata.max.age.ms": flags["metadata_expiry_ms"],
        "queue.buffering.max.kbytes": max(1, flags["max_memory_bytes"] // 1024),
        "socket.send.buffer.bytes": flags["socket_buffer_size"],
    }
    if flags["compression_codec"]:
        settings["compression.type"] = flags["compression_codec"]
    return settings


class RecordSender:
    """
    Sends lines as records of one topic.

    sync          wait for each record's acknowledgement
    max_block_ms  longest wait for room among the records waiting to be sent
    """

    def __init__(self, producer: Producer, topic: str, form: LineFormat, *, sync: bool, max_block_ms: int) -> None:
        self.failures = 0
        self._producer = producer
        self._topic = topic
        self._form = form
        self._sync = sync
        self._max_block_ms = max_block_ms
        self._prompts = False

    def send(self, source: IO[bytes], stop: StopSignals) -> None:
        """Send each line until the source ends, a signal comes or a line cannot be cut, and wait for all of them."""
        self._prompts = source.isatty()
        lines = read_lines(source, stop, before_read=self._prompt, unfinished=_tell_unfinished)
        try:
            for number, line in enumerate(lines, 1):
                # Bytes that are no UTF-8 pass through as they are.
                headers, key, value = self._form.parse(line.decode("utf-8", "surrogateescape"), number)
                self._produce(headers, key, value)
                if self._sync:
                    self._flush()
                self._producer.poll(0)
            # After Ctrl-D or Ctrl-C the shell's prompt begins a line of its own.
            self._show("\n")
        except CommandError as error:
            self.failures += 1
            click.echo(f"kbroker: {error}", err=True)
        finally:
            self._flush()

    def _produce(self, headers: list[tuple[str, str | bytes | None]], key: bytes | None, value: bytes | None) -> None:
        from confluent_kafka import KafkaException  # noqa: PLC0415 - see clients

        waited_ms = 0
        while True:
            try:
                self._producer.produce(self._topic, value, key, headers=headers, on_delivery=self._delivered)
            except BufferError:
                if waited_ms >= self._max_block_ms:
                    raise CommandError(f"no room for another record after {self._max_block_ms} ms") from None
                self._producer.poll(_STEP_S)
                waited_ms += int(_STEP_S * 1000)
            except KafkaException as error:
                # One record that is too large, for example, is no reason to lose the next.
                self._tell_failure(key, value, error_text(error))
                return
            else:
                return

    def _delivered(self, error: Any, message: Any) -> None:
        if error is not None:
            self._tell_failure(message.key(), message.value(), error.str())

    def _tell_failure(self, key: bytes | None, value: bytes | None, reason: str) -> None:
        self.failures += 1
        sizes = ["null" if part is None else f"{len(part)} bytes" for part in (key, value)]
        click.echo(
            f"Error when sending message to topic {self._topic} with key: {sizes[0]}, value: {sizes[1]} with error: "
            f"{reason.removeprefix('Broker: ')}",
            err=True,
        )

    def _flush(self) -> None:
        """Wait until all records are acknowledged or have failed, each at its delivery.timeout.ms."""
        told_at_s = time.monotonic() + _PATIENCE_S
        # In steps: the library does not hear of signals while it waits.
        while waiting := self._producer.flush(_STEP_S):
            if time.monotonic() >= told_at_s:
                told_at_s = float("inf")
                click.echo(f"kbroker: waiting for the broker to acknowledge {waiting} records", err=True)

    def _prompt(self) -> None:
        self._show(">")

    def _show(self, text: str) -> None:
        """Show Kafka's prompt, or its end, on a terminal; what nobody sees is no reason to lose lines."""
        if self._prompts:
            try:
                click.echo(text, nl=False)
            except OutputFailed:
                self._prompts = False


def _tell_unfinished(size_bytes: int) -> None:
    click.echo(f"kbroker: the last {size_bytes} bytes were no finished line and are not sent", err=True)


def check_topic(producer: Producer, topic: str, stop: StopSignals) -> None:
    """
    Return when the topic is there, or a signal comes; the question makes it where the broker makes topics by itself.

    Raises CommandError when it is not, or must not be used. The library would keep the records for half a minute first.
    """
    from confluent_kafka import KafkaError  # noqa: PLC0415 - see clients

    deadline_s = time.monotonic() + _TOPIC_WAIT_S
    while True:
        found = find_topic(producer, topic, stop)
        error = None if found is None else found.error
        if error is None or error.code() == KafkaError.LEADER_NOT_AVAILABLE:
            return
        if error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise CommandError(f"topic {topic}: {error.str().removeprefix('Broker: ')}")
        if time.monotonic() >= deadline_s:
            raise CommandError(
                f"topic {topic} does not exist, and the broker makes none by itself (auto.create.topics.enable). "
                f"Create it with: kbroker topics --create --topic {topic}"
            )
        time.sleep(_STEP_S)
