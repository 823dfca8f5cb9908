"""`kbroker console-producer`: kafka-console-producer with its flags: lines of standard input become records."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import click

from kbroker.cli.clients import (
    choose_bootstrap_server,
    connection_options,
    error_text,
    make_client,
    read_client_config,
)
from kbroker.cli.command_error import CommandError

if TYPE_CHECKING:
    from confluent_kafka import Producer

_READERS = ("kafka.tools.ConsoleProducer$LineMessageReader", "org.apache.kafka.tools.LineMessageReader")
_FLUSH_STEP_S = 1.0


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

    def parse(self, line: str, number: int) -> tuple[list[tuple[str, bytes | None]], bytes | None, bytes | None]:
        """
        Return (headers, key, value) of a line.

        number  of the line, from 1, for messages

        Raises CommandError when a separator is missing and errors are not to be ignored.
        """
        headers: list[tuple[str, bytes | None]] = []
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
@click.option("--topic", required=True, help="Where the records go.")
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
    from confluent_kafka import Producer  # noqa: PLC0415 - see clients

    if flags["line_reader"] not in (None, *_READERS):
        raise CommandError(f"--line-reader {flags['line_reader']}: readers are Java classes; use --property instead")
    form = LineFormat.from_properties(read_client_config(flags["reader_config"], flags["properties"]))
    settings = {
        **producer_settings(flags),
        **read_client_config(flags["producer_config"], flags["producer_properties"], "--producer-property"),
    }
    producer = make_client(Producer, choose_bootstrap_server(bootstrap_server, zookeeper), settings)
    sys.exit(
        send_lines(producer, topic, form, sys.stdin.buffer, sync=flags["sync"], max_block_ms=flags["max_block_ms"])
    )


def producer_settings(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the client library's settings for the command's flags."""
    settings: dict[str, Any] = {
        "client.id": "console-producer",
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


def send_lines(
    producer: Producer, topic: str, form: LineFormat, source: IO[bytes], *, sync: bool, max_block_ms: int
) -> int:
    """
    Send each line of `source`, until it ends or Ctrl-C; return the exit code.

    sync          wait for each record's acknowledgement
    max_block_ms  longest wait for room among the records waiting to be sent
    """
    failures = 0

    def delivered(error: Any, message: Any) -> None:
        nonlocal failures
        if error is not None:
            failures += 1
            sizes = [f"{len(part)} bytes" if part is not None else "null" for part in (message.key(), message.value())]
            click.echo(
                f"Error when sending message to topic {topic} with key: {sizes[0]}, value: {sizes[1]} with error: "
                f"{error.str()}",
                err=True,
            )

    try:
        for number, line in enumerate(_lines(source), 1):
            headers, key, value = form.parse(line, number)
            _produce(producer, max_block_ms, topic, value, key, headers=headers, on_delivery=delivered)
            if sync:
                producer.flush()
            producer.poll(0)
    except KeyboardInterrupt:
        click.echo("", err=True)
    except CommandError as error:
        failures += 1
        click.echo(f"kbroker: {error}", err=True)
    while producer.flush(_FLUSH_STEP_S):
        pass  # bounded: each record fails at its delivery.timeout.ms
    return 1 if failures else 0


def _produce(producer: Producer, max_block_ms: int, *record: Any, **more: Any) -> None:
    from confluent_kafka import KafkaException  # noqa: PLC0415 - see clients

    waited_ms = 0
    while True:
        try:
            producer.produce(*record, **more)
        except BufferError:
            if waited_ms >= max_block_ms:
                raise CommandError(f"no room for another record after {max_block_ms} ms") from None
            producer.poll(0.1)
            waited_ms += 100
        except KafkaException as error:
            raise CommandError(error_text(error)) from None
        else:
            return


def _lines(source: IO[bytes]) -> Iterator[str]:
    """Yield lines without their ends; a terminal is shown Kafka's prompt."""
    prompt = source.isatty()
    while True:
        if prompt:
            click.echo(">", nl=False)
        line = source.readline()
        if not line:
            return
        # Bytes that are no UTF-8 pass through as they are.
        yield line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8", "surrogateescape")
