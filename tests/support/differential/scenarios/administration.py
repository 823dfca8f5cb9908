"""What administrators ask besides: leaders, quotas, ACLs, credentials, quorum, features, transactions, tokens."""

from __future__ import annotations

from typing import Any

from differential.actions import Scenario, Steps
from differential.requests import TIMEOUT_MS, UNKNOWN_ID, create_topic, request
from differential.world import World
from kbroker.protocol.api_keys import ApiKey

DEFAULT_NONE_ID = bytes(16)


def leaders(world: World) -> Steps:
    """ElectLeaders and the reassignments of partitions, and moving them between directories."""
    yield from create_topic(world, "led", 2)
    for version in world.range(ApiKey.ELECT_LEADERS):
        for kind in (0, 1, 2, -1):
            chosen: dict[str, list[tuple[str, list[int]]]] = {
                "one partition": [("led", [0])],
                "unknown partitions": [("led", [0, 7, -1])],
                "an unknown topic": [("nowhere", [0])],
                "no partitions": [("led", [])],
                "no topics": [],
                "a partition twice": [("led", [0, 0])],
                "an empty name": [("", [0])],
                "an internal topic": [("__consumer_offsets", [0])],
            }
            for name, topics in chosen.items():
                rows = [{"topic": topic, "partitions": partitions} for topic, partitions in topics]
                asked = request(ApiKey.ELECT_LEADERS, election_type=kind, topic_partitions=rows, timeout_ms=TIMEOUT_MS)
                yield world.ask(f"electing by {kind}, {name}", asked, version)
            everything = request(ApiKey.ELECT_LEADERS, election_type=kind, topic_partitions=None, timeout_ms=TIMEOUT_MS)
            yield world.ask(f"electing by {kind}, all", everything, version)
    for version in world.range(ApiKey.ALTER_PARTITION_REASSIGNMENTS):
        for name, topic, partition, replicas in (
            ("to where it is", "led", 0, [1]),
            ("cancelled", "led", 0, None),
            ("to an unknown broker", "led", 0, [5]),
            ("to a negative broker", "led", 0, [-1]),
            ("to nobody", "led", 0, []),
            ("to a broker twice", "led", 0, [1, 1]),
            ("to two brokers", "led", 0, [1, 2]),
            ("of an unknown partition", "led", 9, [1]),
            ("of a negative partition", "led", -1, [1]),
            ("of an unknown topic", "nowhere", 0, [1]),
            ("of an unknown topic, cancelled", "nowhere", 0, None),
            ("of an empty name", "", 0, [1]),
        ):
            rows = [{"name": topic, "partitions": [{"partition_index": partition, "replicas": replicas}]}]
            asked = request(ApiKey.ALTER_PARTITION_REASSIGNMENTS, topics=rows, timeout_ms=TIMEOUT_MS)
            yield world.ask(f"reassigned {name}", asked, version)
        both = [{"name": "led", "partitions": [{"partition_index": 0, "replicas": [1]}] * 2}]
        yield world.ask("reassigned twice", request(ApiKey.ALTER_PARTITION_REASSIGNMENTS, topics=both), version)
        if version >= 1:
            rows = [{"name": "led", "partitions": [{"partition_index": 1, "replicas": [1]}]}]
            fixed = request(ApiKey.ALTER_PARTITION_REASSIGNMENTS, topics=rows, allow_replication_factor_change=False)
            yield world.ask("reassigned with a fixed factor", fixed, version)
    for version in world.range(ApiKey.LIST_PARTITION_REASSIGNMENTS):
        asked_for: dict[str, list[tuple[str, list[int]]] | None] = {
            "all": None,
            "none": [],
            "one": [("led", [0])],
            "unknown": [("nowhere", [0]), ("led", [9])],
        }
        for name, some in asked_for.items():
            listed = (
                None if some is None else [{"name": topic, "partition_indexes": indexes} for topic, indexes in some]
            )
            yield world.ask(
                f"reassignments of {name}", request(ApiKey.LIST_PARTITION_REASSIGNMENTS, topics=listed), version
            )
    for version in world.range(ApiKey.ALTER_REPLICA_LOG_DIRS):
        for path in ("/nowhere", "", "relative"):
            for name, topic, partition in (
                ("a partition", "led", 0),
                ("an unknown partition", "led", 9),
                ("an unknown topic", "nowhere", 0),
            ):
                rows = [{"path": path, "topics": [{"name": topic, "partitions": [partition]}]}]
                yield world.ask(f"{name} to {path!r}", request(ApiKey.ALTER_REPLICA_LOG_DIRS, dirs=rows), version)


