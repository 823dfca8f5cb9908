"""Groups and their offsets: members that come, stay and leave, commits with and without them."""

from __future__ import annotations

from typing import Any

from differential.actions import Receive, Scenario, Steps
from differential.requests import await_coordinator, create_topic, request
from differential.world import World
from kbroker.protocol.api_keys import ApiKey

NOBODY = "nobody-1"
SUBSCRIPTION = b"\0\1\0\0\0\1\0\5group\xff\xff\xff\xff\0\0\0\0"
"""What a consumer of the topic `group` says of itself."""
GROUP_IDS = ("", "g" * 40_000, "größer", "a b/c")


def _join(group: str, member: str = "", **options: Any) -> Any:
    protocols = [{"name": name, "metadata": SUBSCRIPTION} for name in options.pop("names", ("range",))]
    return request(
        ApiKey.JOIN_GROUP,
        **{
            "group_id": group,
            "session_timeout_ms": 10_000,
            "rebalance_timeout_ms": 10_000,
            "member_id": member,
            "protocol_type": "consumer",
            "protocols": protocols,
            **options,
        },
    )


def _joined(world: World, group: str, name: str, version: int, **options: Any) -> Steps:
    """Join as a member that is not known yet, which takes two requests from version 4 on; return the answer."""
    answer = yield world.ask(f"{name} joins", _join(group, **options), version)
    world.note(answer.member_id, f"<{name}>")
    if answer.error_code == 79:
        answer = yield world.ask(f"{name} joins with its id", _join(group, answer.member_id, **options), version)
    return answer


def _sync(group: str, generation: int, member: str, assigned: dict[str, bytes] | None = None, **options: Any) -> Any:
    return request(
        ApiKey.SYNC_GROUP,
        **{
            "group_id": group,
            "generation_id": generation,
            "member_id": member,
            "protocol_type": "consumer",
            "protocol_name": "range",
            "assignments": [{"member_id": one, "assignment": data} for one, data in (assigned or {}).items()],
            **options,
        },
    )


def _heartbeat(group: str, generation: int, member: str, **options: Any) -> Any:
    return request(ApiKey.HEARTBEAT, group_id=group, generation_id=generation, member_id=member, **options)


def _leave(group: str, *members: str | dict[str, Any]) -> Any:
    identities = [one if isinstance(one, dict) else {"member_id": one} for one in members]
    return request(
        ApiKey.LEAVE_GROUP,
        group_id=group,
        member_id=identities[0]["member_id"] if identities else "",
        members=identities,
    )


def join_group(world: World) -> Steps:
    """JoinGroup with everything that can be wrong, and a member's life in each version."""
    yield from await_coordinator("joined")
    for version in world.range(ApiKey.JOIN_GROUP):
        group = f"joined-{version}"
        for identity in GROUP_IDS[:1]:
            yield world.ask(f"group {identity!r}", _join(identity), version)
        for milliseconds in (0, -1, 999, 1_800_001, 2**31 - 1):
            yield world.ask(f"session timeout {milliseconds}", _join(group, session_timeout_ms=milliseconds), version)
        yield world.ask("an unknown member", _join(group, NOBODY), version)
        yield world.ask("no protocols", _join(group, names=()), version)
        yield world.ask("no protocol type", _join(group, protocol_type=""), version)
        yield world.ask("no protocols and no type", _join(group, names=(), protocol_type=""), version)
        for milliseconds in (0,):
            name = f"wait {milliseconds}"
            short = yield from _joined(
                world, f"{group}{milliseconds}", name, version, rebalance_timeout_ms=milliseconds
            )
            yield world.ask(f"{name} leaves", _leave(f"{group}{milliseconds}", short.member_id))
        member = yield from _joined(world, group, "a member", version, names=("range", "sticky"))
        identity = member.member_id
        yield world.ask("another protocol type", _join(group, protocol_type="connect"), version)
        yield world.ask("no common protocol", _join(group, names=("other",)), version)
        yield world.ask("a stranger with an id", _join(group, NOBODY), version)
        yield world.ask("the member again", _join(group, identity, names=("range", "sticky")), version)
        yield world.ask("the member, with another protocol", _join(group, identity, names=("sticky",)), version)
        yield world.ask("the member, with another type", _join(group, identity, protocol_type="connect"), version)
        yield world.ask("the member, with no protocols", _join(group, identity, names=()), version)
        if version >= 8:
            yield world.ask(
                "the member, with a reason", _join(group, identity, names=("sticky",), reason="why not"), version
            )
            yield world.ask("with a long reason", _join(group, identity, names=("sticky",), reason="x" * 300), version)
        yield world.ask("leaving", _leave(group, identity))
        yield world.ask("after leaving", _join(group, identity), version)


