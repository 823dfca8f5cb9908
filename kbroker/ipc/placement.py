"""
Which processor a worker runs on, where there are only two.

Three processes are awake while a client sends one request after the other: the client, the network worker that looks
for its requests and the IO worker that looks for its appends (kbroker.ipc.spinning). With two processors the client
shares one of them. Beside the network worker it costs nothing: one waits while the other works, and waking the client
is no more than putting it in the queue. Beside the IO worker each answer has to interrupt another processor, which
leaves a virtual machine, and the client has to take the processor from a process that is busy looking: a third more
time per request (docs/decisions/0014). The kernel's scheduler keeps whatever comes about by chance.

So the network worker goes where its client is, and the IO worker leaves. Each moves only itself, by narrowing the
processors it may use and widening them again: afterwards the scheduler is as free as before, and a limit set from
outside (taskset, systemd) is kept.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Final

from kbroker.shared.worker_table import WorkerField, WorkerTable

_EVERY: Final = 32
"""Answers between two looks at where the client is."""
_PROCESSOR_BITS: Final = 16
_PROCESSOR_MASK: Final = (1 << _PROCESSOR_BITS) - 1
_FOLLOWED: Final = int(WorkerField.CLIENT_FOLLOWED)

_current_processor: Final = getattr(ctypes.CDLL(None), "sched_getcpu", lambda: -1)


class FollowsClient:
    """
    Keeps a network worker on the processor of the client that sends it one request after the other.

    worker            its number in the table
    client_processor  returns the processor the client last sent from; -1: not known
    """

    __slots__ = ("_answers", "_client_processor", "_moves", "_table", "_worker")

    def __init__(self, table: WorkerTable, worker: int, client_processor: Callable[[], int]) -> None:
        self._table = table
        self._worker = worker
        self._client_processor = client_processor
        self._answers = 0
        # A predecessor's moves count too: IO workers know them by their number.
        self._moves = table.get(worker, _FOLLOWED) >> _PROCESSOR_BITS

    def answered(self) -> None:
        """Note that a client has been answered and that nothing else is under way."""
        self._answers += 1
        if self._answers == _EVERY:
            self._answers = 0
            self._look()

    def _look(self) -> None:
        processor = self._client_processor()
        if processor < 0 or processor == _current_processor():
            return
        allowed = _allowed()
        if len(allowed) != 2 or processor not in allowed:
            # With more of them the scheduler finds a processor that is idle for whom it wakes.
            return
        self._moves += 1
        self._table.set(self._worker, _FOLLOWED, self._moves << _PROCESSOR_BITS | processor)
        _move(allowed, {processor})


class LeavesToClient:
    """Keeps an IO worker off the processors that network workers have followed their clients to."""

    __slots__ = ("_followed", "_table")

    def __init__(self, table: WorkerTable) -> None:
        self._table = table
        self._followed = [table.get(worker, _FOLLOWED) for worker in range(table.count)]

    def answered(self, sender: int) -> None:
        """Note that the only append of network worker `sender`, its number in the table, has been answered."""
        followed = self._table.get(sender, _FOLLOWED)
        if followed != self._followed[sender]:
            self._followed[sender] = followed
            allowed = _allowed()
            others = allowed - {followed & _PROCESSOR_MASK}
            if others and others != allowed:
                _move(allowed, others)


def _allowed() -> set[int]:
    """Return the processors this worker may use; none where the system does not tell (a sandbox)."""
    try:
        return os.sched_getaffinity(0)
    except OSError:
        return set()


def _move(allowed: set[int], wanted: set[int]) -> None:
    try:
        os.sched_setaffinity(0, wanted)
        os.sched_setaffinity(0, allowed)
    except OSError:
        # The limit was changed meanwhile, or a sandbox forbids it: then it stays where it is.
        pass
