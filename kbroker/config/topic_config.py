"""A topic's configuration: the broker's defaults, what the topic overrides, and how both are told."""

from __future__ import annotations

from collections.abc import Mapping

from kbroker.config.key import Value, text_of
from kbroker.config.settings import ConfigSource, DescribedKey, Settings, describe_named
from kbroker.config.topic_keys import TOPIC_KEYS
from kbroker.errors import ConfigError

TopicDefaults = Mapping[str, Value]
"""Name of a topic's key (`segment.bytes`) → its value where the topic does not override it."""


def topic_config(defaults: TopicDefaults, overrides: Mapping[str, str | None]) -> dict[str, Value]:
    """
    Return all typed values of a topic.

    defaults   as `BrokerConfig.topic_defaults`
    overrides  the topic's own settings as text

    Raises ConfigError with a message fit for INVALID_CONFIG when a name or a value cannot be used.
    """
    values = dict(defaults)
    for name, text in overrides.items():
        key = TOPIC_KEYS.get(name)
        if key is None:
            raise ConfigError(f"Unknown topic config name: {name}")
        if text is None:
            raise ConfigError(f"Null value not supported for topic configs: {name}")
        try:
            values[name] = key.parse(text)
        except ConfigError as error:
            raise ConfigError(f"Invalid value {text} for configuration {name}: {error}") from None
    _check_together(values)
    _apply_timestamp_difference(values, defaults, overrides)
    return values


def usable_topic_config(
    defaults: TopicDefaults, overrides: Mapping[str, str | None]
) -> tuple[dict[str, Value], tuple[str, ...]]:
    """
    Return all typed values of a topic as far as they can be used, and what is wrong with the others.

    A store that something else wrote, or another version, may hold what this version refuses: that does not count.
    """
    try:
        return topic_config(defaults, overrides), ()
    except ConfigError:
        pass
    usable: dict[str, str | None] = {}
    problems = []
    for name, text in overrides.items():
        try:
            topic_config(defaults, {**usable, name: text})
        except ConfigError as error:
            problems.append(str(error))
        else:
            usable[name] = text
    values = dict(defaults) if not usable else topic_config(defaults, usable)
    return values, tuple(problems)


def _apply_timestamp_difference(
    values: dict[str, Value], defaults: TopicDefaults, overrides: Mapping[str, str | None]
) -> None:
    """Let the old key that limits a record's time both ways, if set, stand for new ones that are not (KIP-937)."""
    old = "message.timestamp.difference.max.ms"
    if old not in overrides and defaults[old] == TOPIC_KEYS[old].default:
        return
    for name in ("message.timestamp.before.max.ms", "message.timestamp.after.max.ms"):
        if name not in overrides and defaults[name] == TOPIC_KEYS[name].default:
            values[name] = values[old]


def _check_together(values: Mapping[str, Value]) -> None:
    if values["remote.storage.enable"]:
        raise ConfigError("Invalid value true for configuration remote.storage.enable: tiered storage is not available")
    shortest, longest = values["min.compaction.lag.ms"], values["max.compaction.lag.ms"]
    if isinstance(shortest, int) and isinstance(longest, int) and shortest > longest:
        raise ConfigError(
            f"conflict between configuration min.compaction.lag.ms ({shortest}) and max.compaction.lag.ms ({longest})"
        )


def describe_topic(
    settings: Settings, defaults: TopicDefaults, overrides: Mapping[str, str]
) -> tuple[DescribedKey, ...]:
    """
    Return how DescribeConfigs tells a topic's keys, sorted by name.

    settings   the broker's
    defaults   as `BrokerConfig.topic_defaults`
    overrides  the topic's own settings as text
    """
    values, _ = usable_topic_config(defaults, overrides)
    described = []
    for name in sorted(TOPIC_KEYS):
        key = TOPIC_KEYS[name]
        places = settings.places(next(iter(key.synonyms))) if key.synonyms else ()
        # A value that does not count is not told as if it did.
        own = text_of(values[name]) if name in overrides else None
        described.append(describe_named(key, own, values[name], ConfigSource.DYNAMIC_TOPIC_CONFIG, places))
    return tuple(described)
