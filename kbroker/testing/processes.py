"""Processes that somebody else started: who they are, and when they have ended."""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Iterable
from pathlib import Path


def children(pid: int) -> list[int]:
    """Return the process ids of the children of a process; nothing when it has ended."""
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def readable(descriptors: Iterable[int], timeout_s: float) -> set[int]:
    """Return those of the descriptors that can be read from within the time; their numbers may be any."""
    # Not select.select: it ends at descriptor 1,023, and a test process may have more open than that.
    poller = select.poll()
    for descriptor in descriptors:
        poller.register(descriptor, select.POLLIN)
    return {descriptor for descriptor, _ in poller.poll(max(0.0, timeout_s) * 1000)}


def wait_gone(pids: Iterable[int], deadline: float) -> None:
    """Return when all processes have ended, or at the deadline (monotonic seconds) with a TimeoutError."""
    for pid in pids:
        try:
            ended = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            if not readable([ended], deadline - time.monotonic()):
                raise TimeoutError(f"process {pid} does not end")
        finally:
            os.close(ended)
