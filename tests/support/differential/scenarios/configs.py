"""Configurations: described, altered one way and the other, of all kinds of resources."""

from __future__ import annotations

from typing import Any

from differential.actions import Pause, Scenario, Steps
from differential.requests import create_topic, request
from differential.world import World
from kbroker.protocol.api_keys import ApiKey

TOPIC, BROKER, LOGGER, CLIENT_METRICS, GROUP = 2, 4, 8, 16, 32
SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3
SETTLE_S = 0.1
"""Kafka describes what was altered a moment later."""

RESOURCES = (
    (TOPIC, "configured"),
    (TOPIC, "nowhere"),
    (TOPIC, ""),
    (TOPIC, "a/b"),
    (TOPIC, "__consumer_offsets"),
    (BROKER, "1"),
    (BROKER, ""),
    (BROKER, "5"),
    (BROKER, "abc"),
    (BROKER, "-1"),
    (LOGGER, "1"),
    (LOGGER, ""),
    (LOGGER, "5"),
    (CLIENT_METRICS, "metrics"),
    (CLIENT_METRICS, ""),
    (GROUP, "group"),
    (GROUP, ""),
    (0, "x"),
    (1, "x"),
    (99, "x"),
    (-1, "x"),
)


def describe_configs(world: World) -> Steps:
    """DescribeConfigs of everything."""
    yield from create_topic(world, "configured", 1, {"retention.ms": "1000000", "cleanup.policy": "compact,delete"})

    def asked(*resources: tuple[int, str, list[str] | None], **options: Any) -> Any:
        rows = [
            {"resource_type": kind, "resource_name": name, "configuration_keys": keys} for kind, name, keys in resources
        ]
        return request(ApiKey.DESCRIBE_CONFIGS, resources=rows, **options)

    for version in world.range(ApiKey.DESCRIBE_CONFIGS):
        for kind, name in RESOURCES:
            yield world.ask(f"type {kind} {name!r}, no keys", asked((kind, name, [])), version)
            yield world.ask(f"type {kind} {name!r}, an unknown key", asked((kind, name, ["no.such.key"])), version)
        yield world.ask("a topic", asked((TOPIC, "configured", None)), version)
        yield world.ask("a topic with synonyms", asked((TOPIC, "configured", None), include_synonyms=True), version)
        yield world.ask("two keys of a topic", asked((TOPIC, "configured", ["retention.ms", "segment.bytes"])), version)
        yield world.ask("a key twice", asked((TOPIC, "configured", ["retention.ms", "retention.ms"])), version)
        yield world.ask(
            "a topic twice",
            asked((TOPIC, "configured", ["retention.ms"]), (TOPIC, "configured", ["segment.ms"])),
            version,
        )
        yield world.ask("no resources", asked(), version)
        documented = asked((TOPIC, "configured", ["retention.ms"]), include_documentation=True)
        if version >= 3:
            yield world.ask("with documentation", documented, version)
        yield world.ask("the cluster's defaults", asked((BROKER, "", None)), version)
    latest = world.latest(ApiKey.DESCRIBE_CONFIGS)
    yield world.ask("the broker", asked((BROKER, "1", None), include_synonyms=True), latest)


