"""Offsets of groups: committed, fetched, deleted."""

from __future__ import annotations

from typing import Any

from differential.actions import Scenario, Steps
from differential.requests import UNKNOWN_ID, await_coordinator, create_topic, request
from differential.world import World
from kbroker.protocol.api_keys import ApiKey

NOBODY = "nobody-1"
SUBSCRIPTION = b"\0\1\0\0\0\1\0\5group\xff\xff\xff\xff\0\0\0\0"
"""What a consumer of the topic `group` says of itself."""
GROUP_IDS = ("", "g" * 40_000, "größer", "a b/c")


def offset_commit(world: World) -> Steps:
    """OffsetCommit without a group's members, and with wrong ones."""
    topic_id = yield from create_topic(world, "committed", 2)
    yield from await_coordinator("commits")

    def asked(group: str = "commits", **options: Any) -> Any:
        row = {"partition_index": 0, "committed_offset": 5, "committed_metadata": "m"}
        row |= {name: options.pop(name) for name in tuple(row) if name in options}
        if "committed_leader_epoch" in options:
            row["committed_leader_epoch"] = options.pop("committed_leader_epoch")
        partitions = options.pop("partitions", [row])
        name, identity = options.pop("topic", "committed"), options.pop("identity", topic_id)
        topics = options.pop("topics", [{"name": name, "topic_id": identity, "partitions": partitions}])
        return request(ApiKey.OFFSET_COMMIT, group_id=group, topics=topics, **options)

    for version in world.range(ApiKey.OFFSET_COMMIT):
        yield world.ask("plainly", asked(), version)
        yield world.ask("an empty group", asked(""), version)
        for offset in (0, -1, -2, 2**63 - 1):
            yield world.ask(f"offset {offset}", asked(f"commits-{offset}", committed_offset=offset), version)
        for size in (4096, 4097):
            yield world.ask(f"metadata of {size} bytes", asked(committed_metadata="x" * size), version)
        yield world.ask("null metadata", asked("commits-null", committed_metadata=None), version)
        for partition in (1, 2, -1, 2**31 - 1):
            yield world.ask(f"partition {partition}", asked(partition_index=partition), version)
        yield world.ask("an unknown topic", asked(topic="nowhere", identity=UNKNOWN_ID), version)
        yield world.ask("an empty topic name", asked(topic="", identity=bytes(16)), version)
        yield world.ask("no topics", asked(topics=[]), version)
        yield world.ask("no partitions", asked(partitions=[]), version)
        row = {"partition_index": 0, "committed_offset": 1, "committed_metadata": ""}
        yield world.ask(
            "a partition twice", asked("commits-twice", partitions=[row, {**row, "committed_offset": 2}]), version
        )
        mixed = [row, {**row, "partition_index": 9}, {**row, "partition_index": 1, "committed_metadata": "x" * 5000}]
        yield world.ask("one of three", asked("commits-mixed", partitions=mixed), version)
        topics = [
            {"name": "committed", "topic_id": topic_id, "partitions": [row]},
            {"name": "nowhere", "topic_id": UNKNOWN_ID, "partitions": [row]},
        ]
        yield world.ask("a known and an unknown topic", asked("commits-mixed", topics=topics), version)
        if version >= 1:
            yield world.ask("generation 0", asked(generation_id_or_member_epoch=0), version)
            yield world.ask("a member", asked(member_id=NOBODY), version)
            yield world.ask(
                "a member and a generation", asked(member_id=NOBODY, generation_id_or_member_epoch=3), version
            )
            yield world.ask("generation -2", asked(generation_id_or_member_epoch=-2), version)
        if 2 <= version <= 4:
            for milliseconds in (0, 1, -2):
                yield world.ask(
                    f"retention {milliseconds}", asked("commits-kept", retention_time_ms=milliseconds), version
                )
        if version >= 6:
            for epoch in (0, 7, -2):
                yield world.ask(
                    f"leader epoch {epoch}", asked(f"commits-epoch{epoch}", committed_leader_epoch=epoch), version
                )
        if version >= 7:
            yield world.ask("an instance", asked(group_instance_id="i"), version)


