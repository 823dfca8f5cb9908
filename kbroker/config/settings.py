"""What was set: a file and overrides, checked against the table of keys, each with the place it came from."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import dropwhile
from types import MappingProxyType
from typing import Final, NamedTuple

from kbroker.config.client_keys import CLIENT_KEYS
from kbroker.config.key import MAX_LONG, Key, Update, Value, ValueType, text_of
from kbroker.config.keys import BROKER_KEYS, RUNNING_KEYS
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
    DYNAMIC_CLIENT_METRICS_CONFIG = 7
    DYNAMIC_GROUP_CONFIG = 8


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

    def __str__(self) -> str:
        """Return the setting with its place, for people; a secret is not shown."""
        key = BROKER_KEYS.get(self.name)
        return f"{self.place}: {self.name}={_HIDDEN if key and key.sensitive else self.text}"

    def error(self, problem: str) -> ConfigError:
        """Return the error line that says `problem` about this setting."""
        return ConfigError(f"{self}: {problem}")


class Settings:
    """
    The settings of one broker: what follows from what was set, from synonyms and from defaults.

    given     what counts, by name
    layers    where it was set: per source the settings by name, the strongest source first
    warnings  lines for the log
    """

    __slots__ = ("given", "layers", "warnings")

    def __init__(
        self,
        static: Mapping[str, Setting],
        warnings: Sequence[str],
        dynamic: Sequence[tuple[ConfigSource, Mapping[str, Setting]]] = (),
    ) -> None:
        self.layers = (*dynamic, (ConfigSource.STATIC_BROKER_CONFIG, static))
        given: dict[str, Setting] = {}
        for _, settings in reversed(self.layers):
            given.update((name, setting) for name, setting in settings.items() if name in BROKER_KEYS)
        self.given: Mapping[str, Setting] = MappingProxyType(given)
        self.warnings = tuple(warnings)

    @property
    def static(self) -> Mapping[str, Setting]:
        """Return what the file and the command line set."""
        return self.layers[-1][1]

    def with_dynamic(self, for_all: Mapping[str, str], own: Mapping[str, str]) -> Settings:
        """
        Return the settings with what was set while the broker runs, for all brokers and for this one alone.

        What cannot be used is left out with a warning: it was written by somebody else, or by another version.

        min.insync.replicas always is among those for all brokers, as in a cluster of Kafka 4 (KIP-966): there it begins
        with the value of the broker's file.
        """
        warnings: list[str] = []
        for_all = {CLUSTER_KEY: text_of(Settings(self.static, ()).value(CLUSTER_KEY)) or "", **for_all}
        layers = [
            (source, {name: setting for name, text in texts.items() if (setting := _dynamic(name, text, warnings))})
            for source, texts in (
                (ConfigSource.DYNAMIC_BROKER_CONFIG, own),
                (ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG, for_all),
            )
        ]
        return Settings(self.static, warnings, layers)

    def find(self, key: Key) -> tuple[Setting | None, Value]:
        """Return the setting that decides `key`, None when none does, and the value in force."""
        own = self.given.get(key.name) if key.name in BROKER_KEYS and BROKER_KEYS[key.name] is key else None
        if own is not None:
            return own, own.value
        for name, factor in key.synonyms.items():
            setting = self.given.get(name)
            if setting is not None:
                value = setting.value
                if isinstance(value, int) and not isinstance(value, bool):
                    if factor != 1:
                        value = min(value * factor, MAX_LONG) if value >= 0 else -1
                    elif key.minimum == -1:
                        value = max(value, -1)
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

    def places(self, name: str) -> tuple[Synonym, ...]:
        """
        Return all places that have a value for the broker's key `name`, in Kafka's order: per source, the strongest
        first, all names of the thing; of these from `name` on.
        """
        key = BROKER_KEYS[name]
        names = _CHAINS.get(name, (name,))
        found = [
            Synonym(one, _told(BROKER_KEYS[one], settings[one].value), source)
            for source, settings in self.layers
            for one in names
            if one in settings
        ]
        if not found:
            # A key that only has another name (broker.id, node.id): Kafka copies the value to both.
            found = [
                Synonym(name, _told(key, settings[other].value), source)
                for source, settings in self.layers
                for other in key.synonyms
                if other in settings
            ][:1]
        found += [
            Synonym(one, _told(BROKER_KEYS[one], BROKER_KEYS[one].default), ConfigSource.DEFAULT_CONFIG)
            for one in names
            if BROKER_KEYS[one].default is not None
        ]
        return tuple(dropwhile(lambda synonym: synonym.name != name, found))

    def describe(self, key: Key, value: Value) -> DescribedKey:
        """Return how DescribeConfigs tells the broker's `key` with the `value` in force."""
        places = self.places(key.name)
        text = _told(key, value)
        if not places and text is not None:
            places = (Synonym(key.name, text, ConfigSource.DEFAULT_CONFIG),)
        return DescribedKey(
            key.name,
            text,
            places[0].source if places else ConfigSource.DEFAULT_CONFIG,
            key.type,
            read_only=key.update is Update.READ_ONLY,
            sensitive=key.sensitive,
            documentation=documentation(key),
            synonyms=places,
        )

    def describe_dynamic(self, source: ConfigSource) -> tuple[DescribedKey, ...]:
        """Return how DescribeConfigs tells what one source set while the broker runs, and that alone."""
        return tuple(
            self._describe_set(name, setting, (source,)) for name, setting in sorted(dict(self.layers)[source].items())
        )

    def describe_others(self) -> tuple[DescribedKey, ...]:
        """Return how DescribeConfigs tells names set while the broker runs that are no keys of server.properties."""
        others: dict[str, Setting] = {}
        for _, settings in reversed(self.layers):
            others.update((name, setting) for name, setting in settings.items() if name not in BROKER_KEYS)
        sources = [source for source, _ in self.layers]
        return tuple(self._describe_set(name, setting, sources) for name, setting in others.items())

    def _describe_set(self, name: str, setting: Setting, sources: Sequence[ConfigSource]) -> DescribedKey:
        key = BROKER_KEYS.get(name) or RUNNING_KEYS.get(name)
        places = tuple(
            Synonym(name, None if key is None else _told(key, settings[name].value), source)
            for source, settings in self.layers
            if source in sources and name in settings
        )
        if key is None:
            # Nobody knows what it is, so it might be a secret.
            unknown = ValueType.UNKNOWN
            return DescribedKey(name, None, places[0].source, unknown, True, True, "", places)
        return DescribedKey(
            name,
            _told(key, setting.value),
            places[0].source,
            key.type,
            read_only=key.update is Update.READ_ONLY,
            sensitive=key.sensitive,
            documentation=documentation(key),
            synonyms=places,
        )


