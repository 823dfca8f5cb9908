"""`kbroker consumer-groups` prints Kafka's tables, and resets offsets as kafka-consumer-groups does."""

from types import SimpleNamespace

import click
import pytest

from kbroker.cli.command_error import CommandError
from kbroker.cli.consumer_groups import (
    check_flags,
    csv_lines,
    group_rows,
    members_table,
    offsets_table,
    parse_csv,
    parse_datetime,
    parse_duration,
    parse_topics,
    reset_table,
    run,
    state_table,
)
from kbroker.cli.group_admin import GroupDescription, GroupListing, GroupMember, Partition, UnknownTopic

NONE = {
    "groups": (), "all_groups": False, "topics": (), "all_topics": False, "state": None, "type_": None,
    "members": False, "offsets": False, "verbose": False, "to_earliest": False, "to_latest": False,
    "to_current": False, "to_offset": None, "shift_by": None, "to_datetime": None, "by_duration": None,
    "from_file": None, "dry_run": False, "execute": False, "export": False,
}  # fmt: skip


def flags(**given):
    return {**NONE, **given}


def part(topic: str, number: int):
    return Partition(topic, number)


def member(name: str, *partitions, instance=None):
    return GroupMember(f"{name}-id", instance, name, "127.0.0.1", partitions)


class FakeGroups:
    """One group `g` over topic `t` with two partitions of ten records, of which the first two are gone."""

    def __init__(self, state: str = "Empty", members=()) -> None:
        node = SimpleNamespace(host="localhost", port=9092, node_id=0)
        self.description = GroupDescription(state, "range", node, tuple(members))
        self.offsets = {Partition("t", 0): (5, None)}
        self.committed_now = {}
        self.failures = {}

    def groups(self):
        return [
            GroupListing("g", self.description.state, "Classic"),
            GroupListing("h", "Stable", "Consumer"),
        ]

    def describe(self, groups):
        return {group: self.description if group == "g" else GroupDescription("Dead", "", None, ()) for group in groups}

    def committed(self, group):
        return self.offsets if group == "g" else {}

    def commit(self, group, offsets):
        self.committed_now = offsets

    def start_offsets(self, partitions):
        return dict.fromkeys(partitions, 2)

    def end_offsets(self, partitions):
        return dict.fromkeys(partitions, 10)

    def offsets_at(self, partitions, timestamp_ms):
        self.asked_ms = timestamp_ms
        return dict.fromkeys(partitions, 7)

    def partitions_of(self, topic):
        if topic == "nope":
            raise UnknownTopic(topic)
        return [Partition(topic, 0), Partition(topic, 1)]

    def delete_offsets(self, group, partitions):
        return {one: 0 if one in self.offsets else 86 for one in partitions}

    def delete(self, groups):
        return {group: self.failures[group] for group in groups if group in self.failures}


def test_list(capsys) -> None:
    assert run(FakeGroups(), "list", flags()) == 0
    assert run(FakeGroups(), "list", flags(state="")) == 0
    assert run(FakeGroups(), "list", flags(state="stable", type_="")) == 0
    assert capsys.readouterr().out == (
        "g\nh\n"
        f"{'GROUP':<25} {'STATE':<20}\n{'g':<25} {'Empty':<20}\n{'h':<25} {'Stable':<20}\n"
        f"{'GROUP':<25} {'TYPE':<20} {'STATE':<20}\n{'h':<25} {'Consumer':<20} {'Stable':<20}\n"
    )
    assert run(FakeGroups(), "list", flags(state="sleepy")) == 1
    assert "Invalid state list 'sleepy'" in capsys.readouterr().out


def test_describe_offsets(capsys) -> None:
    """Kafka's columns and widths, a line per partition, the lag counted."""
    admin = FakeGroups("Stable", [member("c", part("t", 0), part("t", 1))])
    assert run(admin, "describe", flags(groups=("g",))) == 0
    lines = capsys.readouterr().out.splitlines()
    who, row = "CONSUMER-ID     HOST            CLIENT-ID", "c-id            /127.0.0.1      c"
    assert lines == [
        "",
        f"GROUP           TOPIC           PARTITION  CURRENT-OFFSET  LOG-END-OFFSET  LAG             {who}",
        "g               t               0          5               10              5               " + row,
        "g               t               1          -               10              -               " + row,
    ]


def test_describe_a_group_without_members(capsys) -> None:
    assert run(FakeGroups(), "describe", flags(groups=("g",))) == 0
    output = capsys.readouterr()
    assert "Consumer group 'g' has no active members." in output.err
    assert output.out.splitlines()[2].split() == ["g", "t", "0", "5", "10", "5", "-", "-", "-"]


def test_describe_a_group_that_does_not_exist(capsys) -> None:
    assert run(FakeGroups(), "describe", flags(groups=("other",))) == 1
    assert capsys.readouterr().out == "\nError: Consumer group 'other' does not exist.\n"


