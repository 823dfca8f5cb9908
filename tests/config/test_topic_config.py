"""A topic's configuration: defaults from the broker, overrides of its own, errors in words fit for INVALID_CONFIG."""

import pytest

from kbroker.config.broker_config import load_config
from kbroker.config.settings import ConfigSource
from kbroker.config.topic_config import describe_topic, topic_config, usable_topic_config
from kbroker.errors import ConfigError

CONFIG = load_config(None, ("log.segment.bytes=5000", "log.retention.hours=1"), {"HOME": "/home/me"})


def test_overrides_win_over_the_brokers_defaults() -> None:
    values = topic_config(CONFIG.topic_defaults, {"retention.ms": "10", "cleanup.policy": "compact,delete"})
    assert values["retention.ms"] == 10
    assert values["segment.bytes"] == 5000
    assert values["cleanup.policy"] == ("compact", "delete")
    assert CONFIG.topic_defaults["retention.ms"] == 3_600_000


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"nonsense": "1"}, "Unknown topic config name: nonsense"),
        ({"retention.ms": "soon"}, "Invalid value soon for configuration retention.ms: expected a whole number"),
        ({"retention.ms": "-2"}, "Invalid value -2 for configuration retention.ms"),
        ({"segment.bytes": "13"}, "Invalid value 13 for configuration segment.bytes"),
        ({"cleanup.policy": "shred"}, "Invalid value shred for configuration cleanup.policy"),
        ({"retention.ms": None}, "Null value not supported for topic configs: retention.ms"),
        ({"remote.storage.enable": "true"}, "tiered storage is not available"),
        ({"min.compaction.lag.ms": "5", "max.compaction.lag.ms": "4"}, "conflict between configuration"),
    ],
)
def test_what_cannot_be_used_is_refused(overrides: dict[str, str | None], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        topic_config(CONFIG.topic_defaults, overrides)
    assert message in str(caught.value)


def test_the_old_limit_of_timestamps_stands_for_both_new_ones_where_they_are_not_set() -> None:
    """KIP-937 split message.timestamp.difference.max.ms."""
    old = {"message.timestamp.difference.max.ms": "5"}
    values = topic_config(CONFIG.topic_defaults, old)
    assert values["message.timestamp.before.max.ms"] == values["message.timestamp.after.max.ms"] == 5
    values = topic_config(CONFIG.topic_defaults, {**old, "message.timestamp.after.max.ms": "6"})
    assert (values["message.timestamp.before.max.ms"], values["message.timestamp.after.max.ms"]) == (5, 6)


def test_described_keys_of_a_topic() -> None:
    """What DescribeConfigs of a topic answers: own value, the broker's, Kafka's default, in this order."""
    overrides = {"segment.bytes": "7000"}
    described = {one.name: one for one in describe_topic(CONFIG.settings, CONFIG.topic_defaults, overrides)}
    own = described["segment.bytes"]
    assert (own.value, own.source, own.read_only) == ("7000", ConfigSource.DYNAMIC_TOPIC_CONFIG, False)
    assert [tuple(one) for one in own.synonyms] == [
        ("segment.bytes", "7000", ConfigSource.DYNAMIC_TOPIC_CONFIG),
        ("log.segment.bytes", "5000", ConfigSource.STATIC_BROKER_CONFIG),
        ("log.segment.bytes", "1073741824", ConfigSource.DEFAULT_CONFIG),
    ]
    retention = described["retention.ms"]
    # The file says it in hours, and Kafka tells no place that has another name than the key it would set.
    assert (retention.value, retention.source, retention.synonyms) == ("3600000", ConfigSource.DEFAULT_CONFIG, ())
    assert described["compression.type"].source is ConfigSource.DEFAULT_CONFIG
    # No broker's key gives it a default.
    assert (described["remote.storage.enable"].value, described["remote.storage.enable"].synonyms) == ("false", ())


def test_topics_inherit_what_is_set_while_the_broker_runs() -> None:
    running = CONFIG.with_dynamic({"log.retention.ms": "9000"}, {"log.segment.bytes": "6000"})
    described = {one.name: one for one in describe_topic(running.settings, running.topic_defaults, {})}
    assert (described["retention.ms"].value, described["segment.bytes"].value) == ("9000", "6000")
    assert described["retention.ms"].source is ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG
    assert described["segment.bytes"].source is ConfigSource.DYNAMIC_BROKER_CONFIG


def test_a_policy_given_twice_is_given_once() -> None:
    assert topic_config(CONFIG.topic_defaults, {"cleanup.policy": "compact,compact"})["cleanup.policy"] == ("compact",)


def test_a_setting_that_does_not_count_takes_no_other_with_it() -> None:
    """A store of another version may hold a name that this one does not know."""
    values, problems = usable_topic_config(CONFIG.topic_defaults, {"retention.ms": "10", "no.such": "1"})
    assert values["retention.ms"] == 10
    assert problems == ("Unknown topic config name: no.such",)
