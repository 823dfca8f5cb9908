"""`kbroker topics`: kafka-topics with its flags, output and messages."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from kbroker.cli.clients import REQUEST_TIMEOUT_S, choose_bootstrap_server, connection_options, make_cluster_client
from kbroker.cli.command_error import BrokerRefused, CommandError
from kbroker.cli.option_types import INT32, WIRE_TEXT
from kbroker.cli.topic_admin import ConfigEntry, NewTopic, Topic, TopicAdmin
from kbroker.protocol.error_codes import ErrorCode

_ACTIONS = ("list", "describe", "create", "alter", "delete")
_INTERNAL_TOPICS = frozenset({"__consumer_offsets", "__transaction_state", "__share_group_state"})
_MAX_REPLICATION_FACTOR = 32767


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks for; names are those of the flags."""

    action: str
    topic: str | None = None
    topic_id: str | None = None
    partitions: int | None = None
    replication_factor: int | None = None
    replica_assignment: str | None = None
    config: tuple[str, ...] = ()
    if_exists: bool = False
    if_not_exists: bool = False
    exclude_internal: bool = False
    under_replicated_partitions: bool = False
    unavailable_partitions: bool = False
    under_min_isr_partitions: bool = False
    at_min_isr_partitions: bool = False
    topics_with_overrides: bool = False

    @property
    def reports_partitions(self) -> bool:
        """Return whether only partitions in some trouble are wanted."""
        return (
            self.under_replicated_partitions
            or self.unavailable_partitions
            or self.under_min_isr_partitions
            or self.at_min_isr_partitions
        )


_EPILOG = """\b
Examples:
  kbroker topics --create --topic test --partitions 3 --config retention.ms=86400000
  kbroker topics --list --bootstrap-server localhost:9092
  kbroker topics --describe --topic test"""


@click.command(epilog=_EPILOG)
@connection_options()
@click.option("--command-config", metavar="FILE", help="Properties for the client.")
@click.option("--list", "list_", is_flag=True, help="List topics.")
@click.option("--describe", is_flag=True, help="Show topics with their partitions.")
@click.option("--create", is_flag=True, help="Create a topic.")
@click.option("--alter", is_flag=True, help="Change the number of partitions.")
@click.option("--delete", is_flag=True, help="Delete topics.")
@click.option("--topic", type=WIRE_TEXT, help="Name; a regular expression except with --create.")
@click.option("--topic-id", type=WIRE_TEXT, help="Id of the topic to describe.")
@click.option("--partitions", type=INT32, help="Number of partitions (default: the broker's num.partitions).")
@click.option("--replication-factor", type=int, help="Number of replicas (default: the broker's).")
@click.option("--replica-assignment", metavar="ID:ID,ID:ID,…", help="Brokers of each partition's replicas.")
@click.option(
    "--config", type=WIRE_TEXT, multiple=True, metavar="NAME=VALUE", help="Setting of a new topic. Repeatable."
)
@click.option("--delete-config", multiple=True, hidden=True)
@click.option("--if-exists", is_flag=True, help="Do nothing when the topic does not exist.")
@click.option("--if-not-exists", is_flag=True, help="Do nothing when the topic exists.")
@click.option("--exclude-internal", is_flag=True, help="Leave out internal topics.")
@click.option("--under-replicated-partitions", is_flag=True, help="Describe only partitions with replicas missing.")
@click.option("--unavailable-partitions", is_flag=True, help="Describe only partitions without a leader.")
@click.option("--under-min-isr-partitions", is_flag=True, help="Describe only partitions below min.insync.replicas.")
@click.option("--at-min-isr-partitions", is_flag=True, help="Describe only partitions at min.insync.replicas.")
@click.option("--topics-with-overrides", is_flag=True, help="Describe only topics with settings of their own.")
@click.option("--force", "--disable-rack-aware", is_flag=True, hidden=True)
@click.option("--partition-size-limit-per-response", type=int, hidden=True)
def command(
    bootstrap_server: str | None, zookeeper: str | None, command_config: str | None, list_: bool, **flags: Any
) -> None:
    """Create, list, describe, alter and delete topics."""
    chosen = [name for name in _ACTIONS if (list_ if name == "list" else flags[name])]
    if len(chosen) != 1:
        raise click.UsageError(
            "Command must include exactly one action: --list, --describe, --create, --alter or --delete"
        )
    request = Request(chosen[0], **{name: flags[name] for name in Request.__slots__ if name in flags})
    check_flags(request, bool(flags["delete_config"]))
    with make_cluster_client(choose_bootstrap_server(bootstrap_server, zookeeper), command_config) as cluster:
        sys.exit(run(TopicAdmin(cluster, REQUEST_TIMEOUT_S), request))


