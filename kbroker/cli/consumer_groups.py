"""`kbroker consumer-groups`: kafka-consumer-groups with its flags, columns and messages."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click

from kbroker.cli.broker_connection import error_text
from kbroker.cli.clients import (
    REQUEST_TIMEOUT_S,
    choose_bootstrap_server,
    connection_options,
    make_cluster_client,
)
from kbroker.cli.command_error import BrokerRefused, CommandError
from kbroker.cli.group_admin import GroupAdmin, GroupDescription, GroupMember, Partition, UnknownTopic
from kbroker.cli.option_types import INT64, WIRE_TEXT
from kbroker.cli.standard_streams import printable

_ACTIONS = ("list", "describe", "delete", "reset_offsets", "delete_offsets")
_RESETS = (
    "to_offset",
    "shift_by",
    "to_datetime",
    "by_duration",
    "to_earliest",
    "to_latest",
    "to_current",
    "from_file",
)
_STATES = ("Unknown", "PreparingRebalance", "CompletingRebalance", "Stable", "Dead", "Empty")

_MISSING = "-"
_WHO = ("CONSUMER-ID", "HOST", "CLIENT-ID")


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One line of `--describe --offsets`; None is printed as "-"."""

    group: str
    topic: str | None
    partition: int | None
    offset: int | None
    log_end_offset: int | None
    consumer_id: str | None
    host: str | None
    client_id: str | None
    leader_epoch: int | None = None

    @property
    def lag(self) -> int | None:
        """Return how many records are left to read; None when there is no offset."""
        if self.offset is None or self.log_end_offset is None:
            return None
        return self.log_end_offset - self.offset


_EPILOG = """\b
Examples:
  kbroker consumer-groups --list
  kbroker consumer-groups --describe --group readers
  kbroker consumer-groups --reset-offsets --group readers --topic test --to-earliest --execute"""


@click.command(epilog=_EPILOG)
@connection_options()
@click.option("--command-config", metavar="FILE", help="Properties for the client.")
@click.option("--list", "list_", is_flag=True, help="List groups.")
@click.option("--describe", is_flag=True, help="Show groups: offsets and lag, members or state.")
@click.option("--delete", is_flag=True, help="Delete groups without members.")
@click.option("--reset-offsets", is_flag=True, help="Set the offsets of a group without members.")
@click.option("--delete-offsets", is_flag=True, help="Delete offsets of a group.")
@click.option("--group", "groups", type=WIRE_TEXT, multiple=True, help="The group. Repeatable.")
@click.option("--all-groups", is_flag=True, help="All groups.")
@click.option(
    "--topic",
    "topics",
    type=WIRE_TEXT,
    multiple=True,
    metavar="TOPIC[:0,1,…]",
    help="Topic, or some of its partitions. Repeatable.",
)
@click.option("--all-topics", is_flag=True, help="All topics that the group has offsets of.")
@click.option(
    "--state",
    is_flag=False,
    flag_value="",
    help="With --describe: show the state; with --list: show it, only those named.",
)
@click.option(
    "--type", "type_", is_flag=False, flag_value="", help="With --list: show the type of groups, only those named."
)
@click.option("--members", is_flag=True, help="Describe the members.")
@click.option("--offsets", is_flag=True, help="Describe the offsets (default).")
@click.option("--verbose", is_flag=True, help="Describe more.")
@click.option("--to-earliest", is_flag=True, help="Reset to the earliest offset.")
@click.option("--to-latest", is_flag=True, help="Reset to the latest offset.")
@click.option("--to-current", is_flag=True, help="Reset to the offset the group has.")
@click.option("--to-offset", type=INT64, help="Reset to this offset.")
@click.option("--shift-by", type=INT64, help="Reset by so many records, back when negative.")
@click.option("--to-datetime", metavar="YYYY-MM-DDThh:mm:ss.sss", help="Reset to a time.")
@click.option("--by-duration", metavar="PnDTnHnMnS", help="Reset to so long ago.")
@click.option("--from-file", metavar="FILE", help="Reset to the offsets of a CSV file.")
@click.option("--dry-run", is_flag=True, help="Only show what would be reset (default).")
@click.option("--execute", is_flag=True, help="Reset.")
@click.option("--export", is_flag=True, help="Print as CSV, for --from-file.")
@click.option("--timeout", "timeout_ms", type=int, default=int(REQUEST_TIMEOUT_S * 1000), help="Wait for answers, ms.")
@click.option("--new-consumer", is_flag=True, hidden=True)
def command(
    bootstrap_server: str | None, zookeeper: str | None, command_config: str | None, list_: bool, **flags: Any
) -> None:
    """List, describe and delete consumer groups, and reset their offsets."""
    flags["list"] = list_
    chosen = [name for name in _ACTIONS if flags[name]]
    if len(chosen) != 1:
        raise click.UsageError(
            "Command must include exactly one action: --list, --describe, --delete, --reset-offsets, --delete-offsets"
        )
    check_flags(chosen[0], flags)
    servers = choose_bootstrap_server(bootstrap_server, zookeeper)
    with make_cluster_client(servers, command_config, flags["timeout_ms"] / 1000) as cluster:
        sys.exit(run(GroupAdmin(cluster), chosen[0], flags))