def static_members(world: World) -> Steps:
    """Members with an instance id: replaced, fenced, unknown."""
    yield from await_coordinator("static")
    for version in world.range(ApiKey.JOIN_GROUP):
        if version < 5:
            continue
        group = f"static-{version}"
        first = yield world.ask("the first", _join(group, group_instance_id="one"), version)
        if first.error_code:
            continue
        world.note(first.member_id, "<first>")
        own = first.member_id
        yield world.ask("sync", _sync(group, first.generation_id, own, {own: b"all"}, group_instance_id="one"))
        yield world.ask("an unknown id with the instance", _join(group, NOBODY, group_instance_id="one"), version)
        yield world.ask("heartbeat, fenced", _heartbeat(group, first.generation_id, NOBODY, group_instance_id="one"))
        yield world.ask(
            "heartbeat, another instance", _heartbeat(group, first.generation_id, own, group_instance_id="two")
        )
        yield world.ask("heartbeat, no instance", _heartbeat(group, first.generation_id, own))
        yield world.ask("sync, fenced", _sync(group, first.generation_id, NOBODY, group_instance_id="one"))
        second = yield world.ask("the same instance again", _join(group, group_instance_id="one"), version)
        world.note(second.member_id, "<second>")
        yield world.ask(
            "heartbeat of the replaced", _heartbeat(group, first.generation_id, own, group_instance_id="one")
        )
        yield world.ask("sync of the replaced", _sync(group, second.generation_id, own, group_instance_id="one"))
        yield world.ask(
            "sync of the new", _sync(group, second.generation_id, second.member_id, group_instance_id="one")
        )
        changed = _join(group, second.member_id, group_instance_id="one", names=("sticky",))
        third = yield world.ask("with another protocol", changed, version)
        yield world.ask("an empty instance id", _join(f"{group}-empty", group_instance_id=""), version)
        for name in ("a b", "x" * 300, ".", "größer"):
            yield world.ask(f"instance id {name[:10]!r}", _join(f"{group}-{name[:3]}", group_instance_id=name), version)
        commit = request(
            ApiKey.OFFSET_COMMIT,
            group_id=group,
            generation_id_or_member_epoch=third.generation_id,
            member_id=NOBODY,
            group_instance_id="one",
            topics=[],
        )
        yield world.ask("commit, fenced", commit, min(9, world.latest(ApiKey.OFFSET_COMMIT)))
        yield world.ask("leave, unknown instance", _leave(group, {"member_id": "", "group_instance_id": "nobody"}))
        yield world.ask("leave, fenced", _leave(group, {"member_id": NOBODY, "group_instance_id": "one"}))
        yield world.ask("leave", _leave(group, {"member_id": "", "group_instance_id": "one"}))


