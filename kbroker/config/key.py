"""What a configuration key is: its type, range, default and words, and how its text becomes a value."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import Any

from kbroker.errors import ConfigError

Value = bool | int | float | str | tuple[str, ...] | None
"""A typed value; None means "not set" and is a value only for keys whose default it is."""

MAX_INT = 2**31 - 1
MAX_SHORT = 2**15 - 1
MAX_LONG = 2**63 - 1


class ValueType(IntEnum):
    """A key's type, numbered as DescribeConfigs answers it; UNKNOWN is no type of the table's keys."""

    UNKNOWN = 0
    BOOLEAN = 1
    STRING = 2
    INT = 3
    SHORT = 4
    LONG = 5
    DOUBLE = 6
    LIST = 7
    CLASS = 8
    PASSWORD = 9


class Update(Enum):
    """Whether a running broker takes a new value, and for whom; Kafka's three modes."""

    READ_ONLY = "read-only"
    PER_BROKER = "per-broker"
    CLUSTER_WIDE = "cluster-wide"


@dataclass(frozen=True, slots=True)
class Key:
    """
    One configuration key.

    default         the value in force when nothing is set
    doc             what the key does, for people
    minimum         smallest number allowed, None: what the type allows
    maximum         largest number allowed
    choices         the only values allowed (of each element, for a list)
    form            regular expression that a text (each element of a list) or a number must match, and it in words
    synonyms        other names looked at, in this order, when this one is not set; with the factor their value is
                    multiplied by (log.retention.hours → milliseconds); negative values are taken over unchanged
    no_effect       why setting the key changes nothing here; empty for keys that are honoured
    refused         why the key cannot be set at all in this version; empty for all others
    kafka_default   Apache Kafka's default as text, where ours differs
    internal        for Kafka's own tests, or a name Kafka has long given up: told to clients only where it is set
    fixed           why a running broker refuses a new value, for keys that Kafka changes while it runs
    """

    name: str
    type: ValueType
    default: Value
    doc: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    form: tuple[str, str] = ("", "")
    update: Update = Update.READ_ONLY
    synonyms: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    no_effect: str = ""
    refused: str = ""
    kafka_default: str | None = None
    internal: bool = False
    fixed: str = ""

    @property
    def sensitive(self) -> bool:
        """Return whether the value is a secret that must never be shown or logged."""
        return self.type is ValueType.PASSWORD

    def parse(self, text: str) -> Value:
        """
        Return the typed value of `text`.

        Raises ConfigError with what is expected; the caller adds key, value and place.
        """
        text = text.strip()
        if self.type is not ValueType.PASSWORD and re.search(r"\s#", text):
            raise ConfigError(
                f"{self._expected()}; in a properties file a '#' after a value belongs to the value, "
                "so put the comment on a line of its own"
            )
        match self.type:
            case ValueType.BOOLEAN:
                lowered = text.lower()
                if lowered not in {"true", "false"}:
                    raise ConfigError(self._expected())
                return lowered == "true"
            case ValueType.INT | ValueType.SHORT | ValueType.LONG:
                return self._parse_integer(text)
            case ValueType.DOUBLE:
                try:
                    number = float(text)
                except ValueError:
                    raise ConfigError(self._expected()) from None
                if math.isnan(number):
                    raise ConfigError(self._expected())
                self._check_range(number)
                return number
            case ValueType.LIST:
                elements = tuple(part.strip() for part in text.split(",")) if text else ()
                for element in elements:
                    self._check_choice(element)
                # Choices are a set: who names one twice means it once.
                return tuple(dict.fromkeys(elements)) if self.choices else elements
            case _:
                self._check_choice(text)
                return text

    def _parse_integer(self, text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]+", text):
            hint = ""
            if re.fullmatch(r"[0-9]+(\s*\*\s*[0-9]+)+", text):
                product = math.prod(int(factor) for factor in text.split("*"))
                hint = f"; arithmetic is not evaluated: write {product}"
            elif re.fullmatch(r"[0-9]+\s*[a-zA-Z]+", text):
                hint = "; units are not understood, the unit is part of the key's name"
            raise ConfigError(self._expected() + hint)
        number = int(text)
        self._check_range(number)
        if self.form[0] and not re.fullmatch(self.form[0], str(number)):
            raise ConfigError(self._expected())
        return number

    def _limits(self) -> tuple[float, float]:
        """Return the smallest and largest number that type and key allow together."""
        limit: float = {ValueType.INT: MAX_INT, ValueType.SHORT: MAX_SHORT, ValueType.LONG: MAX_LONG}.get(
            self.type, math.inf
        )
        low = -limit - 1 if self.minimum is None else self.minimum
        return low, limit if self.maximum is None else self.maximum

    def _check_range(self, number: float) -> None:
        low, high = self._limits()
        if not low <= number <= high:
            raise ConfigError(self._expected())

    def _check_choice(self, text: str) -> None:
        if (self.choices and text not in self.choices) or (self.form[0] and not re.fullmatch(self.form[0], text)):
            raise ConfigError(self._expected())

    def _expected(self) -> str:
        """Return what a good value looks like, as the end of an error line."""
        if self.choices:
            return ("expected a list of " if self.type is ValueType.LIST else "expected one of ") + ", ".join(
                self.choices
            )
        if self.form[1]:
            return f"expected {self.form[1]}"
        match self.type:
            case ValueType.BOOLEAN:
                return "expected true or false"
            case ValueType.INT | ValueType.SHORT | ValueType.LONG | ValueType.DOUBLE:
                low, high = self._limits()
                kind = "a number" if self.type is ValueType.DOUBLE else "a whole number"
                if self.maximum is not None or self.type in {ValueType.INT, ValueType.SHORT}:
                    return f"expected {kind} from {low} to {high}"
                return f"expected {kind}" + ("" if self.minimum is None else f" of at least {low}")
            case ValueType.LIST:
                return "expected values separated by commas"
            case _:
                return "expected a text"