def check_flags(action: str, flags: Mapping[str, Any]) -> None:
    """Raise click.UsageError for flags that do not go together, as Kafka's tool does."""
    if action != "list" and not flags["groups"] and not flags["all_groups"]:
        raise click.UsageError(
            f"Option [{action.replace('_', '-')}] takes one of these options: [all-groups], [group]"
            if action != "delete_offsets"
            else "Option [delete-offsets] takes the following options: [topic], [group]"
        )
    if flags["groups"] and flags["all_groups"]:
        raise click.UsageError("Options [group] and [all-groups] cannot be used together")
    if action == "describe":
        if sum(bool(one) for one in (flags["members"], flags["offsets"], flags["state"] is not None)) > 1:
            raise click.UsageError(
                "Option [describe] takes at most one of these options: [members], [offsets], [state]"
            )
        if flags["state"]:
            raise click.UsageError("Option [describe] does not take a value for [state]")
    if action == "delete_offsets" and not flags["topics"]:
        raise click.UsageError("Option [delete-offsets] takes the following options: [topic], [group]")
    if action == "reset_offsets":
        given = [name for name in _RESETS if flags[name] not in (None, False)]
        if len(given) != 1 and not (flags["export"] and not given):
            names = ", ".join(f"[{name.replace('_', '-')}]" for name in _RESETS)
            raise click.UsageError(f"Option [reset-offsets] takes exactly one of these options: {names}")
        if flags["dry_run"] and flags["execute"]:
            raise click.UsageError("Option [reset-offsets] only accepts one of [execute], [dry-run]")
        if not flags["dry_run"] and not flags["execute"]:
            click.echo(
                "WARN: No action will be performed as the --execute option is missing. In a future major release, the "
                "default behavior of this command will be to prompt the user before executing the reset rather than "
                "doing a dry run. You should add the --dry-run option explicitly if you are scripting this command and "
                "want to keep the current default behavior without prompting.",
                err=True,
            )
        if not flags["topics"] and not flags["all_topics"] and not flags["from_file"]:
            raise click.UsageError(
                "Option [reset-offsets] takes one of these options: [all-topics], [from-file], [topic]"
            )


def run(admin: GroupAdmin, action: str, flags: Mapping[str, Any]) -> int:
    """Do what is asked and print it; return the exit code."""
    actions: Mapping[str, Callable[[GroupAdmin, Mapping[str, Any]], int]] = {
        "list": _list,
        "describe": _describe,
        "delete": _delete,
        "reset_offsets": _reset_offsets,
        "delete_offsets": _delete_offsets,
    }
    try:
        return actions[action](admin, flags)
    except CommandError as error:
        click.echo(f"\nError: Executing consumer group command failed due to {error}")
        return 1


