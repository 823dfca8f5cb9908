"""
Wakes a worker's loop: an eventfd per worker, rung at most once per turn of the ringer and peer.

What happened lies in shared memory (a completion ring, a row of the worker table); the doorbell carries nothing.
Ringing a loop that is awake costs it one extra look; a missed ring is impossible, because the counter stays until it is
read.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from kbroker.ipc.event_loop import READ, EventLoop


def ring(doorbell: int) -> None:
    """Wake the worker that listens to `doorbell`."""
    try:
        os.eventfd_write(doorbell, 1)
    except BlockingIOError:
        # Rung beyond counting: it will be heard.
        pass


def listen(loop: EventLoop, doorbell: int, answer: Callable[[], None]) -> None:
    """Call `answer` on each turn in which somebody rang."""

    def heard(_events: int) -> None:
        try:
            os.eventfd_read(doorbell)
        except BlockingIOError:
            pass
        answer()

    loop.add(doorbell, READ, heard)