def quotas(world: World) -> Steps:
    """Client quotas: described and altered."""

    def component(kind: str, match: int, name: str | None = None) -> dict[str, Any]:
        return {"entity_type": kind, "match_type": match, "match": name}

    for version in world.range(ApiKey.DESCRIBE_CLIENT_QUOTAS):
        for name, components in {
            "all": [],
            "a user": [component("user", 0, "alice")],
            "the default user": [component("user", 1)],
            "any user": [component("user", 2)],
            "any client": [component("client-id", 2)],
            "an address": [component("ip", 0, "127.0.0.1")],
            "an unknown kind": [component("planet", 0, "x")],
            "an empty kind": [component("", 0, "x")],
            "an unknown match": [component("user", 7, "x")],
            "a user twice": [component("user", 0, "a"), component("user", 0, "b")],
            "a user without name": [component("user", 0, None)],
            "the default with a name": [component("user", 1, "x")],
            "a user and an address": [component("user", 2), component("ip", 2)],
        }.items():
            for strict in (False, True):
                asked = request(ApiKey.DESCRIBE_CLIENT_QUOTAS, components=components, strict=strict)
                yield world.ask(f"of {name}{', strictly' if strict else ''}", asked, version)
    for version in world.range(ApiKey.ALTER_CLIENT_QUOTAS):
        for name, entity, key, value, remove in (
            ("a user", [("user", "alice")], "producer_byte_rate", 1000.0, False),
            ("an unknown key", [("user", "alice")], "planets", 1.0, False),
            ("an unknown kind", [("planet", "x")], "producer_byte_rate", 1.0, False),
            ("nobody", [], "producer_byte_rate", 1.0, False),
            ("a negative rate", [("user", "alice")], "producer_byte_rate", -5.0, False),
            ("what is not set", [("user", "nobody")], "producer_byte_rate", 0.0, True),
            ("an address", [("ip", "127.0.0.1")], "connection_creation_rate", 100.0, False),
            ("an unknown address", [("ip", "no such host!")], "connection_creation_rate", 100.0, False),
        ):
            entry = {
                "entity": [{"entity_type": kind, "entity_name": one} for kind, one in entity],
                "ops": [{"key": key, "value": value, "remove": remove}],
            }
            asked = request(ApiKey.ALTER_CLIENT_QUOTAS, entries=[entry], validate_only=True)
            yield world.ask(f"set for {name}", asked, version)


def cluster(world: World) -> Steps:
    """The quorum, features, brokers that go, telemetry."""
    for version in world.range(ApiKey.DESCRIBE_QUORUM):
        for name, topic, partition in (
            ("the metadata log", "__cluster_metadata", 0),
            ("another partition", "__cluster_metadata", 1),
            ("another topic", "nowhere", 0),
        ):
            rows = [{"topic_name": topic, "partitions": [{"partition_index": partition}]}]
            yield world.ask(f"quorum of {name}", request(ApiKey.DESCRIBE_QUORUM, topics=rows), version)
        yield world.ask("quorum of nothing", request(ApiKey.DESCRIBE_QUORUM), version)
    for version in world.range(ApiKey.UPDATE_FEATURES):
        for name, feature, level, kind in (
            ("an unknown feature", "planets", 1, 1),
            ("metadata.version, too high", "metadata.version", 999, 1),
            ("metadata.version, down", "metadata.version", 1, 1),
            ("metadata.version, negative", "metadata.version", -1, 1),
            ("kraft.version", "kraft.version", 99, 1),
            ("an empty name", "", 1, 1),
            ("an unknown kind", "metadata.version", 7, 9),
            ("group.version, off", "group.version", 0, 2),
            ("a deletion", "planets", 0, 1),
            ("a deletion by downgrade", "planets", 0, 2),
        ):
            row = {"feature": feature, "max_version_level": level, "upgrade_type": kind, "allow_downgrade": kind == 2}
            asked = request(ApiKey.UPDATE_FEATURES, feature_updates=[row], validate_only=True)
            if version >= 1 or level:
                yield world.ask(name, asked, version)
        yield world.ask("no feature", request(ApiKey.UPDATE_FEATURES, validate_only=True), version)
    for version in world.range(ApiKey.UNREGISTER_BROKER):
        for broker in (5, -1, 2**31 - 1):
            yield world.ask(f"broker {broker} goes", request(ApiKey.UNREGISTER_BROKER, broker_id=broker), version)
    for version in world.range(ApiKey.GET_TELEMETRY_SUBSCRIPTIONS):
        for identity in (DEFAULT_NONE_ID, UNKNOWN_ID):
            yield world.ask(
                f"subscriptions of {identity[:2].hex()}",
                request(ApiKey.GET_TELEMETRY_SUBSCRIPTIONS, client_instance_id=identity),
                version,
            )
    for version in world.range(ApiKey.PUSH_TELEMETRY):
        for identity in (DEFAULT_NONE_ID, UNKNOWN_ID):
            pushed = request(ApiKey.PUSH_TELEMETRY, client_instance_id=identity, subscription_id=5, metrics=b"abc")
            yield world.ask(f"metrics of {identity[:2].hex()}", pushed, version)


SCENARIOS = (
    Scenario(
        "leaders",
        (
            ApiKey.ELECT_LEADERS,
            ApiKey.ALTER_PARTITION_REASSIGNMENTS,
            ApiKey.LIST_PARTITION_REASSIGNMENTS,
            ApiKey.ALTER_REPLICA_LOG_DIRS,
        ),
        leaders,
    ),
    Scenario("quotas", (ApiKey.DESCRIBE_CLIENT_QUOTAS, ApiKey.ALTER_CLIENT_QUOTAS), quotas),
    Scenario("cluster", (ApiKey.DESCRIBE_QUORUM, ApiKey.UPDATE_FEATURES, ApiKey.UNREGISTER_BROKER), cluster),
)