def incremental_alter_configs(world: World) -> Steps:
    """IncrementalAlterConfigs: set, delete, append, subtract, and what cannot be."""
    yield from create_topic(world, "altered")

    def asked(kind: int, name: str, *configs: tuple[str, int, str | None], **options: Any) -> Any:
        rows = [{"name": key, "config_operation": operation, "value": value} for key, operation, value in configs]
        resources = options.pop("resources", [{"resource_type": kind, "resource_name": name, "configs": rows}])
        return request(ApiKey.INCREMENTAL_ALTER_CONFIGS, resources=resources, **options)

    keys = ["retention.ms", "cleanup.policy", "segment.bytes"]
    now = request(
        ApiKey.DESCRIBE_CONFIGS,
        resources=[{"resource_type": TOPIC, "resource_name": "altered", "configuration_keys": keys}],
        include_synonyms=True,
    )
    for version in world.range(ApiKey.INCREMENTAL_ALTER_CONFIGS):

        def topic(*configs: tuple[str, int, str | None], **options: Any) -> Any:
            return asked(TOPIC, "altered", *configs, **options)

        for name, configs in {
            "nothing": (),
            "an unknown key": (("no.such.key", SET, "1"),),
            "deleting an unknown key": (("no.such.key", DELETE, None),),
            "an empty key": (("", SET, "1"),),
            "a value that is no number": (("retention.ms", SET, "abc"),),
            "a value out of range": (("retention.ms", SET, "-2"),),
            "an empty value": (("retention.ms", SET, ""),),
            "a null value": (("retention.ms", SET, None),),
            "deleting with a value": (("retention.ms", DELETE, "7"),),
            "a key twice": (("retention.ms", SET, "1"), ("retention.ms", SET, "2")),
            "a key set and deleted": (("retention.ms", SET, "1"), ("retention.ms", DELETE, None)),
            "appending to no list": (("retention.ms", APPEND, "1"),),
            "subtracting from no list": (("retention.ms", SUBTRACT, "1"),),
            "appending a wrong policy": (("cleanup.policy", APPEND, "shred"),),
            "appending null": (("cleanup.policy", APPEND, None),),
            "appending what is there": (("cleanup.policy", APPEND, "delete"),),
            "subtracting all": (("cleanup.policy", SUBTRACT, "delete"),),
            "subtracting what is not there": (("cleanup.policy", SUBTRACT, "compact"),),
            "an unknown operation": (("retention.ms", 9, "1"),),
            "a negative operation": (("retention.ms", -1, "1"),),
            "a good and a bad one": (("retention.ms", SET, "5000"), ("segment.bytes", SET, "1")),
            "blanks around a value": (("retention.ms", SET, " 5000 "),),
            "a policy with blanks": (("cleanup.policy", SET, "compact , delete"),),
            "a policy twice": (("cleanup.policy", SET, "compact,compact"),),
            "min.insync.replicas 0": (("min.insync.replicas", SET, "0"),),
            "min.insync.replicas 9": (("min.insync.replicas", SET, "9"),),
            "local retention over retention": (("local.retention.ms", SET, "9000000000"),),
            "remote storage": (("remote.storage.enable", SET, "true"),),
            "remote.log.copy.disable": (("remote.log.copy.disable", SET, "true"),),
            "the right": (("retention.ms", SET, "777000"),),
        }.items():
            yield world.ask(f"{name}, only checked", topic(*configs, validate_only=True), version)
            yield world.ask(name, topic(*configs), version)
            yield Pause(SETTLE_S)
            yield world.ask(f"after {name}", now, 4 - version)
        yield world.ask("appending", topic(("cleanup.policy", APPEND, "compact")), version)
        yield Pause(SETTLE_S)
        yield world.ask("after appending", now, 4 - version)
        yield world.ask("subtracting", topic(("cleanup.policy", SUBTRACT, "delete")), version)
        yield Pause(SETTLE_S)
        yield world.ask("after subtracting", now, 4 - version)
        reset = [(key, DELETE, None) for key in (*keys, "min.insync.replicas", "local.retention.ms")]
        yield world.ask("deleting all", topic(*reset), version)
        for kind, name in RESOURCES:
            if (kind, name) != (TOPIC, "configured"):
                yield world.ask(f"type {kind} {name!r}, nothing", asked(kind, name), version)
                yield world.ask(
                    f"type {kind} {name!r}, an unknown key", asked(kind, name, ("no.such.key", SET, "1")), version
                )
        row = {"resource_type": TOPIC, "resource_name": "altered", "configs": []}
        yield world.ask("a resource twice", asked(0, "", resources=[row, row]), version)
        yield world.ask("no resources", asked(0, "", resources=[]), version)
        other = {**row, "resource_name": "nowhere"}
        yield world.ask("a known and an unknown resource", asked(0, "", resources=[row, other]), version)