def _list(admin: GroupAdmin, flags: Mapping[str, Any]) -> int:
    groups = admin.groups()
    if flags["state"] is None and flags["type_"] is None:
        for group in groups:
            click.echo(printable(group.group_id))
        return 0
    wanted = {part.strip().lower() for part in (flags["state"] or "").split(",") if part.strip()}
    unknown = wanted - {name.lower() for name in _STATES}
    if unknown:
        raise CommandError(f"Invalid state list '{flags['state']}'. Valid states are: {', '.join(_STATES)}")
    types = {part.strip().lower() for part in (flags["type_"] or "").split(",") if part.strip()}
    if types - {"classic", "consumer"}:
        raise CommandError(f"Invalid types list '{flags['type_']}'. Valid types are: Classic, Consumer")
    rows = [("GROUP", "TYPE", "STATE")]
    for group in groups:
        if (not wanted or group.state.lower() in wanted) and (not types or group.type.lower() in types):
            rows.append((printable(group.group_id), group.type, group.state))
    width = max(15, *(len(row[0]) for row in rows)) + 10
    for group_id, kind, state in rows:
        line = f"{group_id:<{width}}"
        if flags["type_"] is not None:
            line += f" {kind:<20}"
        if flags["state"] is not None:
            line += f" {state:<20}"
        click.echo(line)
    return 0


def _describe(admin: GroupAdmin, flags: Mapping[str, Any]) -> int:
    groups = [one.group_id for one in admin.groups()] if flags["all_groups"] else sorted(flags["groups"])
    code = 0
    for group, description in (admin.describe(groups) if groups else {}).items():
        state = description.state
        members = description.members
        for member in members:
            if member.partitions is None:
                click.echo(
                    f"kbroker: what was assigned to member {member.member_id} of group {group} cannot be read as "
                    "partitions",
                    err=True,
                )
        rows: list[GroupRow] = []
        if not flags["members"] and flags["state"] is None:
            rows = group_rows(group, members, admin.committed(group), admin.end_offsets)
        if state == "Dead" and not rows:
            click.echo(f"\nError: Consumer group '{group}' does not exist.")
            code = 1
            continue
        if state in {"Empty", "Dead"}:
            click.echo(f"\nConsumer group '{group}' has no active members.", err=True)
        elif state in {"PreparingRebalance", "CompletingRebalance"}:
            click.echo(f"\nWarning: Consumer group '{group}' is rebalancing.", err=True)
        if flags["members"]:
            click.echo(members_table(group, members, flags["verbose"]))
        elif flags["state"] is not None:
            click.echo(state_table(group, description))
        elif rows:
            click.echo(offsets_table(rows, flags["verbose"]))
    return code


def group_rows(
    group: str,
    members: Sequence[GroupMember],
    committed: Mapping[Partition, tuple[int, int | None]],
    end_offsets: Callable[[Iterable[Partition]], Mapping[Partition, int]],
) -> list[GroupRow]:
    """
    Return the lines of `--describe --offsets`: per member its partitions, then partitions nobody reads.

    committed    partition → (offset, leader epoch)
    end_offsets  partitions → their log end offsets
    """
    assigned = [(member, member.partitions or ()) for member in members]
    taken = {one for _, partitions in assigned for one in partitions}
    ends = end_offsets(sorted(taken | set(committed)))
    rows = []
    # Members with partitions come first, those with most of them on top.
    for member, partitions in sorted(assigned, key=lambda one: -len(one[1])):
        who = (member.member_id, f"/{member.host.lstrip('/')}", member.client_id)
        for one in sorted(partitions):
            offset, epoch = committed.get(one, (None, None))
            rows.append(GroupRow(group, one.topic, one.partition, offset, ends.get(one), *who, leader_epoch=epoch))
        if not partitions:
            rows.append(GroupRow(group, None, None, None, None, *who))
    for one in sorted(set(committed) - taken):
        offset, epoch = committed[one]
        rows.append(GroupRow(group, one.topic, one.partition, offset, ends.get(one), None, None, None, epoch))
    return rows


