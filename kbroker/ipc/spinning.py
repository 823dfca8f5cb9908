"""
Looking for records for a moment before falling asleep.

Falling asleep and being woken, on a processor that has gone idle meanwhile, costs more than a small append takes: some
50 microseconds in a virtual machine. So who has just one thing under way looks at its rings for a while, offering the
processor to others all the time. Who finds nothing time and again looks less often.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import sched_yield
from time import perf_counter_ns

from kbroker.shared.record_ring import RecordRing

_MAX_CREDIT = 8
_TRIAL_CREDIT = 2
_SLEEPS_BETWEEN_TRIALS = 64


class Spinning:
    """
    How long to look, and whether it is worth it.

    microseconds  per look
    """

    __slots__ = ("_credit", "_nanoseconds")

    def __init__(self, microseconds: int) -> None:
        self._nanoseconds = microseconds * 1000
        self._credit = _MAX_CREDIT

    def look(self, rings: Sequence[RecordRing]) -> bool:
        """Return whether a record came into one of `rings` while looking."""
        credit = self._credit
        if credit <= 0:
            self._credit = credit + 1 if credit < 0 else _TRIAL_CREDIT
            return False
        deadline = perf_counter_ns() + self._nanoseconds
        while perf_counter_ns() < deadline:
            for ring in rings:
                if ring.has_records():
                    if credit < _MAX_CREDIT:
                        self._credit = credit + 1
                    return True
            sched_yield()
        self._credit = credit - 2 if credit > 2 else -_SLEEPS_BETWEEN_TRIALS
        return False
