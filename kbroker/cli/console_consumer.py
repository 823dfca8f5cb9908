"""`kbroker console-consumer`: kafka-console-consumer with its flags: records become lines of standard output."""

from __future__ import annotations

import contextlib
import random
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import IO, TYPE_CHECKING, Any

import click

from kbroker.cli.broker_connection import Security
from kbroker.cli.clients import (
    choose_bootstrap_server,
    connection_options,
    find_topic,
    make_client,
    name_unknown,
    read_client_config,
)
from kbroker.cli.cluster_client import ClusterClient
from kbroker.cli.command_error import CommandError, EndAtOnce
from kbroker.cli.option_types import PARTITION, WIRE_TEXT
from kbroker.cli.stop_signals import StopSignals
from kbroker.errors import KbrokerError
from kbroker.protocol.messages.leave_group import LeaveGroupRequest, MemberIdentity

if TYPE_CHECKING:
    from confluent_kafka import Consumer

_FORMATTERS = ("kafka.tools.DefaultMessageFormatter", "org.apache.kafka.tools.consumer.DefaultMessageFormatter")
_DESERIALIZERS = (
    "org.apache.kafka.common.serialization.StringDeserializer",
    "org.apache.kafka.common.serialization.ByteArrayDeserializer",
)
_IGNORED = ("key.deserializer", "value.deserializer", "headers.deserializer", "deserializers")
"""More properties of Kafka's formatter."""
_MAX_BATCH = 500
_POLL_S = 0.05
_JOIN_PATIENCE_S = 0.06
_CLOSE_TIMEOUT_S = 30.0
_LEAVE_TIMEOUT_S = 1.0
_METADATA_REFRESH_MS = 1000
_FETCH_WAIT_MS = 100
_PASSING_ERRORS = frozenset({
    "UNKNOWN_TOPIC_OR_PART",
    "LEADER_NOT_AVAILABLE",
    "NOT_LEADER_FOR_PARTITION",
    "COORDINATOR_NOT_AVAILABLE",
    "COORDINATOR_LOAD_IN_PROGRESS",
    "NOT_COORDINATOR",
    "REQUEST_TIMED_OUT",
    "_ALL_BROKERS_DOWN",
    "_TRANSPORT",
    "_TIMED_OUT",
})  # fmt: skip
"""What may be better in a moment: a topic that is still to come, a broker that is being started again."""

_TIMESTAMP_TYPES = {1: "CreateTime", 2: "LogAppendTime"}


@dataclass(frozen=True, slots=True)
class LineForm:
    """What of a record is printed, and what stands between; names are those of Kafka's formatter."""

    print_timestamp: bool = False
    print_partition: bool = False
    print_offset: bool = False
    print_headers: bool = False
    print_key: bool = False
    print_value: bool = True
    key_separator: bytes = b"\t"
    line_separator: bytes = b"\n"
    headers_separator: bytes = b","
    null_literal: bytes = b"null"
    deserializers: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def from_properties(cls, properties: Mapping[str, str]) -> LineForm:
        """Return the form that `--property` pairs describe; raises CommandError for classes that cannot run here."""
        values: dict[str, Any] = {}
        for one in fields(cls):
            text = properties.get(one.name.replace("_", "."))
            if text is not None:
                flag = one.name.startswith("print_")
                values[one.name] = text.strip().lower() == "true" if flag else text.encode("utf-8", "surrogateescape")
        for name, text in properties.items():
            if name.endswith("deserializer") and text not in _DESERIALIZERS:
                raise CommandError(f"{name}={text}: deserializers are Java classes; records are printed as text")
        return cls(**values)

    def line(self, message: Any) -> bytes:
        """Return the bytes to print for one record of the client library."""
        columns: list[bytes] = []
        if self.print_timestamp:
            kind, timestamp_ms = message.timestamp()
            name = _TIMESTAMP_TYPES.get(kind)
            columns.append(f"{name}:{timestamp_ms}".encode() if name else b"NO_TIMESTAMP")
        if self.print_partition:
            columns.append(b"Partition:%d" % message.partition())
        if self.print_offset:
            columns.append(b"Offset:%d" % message.offset())
        if self.print_headers:
            headers = message.headers() or []
            pairs = [key.encode() + b":" + (self.null_literal if value is None else value) for key, value in headers]
            columns.append(self.headers_separator.join(pairs) or b"NO_HEADERS")
        for wanted, content in ((self.print_key, message.key()), (self.print_value, message.value())):
            if wanted:
                columns.append(self.null_literal if content is None else content)
        return self.key_separator.join(columns) + self.line_separator