def offsets_table(rows: Sequence[GroupRow], verbose: bool = False) -> str:
    """Return Kafka's table of offsets."""
    table: list[list[object]] = [
        ["GROUP", "TOPIC", "PARTITION", "LEADER-EPOCH", "CURRENT-OFFSET", "LOG-END-OFFSET", "LAG", *_WHO]
    ]
    for row in rows:
        place = [row.group, row.topic, row.partition, row.leader_epoch, row.offset, row.log_end_offset, row.lag]
        table.append([*place, row.consumer_id, row.host, row.client_id])
    least = [15, 15, 10, 15, 15, 15, 15, 15, 15, 0]
    wide = (0, 1, 7, 8)
    if not verbose:
        for line in table:
            del line[3]
        del least[3]
        wide = (0, 1, 6, 7)
    return "\n" + _table(table, least, wide)


def members_table(group: str, members: Sequence[GroupMember], verbose: bool = False) -> str:
    """Return Kafka's table of members; assignments with `verbose`."""
    static = any(member.group_instance_id for member in members)
    header: list[object] = [
        "GROUP",
        "CONSUMER-ID",
        "GROUP-INSTANCE-ID",
        "HOST",
        "CLIENT-ID",
        "#PARTITIONS",
        "ASSIGNMENT",
    ]
    table = [header]
    for member in sorted(members, key=lambda one: -len(one.partitions or ())):
        partitions = member.partitions or ()
        topics: dict[str, list[int]] = {}
        for one in partitions:
            topics.setdefault(one.topic, []).append(one.partition)
        assignment = ", ".join(f"{name}({','.join(map(str, sorted(topics[name])))})" for name in sorted(topics))
        host = f"/{member.host.lstrip('/')}"
        who = [group, member.member_id, member.group_instance_id or "", host, member.client_id]
        table.append([*who, len(partitions), assignment or _MISSING])
    least = [15, 15, 17, 15, 15, 15, 0]
    for line in table:
        if not verbose:
            del line[6]
        if not static:
            del line[2]
    if not static:
        del least[2]
    return "\n" + _table(table, least, range(4 if static else 3), trailing=not verbose)


def state_table(group: str, description: GroupDescription) -> str:
    """Return Kafka's table of a group's state."""
    node = description.coordinator
    coordinator = f"{node.host}:{node.port}  ({node.node_id})"
    strategy = description.partition_assignor
    table: list[list[object]] = [
        ["GROUP", "COORDINATOR (ID)", "ASSIGNMENT-STRATEGY", "STATE", "#MEMBERS"],
        [group, coordinator, strategy, description.state, len(description.members)],
    ]
    return "\n" + _table(table, [max(25, len(coordinator)), 25, 20, 15, 0], (0, 1))