CLUSTER_KEY = "min.insync.replicas"
"""The one key that is the cluster's and not a broker's (KIP-966)."""

_CHAINS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {name: tuple(key.synonyms) for key in TOPIC_KEYS.values() if len(key.synonyms) > 1 for name in key.synonyms}
)
"""Keys that say the same in different units, each with all of them, the strongest first."""


def describe_named(
    key: Key, own: str | None, otherwise: Value, source: ConfigSource, others: tuple[Synonym, ...]
) -> DescribedKey:
    """
    Return how DescribeConfigs tells a key of anything but a broker.

    own        what is set on the thing itself, None when nothing is
    otherwise  the value in force when nothing is set
    source     the source of `own`
    others     the places that count when nothing is set
    """
    value = otherwise
    if own is not None:
        try:
            value = key.parse(own)
        except ConfigError:
            value = own
        others = (Synonym(key.name, text_of(value), source), *others)
    return DescribedKey(
        key.name,
        text_of(value),
        others[0].source if others else ConfigSource.DEFAULT_CONFIG,
        key.type,
        read_only=False,
        sensitive=False,
        documentation=documentation(key),
        synonyms=others,
    )


def documentation(key: Key) -> str:
    """Return what DescribeConfigs says about a key."""
    return key.doc + (f" No effect: {key.no_effect}." if key.no_effect else "")


def _told(key: Key, value: Value) -> str | None:
    """Return a value's text, None for a secret."""
    return None if key.sensitive else text_of(value)


def _dynamic(name: str, text: str, warnings: list[str]) -> Setting | None:
    """Return a setting made while the broker runs; None with a warning when it cannot be used."""
    place = "dynamic configuration"
    key = BROKER_KEYS.get(name) or RUNNING_KEYS.get(name)
    if key is None:
        return Setting(name, text, None, place)
    shown = _HIDDEN if key.sensitive else text
    if key.update is Update.READ_ONLY or key.fixed:
        reason = key.fixed or "it cannot be changed while the broker runs"
        warnings.append(f"{place}: {name}={shown} does not count: {reason}")
        return None
    try:
        return Setting(name, text, key.parse(text), place)
    except ConfigError as error:
        warnings.append(f"{place}: {name}={shown} does not count: {error}")
        return None


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
    # Bytes that are no UTF-8 stay what they are until it is known what they belong to, see readable.
    return content.decode("utf-8", "surrogateescape")


_PATHS: Final = frozenset({"log.dirs", "log.dir", "kbroker.metadata.dir"})
"""Keys whose values name files: whatever bytes they are made of, they must find these files."""


def readable(text: str) -> str:
    """Return text that holds bytes that are no UTF-8 as Java reads it: each byte is a character of Latin-1."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape").decode("latin-1")
    return text


def _take(given: dict[str, Setting], warnings: list[str], name: str, text: str, place: str) -> None:
    """Check one setting and note it; a name the broker does not know becomes a warning."""
    name = readable(name)
    key = BROKER_KEYS.get(name)
    if key is None:
        warnings.append(f"{place}: {unknown_key(name)}")
        return
    text = os.fsdecode(text.encode("utf-8", "surrogateescape")) if name in _PATHS else readable(text)
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
