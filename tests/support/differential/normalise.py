"""What differs between two brokers and means nothing: one table of fields, each with its reason."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple

from differential.trees import Tree
from kbroker.protocol.messages import registry

_NOW_WITHIN_MS: Final = 600_000


class FieldRule(NamedTuple):
    """
    Fields (`Api.path.of.field`, * for anything) whose value is replaced when it is one (neither null, 0 nor negative).

    symbol     what stands in its place
    reason     why it means nothing
    scenarios  where this holds
    zero       0 is replaced, too
    """

    pattern: str
    symbol: str
    reason: str
    scenarios: str = "*"
    zero: bool = False


FIELD_RULES: Final = (
    FieldRule("*.throttle_time_ms", "<throttle>", "no quota is set; a broker may still ask for a pause"),
    FieldRule("ApiVersions.api_keys", "<versions>", "compared once, as a table"),
    FieldRule("*.port", "<port>", "each broker listens on its own port"),
    FieldRule("*.cluster_id", "<cluster id>", "made up when the directories are formatted"),
    FieldRule("*.directory_id", "<directory id>", "made up when the directories are formatted"),
    FieldRule("DescribeLogDirs.results.log_dir", "<log dir>", "each broker has its own directory"),
    FieldRule("DescribeLogDirs.results.total_bytes", "<size>", "both measure the same disk at different moments"),
    FieldRule("DescribeLogDirs.results.usable_bytes", "<size>", "both measure the same disk at different moments"),
    FieldRule("InitProducerId.producer_id", "<producer id>", "given out in blocks; only its sign means something"),
    FieldRule(
        "Produce.*.base_offset",
        "<offset>",
        "what one took and the other refused moves all later ones",
        "produce*",
        zero=True,
    ),
    FieldRule(
        "DescribeLogDirs.*.partition_size",
        "<size>",
        "what one took and the other refused makes files larger",
        "broken bodies",
        zero=True,
    ),
    FieldRule("DescribeQuorum.*.log_end_offset", "<offset>", "each counts its own changes of metadata"),
    FieldRule("DescribeQuorum.*.high_watermark", "<offset>", "each counts its own changes of metadata"),
    FieldRule("DescribeQuorum.*.leader_epoch", "<epoch>", "each counts its own elections"),
    FieldRule("ApiVersions.finalized_features_epoch", "<epoch>", "each counts its own changes of metadata"),
    FieldRule("Fetch.session_id", "<session id>", "random; only 0, no session, means something"),
    FieldRule("DescribeGroups.groups.members.client_host", "<host>", "told as the platform writes addresses"),
)

_RANDOM_UUID: Final = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
"""Ends the ids that brokers give to members."""
_KNOWN_IDS: Final = {bytes(16).hex(), bytes(range(16)).hex()}
"""Ids that scenarios sent: none, and one that nobody has."""

_LISTS_IN_ORDER: Final = ("*.records", "*.api_keys", "*.features")
_IDENTITY: Final = (
    "resource_type", "resource_name", "topic", "name", "topic_name", "topic_id", "group_id", "key", "group_instance_id",
    "partition_index", "partition", "index", "user", "api_key", "node_id", "broker_id", "member_id", "config_name",
    "path", "coordinator_key", "log_dir",
)  # fmt: skip
"""Fields that say which element of a list it is; sorted by these, as no client looks at the order."""


class Normaliser:
    """Makes answers of two brokers comparable; `symbols` are the values that scenarios saw made up."""

    def __init__(self, scenario: str, symbols: Mapping[str, str]) -> None:
        self._scenario = scenario
        self._symbols = symbols

    def answer(self, api: int, tree: Tree) -> Tree:
        """Return the comparable form of an answer."""
        try:
            name = registry.api_name(api)
        except Exception:
            name = str(api)
        pattern = re.compile("|".join(re.escape(value) for value in sorted(self._symbols, key=len, reverse=True)))
        result: Tree = self._value(tree, name, pattern if self._symbols else None)
        return result

    def _value(self, value: Any, path: str, pattern: re.Pattern[str] | None) -> Any:
        if isinstance(value, dict):
            return {name: self._value(one, f"{path}.{name}", pattern) for name, one in value.items()}
        symbol = _symbol(path, self._scenario)
        if isinstance(value, list):
            if symbol is not None:
                return symbol.symbol
            normalised = [self._value(one, path, pattern) for one in value]
            return normalised if _in_order(path) else sorted(normalised, key=_identity)
        if symbol is not None:
            missing = value is None or (isinstance(value, int) and (value < 0 or (value == 0 and not symbol.zero)))
            return value if missing else symbol.symbol
        if isinstance(value, str):
            if pattern is not None:
                value = pattern.sub(lambda match: self._symbols[match.group()], value)
            if path.endswith("topic_id") and "<" not in value and value not in _KNOWN_IDS:
                return "<id>"
            return _RANDOM_UUID.sub("<uuid>", value)
        if isinstance(value, int) and abs(value - time.time() * 1000) < _NOW_WITHIN_MS:
            return "<now>"
        return value


@functools.cache
def _symbol(path: str, scenario: str) -> FieldRule | None:
    matching = (
        rule for rule in FIELD_RULES if fnmatchcase(path, rule.pattern) and fnmatchcase(scenario, rule.scenarios)
    )
    return next(matching, None)


@functools.cache
def _in_order(path: str) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in _LISTS_IN_ORDER)


def _identity(element: Any) -> Any:
    if isinstance(element, dict):
        return tuple(_sortable(element[name]) for name in _IDENTITY if name in element)
    return _sortable(element)


def _sortable(value: Any) -> tuple[int, float, str]:
    if isinstance(value, bool) or value is None:
        return 0, 0, str(value)
    if isinstance(value, (int, float)):
        return 1, value, ""
    return 2, 0, str(value)
