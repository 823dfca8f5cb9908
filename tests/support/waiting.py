"""Wait for what another process does, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

POLL_INTERVAL_S = 0.02


def eventually(
    condition: Callable[[], Result], what: str | Callable[[], str] = "the condition", timeout_s: float = 30.0
) -> Result:
    """
    Return the first true value of `condition`, asked again and again.

    what  what was waited for, for the message; a callable is asked at the deadline

    Raises AssertionError at the deadline.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not seen within {timeout_s} s: {what() if callable(what) else what}")
        time.sleep(POLL_INTERVAL_S)
