"""
The keys of a group: what DescribeConfigs and AlterConfigs of a group know (KIP-848, share and streams groups).

Most take type, default and range from the broker's key that gives all groups their default (their first synonym); the
broker's keys `group.<protocol>.min.…` and `group.<protocol>.max.…` say how far a group may go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from kbroker.config.key import Key, Value, boolean_key, same_as, string_key, text_of, without_effect
from kbroker.config.keys import BROKER_KEYS
from kbroker.config.reasons import NO_NEW_GROUPS
from kbroker.config.settings import ConfigSource, DescribedKey, Settings, Synonym, describe_named
from kbroker.errors import ConfigError


def _from_broker(name: str, **changes: Any) -> Key:
    """Return the broker's key `group.<name>` under its name at the group."""
    synonym = f"group.{name}"
    return replace(BROKER_KEYS[synonym], name=name, maximum=None, synonyms=same_as(synonym), **changes)


_DURATION = r"[Pp](?=.)(?:\d+[Dd])?(?:[Tt](?=.)(?:\d+[Hh])?(?:\d+[Mm])?(?:\d+(?:\.\d+)?[Ss])?)?"
_AUTO_OFFSET_RESET = rf"(?i:earliest|latest)|by_duration:{_DURATION}"

_KEYS = (
    _from_broker("consumer.assignment.interval.ms"),
    _from_broker("consumer.assignor.offload.enable"),
    _from_broker("consumer.heartbeat.interval.ms"),
    _from_broker("consumer.session.timeout.ms"),
    _from_broker("share.assignment.interval.ms"),
    _from_broker("share.assignor.offload.enable"),
    _from_broker("share.delivery.count.limit"),
    _from_broker("share.heartbeat.interval.ms"),
    _from_broker("share.partition.max.record.locks"),
    _from_broker("share.record.lock.duration.ms"),
    _from_broker("share.session.timeout.ms"),
    _from_broker("streams.acceptable.recovery.lag"),
    _from_broker("streams.assignment.interval.ms"),
    _from_broker("streams.assignor.offload.enable"),
    _from_broker("streams.heartbeat.interval.ms"),
    _from_broker("streams.initial.rebalance.delay.ms"),
    _from_broker("streams.num.standby.replicas"),
    _from_broker("streams.num.warmup.replicas"),
    _from_broker("streams.rack.aware.assignment.tags"),
    _from_broker("streams.session.timeout.ms"),
    _from_broker("streams.task.offset.interval.ms"),
    *without_effect(
        NO_NEW_GROUPS,
        boolean_key("errors.deadletterqueue.copy.record.enable", False, "Write records that were given up whole."),
        string_key("errors.deadletterqueue.topic.name", "", "The topic of records that were given up."),
        string_key(
            "share.auto.offset.reset",
            "latest",
            "Where a new share group begins.",
            form=(
                _AUTO_OFFSET_RESET,
                "earliest, latest or by_duration:<PnDTnHnMn.nS>",
            ),
        ),
        string_key(
            "share.isolation.level",
            "read_uncommitted",
            "Whether a share group sees open transactions.",
            choices=("read_committed", "read_uncommitted"),
        ),
        boolean_key("share.renew.acknowledge.enable", True, "Let members of a share group renew their locks."),
        string_key(
            "streams.assignor.name",
            None,
            "The assignor of a streams group.",
            synonyms=same_as("group.streams.assignors"),
        ),
    ),
)

GROUP_CONFIG_KEYS: Mapping[str, Key] = MappingProxyType({key.name: key for key in _KEYS})
"""Every key of a group by name; the synonyms are broker keys."""

_PROTOCOLS = ("consumer", "share", "streams")


def group_default(settings: Settings, key: Key) -> Value:
    """Return the value in force where a group does not set `key`."""
    value = settings.find(key)[1]
    if key.name == "streams.assignor.name":
        assignors = settings.value("group.streams.assignors")
        return assignors[0] if isinstance(assignors, tuple) and assignors else None
    if value is None and key.synonyms:
        return settings.value(next(iter(key.synonyms)))
    return value


def check_group_config(settings: Settings, configs: Mapping[str, str]) -> None:
    """
    Judge what is set on a group.

    settings  the broker's

    Raises ConfigError with a message fit for INVALID_CONFIG.
    """
    values = {name: group_default(settings, key) for name, key in GROUP_CONFIG_KEYS.items()}
    for name, text in configs.items():
        key = GROUP_CONFIG_KEYS.get(name)
        if key is None:
            raise ConfigError(f"Unknown group config name: {name}")
        try:
            values[name] = value = key.parse(text)
        except ConfigError as error:
            raise ConfigError(f"Invalid value {text} for configuration {name}: {error}") from None
        _check_bounds(settings, name, value)
    for protocol in _PROTOCOLS:
        session, heartbeat = f"{protocol}.session.timeout.ms", f"{protocol}.heartbeat.interval.ms"
        if _number(values[session]) <= _number(values[heartbeat]):
            raise ConfigError(f"{session} ({values[session]}) must be greater than {heartbeat} ({values[heartbeat]})")


def _check_bounds(settings: Settings, name: str, value: Value) -> None:
    protocol, _, rest = name.partition(".")
    rest = re.sub("^num[.]", "", rest)
    for side, is_beyond in (("min", -1), ("max", 1)):
        bound = f"group.{protocol}.{side}.{rest}"
        if bound in BROKER_KEYS and (_number(value) - _number(settings.value(bound))) * is_beyond > 0:
            raise ConfigError(
                f"{name} must be {'at least' if side == 'min' else 'at most'} {settings.value(bound)} ({bound}), "
                f"but it is {value}"
            )


def _number(value: Value) -> int:
    assert isinstance(value, int), value
    return value


def describe_group(settings: Settings, configs: Mapping[str, str]) -> tuple[DescribedKey, ...]:
    """Return how DescribeConfigs tells a group's keys, sorted by name; `configs` is what is set on it."""
    described = []
    for name, key in sorted(GROUP_CONFIG_KEYS.items()):
        if key.internal:
            continue
        value = group_default(settings, key)
        places = settings.places(next(iter(key.synonyms))) if key.synonyms else ()
        if not key.synonyms and key.default is not None:
            places = (Synonym(name, text_of(value), ConfigSource.DEFAULT_CONFIG),)
        described.append(describe_named(key, configs.get(name), value, ConfigSource.DYNAMIC_GROUP_CONFIG, places))
    return tuple(described)