@dataclass(frozen=True, slots=True)
class Selection:
    """
    Which records are wanted.

    topic, include  exactly one: a name, or a regular expression (commas mean "or")
    partition       None: all, shared within the group
    offset          with a partition: "earliest", "latest" or a number (negative: from the end)
    """

    topic: str | None
    include: str | None
    partition: int | None
    offset: str | int | None
    from_beginning: bool
    group: str | None


_EPILOG = """\b
Examples:
  kbroker console-consumer --topic test --from-beginning
  kbroker console-consumer --topic test --partition 0 --offset 42 --max-messages 1 --property print.key=true"""


@click.command(epilog=_EPILOG)
@connection_options()
@click.option("--topic", type=WIRE_TEXT, help="The topic to read.")
@click.option(
    "--include", "--whitelist", "include", type=WIRE_TEXT, metavar="REGEX", help="Read all topics that match."
)
@click.option("--partition", type=PARTITION, help="Read this partition only.")
@click.option("--offset", help="Where to start: a number, earliest or latest (default); with --partition.")
@click.option("--from-beginning", is_flag=True, help="Start at the earliest record when the group has no offset.")
@click.option("--group", type=WIRE_TEXT, help="Consumer group (default: one of its own, whose offsets are not kept).")
@click.option("--max-messages", type=int, default=-1, help="Stop after so many records.")
@click.option("--timeout-ms", type=int, default=-1, help="Stop when no record came for so long.")
@click.option("--skip-message-on-error", is_flag=True, help="Go on after a record that cannot be read.")
@click.option(
    "--property",
    "--formatter-property",
    "properties",
    multiple=True,
    metavar="KEY=VALUE",
    help="Of the output: print.timestamp, print.partition, print.offset, print.headers, print.key, print.value, "
    "key.separator, line.separator, headers.separator, null.literal. Repeatable.",
)
@click.option("--formatter-config", metavar="FILE", help="The same from a file.")
@click.option("--formatter", hidden=True)
@click.option("--key-deserializer", hidden=True)
@click.option("--value-deserializer", hidden=True)
@click.option(
    "--isolation-level",
    type=click.Choice(["read_uncommitted", "read_committed"]),
    default="read_uncommitted",
    show_default=True,
    help="Whether records of open and aborted transactions are read.",
)
@click.option(
    "--consumer-property",
    "--command-property",
    "consumer_properties",
    multiple=True,
    metavar="KEY=VALUE",
    help="Of the consumer. Repeatable.",
)
@click.option("--consumer.config", "--command-config", "consumer_config", metavar="FILE", help="The same from a file.")
@click.option("--new-consumer", is_flag=True, hidden=True)
@click.option("--enable-systest-events", is_flag=True, hidden=True)
def command(bootstrap_server: str | None, zookeeper: str | None, **flags: Any) -> None:
    """Print records as lines, until Ctrl-C, --max-messages or --timeout-ms."""
    selection = check_selection(flags)
    if flags["formatter"] not in (None, *_FORMATTERS):
        raise CommandError(f"--formatter {flags['formatter']}: formatters are Java classes; use --property instead")
    properties = read_client_config(flags["formatter_config"], flags["properties"])
    for name in ("key_deserializer", "value_deserializer"):
        if flags[name]:
            properties[name.replace("_", ".")] = flags[name]
    name_unknown(properties, (*(one.name.replace("_", ".") for one in fields(LineForm)), *_IGNORED), "--property")
    form = LineForm.from_properties(properties)
    own = read_client_config(flags["consumer_config"], flags["consumer_properties"], "--consumer-property")
    settings = consumer_settings(selection, own, flags["isolation_level"])
    servers = choose_bootstrap_server(bootstrap_server, zookeeper)
    consumer = make_client("Consumer", servers, settings)
    printer = RecordPrinter(
        consumer,
        form,
        sys.stdout.buffer,
        skip_errors=flags["skip_message_on_error"],
        stores_offsets=settings.get("enable.auto.commit") != "false" and "enable.auto.offset.store" not in own,
    )
    refused: KbrokerError | None = None
    with StopSignals() as stop:
        try:
            _start(consumer, selection, stop)
            printer.run(stop, flags["max_messages"], flags["timeout_ms"])
        except KbrokerError as error:
            refused = error
        group = settings["group.id"] if selection.partition is None else None
        closed = _leave(
            consumer, group, stop, lambda: ClusterClient(servers, Security.from_settings(settings), _LEAVE_TIMEOUT_S)
        )
        click.echo(f"Processed a total of {printer.count} messages", err=True)
        code = int(printer.failed) if stop.exit_code is None else stop.exit_code
    if refused is not None:
        raise refused
    # The library's threads would keep the interpreter from ending.
    raise SystemExit(code) if closed else EndAtOnce(code)


