"""The keys of a subscription to clients' metrics (KIP-714): kept and told, though nothing is collected yet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from kbroker.config.key import Key, int_key, list_key, without_effect
from kbroker.config.settings import ConfigSource, DescribedKey, describe_named
from kbroker.errors import ConfigError

_KEYS = without_effect(
    "client telemetry is not in this version",
    int_key("interval.ms", 300000, "How often clients push their metrics."),
    list_key("match", (), "Which clients are asked: selector=regular expression, separated by commas."),
    list_key("metrics", (), "Which metrics are asked for: prefixes of their names, separated by commas; *: all."),
)

CLIENT_METRICS_KEYS: Mapping[str, Key] = MappingProxyType({key.name: key for key in _KEYS})
"""Every key of a subscription by name."""

_SELECTORS = frozenset(
    {
        "client_instance_id",
        "client_id",
        "client_software_name",
        "client_software_version",
        "client_source_address",
        "client_source_port",
    }
)
_SHORTEST_INTERVAL_MS = 100
_LONGEST_INTERVAL_MS = 3_600_000


class RequestRefused(ConfigError):
    """A change that makes no sense at all: INVALID_REQUEST where other mistakes are INVALID_CONFIG."""


def check_client_metrics_config(configs: Mapping[str, str]) -> None:
    """
    Judge a subscription.

    Raises ConfigError with a message fit for INVALID_CONFIG, or RequestRefused with one fit for INVALID_REQUEST.
    """
    for name, text in configs.items():
        key = CLIENT_METRICS_KEYS.get(name)
        if key is None:
            raise RequestRefused(f"Unknown client metrics configuration: {name}")
        try:
            value = key.parse(text)
        except ConfigError as error:
            raise ConfigError(f"Invalid value {text} for configuration {name}: {error}") from None
        if isinstance(value, int) and not _SHORTEST_INTERVAL_MS <= value <= _LONGEST_INTERVAL_MS:
            raise RequestRefused(
                f"Invalid value {text} for {name}: expected from {_SHORTEST_INTERVAL_MS} to {_LONGEST_INTERVAL_MS}"
            )
        if name == "match" and isinstance(value, tuple):
            for pattern in value:
                _check_pattern(pattern)


def _check_pattern(pattern: str) -> None:
    selector, equals, expression = pattern.partition("=")
    if not equals or selector.strip() not in _SELECTORS:
        raise ConfigError(
            f"Illegal client matching pattern: {pattern}; expected one of {', '.join(sorted(_SELECTORS))}, "
            "followed by = and a regular expression"
        )
    try:
        re.compile(expression.strip())
    except (re.error, OverflowError, RecursionError) as error:
        raise ConfigError(f"Illegal client matching pattern: {pattern} ({error})") from None


def describe_client_metrics(configs: Mapping[str, str]) -> tuple[DescribedKey, ...]:
    """Return how DescribeConfigs tells a subscription, sorted by name."""
    return tuple(
        describe_named(key, configs.get(name), key.default, ConfigSource.DYNAMIC_CLIENT_METRICS_CONFIG, ())
        for name, key in sorted(CLIENT_METRICS_KEYS.items())
    )
