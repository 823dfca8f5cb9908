"""How AlterConfigs and IncrementalAlterConfigs change a configuration; Kafka's rules and codes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from kbroker.cluster.requests import ConfigChange, ConfigOperation
from kbroker.config.key import Key, ValueType, text_of
from kbroker.errors import KafkaError
from kbroker.protocol.error_codes import ErrorCode

Change = Callable[[Mapping[str, str], Mapping[str, Key]], dict[str, str]]
"""Takes what is set and the keys of the kind of resource; returns what shall be set, or raises KafkaError."""


def replacement(configs: Mapping[str, str | None]) -> Change:
    """Return the change that forgets what was set and sets `configs`."""

    def change(before: Mapping[str, str], keys: Mapping[str, Key]) -> dict[str, str]:
        del before, keys
        return replaced(configs)

    return change


def increments(changes: Sequence[ConfigChange]) -> Change:
    """Return the change of single keys."""

    def change(before: Mapping[str, str], keys: Mapping[str, Key]) -> dict[str, str]:
        return changed(before, changes, keys)

    return change


def replaced(configs: Mapping[str, str | None]) -> dict[str, str]:
    """Return a whole new configuration. Raises INVALID_CONFIG for a key without a value."""
    unset = [name for name, value in configs.items() if value is None]
    if unset:
        raise KafkaError(ErrorCode.INVALID_CONFIG, f"Null value not supported for configs: {', '.join(unset)}.")
    return {name: value for name, value in configs.items() if value is not None}


def changed(before: Mapping[str, str], changes: Sequence[ConfigChange], keys: Mapping[str, Key]) -> dict[str, str]:
    """
    Return the configuration after incremental changes.

    before  what is set
    keys    the keys of this kind of resource: which are lists, and what they hold when nothing is set

    Raises INVALID_REQUEST for a change that makes no sense, INVALID_CONFIG for appending to what is no list.
    """
    names = [change.name for change in changes]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise KafkaError(ErrorCode.INVALID_REQUEST, f"Error due to duplicate config keys: {', '.join(repeated)}.")
    after = dict(before)
    for change in changes:
        name, value = change.name, change.value
        if change.operation == ConfigOperation.DELETE:
            after.pop(name, None)
            continue
        if change.operation not in set(ConfigOperation):
            raise KafkaError(ErrorCode.INVALID_REQUEST, f"Unknown operation {change.operation} for {name}.")
        if value is None:
            raise KafkaError(
                ErrorCode.INVALID_REQUEST,
                f"Null value not supported for {ConfigOperation(change.operation).name}:{name}.",
            )
        if change.operation == ConfigOperation.SET:
            after[name] = value
            continue
        key = keys.get(name)
        if key is None:
            raise KafkaError(ErrorCode.INVALID_CONFIG, f"Unknown config name: {name}.")
        if key.type is not ValueType.LIST:
            raise KafkaError(
                ErrorCode.INVALID_CONFIG,
                f"Can't {ConfigOperation(change.operation).name} to key {name} because its type is not LIST.",
            )
        elements = _elements(after.get(name, text_of(key.default) or ""))
        if change.operation == ConfigOperation.APPEND:
            elements += [element for element in _elements(value) if element not in elements]
        else:
            gone = _elements(value)
            elements = [element for element in elements if element not in gone]
        after[name] = ",".join(elements)
    return after


def _elements(text: str) -> list[str]:
    return [element.strip() for element in text.split(",") if element.strip()]