def _table(
    rows: Sequence[Sequence[object]], least: Sequence[int], wide: Iterable[int], *, trailing: bool = False
) -> str:
    """
    Return rows with columns padded to the left.

    least     width of each column
    wide      columns that grow with their content
    trailing  a blank after the last column too
    """
    texts = [[_MISSING if cell is None else printable(str(cell)) for cell in row] for row in rows]
    widths = list(least)
    for column in wide:
        widths[column] = max(widths[column], *(len(row[column]) for row in texts))
    lines = [" ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)) for row in texts]
    return "\n".join(line + " " if trailing else line for line in lines)


def _delete(admin: GroupAdmin, flags: Mapping[str, Any]) -> int:
    groups = [one.group_id for one in admin.groups()] if flags["all_groups"] else list(dict.fromkeys(flags["groups"]))
    failed = admin.delete(groups) if groups else {}
    done = [group for group in groups if group not in failed]
    if not failed:
        click.echo(f"Deletion of requested consumer groups ({_quoted(done)}) was successful.")
        return 0
    click.echo("\nError: Deletion of some consumer groups failed:")
    for group, reason in failed.items():
        click.echo(f"* Group '{group}' could not be deleted due to: {reason}")
    if done:
        click.echo(f"\nThese consumer groups were deleted successfully: {_quoted(done)}")
    return 1


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _delete_offsets(admin: GroupAdmin, flags: Mapping[str, Any]) -> int:
    code = 0
    for group in dict.fromkeys(flags["groups"]):
        missing, partitions = [], []
        for topic in flags["topics"]:
            try:
                partitions += parse_topics([topic], admin.partitions_of)
            except UnknownTopic as error:
                missing.append((error.topic, str(error)))
        problem = ""
        try:
            results = admin.delete_offsets(group, partitions) if partitions else {}
        except BrokerRefused as error:
            problem = str(error)
            results = dict.fromkeys(partitions, error.code)
        if not problem and any(results.values()):
            problem = "Encountered some partition-level error, see the follow-up details."
        click.echo(f"\nError: {problem}" if problem else f"Request succeeded for deleting offsets from group {group}.")
        rows: list[list[object]] = [["TOPIC", "PARTITION", "STATUS"]]
        for one in sorted(results):
            status = f"Error: {error_text(results[one])}" if results[one] else "Successful"
            rows.append([one.topic, one.partition, status])
        rows += [[topic, None, f"Error: {reason}"] for topic, reason in missing]
        click.echo("\n" + _table(rows, [15, 10, 15], (0,)))
        if problem or missing:
            code = 1
    return code


def parse_topics(texts: Iterable[str], partitions_of: Callable[[str], list[Partition]]) -> list[Partition]:
    """
    Return the partitions that `--topic name` and `--topic name:0,1` name.

    Raises CommandError for partitions that are no numbers or do not exist.
    """
    result: list[Partition] = []
    for text in texts:
        name, colon, numbers = text.partition(":")
        known = partitions_of(name)
        if not colon:
            result += known
            continue
        for number in numbers.split(","):
            if not number.strip().isdecimal():
                raise CommandError(f"--topic {text}: expected numbers of partitions after the colon")
            one = Partition(name, int(number))
            if one not in known:
                raise CommandError(f"topic {name} has no partition {one.partition}")
            result.append(one)
    return result


def parse_datetime(text: str) -> int:
    """Return the time of `YYYY-MM-DDThh:mm:ss[.sss]`, UTC unless it names a zone, in milliseconds since 1970."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"--to-datetime {text}: expected YYYY-MM-DDThh:mm:ss.sss") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def parse_duration(text: str) -> int:
    """Return the length of an ISO-8601 duration such as P1DT2H in milliseconds."""
    match = re.fullmatch(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?", text.strip().upper())
    if not match or not any(match.groups()):
        raise CommandError(f"--by-duration {text}: expected PnDTnHnMnS, for example PT2H30M")
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    length_ms = round((((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000)
    if length_ms >= 2**62:
        raise CommandError(f"--by-duration {text}: longer than time is counted")
    return length_ms


def parse_csv(text: str, groups: Sequence[str]) -> dict[str, dict[Partition, int]]:
    """
    Return group → partition → offset of a file that `--export` wrote.

    Lines are `topic,partition,offset` for a single group, else with the group in front. Raises CommandError.
    """
    result: dict[str, dict[Partition, int]] = {}
    try:
        rows = list(csv.reader(io.StringIO(text)))
    except csv.Error as error:
        raise CommandError(f"the file is no CSV: {error}") from None
    for number, row in enumerate(rows, 1):
        if not row:
            continue
        fields = [groups[0], *row] if len(row) == 3 and len(groups) == 1 else row
        try:
            group, topic, partition, offset = fields
            result.setdefault(group, {})[Partition(topic, int(partition))] = int(offset)
        except ValueError:
            raise CommandError(f"line {number} of the file: expected [group,]topic,partition,offset") from None
    return result


def _reset_offsets(admin: GroupAdmin, flags: Mapping[str, Any]) -> int:
    groups = [one.group_id for one in admin.groups()] if flags["all_groups"] else list(dict.fromkeys(flags["groups"]))
    from_file: dict[str, dict[Partition, int]] = {}
    if flags["from_file"]:
        try:
            with open(flags["from_file"], encoding="utf-8") as file:
                from_file = parse_csv(file.read(), groups)
        except OSError as error:
            raise CommandError(f"cannot read {flags['from_file']}: {error.strerror}") from None
        except UnicodeError:
            raise CommandError(f"cannot read {flags['from_file']}: it is no UTF-8 text") from None
    result: dict[str, dict[Partition, int]] = {}
    code = 0
    for group, description in (admin.describe(groups) if groups else {}).items():
        state = description.state
        if state not in {"Empty", "Dead"}:
            click.echo(
                f"\nError: Assignments can only be reset if the group '{group}' is inactive, but the current state is "
                f"{state}."
            )
            code = 1
            continue
        if flags["from_file"]:
            wanted = _within_log(admin, from_file.get(group, {}))
        else:
            committed = {one: offset for one, (offset, _) in admin.committed(group).items()}
            if flags["all_topics"]:
                partitions = sorted(committed)
            else:
                partitions = parse_topics(flags["topics"], admin.partitions_of)
            wanted = new_offsets(admin, flags, partitions, committed)
        if flags["execute"] and wanted:
            admin.commit(group, wanted)
        result[group] = wanted
    if flags["export"]:
        for line in csv_lines(result):
            click.echo(line)
    elif result:
        click.echo(reset_table(result))
    return code


def new_offsets(
    admin: GroupAdmin, flags: Mapping[str, Any], partitions: Sequence[Partition], committed: Mapping[Partition, int]
) -> dict[Partition, int]:
    """Return where the flags set the offset of each partition, within what its log holds."""
    if flags["to_earliest"]:
        return admin.start_offsets(partitions)
    if flags["to_latest"]:
        return admin.end_offsets(partitions)
    if flags["to_datetime"] is not None:
        return admin.offsets_at(partitions, parse_datetime(flags["to_datetime"]))
    if flags["by_duration"] is not None:
        now_ms = round(datetime.now(UTC).timestamp() * 1000)
        return admin.offsets_at(partitions, now_ms - parse_duration(flags["by_duration"]))
    if flags["to_offset"] is not None:
        return _within_log(admin, dict.fromkeys(partitions, flags["to_offset"]))
    if flags["shift_by"] is not None:
        missing = [one for one in partitions if one not in committed]
        if missing:
            names = ", ".join(f"{one.topic}-{one.partition}" for one in missing)
            raise CommandError(f"Cannot shift offset for partition {names} since there is no current committed offset")
        return _within_log(admin, {one: committed[one] + flags["shift_by"] for one in partitions})
    # --to-current, and --export alone: what is committed; the end where nothing is.
    ends = admin.end_offsets(one for one in partitions if one not in committed)
    return {one: committed.get(one, ends.get(one, 0)) for one in partitions}


def _within_log(admin: GroupAdmin, wanted: Mapping[Partition, int]) -> dict[Partition, int]:
    """Return the offsets moved into what each log holds, saying so where they were outside."""
    starts, ends = admin.start_offsets(wanted), admin.end_offsets(wanted)
    result = {}
    for one, offset in wanted.items():
        if one not in starts or one not in ends:
            raise CommandError(f"the offsets of {one.topic}-{one.partition} are not available")
        result[one] = min(max(offset, starts[one]), ends[one])
        if result[one] != offset:
            side = "higher than latest" if offset > ends[one] else "lower than earliest"
            click.echo(
                f"New offset ({offset}) is {side} offset for topic partition {one.topic}-{one.partition}. "
                f"Value will be set to {result[one]}",
                err=True,
            )
    return result


def reset_table(offsets: Mapping[str, Mapping[Partition, int]]) -> str:
    """Return Kafka's table of new offsets."""
    rows: list[list[object]] = [["GROUP", "TOPIC", "PARTITION", "NEW-OFFSET"]]
    for group, partitions in offsets.items():
        rows += [[group, one.topic, one.partition, offset] for one, offset in sorted(partitions.items())]
    return "\n" + _table(rows, [30, 30, 10, 15], ())


def csv_lines(offsets: Mapping[str, Mapping[Partition, int]]) -> list[str]:
    """Return what `--export` prints: without the group when there is only one."""
    lines = []
    for group, partitions in offsets.items():
        for one, offset in sorted(partitions.items()):
            line = f"{one.topic},{one.partition},{offset}"
            lines.append(line if len(offsets) == 1 else f"{group},{line}")
    return lines