def check_selection(flags: Mapping[str, Any]) -> Selection:
    """Return which records the flags select; raises click.UsageError for flags that do not go together."""
    if (flags["topic"] is None) == (flags["include"] is None):
        raise click.UsageError("Exactly one of --include/--topic is required.")
    partition, offset = flags["partition"], flags["offset"]
    if partition is not None and flags["topic"] is None:
        raise click.UsageError("The topic is required when partition is specified.")
    if offset is not None and partition is None:
        raise click.UsageError("The partition is required when offset is specified.")
    if offset is not None and flags["from_beginning"]:
        raise click.UsageError("Options from-beginning and offset cannot be specified together.")
    if offset is not None and offset.lower() not in {"earliest", "latest"}:
        try:
            offset = int(offset)
        except ValueError:
            raise click.UsageError(
                f"The provided offset value '{offset}' is incorrect. Valid values are 'earliest', 'latest', or a "
                "non-negative long."
            ) from None
        if not 0 <= offset < 2**63:
            raise click.UsageError(
                f"The provided offset value '{offset}' is incorrect. Valid values are 'earliest', 'latest', or a "
                "non-negative long."
            )
    elif offset is not None:
        offset = offset.lower()
    if flags["group"] is not None and partition is not None:
        raise click.UsageError("Options group and partition cannot be specified together.")
    return Selection(flags["topic"], flags["include"], partition, offset, flags["from_beginning"], flags["group"])


def consumer_settings(selection: Selection, own: Mapping[str, str], isolation_level: str) -> dict[str, Any]:
    """Return the client library's settings; `own` are the user's, whose auto.offset.reset may be in old words."""
    settings: dict[str, Any] = {
        "client.id": "console-consumer",
        "isolation.level": isolation_level,
        "allow.auto.create.topics": "true",
        "enable.partition.eof": "false",
        # What was printed is committed, not what was read ahead.
        "enable.auto.offset.store": "false",
        # A topic that is made while we wait is seen within a second; Java's consumer asks as often.
        "topic.metadata.refresh.interval.ms": _METADATA_REFRESH_MS,
        # The first fetch often leaves before the offsets of all partitions are known. When those it asks for are empty,
        # the record in another one is shown as late as this: with the library's 500 ms, more often than not.
        "fetch.wait.max.ms": _FETCH_WAIT_MS,
        **own,
    }
    reset = {"smallest": "earliest", "largest": "latest"}.get(
        own.get("auto.offset.reset", ""), own.get("auto.offset.reset")
    )
    if selection.from_beginning and reset not in (None, "earliest"):
        raise CommandError(
            f"Can't simultaneously specify --from-beginning and 'auto.offset.reset={reset}', please remove one option"
        )
    settings["auto.offset.reset"] = reset or ("earliest" if selection.from_beginning else "latest")
    if selection.group is not None:
        if own.get("group.id", selection.group) != selection.group:
            raise CommandError(
                f"The group ids provided in different places (via '--group' and via '--consumer-property' or its file) "
                f"do not match. Detected group ids: '{selection.group}', '{own['group.id']}'"
            )
        settings["group.id"] = selection.group
    elif "group.id" not in own:
        # A group of its own: nobody will come back for its offsets.
        settings["group.id"] = f"console-consumer-{random.randrange(100_000)}"
        settings.setdefault("enable.auto.commit", "false")
    return settings