def test_rows_of_members_without_partitions_and_partitions_without_members() -> None:
    rows = group_rows(
        "g",
        [member("idle"), member("busy", part("t", 1))],
        {Partition("t", 0): (3, 4), Partition("t", 1): (1, None)},
        lambda partitions: dict.fromkeys(partitions, 9),
    )
    assert [(row.client_id, row.partition, row.lag) for row in rows] == [
        ("busy", 1, 8),
        ("idle", None, None),
        (None, 0, 6),
    ]
    assert "LEADER-EPOCH" in offsets_table(rows, verbose=True)


def test_wide_names_widen_their_columns() -> None:
    name = "a-very-long-name-of-a-group"
    rows = group_rows(name, [], {Partition("t", 0): (3, None)}, lambda partitions: {})
    header, line = offsets_table(rows).strip().splitlines()
    assert header.index("TOPIC") == line.index(" t ") + 1 == len(name) + 1


def test_members() -> None:
    text = members_table("g", [member("a"), member("b", part("t", 2), part("t", 0), part("s", 1))], verbose=True)
    lines = text.splitlines()
    assert lines[1].split() == ["GROUP", "CONSUMER-ID", "HOST", "CLIENT-ID", "#PARTITIONS", "ASSIGNMENT"]
    assert lines[2].split(maxsplit=5) == ["g", "b-id", "/127.0.0.1", "b", "3", "s(1), t(0,2)"]
    assert lines[3].split() == ["g", "a-id", "/127.0.0.1", "a", "0", "-"]
    static = members_table("g", [member("a", instance="one")])
    assert static.splitlines()[1].split()[2] == "GROUP-INSTANCE-ID"


def test_state() -> None:
    lines = state_table("g", FakeGroups("Stable", [member("a")]).description).splitlines()
    assert lines[1] == f"{'GROUP':<25} {'COORDINATOR (ID)':<25} {'ASSIGNMENT-STRATEGY':<20} {'STATE':<15} #MEMBERS"
    assert lines[2] == f"{'g':<25} {'localhost:9092  (0)':<25} {'range':<20} {'Stable':<15} 1"


def test_delete(capsys) -> None:
    admin = FakeGroups()
    assert run(admin, "delete", flags(groups=("g", "h"))) == 0
    assert capsys.readouterr().out == "Deletion of requested consumer groups ('g', 'h') was successful.\n"
    admin.failures["g"] = "The group is not empty."
    assert run(admin, "delete", flags(groups=("g", "h"))) == 1
    assert capsys.readouterr().out == (
        "\nError: Deletion of some consumer groups failed:\n"
        "* Group 'g' could not be deleted due to: The group is not empty.\n"
        "\nThese consumer groups were deleted successfully: 'h'\n"
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({"to_earliest": True}, {0: 2, 1: 2}, id="earliest"),
        pytest.param({"to_latest": True}, {0: 10, 1: 10}, id="latest"),
        pytest.param({"to_current": True}, {0: 5, 1: 10}, id="current, the end where there is none"),
        pytest.param({"to_offset": 4}, {0: 4, 1: 4}, id="an offset"),
        pytest.param({"to_offset": 99}, {0: 10, 1: 10}, id="an offset behind the end"),
        pytest.param({"to_offset": 0}, {0: 2, 1: 2}, id="an offset before the start"),
        pytest.param({"to_datetime": "2026-01-01T00:00:00.000"}, {0: 7, 1: 7}, id="a time"),
        pytest.param({"by_duration": "PT1H"}, {0: 7, 1: 7}, id="so long ago"),
    ],
)
def test_reset(given: dict, expected: dict, capsys) -> None:
    admin = FakeGroups()
    asked = flags(groups=("g",), topics=("t",), execute=True, **given)
    assert run(admin, "reset_offsets", asked) == 0
    assert admin.committed_now == {Partition("t", number): offset for number, offset in expected.items()}
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["GROUP", "TOPIC", "PARTITION", "NEW-OFFSET"]
    assert lines[2].split() == ["g", "t", "0", str(expected[0])]


def test_reset_shifts_what_is_committed() -> None:
    admin = FakeGroups()
    assert run(admin, "reset_offsets", flags(groups=("g",), all_topics=True, shift_by=-2, execute=True)) == 0
    assert admin.committed_now == {Partition("t", 0): 3}


def test_reset_cannot_shift_what_is_not_committed(capsys) -> None:
    assert run(FakeGroups(), "reset_offsets", flags(groups=("g",), topics=("t:1",), shift_by=1)) == 1
    assert "no current committed offset" in capsys.readouterr().out