def offset_fetch(world: World) -> Steps:
    """OffsetFetch of what was committed and what was not."""
    topic_id = yield from create_topic(world, "positions", 2)
    yield from await_coordinator("fetches")
    commit = request(
        ApiKey.OFFSET_COMMIT,
        group_id="fetches",
        topics=[
            {
                "name": "positions",
                "topic_id": topic_id,
                "partitions": [
                    {
                        "partition_index": 0,
                        "committed_offset": 5,
                        "committed_leader_epoch": 0,
                        "committed_metadata": "here",
                    }
                ],
            }
        ],
    )
    yield world.ask("a commit", commit)

    def asked(group: str, topics: list[tuple[str, bytes, list[int]]] | None, **options: Any) -> Any:
        rows = (
            None
            if topics is None
            else [
                {"name": name, "topic_id": identity, "partition_indexes": indexes} for name, identity, indexes in topics
            ]
        )
        old = None if topics is None else [{"name": name, "partition_indexes": indexes} for name, _, indexes in topics]
        row = {"group_id": group, "topics": rows}
        row |= {name: options.pop(name) for name in ("member_id", "member_epoch") if name in options}
        return request(ApiKey.OFFSET_FETCH, group_id=group, topics=old, groups=options.pop("groups", [row]), **options)

    known = ("positions", topic_id)
    for version in world.range(ApiKey.OFFSET_FETCH):
        for group in ("fetches", "never-seen", ""):
            yield world.ask(f"group {group!r}", asked(group, [(*known, [0, 1])]), version)
            yield world.ask(f"group {group!r}, no topics", asked(group, []), version)
            if version >= 2:
                yield world.ask(f"group {group!r}, all topics", asked(group, None), version)
        yield world.ask("no partitions", asked("fetches", [(*known, [])]), version)
        yield world.ask("unknown partitions", asked("fetches", [(*known, [7, -1])]), version)
        yield world.ask("a partition twice", asked("fetches", [(*known, [0, 0])]), version)
        yield world.ask("an unknown topic", asked("fetches", [("nowhere", UNKNOWN_ID, [0])]), version)
        yield world.ask("an empty topic name", asked("fetches", [("", bytes(16), [0])]), version)
        yield world.ask("a topic twice", asked("fetches", [(*known, [0]), (*known, [1])]), version)
        if version >= 7:
            yield world.ask("stable", asked("fetches", [(*known, [0])], require_stable=True), version)
        if version >= 8:
            rows = [{"name": "positions", "topic_id": topic_id, "partition_indexes": [0]}]
            several = [
                {"group_id": "fetches", "topics": rows},
                {"group_id": "never-seen", "topics": None},
                {"group_id": "", "topics": rows},
            ]
            yield world.ask("several groups", asked("", [], groups=several), version)
            yield world.ask("no groups", asked("", [], groups=[]), version)
            yield world.ask("a group twice", asked("", [], groups=several[:1] * 2), version)
        if version >= 9:
            for member, epoch in (("m", 1), ("m", -1), (None, 3), ("", 0)):
                yield world.ask(
                    f"member {member} epoch {epoch}",
                    asked("fetches", [(*known, [0])], member_id=member, member_epoch=epoch),
                    version,
                )


def offset_delete(world: World) -> Steps:
    """OffsetDelete and DeleteGroups of groups without members."""
    yield from create_topic(world, "dropped", 2)
    yield from await_coordinator("drops")
    for version in world.range(ApiKey.OFFSET_DELETE):

        def asked(group: str, *topics: tuple[str, list[int]]) -> Any:
            rows = [
                {"name": name, "partitions": [{"partition_index": index} for index in indexes]}
                for name, indexes in topics
            ]
            return request(ApiKey.OFFSET_DELETE, group_id=group, topics=rows)

        yield world.ask("of an unknown group", asked("never-seen", ("dropped", [0])), version)
        yield world.ask("of an empty group", asked("", ("dropped", [0])), version)
        rows = [{"partition_index": index, "committed_offset": 3, "committed_metadata": ""} for index in (0, 1)]
        yield world.ask(
            "a commit",
            request(ApiKey.OFFSET_COMMIT, group_id="drops", topics=[{"name": "dropped", "partitions": rows}]),
            8,
        )
        yield world.ask("no topics", asked("drops"), version)
        yield world.ask("no partitions", asked("drops", ("dropped", [])), version)
        yield world.ask("an unknown topic", asked("drops", ("nowhere", [0])), version)
        yield world.ask("unknown partitions", asked("drops", ("dropped", [9, -1])), version)
        yield world.ask("one", asked("drops", ("dropped", [0])), version)
        yield world.ask("the same again", asked("drops", ("dropped", [0])), version)
        yield world.ask("a partition twice", asked("drops", ("dropped", [1, 1])), version)
        yield world.ask("what is left", request(ApiKey.OFFSET_FETCH, group_id="drops", topics=None), 7)
        yield world.ask("described", request(ApiKey.DESCRIBE_GROUPS, groups=["drops"]))


def delete_groups(world: World) -> Steps:
    """DeleteGroups of groups that are there, were there and never were."""
    yield from create_topic(world, "deleted")
    yield from await_coordinator("dies")
    for version in world.range(ApiKey.DELETE_GROUPS):
        rows = [{"partition_index": 0, "committed_offset": 3, "committed_metadata": ""}]
        yield world.ask(
            "a commit",
            request(ApiKey.OFFSET_COMMIT, group_id=f"dies-{version}", topics=[{"name": "deleted", "partitions": rows}]),
            8 if version else 7,
        )

        def asked(*groups: str) -> Any:
            return request(ApiKey.DELETE_GROUPS, groups_names=list(groups))

        for names in (
            (),
            ("",),
            ("never-seen",),
            ("never-seen", "never-seen"),
            (f"dies-{version}", "never-seen"),
            (f"dies-{version}",),
        ):
            name = ", ".join(one.partition("-")[0] or "''" for one in names)
            yield world.ask(f"of [{name}]", asked(*names), version)


SCENARIOS = (
    Scenario("offset commit", (ApiKey.OFFSET_COMMIT,), offset_commit),
    Scenario("offset fetch", (ApiKey.OFFSET_FETCH,), offset_fetch),
    Scenario("offset delete", (ApiKey.OFFSET_DELETE,), offset_delete),
    Scenario("delete groups", (ApiKey.DELETE_GROUPS,), delete_groups),
)
