"""Levels of this process's loggers as Kafka names them, read and set while it runs."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from types import MappingProxyType

SETTABLE_LEVELS: Mapping[str, int] = MappingProxyType(
    {
        "TRACE": logging.DEBUG,
        "DEBUG": logging.DEBUG,
        "INFO": logging.INFO,
        "WARN": logging.WARNING,
        "ERROR": logging.ERROR,
        "FATAL": logging.CRITICAL,
    }
)
"""Kafka's names of levels; Python has nothing below DEBUG."""

ROOT_LOGGER = "root"

_NAMES: Mapping[int, str] = MappingProxyType({number: name for name, number in SETTABLE_LEVELS.items()})
_OURS = "kbroker"


def logger_names() -> Sequence[str]:
    """Return the names of kbroker's loggers, packages among them; the root logger is not in the list."""
    return sorted(name for name in logging.root.manager.loggerDict if name.partition(".")[0] == _OURS)


def level_of(name: str) -> str:
    """Return the level in force of a logger."""
    number = (logging.root if name == ROOT_LOGGER else logging.getLogger(name)).getEffectiveLevel()
    return _NAMES.get(number) or logging.getLevelName(number)


class LogLevels:
    """Sets what is asked for, and takes it back."""

    def __init__(self) -> None:
        self._root_level = logging.root.level
        self._set: Mapping[str, str] = {}

    def follow(self, levels: Mapping[str, str]) -> None:
        """Set the levels by logger; those set before and not any more go back to what they were."""
        if levels == self._set:
            return
        for name in self._set.keys() - levels.keys():
            if name == ROOT_LOGGER:
                logging.root.setLevel(self._root_level)
            else:
                logging.getLogger(name).setLevel(logging.NOTSET)
        for name, level in levels.items():
            (logging.root if name == ROOT_LOGGER else logging.getLogger(name)).setLevel(SETTABLE_LEVELS[level])
        self._set = dict(levels)