def dynamic_broker_configs(world: World) -> Steps:
    """Configurations of brokers, cluster-wide and of one: changed, described, taken back."""

    def asked(broker: str, *configs: tuple[str, int, str | None], **options: Any) -> Any:
        rows = [{"name": key, "config_operation": operation, "value": value} for key, operation, value in configs]
        resources = [{"resource_type": BROKER, "resource_name": broker, "configs": rows}]
        return request(ApiKey.INCREMENTAL_ALTER_CONFIGS, resources=resources, **options)

    def described(broker: str, key: str) -> Any:
        row = {"resource_type": BROKER, "resource_name": broker, "configuration_keys": [key]}
        return request(ApiKey.DESCRIBE_CONFIGS, resources=[row], include_synonyms=True)

    version = world.latest(ApiKey.INCREMENTAL_ALTER_CONFIGS)
    keys = {
        "log.retention.ms": "12345678",
        "message.max.bytes": "1000000",
        "log.cleaner.threads": "2",
        "num.io.threads": "9",
        "num.network.threads": "4",
        "max.connections": "1000",
        "max.connections.per.ip": "1000",
        "log.segment.bytes": "10000000",
        "log.flush.interval.ms": "5000",
        "compression.type": "gzip",
        "log.cleanup.policy": "compact",
        "unclean.leader.election.enable": "true",
        "min.insync.replicas": "2",
        "log.message.timestamp.type": "LogAppendTime",
        "background.threads": "11",
        "num.replica.fetchers": "2",
        "num.recovery.threads.per.data.dir": "3",
        "leader.replication.throttled.rate": "1000",
        "follower.replication.throttled.rate": "1000",
        "max.connection.creation.rate": "100",
        "log.retention.bytes": "5000",
        "log.roll.ms": "60000",
        "log.preallocate": "false",
        "listeners": "PLAINTEXT://:1",
        "advertised.listeners": "PLAINTEXT://localhost:1",
        "log.dirs": "x",
        "node.id": "3",
        "broker.id": "3",
        "auto.create.topics.enable": "true",
        "num.partitions": "3",
        "process.roles": "broker",
        "no.such.key": "1",
        "retention.ms": "4",
        "ssl.keystore.location": "a",
        "metric.reporters": "a",
        "log.retention.hours": "3",
        "group.max.session.timeout.ms": "4",
        "transaction.max.timeout.ms": "900",
        "offsets.retention.minutes": "100",
        "remote.log.manager.copier.thread.pool.size": "5",
        "producer.id.expiration.ms": "80000000",
        "connections.max.idle.ms": "1000",
        "socket.request.max.bytes": "100",
        "log.index.interval.bytes": "1000",
        "default.replication.factor": "1",
        "delete.topic.enable": "false",
        "log.cleaner.enable": "true",
        "max.connections.per.ip.overrides": "127.0.0.1:100",
        "log.local.retention.ms": "1000",
    }
    wrong = {
        "log.retention.ms": "x",
        "message.max.bytes": "-1",
        "num.io.threads": "0",
        "max.connections": "-1",
        "log.cleaner.threads": "0",
        "compression.type": "rar",
        "log.cleanup.policy": "",
        "log.segment.bytes": "1",
        "min.insync.replicas": "0",
        "max.connections.per.ip.overrides": "nonsense",
        "log.message.timestamp.type": "never",
    }
    for broker in ("", "1"):
        where = "one broker" if broker else "the cluster"
        for key, value in wrong.items():
            yield world.ask(f"{where}: {key} wrong", asked(broker, (key, SET, value)), version)
        for key, value in keys.items():
            yield world.ask(f"{where}: {key}", asked(broker, (key, SET, value), validate_only=True), version)
    for broker in ("", "1"):
        where = "one broker" if broker else "the cluster"
        for key in ("log.retention.ms", "message.max.bytes", "log.segment.bytes", "max.connections.per.ip"):
            yield world.ask(f"{where}: {key} set", asked(broker, (key, SET, keys[key])), version)
            yield Pause(SETTLE_S)
            for asked_of in ("", "1"):
                yield world.ask(f"{where}: {key} described of {asked_of!r}", described(asked_of, key), 4)
            yield world.ask(f"{where}: {key} taken back", asked(broker, (key, DELETE, None)), version)
            yield Pause(SETTLE_S)
            yield world.ask(f"{where}: {key} described at last", described("1", key), 4)


def other_resources(world: World) -> Steps:
    """Configurations of groups, client metrics and loggers."""

    def asked(kind: int, name: str, *configs: tuple[str, int, str | None], **options: Any) -> Any:
        rows = [{"name": key, "config_operation": operation, "value": value} for key, operation, value in configs]
        return request(
            ApiKey.INCREMENTAL_ALTER_CONFIGS,
            resources=[{"resource_type": kind, "resource_name": name, "configs": rows}],
            **options,
        )

    def described(kind: int, name: str, keys: list[str] | None = None) -> Any:
        row = {"resource_type": kind, "resource_name": name, "configuration_keys": keys}
        return request(ApiKey.DESCRIBE_CONFIGS, resources=[row], include_synonyms=True)

    yield world.ask("an unset group", described(GROUP, "limits"))
    for key, value in (
        ("consumer.session.timeout.ms", "50000"),
        ("consumer.heartbeat.interval.ms", "6000"),
        ("share.session.timeout.ms", "50000"),
        ("consumer.session.timeout.ms", "1"),
        ("consumer.session.timeout.ms", "x"),
        ("no.such.key", "1"),
    ):
        yield world.ask(f"group: {key}={value}", asked(GROUP, "limits", (key, SET, value)))
    yield Pause(SETTLE_S)
    yield world.ask("a set group", described(GROUP, "limits"))
    yield world.ask("unset client metrics", described(CLIENT_METRICS, "watch"))
    for key, value in (
        ("interval.ms", "60000"),
        ("metrics", "org.apache.kafka"),
        ("match", "client_id=a.*"),
        ("interval.ms", "1"),
        ("match", "nonsense"),
        ("no.such.key", "1"),
        ("interval.ms", "x"),
    ):
        yield world.ask(f"client metrics: {key}={value}", asked(CLIENT_METRICS, "watch", (key, SET, value)))
    yield Pause(SETTLE_S)
    yield world.ask("set client metrics", described(CLIENT_METRICS, "watch"))
    yield world.ask("the root logger", described(LOGGER, "1", ["root"]))
    changes: tuple[tuple[str, int, str | None], ...] = (
        ("no.such.logger", SET, "INFO"),
        ("root", SET, "NONSENSE"),
        ("root", DELETE, None),
        ("root", APPEND, "INFO"),
        ("root", SET, "INFO"),
    )
    for key, operation, level in changes:
        yield world.ask(
            f"logger: {key} {operation} {level}", asked(LOGGER, "1", (key, operation, level), validate_only=True)
        )
    for version in world.range(ApiKey.LIST_CONFIG_RESOURCES):
        yield world.ask("all resources", request(ApiKey.LIST_CONFIG_RESOURCES), version)
        if version >= 1:
            for types in (
                [TOPIC],
                [BROKER],
                [LOGGER],
                [CLIENT_METRICS],
                [GROUP],
                [0],
                [99],
                [TOPIC, TOPIC],
                [GROUP, 99],
                [-1],
            ):
                yield world.ask(
                    f"resources of {types}", request(ApiKey.LIST_CONFIG_RESOURCES, resource_types=types), version
                )
    for key in ("consumer.session.timeout.ms", "consumer.heartbeat.interval.ms", "share.session.timeout.ms"):
        yield world.ask(f"group: {key} taken back", asked(GROUP, "limits", (key, DELETE, None)))
    for key in ("interval.ms", "metrics", "match"):
        yield world.ask(f"client metrics: {key} taken back", asked(CLIENT_METRICS, "watch", (key, DELETE, None)))


