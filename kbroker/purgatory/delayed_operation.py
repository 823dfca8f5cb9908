"""
The contract of an operation that waits: for a condition, or for its time to run out.

`try_complete` looks whether the condition holds and, if so, calls `force_complete`. Whoever comes first, a check or the
timer, completes the operation: `on_complete` runs exactly once. `on_expire` runs before it when it was the timer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kbroker.purgatory.timing_wheel import Timer


class DelayedOperation(ABC):
    """
    An operation that can be parked in a Purgatory.

    deadline_ms   when it expires, in the milliseconds of the purgatory's wheel
    is_completed  whether on_complete has run or was given up by cancel
    """

    __slots__ = ("_keys", "_timer", "deadline_ms", "is_completed")

    def __init__(self, deadline_ms: int) -> None:
        self.deadline_ms = deadline_ms
        self.is_completed = False
        self._timer: Timer | None = None
        self._keys: tuple[object, ...] = ()

    @abstractmethod
    def try_complete(self) -> bool:
        """Call force_complete when the condition holds; returns whether the operation is completed."""

    @abstractmethod
    def on_complete(self) -> None:
        """Do what was waited for, with whatever there is by now; runs once."""

    def on_expire(self) -> None:
        """Take note that time ran out; on_complete follows. Does nothing unless overridden."""
        return

    def force_complete(self) -> bool:
        """Complete now, whatever the condition; returns False when that had happened before."""
        if self.is_completed:
            return False
        self.is_completed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.on_complete()
        return True
