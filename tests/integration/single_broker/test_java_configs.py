"""Kafka's own kafka-configs, changes and shows what a broker, its loggers, groups and subscriptions have."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kafka_tools import KafkaTools

from kbroker.testing import Broker

pytestmark = [pytest.mark.java, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker() as broker:
        yield broker


def configs(version: str, broker: Broker, *arguments: str, fails: bool = False) -> str:
    return KafkaTools(version).run("configs", "--bootstrap-server", broker.bootstrap_servers, *arguments, fails=fails)


ALL_BROKERS = ("--entity-type", "brokers", "--entity-default")
THIS_BROKER = ("--entity-type", "brokers", "--entity-name", "0")


@pytest.mark.parametrize("version", ["3.9", "4.4"])
def test_what_is_set_for_all_brokers_is_shown(version: str, broker: Broker) -> None:
    altered = configs(version, broker, *ALL_BROKERS, "--alter", "--add-config", "log.retention.ms=3600000")
    assert "Completed updating default config for brokers in the cluster." in altered
    assert (
        "log.retention.ms=3600000 sensitive=false synonyms={DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=3600000}"
        in configs(version, broker, *ALL_BROKERS, "--describe")
    )


def test_a_brokers_values_are_shown_with_their_sources_and_what_cannot_change_is_refused(broker: Broker) -> None:
    configs("4.4", broker, *THIS_BROKER, "--alter", "--add-config", "log.roll.ms=7200000,max.connections=500")
    told = configs("4.4", broker, *THIS_BROKER, "--describe")
    assert (
        "log.roll.ms=7200000 sensitive=false synonyms={DYNAMIC_BROKER_CONFIG:log.roll.ms=7200000, "
        "DEFAULT_CONFIG:log.roll.hours=168}" in told
    )
    refused = configs("4.4", broker, *THIS_BROKER, "--alter", "--add-config", "num.io.threads=4", fails=True)
    assert "InvalidRequestException" in refused
    assert "cannot move to another one while the broker runs" in refused


def test_loggers_groups_and_subscriptions_are_altered_and_described(broker: Broker) -> None:
    loggers = ("--entity-type", "broker-loggers", "--entity-name", "0")
    configs("4.4", broker, *loggers, "--alter", "--add-config", "kbroker.net=WARN")
    assert "  kbroker.net=WARN " in configs("4.4", broker, *loggers, "--describe")
    group = ("--entity-type", "groups", "--entity-name", "readers")
    configs("4.4", broker, *group, "--alter", "--add-config", "consumer.session.timeout.ms=50000")
    told = configs("4.4", broker, "--entity-type", "groups", "--describe")
    assert "Dynamic configs for group readers are:" in told
    assert "consumer.session.timeout.ms=50000 sensitive=false" in told
    metrics = ("--entity-type", "client-metrics", "--entity-name", "all")
    configs("4.4", broker, *metrics, "--alter", "--add-config", "interval.ms=1000,metrics=[org.apache.kafka.]")
    told = configs("4.4", broker, "--entity-type", "client-metrics", "--describe")
    assert "interval.ms=1000" in told