def two_members(world: World) -> Steps:
    """A rebalance: a second member comes, both get parts, one leaves."""
    yield from create_topic(world, "group")
    yield from await_coordinator("shared")
    for version in world.range(ApiKey.JOIN_GROUP):
        group = f"shared-{version}"
        leader = yield from _joined(world, group, "leader", version)
        own = leader.member_id
        yield world.ask("leader syncs", _sync(group, leader.generation_id, own, {own: b"everything"}))
        identity = ""
        if version >= 4:
            answer = yield world.ask("follower knocks", _join(group), version, connection="second")
            identity = answer.member_id
            world.note(identity, "<follower>")
        yield world.send("follower joins", _join(group, identity), version, connection="second")
        yield from _until_rebalance(world, group, leader.generation_id, own)
        yield world.ask("leader's heartbeat", _heartbeat(group, leader.generation_id, own))
        yield world.ask("leader's sync meanwhile", _sync(group, leader.generation_id, own))
        commit = request(
            ApiKey.OFFSET_COMMIT,
            group_id=group,
            generation_id_or_member_epoch=leader.generation_id,
            member_id=own,
            topics=[
                {
                    "name": "group",
                    "partitions": [{"partition_index": 0, "committed_offset": 1, "committed_metadata": ""}],
                }
            ],
        )
        yield world.ask("leader's commit meanwhile", commit, 7)
        again = yield world.ask("leader joins again", _join(group, own), version)
        follower = yield Receive("second")
        world.note(follower.member_id, "<follower>")
        other = follower.member_id
        generation = again.generation_id
        yield world.send("follower syncs", _sync(group, generation, other), connection="second")
        yield world.ask("heartbeat before the sync", _heartbeat(group, generation, own))
        yield world.ask("commit before the sync", commit, 6)
        parts = {own: b"one", other: b"two"}
        yield world.ask("leader syncs again", _sync(group, generation, own, parts))
        yield Receive("second")
        yield world.ask("described", request(ApiKey.DESCRIBE_GROUPS, groups=[group]))
        for one, name in ((own, "leader"), (other, "follower")):
            yield world.ask(f"{name}'s heartbeat, stable", _heartbeat(group, generation, one))
            yield world.ask(f"{name}'s old heartbeat", _heartbeat(group, generation - 1, one))
            yield world.ask(f"{name}'s heartbeat to come", _heartbeat(group, generation + 1, one))
            yield world.ask(f"{name}'s sync, stable", _sync(group, generation, one))
        yield world.ask("sync, old generation", _sync(group, generation - 1, own))
        yield world.ask("sync, another type", _sync(group, generation, own, protocol_type="connect"))
        yield world.ask("sync, another protocol", _sync(group, generation, own, protocol_name="sticky"))
        yield world.ask("sync, null protocol", _sync(group, generation, own, protocol_type=None, protocol_name=None))
        yield world.ask("deleting a group with members", request(ApiKey.DELETE_GROUPS, groups_names=[group]))
        for topic in ("group", "elsewhere"):
            deleted = request(
                ApiKey.OFFSET_DELETE, group_id=group, topics=[{"name": topic, "partitions": [{"partition_index": 0}]}]
            )
            yield world.ask(f"deleting offsets of {topic}", deleted)
        yield world.ask("leaving, unknown", _leave(group, NOBODY))
        if version >= 5:
            yield world.ask("both leave", _leave(group, own, other, NOBODY), connection="second")
        else:
            yield world.ask("leader leaves", _leave(group, own), 2)
            yield world.ask("follower leaves", _leave(group, other), 1)
        yield world.ask("described, empty", request(ApiKey.DESCRIBE_GROUPS, groups=[group]))


def _until_rebalance(world: World, group: str, generation: int, member: str) -> Steps:
    from differential.actions import Until

    yield Until(_heartbeat(group, generation, member), 1, lambda answer: answer.error_code == 27, "the rebalance")


def strangers(world: World) -> Steps:
    """Heartbeat, SyncGroup and LeaveGroup of members and groups that nobody knows."""
    yield from await_coordinator("strange")
    for group in ("strange", ""):
        for version in world.range(ApiKey.HEARTBEAT):
            yield world.ask(f"heartbeat in {group!r}", _heartbeat(group, 1, NOBODY), version)
            yield world.ask(f"heartbeat in {group!r} without id", _heartbeat(group, 1, ""), version)
            yield world.ask(f"heartbeat in {group!r}, generation -1", _heartbeat(group, -1, NOBODY), version)
        for version in world.range(ApiKey.SYNC_GROUP):
            yield world.ask(f"sync in {group!r}", _sync(group, 1, NOBODY), version)
            yield world.ask(f"sync in {group!r} without id", _sync(group, 1, ""), version)
            yield world.ask(f"sync in {group!r} of somebody twice", _sync(group, -1, NOBODY, {"a": b"1"}), version)
            yield world.ask(
                f"sync in {group!r} without protocol",
                _sync(group, 1, NOBODY, protocol_type=None, protocol_name=None),
                version,
            )
        for version in world.range(ApiKey.LEAVE_GROUP):
            yield world.ask(f"leave {group!r}", _leave(group, NOBODY), version)
            yield world.ask(f"leave {group!r} without id", _leave(group, ""), version)
            if version >= 3:
                yield world.ask(f"nobody leaves {group!r}", _leave(group), version)
                both = _leave(group, NOBODY, {"member_id": "", "group_instance_id": "i"})
                yield world.ask(f"two leave {group!r}", both, version)