def test_a_dry_run_changes_nothing() -> None:
    admin = FakeGroups()
    run(admin, "reset_offsets", flags(groups=("g",), topics=("t",), to_earliest=True, dry_run=True))
    assert admin.committed_now == {}


def test_a_group_with_members_is_not_reset(capsys) -> None:
    admin = FakeGroups("Stable", [member("c")])
    assert run(admin, "reset_offsets", flags(groups=("g",), topics=("t",), to_earliest=True, execute=True)) == 1
    assert "Assignments can only be reset if the group 'g' is inactive" in capsys.readouterr().out
    assert admin.committed_now == {}


def test_export_and_from_file(tmp_path, capsys) -> None:
    """What is exported can be read again."""
    admin = FakeGroups()
    run(admin, "reset_offsets", flags(groups=("g",), topics=("t",), to_offset=6, export=True, dry_run=True))
    exported = capsys.readouterr().out
    assert exported == "t,0,6\nt,1,6\n"
    path = tmp_path / "offsets.csv"
    path.write_text(exported)
    assert run(admin, "reset_offsets", flags(groups=("g",), from_file=str(path), execute=True)) == 0
    assert admin.committed_now == {Partition("t", 0): 6, Partition("t", 1): 6}
    several = {"g": {Partition("t", 0): 1}, "h": {Partition("t", 0): 2}}
    assert parse_csv("\n".join(csv_lines(several)), ["g", "h"]) == several
    with pytest.raises(CommandError, match="line 2 of the file"):
        parse_csv("t,0,1\nt,zero,1", ["g"])


def test_reset_table_has_kafkas_widths() -> None:
    lines = reset_table({"g": {Partition("t", 0): 1}}).splitlines()
    assert lines[1] == f"{'GROUP':<30} {'TOPIC':<30} {'PARTITION':<10} {'NEW-OFFSET':<15}"


def test_topics_of_the_command_line() -> None:
    known = lambda topic: [Partition(topic, number) for number in range(3)]  # noqa: E731
    assert parse_topics(["a:0,2", "b"], known) == [("a", 0), ("a", 2), ("b", 0), ("b", 1), ("b", 2)]
    for bad in ("a:x", "a:9"):
        with pytest.raises(CommandError):
            parse_topics([bad], known)


def test_times() -> None:
    assert parse_datetime("1970-01-02T00:00:00.500") == 86_400_500
    assert parse_datetime("1970-01-01T01:00:00+01:00") == 0
    assert parse_duration("P1DT2H3M4.5S") == 93_784_500
    assert parse_duration("pt5m") == 300_000
    for bad in ("P", "5m", "PT", ""):
        with pytest.raises(CommandError):
            parse_duration(bad)
    with pytest.raises(CommandError):
        parse_datetime("yesterday")


@pytest.mark.parametrize(
    ("action", "given"),
    [
        ("describe", {}),
        ("delete", {}),
        ("describe", {"groups": ("g",), "all_groups": True}),
        ("describe", {"groups": ("g",), "members": True, "offsets": True}),
        ("describe", {"groups": ("g",), "state": "Stable"}),
        ("delete_offsets", {"groups": ("g",)}),
        ("reset_offsets", {"groups": ("g",), "topics": ("t",)}),
        ("reset_offsets", {"groups": ("g",), "topics": ("t",), "to_earliest": True, "to_latest": True}),
        ("reset_offsets", {"groups": ("g",), "to_earliest": True}),
        ("reset_offsets", {"groups": ("g",), "topics": ("t",), "to_latest": True, "dry_run": True, "execute": True}),
    ],
)
def test_flags_that_do_not_go_together(action: str, given: dict) -> None:
    with pytest.raises(click.UsageError):
        check_flags(action, flags(**given))


def test_offsets_are_deleted_partition_by_partition(capsys) -> None:
    assert run(FakeGroups(), "delete_offsets", flags(groups=("g",), topics=("t:0",))) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Request succeeded for deleting offsets from group g.",
        "",
        f"{'TOPIC':<15} {'PARTITION':<10} STATUS         ",
        f"{'t':<15} {'0':<10} Successful     ",
    ]
    assert run(FakeGroups(), "delete_offsets", flags(groups=("g",), topics=("t", "nope"))) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "Error: Encountered some partition-level error, see the follow-up details."
    assert lines[-1] == f"{'nope':<15} {'-':<10} Error: topic nope does not exist"


def test_a_member_with_foreign_bytes_reads_nothing_and_is_told(capsys) -> None:
    foreign = GroupMember("m-id", None, "c", "127.0.0.1", None)
    assert run(FakeGroups("Stable", [foreign]), "describe", flags(groups=("g",), members=True, verbose=True)) == 0
    output = capsys.readouterr()
    assert output.out.splitlines()[2].split() == ["g", "m-id", "/127.0.0.1", "c", "0", "-"]
    assert "member m-id of group g cannot be read" in output.err