CLUSTER_WIDE = Update.CLUSTER_WIDE
PER_BROKER = Update.PER_BROKER


def boolean_key(name: str, default: bool, doc: str, **more: Any) -> Key:
    """Return a key that is true or false."""
    return Key(name, ValueType.BOOLEAN, default, doc, **more)


def int_key(name: str, default: int | None, doc: str, **more: Any) -> Key:
    """Return a key of 32 bits."""
    return Key(name, ValueType.INT, default, doc, **more)


def short_key(name: str, default: int | None, doc: str, **more: Any) -> Key:
    """Return a key of 16 bits."""
    return Key(name, ValueType.SHORT, default, doc, **more)


def long_key(name: str, default: int | None, doc: str, **more: Any) -> Key:
    """Return a key of 64 bits."""
    return Key(name, ValueType.LONG, default, doc, **more)


def double_key(name: str, default: float | None, doc: str, **more: Any) -> Key:
    """Return a key with a fraction."""
    return Key(name, ValueType.DOUBLE, default, doc, **more)


def string_key(name: str, default: str | None, doc: str, **more: Any) -> Key:
    """Return a key of text."""
    return Key(name, ValueType.STRING, default, doc, **more)


def list_key(name: str, default: tuple[str, ...] | None, doc: str, **more: Any) -> Key:
    """Return a key of texts separated by commas."""
    return Key(name, ValueType.LIST, default, doc, **more)


def class_key(name: str, default: str | None, doc: str, **more: Any) -> Key:
    """Return a key that names a Java class."""
    return Key(name, ValueType.CLASS, default, doc, **more)


def password_key(name: str, doc: str, **more: Any) -> Key:
    """Return a key that holds a secret."""
    return Key(name, ValueType.PASSWORD, None, doc, **more)


def same_as(*names: str) -> Mapping[str, int]:
    """Return synonyms that mean the same in the same unit."""
    return MappingProxyType(dict.fromkeys(names, 1))


def fixed_while_running(reason: str, *keys: Key) -> tuple[Key, ...]:
    """Return the keys; those that Kafka changes while it runs say why a running broker does not, here."""
    return tuple(replace(key, fixed=reason) if key.update is not Update.READ_ONLY else key for key in keys)


def without_effect(reason: str, *keys: Key) -> tuple[Key, ...]:
    """Return the keys, each saying that setting it changes nothing here, and why; reasons of their own stay."""
    return tuple(key if key.no_effect or key.refused else replace(key, no_effect=reason) for key in keys)


def text_of(value: Value) -> str | None:
    """Return a value as Kafka writes it: true and false, lists joined by commas, None for "not set"."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(value)
    return _java_double(value) if isinstance(value, float) else str(value)


def _java_double(value: float) -> str:
    """Return a number with a fraction as Java writes it: an exponent below a thousandth and from ten millions on."""
    if value == 0 or 1e-3 <= abs(value) < 1e7 or math.isinf(value):
        return str(value)
    mantissa, _, exponent = f"{value!r}".partition("e")
    if not exponent:
        mantissa, _, exponent = f"{value:.17e}".partition("e")
    return f"{float(mantissa)}E{int(exponent)}"
