"""What was set: a file and overrides, checked against the table of keys, each with the place it came from."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from kbroker.config.client_keys import CLIENT_KEYS
from kbroker.config.key import MAX_LONG, Key, Value, ValueType, text_of
from kbroker.config.keys import BROKER_KEYS
from kbroker.config.properties import parse_properties
from kbroker.config.topic_keys import TOPIC_KEYS
from kbroker.errors import ConfigError

_HIDDEN = "[hidden]"


class ConfigSource(IntEnum):
    """Where a value in force comes from, numbered as DescribeConfigs answers it."""

    DYNAMIC_TOPIC_CONFIG = 1
    DYNAMIC_BROKER_CONFIG = 2
    DYNAMIC_DEFAULT_BROKER_CONFIG = 3
    STATIC_BROKER_CONFIG = 4
    DEFAULT_CONFIG = 5
    DYNAMIC_BROKER_LOGGER_CONFIG = 6


class Synonym(NamedTuple):
    """One of the places a value may come from; the value is None when not set or secret."""

    name: str
    value: str | None
    source: ConfigSource


class DescribedKey(NamedTuple):
    """
    A key as DescribeConfigs tells it.

    value     text of the value in force; None: not set, or secret
    synonyms  all places that have a value, first the one in force
    """

    name: str
    value: str | None
    source: ConfigSource
    type: ValueType
    read_only: bool
    sensitive: bool
    documentation: str
    synonyms: tuple[Synonym, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """
    One value that was set.

    place  where, for messages: "server.properties line 7" or "--override"
    """

    name: str
    text: str
    value: Value
    place: str

    def error(self, problem: str) -> ConfigError:
        """Return the error line that says `problem` about this setting."""
        key = BROKER_KEYS.get(self.name)
        return ConfigError(f"{self.place}: {self.name}={_HIDDEN if key and key.sensitive else self.text}: {problem}")


class Settings:
    """The settings of one broker: `given` by name, and what follows from synonyms and defaults."""

    __slots__ = ("given", "warnings")

    def __init__(self, given: Mapping[str, Setting], warnings: Sequence[str]) -> None:
        self.given = given
        self.warnings = tuple(warnings)

    def find(self, key: Key) -> tuple[Setting | None, Value]:
        """Return the setting that decides `key`, None when none does, and the value in force."""
        own = self.given.get(key.name) if key.name in BROKER_KEYS and BROKER_KEYS[key.name] is key else None
        if own is not None:
            return own, own.value
        for name, factor in key.synonyms.items():
            setting = self.given.get(name)
            if setting is not None:
                value = setting.value
                if factor != 1 and isinstance(value, int) and not isinstance(value, bool):
                    value = min(value * factor, MAX_LONG) if value >= 0 else -1
                return setting, value
        return None, key.default

    def value(self, name: str) -> Value:
        """Return the value of the broker's key `name` in force; KeyError for a name not in the table."""
        return self.find(BROKER_KEYS[name])[1]

    def error(self, name: str, problem: str) -> ConfigError:
        """Return the error line for key `name`, at the place that set it or one of its synonyms."""
        setting = self.find(BROKER_KEYS[name])[0]
        if setting is None:
            return ConfigError(f"{name} (default {text_of(BROKER_KEYS[name].default)}): {problem}")
        return setting.error(problem)

    def describe(self, key: Key, value: Value) -> DescribedKey:
        """Return how DescribeConfigs tells `key` with the `value` in force."""
        setting = self.find(key)[0]
        names = (key.name, *key.synonyms) if key.name in BROKER_KEYS else tuple(key.synonyms)
        synonyms = [
            Synonym(name, None if key.sensitive else text_of(self.given[name].value), ConfigSource.STATIC_BROKER_CONFIG)
            for name in dict.fromkeys(names)
            if name in self.given
        ]
        if key.default is not None:
            synonyms.append(Synonym(names[0] if names else key.name, text_of(key.default), ConfigSource.DEFAULT_CONFIG))
        documentation = key.doc + (f" No effect: {key.no_effect}." if key.no_effect else "")
        return DescribedKey(
            key.name,
            None if key.sensitive else text_of(value),
            ConfigSource.DEFAULT_CONFIG if setting is None else ConfigSource.STATIC_BROKER_CONFIG,
            key.type,
            read_only=True,
            sensitive=key.sensitive,
            documentation=documentation,
            synonyms=tuple(synonyms),
        )


def read_settings(path: str | None, overrides: Sequence[str]) -> Settings:
    """
    Return what a server.properties file and `key=value` overrides set; overrides win.

    path       None: no file
    overrides  in order, the last of a key wins

    Raises ConfigError, naming key, value, file and line, for the first value that cannot be used.
    """
    given: dict[str, Setting] = {}
    warnings: list[str] = []
    if path is not None:
        seen: dict[str, int] = {}
        for name, text, line in parse_properties(_read(path), path):
            place = f"{path} line {line}"
            if name in seen:
                warnings.append(f"{place}: {name} is set again; this value counts, not the one of line {seen[name]}")
            seen[name] = line
            _take(given, warnings, name, text, place)
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"--override {override}: expected key=value")
        _take(given, warnings, name.strip(), text, "--override")
    for setting in given.values():
        warning = _without_effect(setting, given)
        if warning:
            warnings.append(warning)
    return Settings(given, warnings)


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        # What Java assumes; any byte is a character then.
        return content.decode("latin-1")


def _take(given: dict[str, Setting], warnings: list[str], name: str, text: str, place: str) -> None:
    """Check one setting and note it; a name the broker does not know becomes a warning."""
    key = BROKER_KEYS.get(name)
    if key is None:
        warnings.append(f"{place}: {unknown_key(name)}")
        return
    setting = Setting(name, text.strip(), None, place)
    if key.refused and text.strip():
        raise setting.error(key.refused)
    if not text.strip() and key.type is not ValueType.LIST and key.default is None:
        given.pop(name, None)  # `key=` is how files say "not set"
        return
    try:
        value = key.parse(text)
    except ConfigError as error:
        raise setting.error(str(error)) from None
    given[name] = Setting(name, setting.text, value, place)


def unknown_key(name: str) -> str:
    """Return what to say about a name that is no key of a broker."""
    if name in CLIENT_KEYS:
        return f"{name} belongs into the configuration of a producer or consumer; a broker does not use it"
    if name in TOPIC_KEYS:
        synonyms = TOPIC_KEYS[name].synonyms
        where = f"; for all topics it is {next(iter(synonyms))}" if synonyms else ""
        return f"{name} is a key of single topics{where}"
    if name.startswith("listener.name."):
        return f"{name} has no effect: settings of single listeners are not in this version"
    near = difflib.get_close_matches(name, BROKER_KEYS, n=1, cutoff=0.75)
    return f"unknown key {name}" + (f"; did you mean {near[0]}?" if near else "")


def _without_effect(setting: Setting, given: Mapping[str, Setting]) -> str:
    """Return a warning when a setting asks for something that does not happen; empty when there is none."""
    key = BROKER_KEYS[setting.name]
    if not key.no_effect or setting.value == key.default:
        return ""
    if setting.name.startswith("zookeeper.") and setting.name != "zookeeper.connect" and "zookeeper.connect" in given:
        return ""  # the warning about zookeeper.connect says it all
    return f"{setting.place}: {setting.name} has no effect: {key.no_effect}"
