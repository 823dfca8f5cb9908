"""
Warnings that others can cause at will are limited and counted, so that no client fills a disk with our log.

Of one kind of warning a process writes so many in a minute; what comes after is counted, and told in one line at the
end of that minute:

    WARN [net-0] Connection of 192.0.2.1:40412 (client id 'old') closed: Fetch v3 is not served (… 312 more of these in
    the last 60 s)

Of one kind is what says the same but for numbers: ports, sizes, offsets. Who varies the words as well, with names of
its own, gets so many kinds and then shares one. Lines of a start, a stop or a recovery are never limited, nor is INFO:
what happened once to each of a thousand partitions is told a thousand times.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

from kbroker.clock import SystemClock

LIMITED = (
    "kbroker.net",
    "kbroker.api",
    "kbroker.ipc",
    "kbroker.io_workers",
    "kbroker.coordinator",
    "kbroker.cluster.worker",
)
"""Loggers, with those below them, whose warnings clients can cause."""

LINES = 10
WINDOW_MS = 60_000
KINDS = 32
"""Kinds that one place in the code may have at a time."""

_NUMBER = re.compile(r"[0-9]+")
_Kind = tuple[str, str, str]
"""Logger, message before its arguments, and after, without numbers."""


class _Flood:
    """One kind of warning in its current window."""

    __slots__ = ("begun_ms", "last", "level", "lines", "more")

    def __init__(self, begun_ms: int) -> None:
        self.begun_ms = begun_ms
        self.lines = 0
        self.more = 0
        self.level = 0
        # The words alone: the record holds on to an error, and that to all that the frames it went through hold.
        self.last = ""


class FloodFilter(logging.Filter):
    """
    Lets the first LINES of a kind pass in each window, and counts the others.

    For a handler, so that all loggers lead through it. `tell` must be called now and then.

    now_ms  monotonic; None: the machine's
    """

    def __init__(self, now_ms: Callable[[], int] | None = None) -> None:
        super().__init__()
        self._now_ms = now_ms or SystemClock().monotonic_ms
        self._floods: dict[_Kind, _Flood] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line is to be written."""
        if record.levelno < logging.WARNING or not _is_limited(record.name) or hasattr(record, "kbroker_summary"):
            return True
        now_ms = self._now_ms()
        text = _text(record)
        kind = self._kind((record.name, str(record.msg)), _NUMBER.sub("", text))
        flood = self._floods.get(kind)
        if flood is not None and now_ms - flood.begun_ms >= WINDOW_MS:
            self._end(kind, flood, now_ms)
            flood = None
        if flood is None:
            flood = self._floods[kind] = _Flood(now_ms)
        if flood.lines < LINES:
            flood.lines += 1
            return True
        flood.more += 1
        flood.level = record.levelno
        flood.last = text
        return False

    def tell(self, *, everything: bool = False) -> None:
        """Write how many lines were left out in windows that have ended, or so far (before the process ends)."""
        if self._floods:
            now_ms = self._now_ms()
            # A copy: threads may log meanwhile.
            for kind, flood in list(self._floods.items()):
                if everything or now_ms - flood.begun_ms >= WINDOW_MS:
                    self._end(kind, flood, now_ms)

    def _kind(self, place: tuple[str, str], words: str) -> _Kind:
        kind = (*place, words)
        # A copy here, too. Counted anew each time a kind comes up: there are never many.
        if kind in self._floods or sum(known[:2] == place for known in list(self._floods)) < KINDS:
            return kind
        return (*place, "")

    def _end(self, kind: _Kind, flood: _Flood, now_ms: int) -> None:
        if self._floods.pop(kind, None) is None or not flood.more:
            return
        seconds = max(1, (now_ms - flood.begun_ms) // 1000)
        text = f"{flood.last} (… {flood.more:,} more of these in the last {seconds} s)"
        summary = logging.LogRecord(kind[0], flood.level, "", 0, text, None, None)
        summary.kbroker_summary = True
        logging.getLogger(kind[0]).handle(summary)


def _text(record: logging.LogRecord) -> str:
    """Return what a record says; of one whose arguments do not fit, what it would have said them with."""
    try:
        return record.getMessage()
    except Exception:
        return str(record.msg)


def _is_limited(name: str) -> bool:
    return name.startswith(LIMITED) and any(name == one or name.startswith(one + ".") for one in LIMITED)