def alter_configs(world: World) -> Steps:
    """AlterConfigs, which replaces all keys of a resource."""
    yield from create_topic(world, "replaced", 1, {"retention.ms": "1000000"})

    def asked(kind: int, name: str, *configs: tuple[str, str | None], **options: Any) -> Any:
        rows = [{"name": key, "value": value} for key, value in configs]
        resources = options.pop("resources", [{"resource_type": kind, "resource_name": name, "configs": rows}])
        return request(ApiKey.ALTER_CONFIGS, resources=resources, **options)

    now = request(
        ApiKey.DESCRIBE_CONFIGS,
        resources=[
            {
                "resource_type": TOPIC,
                "resource_name": "replaced",
                "configuration_keys": ["retention.ms", "segment.bytes"],
            }
        ],
    )
    for version in world.range(ApiKey.ALTER_CONFIGS):
        for name, configs in {
            "two keys": (("retention.ms", "5000"), ("segment.bytes", "2000000")),
            "one of them": (("retention.ms", "6000"),),
            "an unknown key": (("no.such.key", "1"),),
            "an empty key": (("", "1"),),
            "a null value": (("retention.ms", None),),
            "an empty value": (("retention.ms", ""),),
            "no number": (("retention.ms", "abc"),),
            "a key twice": (("retention.ms", "1"), ("retention.ms", "2")),
            "nothing": (),
        }.items():
            yield world.ask(f"{name}, only checked", asked(TOPIC, "replaced", *configs, validate_only=True), version)
            yield world.ask(name, asked(TOPIC, "replaced", *configs), version)
            yield Pause(SETTLE_S)
            yield world.ask(f"after {name}", now, version + 1)
        for kind, name in RESOURCES:
            if (kind, name) not in {(TOPIC, "configured"), (TOPIC, "__consumer_offsets")}:
                yield world.ask(f"type {kind} {name!r}, nothing", asked(kind, name, validate_only=True), version)
                yield world.ask(
                    f"type {kind} {name!r}, an unknown key",
                    asked(kind, name, ("no.such.key", "1"), validate_only=True),
                    version,
                )
        row = {"resource_type": TOPIC, "resource_name": "replaced", "configs": []}
        if version == world.latest(ApiKey.ALTER_CONFIGS):  # Kafka says nothing, which takes its time
            yield world.ask("a resource twice", asked(0, "", resources=[row, row]), version)
        yield world.ask("no resources", asked(0, "", resources=[]), version)


SCENARIOS = (
    Scenario("describe configs", (ApiKey.DESCRIBE_CONFIGS,), describe_configs),
    Scenario("incremental alter configs", (ApiKey.INCREMENTAL_ALTER_CONFIGS,), incremental_alter_configs),
    Scenario(
        "dynamic broker configs", (ApiKey.INCREMENTAL_ALTER_CONFIGS, ApiKey.DESCRIBE_CONFIGS), dynamic_broker_configs
    ),
    Scenario(
        "other resources",
        (ApiKey.INCREMENTAL_ALTER_CONFIGS, ApiKey.DESCRIBE_CONFIGS, ApiKey.LIST_CONFIG_RESOURCES),
        other_resources,
    ),
    Scenario("alter configs", (ApiKey.ALTER_CONFIGS,), alter_configs),
)
