"""Groups of the newer protocols: consumer, share and streams groups."""

from __future__ import annotations

from differential.actions import Scenario, Steps
from differential.requests import await_coordinator, create_topic, request
from differential.world import World
from kbroker.protocol.api_keys import ApiKey

DEFAULT_NONE_ID = bytes(16)


def new_groups(world: World) -> Steps:
    """Groups of the newer protocols: consumer, share and streams groups."""
    yield from create_topic(world, "newer")
    yield from await_coordinator("kip-848")
    for version in world.range(ApiKey.CONSUMER_GROUP_HEARTBEAT):
        for name, values in {
            "joining": {
                "group_id": f"kip-848-{version}",
                "member_id": "AAAAAAAAAAAAAAAAAAAAAQ",
                "member_epoch": 0,
                "rebalance_timeout_ms": 1000,
                "subscribed_topic_names": ["newer"],
                "topic_partitions": [],
            },
            "an unknown member": {"group_id": "kip-848", "member_id": "nobody", "member_epoch": 5},
            "no group": {"group_id": "", "member_id": "nobody", "member_epoch": 0},
            "leaving": {"group_id": "kip-848", "member_id": "nobody", "member_epoch": -1},
            "epoch -7": {"group_id": "kip-848", "member_id": "nobody", "member_epoch": -7},
        }.items():
            yield world.ask(f"a consumer {name}", request(ApiKey.CONSUMER_GROUP_HEARTBEAT, **values), version)
    for api, field in (
        (ApiKey.CONSUMER_GROUP_DESCRIBE, "group_ids"),
        (ApiKey.SHARE_GROUP_DESCRIBE, "group_ids"),
        (ApiKey.STREAMS_GROUP_DESCRIBE, "group_ids"),
    ):
        for version in world.range(api):
            for names in ([], ["never-seen"], [""]):
                yield world.ask(f"groups {names}", request(api, **{field: names}), version)
    for version in world.range(ApiKey.SHARE_GROUP_HEARTBEAT):
        for epoch in (0, 5, -1):
            values = {"group_id": "", "member_id": "AAAAAAAAAAAAAAAAAAAAAQ", "member_epoch": epoch}
            yield world.ask(
                f"a share consumer without group, epoch {epoch}",
                request(ApiKey.SHARE_GROUP_HEARTBEAT, **values),
                version,
            )
    for version in world.range(ApiKey.STREAMS_GROUP_HEARTBEAT):
        values = {"group_id": "", "member_id": "AAAAAAAAAAAAAAAAAAAAAQ", "member_epoch": 5}
        yield world.ask("a streams member without group", request(ApiKey.STREAMS_GROUP_HEARTBEAT, **values), version)
    for version in world.range(ApiKey.DESCRIBE_SHARE_GROUP_OFFSETS):
        yield world.ask(
            "offsets of a share group",
            request(ApiKey.DESCRIBE_SHARE_GROUP_OFFSETS, groups=[{"group_id": "never-seen", "topics": None}]),
            version,
        )


SCENARIOS = (Scenario("new groups", (ApiKey.CONSUMER_GROUP_HEARTBEAT,), new_groups),)
