"""How AlterConfigs and IncrementalAlterConfigs change a configuration; Kafka's rules and codes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from kbroker.cluster.requests import ConfigChange, ConfigOperation
from kbroker.config.key import Key, ValueType, text_of
from kbroker.errors import KafkaError
from kbroker.log_levels import ROOT_LOGGER, SETTABLE_LEVELS
from kbroker.protocol.error_codes import ErrorCode


def replaced(configs: Sequence[tuple[str, str | None]]) -> dict[str, str]:
    """Return a whole new configuration. Raises INVALID_REQUEST for a key given twice, or without a value."""
    _check_once([name for name, _ in configs])
    for name, value in configs:
        if value is None:
            raise KafkaError(ErrorCode.INVALID_REQUEST, f"Null value not supported for : {name}")
    return {name: value for name, value in configs if value is not None}


def changed(before: Mapping[str, str], changes: Sequence[ConfigChange], keys: Mapping[str, Key]) -> dict[str, str]:
    """
    Return the configuration after incremental changes.

    before  what is set
    keys    the keys of this kind of resource: which are lists, and what they hold when nothing is set

    Raises INVALID_REQUEST for a change that makes no sense, INVALID_CONFIG for appending to what is no list.
    """
    _check_changes(changes)
    after = dict(before)
    for change in changes:
        name, value = change.name, change.value
        if change.operation == ConfigOperation.DELETE:
            after.pop(name, None)
            continue
        assert value is not None, change
        if change.operation == ConfigOperation.SET:
            after[name] = value
            continue
        key = keys.get(name)
        if key is None or key.type is not ValueType.LIST:
            raise KafkaError(
                ErrorCode.INVALID_CONFIG,
                f"Can't {ConfigOperation(change.operation).name} to key {name} because its type is not LIST.",
            )
        elements = _elements(after.get(name, text_of(key.default) or ""))
        if change.operation == ConfigOperation.APPEND:
            known = set(elements)
            elements += [element for element in _elements(value) if element not in known]
        else:
            gone = set(_elements(value))
            elements = [element for element in elements if element not in gone]
        after[name] = ",".join(elements)
    return after


def changed_levels(
    before: Mapping[str, str], changes: Sequence[ConfigChange], loggers: Sequence[str]
) -> dict[str, str]:
    """
    Return the levels of loggers after changes.

    before   what was set, by logger
    loggers  those that exist

    Raises INVALID_REQUEST for a change that makes no sense, INVALID_CONFIG for an unknown logger or level.
    """
    _check_changes(changes)
    after = dict(before)
    for change in changes:
        name, level = change.name, change.value
        if name != ROOT_LOGGER and name not in loggers:
            raise KafkaError(ErrorCode.INVALID_CONFIG, f"Logger {name} does not exist!")
        if change.operation == ConfigOperation.DELETE:
            if name == ROOT_LOGGER:
                raise KafkaError(ErrorCode.INVALID_REQUEST, "Removing the log level of the root logger is not allowed")
            after.pop(name, None)
            continue
        if change.operation != ConfigOperation.SET:
            operation = ConfigOperation(change.operation).name
            raise KafkaError(
                ErrorCode.INVALID_REQUEST, f"{operation} operation is not allowed for logger {name} of a broker"
            )
        if level is None or level not in SETTABLE_LEVELS:
            raise KafkaError(
                ErrorCode.INVALID_CONFIG,
                f"Cannot set the log level of {name} to {level} as it is not a supported log level. "
                f"Valid log levels are {', '.join(sorted(SETTABLE_LEVELS))}",
            )
        after[name] = level
    return after


def _check_changes(changes: Sequence[ConfigChange]) -> None:
    _check_once([change.name for change in changes])
    for change in changes:
        if change.operation not in set(ConfigOperation):
            raise KafkaError(ErrorCode.INVALID_REQUEST, f"Unknown operation {change.operation} for {change.name}.")
        if change.value is None and change.operation != ConfigOperation.DELETE:
            raise KafkaError(ErrorCode.INVALID_REQUEST, f"Null value not supported for : {change.name}")


def _check_once(names: Sequence[str]) -> None:
    repeated = sorted(name for name, times in Counter(names).items() if times > 1)
    if repeated:
        raise KafkaError(ErrorCode.INVALID_REQUEST, f"Error due to duplicate config keys: {', '.join(repeated)}")


def _elements(text: str) -> list[str]:
    return [element.strip() for element in text.split(",") if element.strip()]
