"""Time as an argument: the one seam through which the broker learns what time it is."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What a component needs to know of time."""

    def wall_ms(self) -> int:
        """Return milliseconds since 1970-01-01 UTC; may jump."""

    def monotonic_ms(self) -> int:
        """Return milliseconds that only grow, from an arbitrary start."""


class SystemClock:
    """The machine's clock."""

    __slots__ = ()

    def wall_ms(self) -> int:
        """Return milliseconds since 1970-01-01 UTC."""
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        """Return milliseconds since an arbitrary start."""
        return time.monotonic_ns() // 1_000_000


class ManualClock:
    """A clock that moves only when told, for tests that must not sleep."""

    __slots__ = ("now_ms",)

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self.now_ms = now_ms

    def wall_ms(self) -> int:
        """Return the time last set."""
        return self.now_ms

    def monotonic_ms(self) -> int:
        """Return the time last set."""
        return self.now_ms

    def advance(self, milliseconds: int) -> None:
        """Move time forward by `milliseconds`."""
        self.now_ms += milliseconds
