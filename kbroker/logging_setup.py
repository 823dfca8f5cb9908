"""
Log lines to standard error: `2026-01-01 12:00:00,123 INFO [io-2] message`.

The prefix says which process speaks; each worker sets its own first thing after the fork.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping

from kbroker.errors import ConfigError

LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "WARNING", "ERROR", "FATAL", "CRITICAL")
"""Names of levels accepted: Python's and log4j's."""

_LEVEL_NUMBERS = {"TRACE": logging.DEBUG, "WARN": logging.WARNING, "FATAL": logging.CRITICAL}

_FORMAT = "%(asctime)s %(levelname)s [%(kbroker_process)s] %(message)s"


class _PrefixFilter(logging.Filter):
    """Adds the process prefix to every record."""

    prefix = "kbroker"

    def filter(self, record: logging.LogRecord) -> bool:
        record.kbroker_process = self.prefix
        return True


_PREFIX = _PrefixFilter()


def set_up_logging(level: str | None = None, environ: Mapping[str, str] | None = None) -> None:
    """
    Send all log lines to standard error, those of this process marked `[supervisor]`.

    level    one of LEVELS in any case; None: KBROKER_LOG_LEVEL, else INFO
    environ  os.environ when None

    Raises ConfigError for an unknown level. Called again, it replaces what it set before.
    """
    name = (level or (os.environ if environ is None else environ).get("KBROKER_LOG_LEVEL") or "INFO").upper()
    if name not in LEVELS:
        raise ConfigError(f"log level {name}: expected one of {', '.join(LEVELS)}")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(_FORMAT))
    handler.addFilter(_PREFIX)
    root = logging.getLogger()
    for old in root.handlers[:]:
        if any(one is _PREFIX for one in old.filters):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(_LEVEL_NUMBERS.get(name) or getattr(logging, name))
    logging.addLevelName(logging.WARNING, "WARN")
    set_process_prefix("supervisor")


def set_process_prefix(prefix: str) -> None:
    """Mark the log lines of this process, and of processes it forks, with `prefix`, such as "io-2"."""
    _PREFIX.prefix = prefix
