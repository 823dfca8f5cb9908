"""
Log lines to standard error: `2026-01-01 12:00:00,123 INFO [io-2] message`.

The prefix says which process speaks; each worker sets its own first thing after the fork.

Where standard error is systemd's journal, which keeps the time and the priority itself, lines are `<6>[io-2] message`
(sd-daemon(3)): JOURNAL_STREAM tells the journal's device and inode, which must be those of descriptor 2, because a
child whose standard error was redirected has the variable, too.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Mapping

from kbroker.errors import ConfigError
from kbroker.log_floods import FloodFilter

LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "WARNING", "ERROR", "FATAL", "CRITICAL")
"""Names of levels accepted: Python's and log4j's."""

_LEVEL_NUMBERS = {"TRACE": logging.DEBUG, "WARN": logging.WARNING, "FATAL": logging.CRITICAL}

_FORMAT = "%(asctime)s %(levelname)s [%(kbroker_process)s] %(message)s"
_JOURNAL_FORMAT = "[%(kbroker_process)s] %(message)s"

_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG_PRIORITY = 7
"""Levels at and above which syslog's priorities count."""

_LONGEST_NAME = 100


class _JournalFormatter(logging.Formatter):
    """Puts the priority before each line, also those of a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        return with_priority(super().format(record), record.levelno)


class _PrefixFilter(logging.Filter):
    """Adds the process prefix to every record."""

    prefix = "kbroker"

    def filter(self, record: logging.LogRecord) -> bool:
        record.kbroker_process = self.prefix
        return True


_PREFIX = _PrefixFilter()
_FLOODS = FloodFilter()


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
    handler.setFormatter(
        _JournalFormatter(_JOURNAL_FORMAT) if writes_to_journal(environ) else logging.Formatter(_FORMAT)
    )
    handler.addFilter(_FLOODS)
    handler.addFilter(_PREFIX)
    root = logging.getLogger()
    for old in root.handlers[:]:
        if any(one is _PREFIX for one in old.filters):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(_LEVEL_NUMBERS.get(name) or getattr(logging, name))
    logging.addLevelName(logging.WARNING, "WARN")
    set_process_prefix("supervisor")


def writes_to_journal(environ: Mapping[str, str] | None = None) -> bool:
    """Return whether standard error is the journal; `environ` is os.environ when None."""
    device, colon, inode = (os.environ if environ is None else environ).get("JOURNAL_STREAM", "").partition(":")
    if not colon:
        return False
    try:
        status = os.fstat(2)
    except OSError:
        return False
    return (device, inode) == (str(status.st_dev), str(status.st_ino))


def with_priority(text: str, level: int) -> str:
    """Return text as the journal wants it: syslog's priority of a level of `logging` before each line."""
    priority = next((priority for least, priority in _PRIORITIES if level >= least), _DEBUG_PRIORITY)
    return "\n".join(f"<{priority}>{line}" for line in text.split("\n"))


def for_standard_error(text: str, level: int = logging.ERROR) -> str:
    """Return a line that is written to standard error without a logger, with its priority where that is the journal."""
    return with_priority(text, level) if writes_to_journal() else text


def write_line_in_signal_handler(message: str) -> None:
    """
    Log a message at INFO from within a signal handler: past the buffer, which may be in use just now.

    Does nothing while logging is not set up.
    """
    for handler in logging.getLogger().handlers:
        if _PREFIX in handler.filters:
            record = logging.LogRecord(__name__, logging.INFO, __file__, 0, "%s", (message,), None)
            _PREFIX.filter(record)
            with contextlib.suppress(OSError):
                os.write(2, f"{handler.format(record)}\n".encode(errors="backslashreplace"))


def set_process_prefix(prefix: str) -> None:
    """Mark the log lines of this process, and of processes it forks, with `prefix`, such as "io-2"."""
    _PREFIX.prefix = prefix


def tell_left_out(*, everything: bool = False) -> None:
    """Write how many lines this process has left out of a flood; `everything`: also of one that goes on."""
    _FLOODS.tell(everything=everything)


def in_one_line(text: str, longest: int | None = 200) -> str:
    """
    Return a text that somebody else has chosen so that it breaks no line of the log.

    longest  letters shown, so that it fills no log either; None: all
    """
    if longest is not None and len(text) > longest:
        text = text[:longest] + "…"
    return text if text.isprintable() else ascii(text)


def name_client(host: str, port: int, client_id: str | None = None) -> str:
    """
    Return how log lines name a client: where it is, and what it calls itself.

    host       its address, with or without the leading slash that Kafka shows
    client_id  None: it has not said one. No name breaks a line or makes it long
    """
    host = host.removeprefix("/")
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if client_id is None:
        return address
    shown = client_id if len(client_id) <= _LONGEST_NAME else client_id[:_LONGEST_NAME] + "…"
    return f"{address} (client id {shown!r})"
