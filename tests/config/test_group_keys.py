"""What may be set on a group follows the broker's bounds for all groups."""

from __future__ import annotations

import pytest

from kbroker.config.broker_config import load_config
from kbroker.config.group_keys import GROUP_CONFIG_KEYS, check_group_config, describe_group
from kbroker.config.settings import ConfigSource
from kbroker.errors import ConfigError

SETTINGS = load_config(None, ("group.consumer.max.session.timeout.ms=50000",), {"HOME": "/home/me"}).settings


@pytest.mark.parametrize(
    ("configs", "message"),
    [
        ({"consumer.session.timeout.ms": "44999"}, "at least 45000 (group.consumer.min.session.timeout.ms)"),
        ({"consumer.session.timeout.ms": "50001"}, "at most 50000 (group.consumer.max.session.timeout.ms)"),
        ({"consumer.heartbeat.interval.ms": "0"}, "Invalid value 0 for configuration consumer.heartbeat.interval.ms"),
        ({"consumer.heartbeat.interval.ms": "x"}, "a whole number"),
        ({"share.record.lock.duration.ms": "70000"}, "at most 60000"),
        ({"streams.num.standby.replicas": "3"}, "at most 2 (group.streams.max.standby.replicas)"),
        ({"share.auto.offset.reset": "newest"}, "earliest, latest or by_duration"),
        ({"share.isolation.level": "none"}, "one of read_committed, read_uncommitted"),
        ({"session.timeout.ms": "45000"}, "Unknown group config name: session.timeout.ms"),
    ],
)
def test_what_cannot_be_set_is_named_with_its_bound(configs, message):
    with pytest.raises(ConfigError) as caught:
        check_group_config(SETTINGS, configs)
    assert message in str(caught.value)


def test_a_session_outlasts_its_heartbeat():
    close = load_config(
        None,
        ("group.consumer.min.session.timeout.ms=1000", "group.consumer.heartbeat.interval.ms=5000"),
        {"HOME": "/home/me"},
    ).settings
    check_group_config(close, {"consumer.session.timeout.ms": "5001"})
    with pytest.raises(ConfigError, match=r"must be greater than consumer.heartbeat.interval.ms \(5000\)"):
        check_group_config(close, {"consumer.session.timeout.ms": "5000"})


@pytest.mark.parametrize("reset", ["earliest", "LATEST", "by_duration:PT2H", "by_duration:P1DT0.5S"])
def test_where_a_share_group_may_begin(reset):
    check_group_config(SETTINGS, {"share.auto.offset.reset": reset})


def test_a_group_is_described_with_the_brokers_value_where_it_sets_none():
    described = {key.name: key for key in describe_group(SETTINGS, {"share.isolation.level": "read_committed"})}
    own = described["share.isolation.level"]
    assert [(one.name, one.value, one.source) for one in own.synonyms] == [
        ("share.isolation.level", "read_committed", ConfigSource.DYNAMIC_GROUP_CONFIG),
        ("share.isolation.level", "read_uncommitted", ConfigSource.DEFAULT_CONFIG),
    ]
    assert described["streams.assignor.name"].value == "sticky"
    assert not any(GROUP_CONFIG_KEYS[name].internal for name in described)
