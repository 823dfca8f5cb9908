"""Configurations are told with their sources, and never a secret; what changes them goes to the cluster worker."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kbroker.api.configs import ConfigHandlers
from kbroker.config.broker_config import load_config
from kbroker.config.live_config import LiveConfig
from kbroker.metadata.image import ConfigKind
from kbroker.protocol.messages import alter_configs, incremental_alter_configs
from kbroker.protocol.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResource,
    DescribeConfigsResponse,
)
from kbroker.protocol.messages.list_config_resources import (
    ConfigResource,
    ListConfigResourcesRequest,
    ListConfigResourcesResponse,
)

TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP = 2, 4, 8, 16, 32
DYNAMIC_TOPIC, DYNAMIC_BROKER, DYNAMIC_DEFAULT, STATIC, DEFAULT, LOGGER, DYNAMIC_METRICS, DYNAMIC_GROUP = range(1, 9)
LONG, LIST = 5, 7


@pytest.fixture
def live(tmp_path) -> LiveConfig:
    config = load_config(None, [f"log.dirs={tmp_path}", "log.retention.ms=5000", "ssl.keystore.password=secret"])
    return LiveConfig(config, 5)


@pytest.fixture
def handlers(world, live) -> ConfigHandlers:
    return ConfigHandlers(world.view, world.channel, live)


def describe(world, handlers, kind: int, name: str, *keys: str, version: int = 4, **fields):
    resource = DescribeConfigsResource(
        resource_type=kind, resource_name=name, configuration_keys=list(keys) if keys else None
    )
    request = DescribeConfigsRequest(resources=[resource], **fields)
    response = world.send(handlers.handle_describe_configs, request, version).response(DescribeConfigsResponse)
    (result,) = response.results
    assert (result.resource_type, result.resource_name) == (kind, name)
    return result


def by_name(result) -> dict:
    assert result.error_code == 0
    return {key.name: key for key in result.configs}


@pytest.mark.parametrize("version", range(5))
def test_topic_keys_with_their_sources(world, handlers, version: int) -> None:
    world.add_topic("t", config={"segment.bytes": "1048576"})
    keys = by_name(describe(world, handlers, TOPIC, "t", version=version))
    own, static, default = keys["segment.bytes"], keys["retention.ms"], keys["cleanup.policy"]
    assert [own.value, static.value, default.value] == ["1048576", "5000", "delete"]
    if version == 0:
        assert [own.is_default, static.is_default, default.is_default] == [False, False, True]
    else:
        assert [own.config_source, static.config_source, default.config_source] == [DYNAMIC_TOPIC, STATIC, DEFAULT]
    if version >= 3:
        assert [static.config_type, default.config_type] == [LONG, LIST]
    assert not own.read_only


def test_synonyms_and_documentation_only_when_asked(world, handlers) -> None:
    world.add_topic("t", config={"retention.ms": "1000"})
    bare = by_name(describe(world, handlers, TOPIC, "t"))["retention.ms"]
    assert (bare.synonyms, bare.documentation) == ([], None)
    full = by_name(describe(world, handlers, TOPIC, "t", include_synonyms=True, include_documentation=True))
    assert [(one.name, one.value, one.source) for one in full["retention.ms"].synonyms][:2] == [
        ("retention.ms", "1000", DYNAMIC_TOPIC),
        ("log.retention.ms", "5000", STATIC),
    ]
    assert full["retention.ms"].documentation


def test_only_the_keys_asked_for(world, handlers) -> None:
    world.add_topic("t")
    result = describe(world, handlers, TOPIC, "t", "retention.ms", "no.such.key")
    assert list(by_name(result)) == ["retention.ms"]


@pytest.mark.parametrize(
    ("kind", "name", "error"),
    [
        pytest.param(TOPIC, "unknown", 3, id="no such topic"),
        pytest.param(TOPIC, "a/b", 17, id="no name of a topic"),
        pytest.param(BROKER, "6", 42, id="another broker"),
        pytest.param(BROKER, "x", 42, id="no broker id"),
        pytest.param(BROKER_LOGGER, "", 42, id="loggers of no broker"),
        pytest.param(BROKER_LOGGER, "6", 42, id="loggers of another broker"),
        pytest.param(GROUP, "", 42, id="no name of a group"),
        pytest.param(CLIENT_METRICS, "", 42, id="no name of a subscription"),
        pytest.param(99, "x", 42, id="unknown kind"),
    ],
)
def test_what_cannot_be_described(world, handlers, kind: int, name: str, error: int) -> None:
    result = describe(world, handlers, kind, name)
    assert (result.error_code, result.configs) == (error, [])
    assert result.error_message


def test_broker_keys_with_what_was_set_while_it_runs(world, handlers, live) -> None:
    live.follow({"": {"log.retention.ms": "7", "num.replica.fetchers": "2"}, "5": {"log.retention.ms": "8"}, "6": {}})
    keys = by_name(describe(world, handlers, BROKER, "5", include_synonyms=True))
    retention = keys["log.retention.ms"]
    assert (retention.value, retention.config_source) == ("8", DYNAMIC_BROKER)
    assert [one.source for one in retention.synonyms][:3] == [DYNAMIC_BROKER, DYNAMIC_DEFAULT, STATIC]
    assert keys["num.replica.fetchers"].config_source == DYNAMIC_DEFAULT
    assert keys["num.partitions"].config_source == DEFAULT
    for_all = by_name(describe(world, handlers, BROKER, ""))
    assert {name: key.value for name, key in for_all.items()} == {
        "log.retention.ms": "7",
        "min.insync.replicas": "1",
        "num.replica.fetchers": "2",
    }
    assert all(key.config_source == DYNAMIC_DEFAULT for key in for_all.values())
    world.add_topic("t")
    topic = by_name(describe(world, handlers, TOPIC, "t"))["retention.ms"]
    assert (topic.value, topic.config_source) == ("8", DYNAMIC_BROKER)


def test_id_and_addresses_are_told_as_they_are_in_force(world, handlers) -> None:
    keys = by_name(describe(world, handlers, BROKER, "5"))
    assert (keys["node.id"].value, keys["broker.id"].value) == ("5", "5")
    # The listener names no host, so the client is told what it dialled.
    assert keys["advertised.listeners"].value == "PLAINTEXT://192.0.2.7:19092"


def test_groups_and_subscriptions_with_what_is_set_on_them(world, handlers) -> None:
    configs = {
        ConfigKind.GROUP: {"g": {"consumer.session.timeout.ms": "50000"}},
        ConfigKind.CLIENT_METRICS: {"m": {"interval.ms": "1000"}},
    }
    world.view.image = replace(world.view.image, configs=configs)
    group = by_name(describe(world, handlers, GROUP, "g", include_synonyms=True))["consumer.session.timeout.ms"]
    assert (group.value, group.config_source, group.read_only) == ("50000", DYNAMIC_GROUP, False)
    assert [(one.name, one.value) for one in group.synonyms] == [
        ("consumer.session.timeout.ms", "50000"),
        ("group.consumer.session.timeout.ms", "45000"),
    ]
    other = by_name(describe(world, handlers, GROUP, "never seen"))["consumer.session.timeout.ms"]
    assert (other.value, other.config_source) == ("45000", DEFAULT)
    metrics = by_name(describe(world, handlers, CLIENT_METRICS, "m"))
    assert (metrics["interval.ms"].value, metrics["interval.ms"].config_source) == ("1000", DYNAMIC_METRICS)
    assert (metrics["match"].value, metrics["match"].config_source) == ("", DEFAULT)
    listed = list_resources(world, handlers, 1, GROUP, CLIENT_METRICS).config_resources
    assert [(one.resource_type, one.resource_name) for one in listed] == [(GROUP, "g"), (CLIENT_METRICS, "m")]
    assert [one.resource_name for one in list_resources(world, handlers, 0).config_resources] == ["m"]


def test_secrets_are_never_told(world, handlers) -> None:
    password = by_name(describe(world, handlers, BROKER, "5", include_synonyms=True))["ssl.keystore.password"]
    assert password.is_sensitive
    assert password.value is None
    assert all(synonym.value is None for synonym in password.synonyms)


def test_log_levels(world, handlers) -> None:
    levels = by_name(describe(world, handlers, BROKER_LOGGER, "5"))
    assert levels["root"].value in {"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"}
    assert levels["root"].config_source == LOGGER
    assert not levels["root"].read_only
    assert {"kbroker", "kbroker.config", "kbroker.config.live_config"} <= levels.keys()


# ListConfigResources


def list_resources(world, handlers, version: int, *kinds: int):
    request = ListConfigResourcesRequest(resource_types=list(kinds))
    exchange = world.send(handlers.handle_list_config_resources, request, version)
    return exchange.response(ListConfigResourcesResponse)


def test_resources_by_type(world, handlers) -> None:
    world.add_topic("b")
    world.add_topic("a")
    topics = [ConfigResource(resource_name=name, resource_type=TOPIC) for name in ("a", "b")]
    broker, logger = (ConfigResource(resource_name="5", resource_type=kind) for kind in (BROKER, BROKER_LOGGER))
    assert list_resources(world, handlers, 1, TOPIC).config_resources == topics
    assert list_resources(world, handlers, 1, BROKER, TOPIC).config_resources == [broker, *topics]
    assert list_resources(world, handlers, 1).config_resources == [*topics, broker, logger]
    assert list_resources(world, handlers, 1, 99).error_code == 35


def test_version_0_knows_client_metrics_only(world, handlers) -> None:
    world.add_topic("a")
    assert list_resources(world, handlers, 0) == ListConfigResourcesResponse()


# Changes

CHANGES = [
    pytest.param(
        "handle_alter_configs",
        alter_configs.AlterConfigsRequest(
            resources=[alter_configs.AlterConfigsResource(resource_type=TOPIC, resource_name="t")]
        ),
        alter_configs.AlterConfigsResponse,
        id="AlterConfigs",
    ),
    pytest.param(
        "handle_incremental_alter_configs",
        incremental_alter_configs.IncrementalAlterConfigsRequest(
            resources=[incremental_alter_configs.AlterConfigsResource(resource_type=TOPIC, resource_name="t")]
        ),
        incremental_alter_configs.IncrementalAlterConfigsResponse,
        id="IncrementalAlterConfigs",
    ),
]


@pytest.mark.parametrize(("method", "request_", "response_class"), CHANGES)
def test_changes_go_to_the_cluster_worker(world, handlers, method, request_, response_class) -> None:
    for version in range(type(request_).VERSIONS[1] + 1):
        exchange = world.send(getattr(handlers, method), request_, version)
        sent = world.channel.forwards[-1]
        assert (sent.peer, sent.request.body) == (0, request_.encode(version))
        sent.done(response_class().encode(version))
        assert exchange.response(response_class) == response_class()


@pytest.mark.parametrize(("method", "request_", "response_class"), CHANGES)
def test_cluster_worker_died(world, handlers, method, request_, response_class) -> None:
    exchange = world.send(getattr(handlers, method), request_, 1)
    world.channel.forwards[-1].done(None)
    (result,) = exchange.response(response_class).responses
    assert (result.error_code, result.resource_type, result.resource_name) == (41, TOPIC, "t")