def check_flags(request: Request, delete_config: bool = False) -> None:
    """Raise click.UsageError for flags that do not go together, as Kafka's tool does."""
    action = request.action
    if delete_config or (action == "alter" and request.config):
        raise click.UsageError('Option "[config]" can\'t be used with option "[alter]" and "[bootstrap-server]"')
    if action in {"create", "alter", "delete"} and not request.topic:
        raise click.UsageError('Missing required argument "[topic]"')
    if action == "alter" and request.partitions is None:
        raise click.UsageError('Missing required argument "[partitions]"')
    allowed = {
        "config": {"create"},
        "partitions": {"create", "alter"},
        "replication_factor": {"create"},
        "replica_assignment": {"create", "alter"},
        "if_exists": {"alter", "delete", "describe"},
        "if_not_exists": {"create"},
        "exclude_internal": {"list", "describe"},
        "topic_id": {"describe"},
        "under_replicated_partitions": {"describe"},
        "unavailable_partitions": {"describe"},
        "under_min_isr_partitions": {"describe"},
        "at_min_isr_partitions": {"describe"},
        "topics_with_overrides": {"describe"},
    }
    for name, actions in allowed.items():
        value = getattr(request, name)
        if value not in (None, False, ()) and action not in actions:
            raise click.UsageError(f'Option "[{name.replace("_", "-")}]" can\'t be used with option "[{action}]"')
    if action == "create" and request.replica_assignment:
        for name in ("partitions", "replication_factor"):
            if getattr(request, name) is not None:
                raise click.UsageError(
                    f'Option "[replica-assignment]" can\'t be used with option "[{name.replace("_", "-")}]"'
                )
    if request.topics_with_overrides and request.reports_partitions:
        raise click.UsageError('Option "[topics-with-overrides]" can\'t be used with an option that reports partitions')


def run(admin: TopicAdmin, request: Request) -> int:
    """Do what is asked and print it; return the exit code. Errors of the broker are told as Kafka's tool tells them."""
    actions: Mapping[str, Callable[[TopicAdmin, Request], None]] = {
        "list": _list,
        "describe": _describe,
        "create": _create,
        "alter": _alter,
        "delete": _delete,
    }
    try:
        actions[request.action](admin, request)
    except CommandError as error:
        click.echo(f"Error while executing topic command : {error}")
        return 1
    return 0


def parse_replica_assignment(text: str) -> list[list[int]]:
    """
    Return the replicas of each partition from `1:2,2:3`.

    Raises CommandError when it cannot be read, a broker is named twice, or the numbers of replicas differ.
    """
    assignment: list[list[int]] = []
    for index, part in enumerate(text.split(",")):
        try:
            brokers = [int(number) for number in part.split(":")]
        except ValueError:
            raise CommandError(f"--replica-assignment {text}: expected broker ids as in 0:1,1:2") from None
        twice = sorted({broker for broker in brokers if brokers.count(broker) > 1})
        if twice:
            names = ",".join(map(str, twice))
            raise CommandError(f"Partition replica lists may not contain duplicate entries: {names}")
        if assignment and len(brokers) != len(assignment[0]):
            raise CommandError(f"Partition {index} has different replication factor: {brokers}")
        assignment.append(brokers)
    return assignment


def _topic_names(admin: TopicAdmin, pattern: str | None, exclude_internal: bool) -> list[str]:
    """Return the names of all topics that `pattern` (a regular expression, commas mean "or") matches, sorted."""
    names = admin.names()
    if pattern is not None:
        stripped = pattern.strip().replace(",", "|").strip("\"'")
        try:
            expression = re.compile(stripped)
        except (re.error, OverflowError, RecursionError) as error:
            raise CommandError(f"{pattern} is an invalid regex: {error}") from None
        names = [name for name in names if expression.fullmatch(name)]
    return [name for name in names if not (exclude_internal and name in _INTERNAL_TOPICS)]


def _existing(admin: TopicAdmin, request: Request) -> list[str]:
    names = _topic_names(admin, request.topic, request.exclude_internal)
    if not names and request.topic and not request.if_exists:
        raise CommandError(f"Topic '{request.topic}' does not exist as expected")
    return names


def _list(admin: TopicAdmin, request: Request) -> None:
    click.echo("\n".join(_topic_names(admin, request.topic, request.exclude_internal)))