class RecordPrinter:
    """
    Prints the records of one consumer as lines.

    output          where lines go
    skip_errors     go on after a record that cannot be read
    stores_offsets  the consumer commits what was printed, not what was read
    """

    def __init__(
        self, consumer: Consumer, form: LineForm, output: IO[bytes], *, skip_errors: bool, stores_offsets: bool
    ) -> None:
        self.count = 0
        self.failed = False
        self._consumer = consumer
        self._form = form
        self._output = output
        self._skip_errors = skip_errors
        self._stores_offsets = stores_offsets
        self._told: set[str] = set()

    def run(self, stop: StopSignals, max_messages: int, timeout_ms: int) -> None:
        """
        Print until told to stop, until an error, or as the limits say.

        max_messages  below 0: no limit
        timeout_ms    without a record; below 0: wait for ever
        """
        last_s = time.monotonic()
        while stop.number is None and not self.failed and not 0 <= max_messages <= self.count:
            # The library does not hear of signals while it waits, and would wait for a whole batch to fill.
            batch = self._consumer.consume(1, _POLL_S)
            if batch:
                room = _MAX_BATCH if max_messages < 0 else min(_MAX_BATCH, max_messages - self.count)
                self._print(batch + (self._consumer.consume(room - 1, 0) if room > 1 else []))
                last_s = time.monotonic()
            elif 0 <= timeout_ms < (time.monotonic() - last_s) * 1000:
                return

    def _print(self, batch: list[Any]) -> None:
        printed: dict[tuple[str, int], int] = {}
        for message in batch:
            error = message.error()
            if error is None:
                self._output.write(self._form.line(message))
                self.count += 1
                printed[message.topic(), message.partition()] = message.offset() + 1
            else:
                self._tell(error)
        self._output.flush()
        if self._stores_offsets and printed:
            self._store(printed)

    def _tell(self, error: Any) -> None:
        if error.str() not in self._told:
            self._told.add(error.str())
            click.echo(f"kbroker: {error.str().removeprefix('Broker: ')}", err=True)
        if error.fatal() or not (self._skip_errors or error.name() in _PASSING_ERRORS):
            self.failed = True

    def _store(self, printed: Mapping[tuple[str, int], int]) -> None:
        from confluent_kafka import KafkaException, TopicPartition  # noqa: PLC0415 - see clients

        # A partition that has gone to another member meanwhile is printed by that one again.
        with contextlib.suppress(KafkaException):
            self._consumer.store_offsets(
                offsets=[TopicPartition(topic, partition, offset) for (topic, partition), offset in printed.items()]
            )


def _start(consumer: Consumer, selection: Selection, stop: StopSignals) -> None:
    """Subscribe, or take one partition; do nothing when a signal comes meanwhile."""
    from confluent_kafka import (  # noqa: PLC0415 - see clients
        OFFSET_BEGINNING,
        OFFSET_END,
        KafkaException,
        TopicPartition,
    )

    if selection.partition is None:
        if selection.topic is not None:
            # Asking for a topic by name makes the broker create it, as Kafka's own consumer does; subscribing does not.
            with contextlib.suppress(CommandError):
                find_topic(consumer, selection.topic, stop)
        pattern = None if selection.include is None else selection.include.strip().replace(",", "|")
        try:
            # The library's regular expressions are POSIX's: no (?:...) here.
            consumer.subscribe([selection.topic or f"^({pattern})$"])
        except KafkaException:
            raise CommandError(
                f"--include {selection.include}: the client library cannot use this expression"
            ) from None
        return
    topic = selection.topic or ""
    known = find_topic(consumer, topic, stop)
    if known is None:
        return
    if selection.partition not in known.partitions:
        raise CommandError(f"topic {topic} has no partition {selection.partition}")
    offset = selection.offset
    if offset is None:
        offset = "earliest" if selection.from_beginning else "latest"
    place = {"earliest": OFFSET_BEGINNING, "latest": OFFSET_END}[offset] if isinstance(offset, str) else offset
    consumer.assign([TopicPartition(topic, selection.partition, place)])


def _leave(consumer: Consumer, group: str | None, stop: StopSignals, cluster: Callable[[], ClusterClient]) -> bool:
    """
    Close the consumer, which commits what was printed; return whether it is closed.

    group    it is a member of; None for none
    stop     after a signal the broker gets less time
    cluster  makes a way to the broker

    While its group is joining the library waits for the answer to its JoinGroup, which comes when all members have
    joined. Then the broker is told in its place that the member leaves, and answers both.
    """
    joining = group is not None and not consumer.assignment()
    member = None if group is None else consumer.memberid()
    closing = threading.Thread(target=consumer.close, daemon=True)
    closing.start()
    if joining and group is not None and member:
        closing.join(_JOIN_PATIENCE_S)
        if closing.is_alive():
            telling = threading.Thread(target=_tell_leaving, args=(group, member, cluster), daemon=True)
            telling.start()
            telling.join(_LEAVE_TIMEOUT_S)
    started_s = time.monotonic()
    while closing.is_alive():
        patience_s = _CLOSE_TIMEOUT_S if stop.number is None else _LEAVE_TIMEOUT_S
        if time.monotonic() - started_s >= patience_s:
            return False
        closing.join(_POLL_S)
    return True


def _tell_leaving(group: str, member: str, cluster: Callable[[], ClusterClient]) -> None:
    leaving = LeaveGroupRequest(group_id=group, member_id=member, members=[MemberIdentity(member_id=member)])
    with contextlib.suppress(CommandError), cluster() as broker:
        broker.call_coordinator(group, leaving, lambda answer: answer.error_code)