def describe_groups(world: World) -> Steps:
    """DescribeGroups and ListGroups of empty, stable and unknown groups."""
    yield from create_topic(world, "told")
    yield from await_coordinator("told")
    member = yield from _joined(world, "told", "member", 5)
    yield world.ask("its sync", _sync("told", member.generation_id, member.member_id, {member.member_id: b"\0\1"}))
    rows = [{"partition_index": 0, "committed_offset": 3, "committed_metadata": ""}]
    yield world.ask(
        "a commit",
        request(ApiKey.OFFSET_COMMIT, group_id="told-offsets", topics=[{"name": "told", "partitions": rows}]),
        7,
    )
    other = yield from _joined(world, "told-connect", "worker", 4, protocol_type="connect", names=("v1", "v2"))
    yield world.ask("described before the sync", request(ApiKey.DESCRIBE_GROUPS, groups=["told-connect"]))
    yield world.ask(
        "its sync, too",
        _sync("told-connect", other.generation_id, other.member_id, protocol_type="connect", protocol_name="v1"),
    )
    for version in world.range(ApiKey.DESCRIBE_GROUPS):
        for names in (
            (),
            ("told",),
            ("told-offsets",),
            ("told-connect",),
            ("never-seen",),
            ("",),
            ("told", "told"),
            ("told", "never-seen"),
        ):
            yield world.ask(f"of {list(names)}", request(ApiKey.DESCRIBE_GROUPS, groups=list(names)), version)
            if version >= 3:
                operations = request(ApiKey.DESCRIBE_GROUPS, groups=list(names), include_authorized_operations=True)
                yield world.ask(f"of {list(names)} with operations", operations, version)
    for version in world.range(ApiKey.LIST_GROUPS):
        yield world.ask("all groups", request(ApiKey.LIST_GROUPS), version)
        if version >= 4:
            for states in (
                ["Stable"],
                ["stable"],
                ["Empty"],
                ["Dead"],
                ["Nonsense"],
                [""],
                ["Stable", "Empty"],
                ["PreparingRebalance"],
                ["Assigning"],
            ):
                yield world.ask(f"in {states}", request(ApiKey.LIST_GROUPS, states_filter=states), version)
        if version >= 5:
            for types in (
                ["classic"],
                ["Classic"],
                ["consumer"],
                ["share"],
                ["nonsense"],
                ["classic", "consumer"],
                [""],
            ):
                yield world.ask(f"of type {types}", request(ApiKey.LIST_GROUPS, types_filter=types), version)
    yield world.ask("the member leaves", _leave("told", member.member_id))
    yield world.ask("the worker leaves", _leave("told-connect", other.member_id))


def find_coordinator(world: World) -> Steps:
    """FindCoordinator of groups, of transactions, of what there is not."""
    yield from await_coordinator("found")
    for version in world.range(ApiKey.FIND_COORDINATOR):
        for kind in (0, 2, 3, -1):
            if version == 0 and kind:
                continue
            yield world.ask(
                f"type {kind}",
                request(ApiKey.FIND_COORDINATOR, key="found", key_type=kind, coordinator_keys=["found"]),
                version,
            )
            yield world.ask(
                f"type {kind}, empty key",
                request(ApiKey.FIND_COORDINATOR, key="", key_type=kind, coordinator_keys=[""]),
                version,
            )
        if version >= 4:
            for keys in ([], ["a", "b"], ["a", "a"], ["a", ""]):
                yield world.ask(
                    f"keys {keys}", request(ApiKey.FIND_COORDINATOR, key_type=0, coordinator_keys=keys), version
                )
            for keys in (["g:AAECAwQFBgcICQoLDA0ODw:0"], ["g"], ["g:x:y"], [":"]):
                yield world.ask(
                    f"share keys {keys}", request(ApiKey.FIND_COORDINATOR, key_type=2, coordinator_keys=keys), version
                )


SCENARIOS = (
    Scenario("find coordinator", (ApiKey.FIND_COORDINATOR,), find_coordinator),
    Scenario("join group", (ApiKey.JOIN_GROUP,), join_group),
    Scenario(
        "static members", (ApiKey.JOIN_GROUP, ApiKey.SYNC_GROUP, ApiKey.HEARTBEAT, ApiKey.LEAVE_GROUP), static_members
    ),
    Scenario("two members", (ApiKey.JOIN_GROUP, ApiKey.SYNC_GROUP, ApiKey.HEARTBEAT, ApiKey.LEAVE_GROUP), two_members),
    Scenario("strangers", (ApiKey.SYNC_GROUP, ApiKey.HEARTBEAT, ApiKey.LEAVE_GROUP), strangers),
    Scenario("describe groups", (ApiKey.DESCRIBE_GROUPS, ApiKey.LIST_GROUPS), describe_groups),
)