def _create(admin: TopicAdmin, request: Request) -> None:
    name = request.topic or ""
    factor = request.replication_factor
    if factor is not None and not 1 <= factor <= _MAX_REPLICATION_FACTOR:
        raise CommandError(f"The replication factor must be between 1 and {_MAX_REPLICATION_FACTOR} inclusive")
    if request.partitions is not None and request.partitions < 1:
        raise CommandError("The partitions must be greater than 0")
    settings: dict[str, str] = {}
    for pair in request.config:
        key, equals, value = pair.partition("=")
        if not equals:
            raise CommandError('Invalid topic config: all configs to be added must be in the format "key=val".')
        settings[key.strip()] = value.strip()
    if "." in name or "_" in name:
        click.echo(
            "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') could "
            "collide. To avoid issues it is best to use either, but not both."
        )
    if request.replica_assignment:
        assignment = parse_replica_assignment(request.replica_assignment)
        topic = NewTopic(name, replica_assignment=assignment, config=settings)
    else:
        partitions = -1 if request.partitions is None else request.partitions
        topic = NewTopic(name, partitions, -1 if factor is None else factor, config=settings)
    try:
        admin.create(topic)
    except BrokerRefused as error:
        if request.if_not_exists and error.code == ErrorCode.TOPIC_ALREADY_EXISTS:
            return
        raise
    click.echo(f"Created topic {name}.")


def _alter(admin: TopicAdmin, request: Request) -> None:
    names = _existing(admin, request)
    if not names:
        return
    assignment = parse_replica_assignment(request.replica_assignment) if request.replica_assignment else None
    count = request.partitions or 0
    for topic in admin.describe(names)[0]:
        admin.add_partitions(topic.name, count, assignment and assignment[len(topic.partitions) :])


def _delete(admin: TopicAdmin, request: Request) -> None:
    names = _existing(admin, request)
    if names:
        admin.delete(names)


def _describe(admin: TopicAdmin, request: Request) -> None:
    if request.topic_id and request.topic:
        click.echo("Only topic id will be used when both --topic and --topic-id are specified")
    names = _topic_names(admin, None, request.exclude_internal) if request.topic_id else _existing(admin, request)
    if not names:
        return
    topics, live = admin.describe(names)
    if request.topic_id:
        topics = [topic for topic in topics if topic.topic_id == request.topic_id]
        if not topics and not request.if_exists:
            raise CommandError(f"TopicId '{request.topic_id}' does not exist as expected")
    if not topics:
        return
    configs = admin.configs([topic.name for topic in topics])
    for topic in topics:
        for line in describe_lines(topic, configs[topic.name], live, request):
            click.echo(line)


def describe_lines(
    topic: Topic, config: Mapping[str, ConfigEntry], live_brokers: Iterable[int], request: Request
) -> Sequence[str]:
    """
    Return the lines of `--describe` for one topic: Kafka's two forms.

    config        by name
    live_brokers  ids of the brokers there are
    """
    lines = []
    live = set(live_brokers)
    partitions = topic.partitions
    own = [f"{entry.name}={entry.value}" for entry in config.values() if not entry.is_default]
    if not request.reports_partitions and (own or not request.topics_with_overrides):
        replicas = len(partitions[0].replicas) if partitions else 0
        lines.append(
            f"Topic: {topic.name}"
            + (f"\tTopicId: {topic.topic_id}" if topic.topic_id else "")
            + f"\tPartitionCount: {len(partitions)}\tReplicationFactor: {replicas}\tConfigs: {','.join(own)}"
        )
    if request.topics_with_overrides:
        return lines
    least = int(config["min.insync.replicas"].value or 1) if "min.insync.replicas" in config else 1
    for partition in partitions:
        leader = partition.leader
        in_sync = len(partition.isr)
        wanted = (
            not request.reports_partitions
            or (request.under_replicated_partitions and in_sync < len(partition.replicas))
            or (request.unavailable_partitions and (leader is None or leader not in live))
            or (request.under_min_isr_partitions and (leader is None or in_sync < least))
            or (request.at_min_isr_partitions and in_sync == least)
        )
        if wanted:
            lines.append(
                f"\tTopic: {topic.name}\tPartition: {partition.id}\tLeader: {'none' if leader is None else leader}"
                f"\tReplicas: {','.join(map(str, partition.replicas))}"
                f"\tIsr: {','.join(map(str, partition.isr))}\tElr: N/A\tLastKnownElr: N/A"
            )
    return lines
