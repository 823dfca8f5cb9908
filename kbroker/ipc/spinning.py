"""
Looking for records for a moment before falling asleep.

Falling asleep and being woken, on a processor that has gone idle meanwhile, costs more than a small append takes: in a
virtual machine 50 microseconds, or 150, and half of that is paid by who wakes. So who waits for just one thing, which
comes soon as a rule, looks at its rings and sockets for a while, offering the processor to others all the time.

How soon it comes is measured, sleeping or not (`Patience`): who waits for an answer that takes long, or for a client
that thinks between its requests, sleeps at once.

While a worker looks, nobody needs to ring its doorbell. It says so in the worker table: a time after which it will look
once more before it sleeps (docs/decisions/0010). A writer that finds this time well ahead of now, after it has written,
may rely on that look: what it wrote is visible long before. No memory barrier is asked for, only that a store becomes
visible within `VISIBLE_WITHIN_NS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import sched_yield
from time import monotonic_ns
from typing import Final

from kbroker.ipc import doorbell
from kbroker.shared.record_ring import RecordRing
from kbroker.shared.worker_table import WorkerField, WorkerTable

VISIBLE_WITHIN_NS: Final = 20_000
"""Processors drain their stores within a microsecond; a context switch or an exit to a hypervisor drains them too."""

_WORTH_IT_NS: Final = 600_000
"""What comes later than this, as a rule, is slept for: the processor is worth more than a wake-up."""
_FIRST_GUESS_NS: Final = 100_000
_GRACE_NS: Final = 50_000
_LONGEST_NS: Final = 1_000_000
_LOOKS_UNTIL: Final = int(WorkerField.LOOKS_UNTIL_NS)


class Patience:
    """
    How long what is waited for has taken lately.

    Call `begin` when the wait begins and `end` when it is over, whether it was slept through or not.
    """

    __slots__ = ("_begun_ns", "expected_ns")

    def __init__(self) -> None:
        self.expected_ns = _FIRST_GUESS_NS
        self._begun_ns = 0

    def begin(self) -> None:
        """Note that the wait begins now."""
        self._begun_ns = monotonic_ns()

    def end(self) -> None:
        """Note that it is over; nothing happens when none had begun."""
        begun_ns = self._begun_ns
        if begun_ns:
            self._begun_ns = 0
            # One wait far beyond says no more than one just beyond: soon forgotten when what came after was quick.
            waited_ns = min(monotonic_ns() - begun_ns, 4 * _WORTH_IT_NS)
            self.expected_ns += (waited_ns - self.expected_ns) >> 3

    def window_ns(self) -> int:
        """Return for how long to look; 0: sleep at once."""
        if self.expected_ns > _WORTH_IT_NS:
            return 0
        return min(2 * self.expected_ns + _GRACE_NS, _LONGEST_NS)


class Spinning:
    """
    Looks, and keeps the promise made by looking.

    worker  whose rings are looked at, by its number in the table
    rings   what is written for it
    peek    returns whether something else has come (a socket, the mailbox)
    """

    __slots__ = ("_owed", "_peek", "_rings", "_table", "_until_ns", "_worker")

    def __init__(self, table: WorkerTable, worker: int, rings: Sequence[RecordRing], peek: Callable[[], bool]) -> None:
        self._table = table
        self._worker = worker
        self._rings = rings
        self._peek = peek
        # What a predecessor that was killed had promised is kept.
        self._until_ns = min(table.get(worker, _LOOKS_UNTIL), monotonic_ns() + _LONGEST_NS)
        self._owed = True

    def look(self, window_ns: int) -> bool:
        """
        Look for `window_ns`; return whether a record or something else has come.

        window_ns  0: only as long as an earlier promise asks for, which is not at all as a rule
        """
        if window_ns:
            self._owed = True
            self._promise(monotonic_ns() + window_ns)
        elif not self._owed:
            return False
        else:
            # Who relies on the old promise has written before now, so this is as good.
            soon_ns = monotonic_ns() + VISIBLE_WITHIN_NS
            if soon_ns < self._until_ns:
                self._promise(soon_ns)
        rings = self._rings
        peek = self._peek
        until_ns = self._until_ns
        while True:
            now_ns = monotonic_ns()
            for ring in rings:
                if ring.has_records():
                    return True
            if now_ns >= until_ns:
                self._owed = False
                return False
            if peek():
                return True
            sched_yield()

    def _promise(self, until_ns: int) -> None:
        self._until_ns = until_ns
        self._table.set(self._worker, _LOOKS_UNTIL, until_ns)


def ring_unless_looking(table: WorkerTable, worker: int, bell: int) -> None:
    """Wake `worker`, to whom something was just written in shared memory, unless it is looking for it anyway."""
    # In this order: the promise that is relied on was made before the time it is held against.
    until_ns = table.get(worker, _LOOKS_UNTIL)
    if until_ns < monotonic_ns() + VISIBLE_WITHIN_NS:
        doorbell.ring(bell)
