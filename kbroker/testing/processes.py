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


def hold_child(parent: int, child: int) -> int | None:
    """Return a descriptor of a process that is a child of `parent`; None when it is not, or has ended."""
    try:
        held = os.pidfd_open(child)
    except ProcessLookupError:
        return None
    # Only then: the number may have been given to another process just before it was taken hold of.
    if _parent_of(child) == parent:
        return held
    os.close(held)
    return None


def _parent_of(pid: int) -> int:
    """Return the process id of a process's parent; 0 when it has ended."""
    with contextlib.suppress(OSError):
        # The name before it may hold anything, parentheses too.
        return int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    return 0


def wait_ended(held: Iterable[int], deadline: float) -> None:
    """Return when all processes, given by their descriptors, have ended; TimeoutError at the deadline (monotonic s)."""
    for process in held:
        if not readable([process], deadline - time.monotonic()):
            raise TimeoutError("a worker does not end though it was killed")
