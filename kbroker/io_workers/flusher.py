"""
fsync off the loop: a thread that makes durable what the owner has written, while the owner goes on appending.

The plan of a flush names files and the offset they reach; the thread only syncs those files and never looks at a log.
"""

from __future__ import annotations

import errno
import logging
import os
import queue
import threading
from collections.abc import Callable

from kbroker.ipc import doorbell
from kbroker.ipc.event_loop import EventLoop

logger = logging.getLogger(__name__)


Job = Callable[[], None]
"""What the thread runs: it knows nothing that changes meanwhile, and raises OSError when the disk refuses."""

Done = Callable[[OSError | None], None]
"""Told on the loop how a job went."""


class Flusher:
    """
    Runs flush plans in a thread and brings each one back to the loop.

    made after the fork; `close()` waits for what is under way
    """

    def __init__(self, loop: EventLoop) -> None:
        self._work: queue.SimpleQueue[tuple[Job, Done] | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[Done, OSError | None]] = queue.SimpleQueue()
        self._doorbell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread: threading.Thread | None = None
        doorbell.listen(loop, self._doorbell, self.collect)

    def submit(self, job: Job, done: Done) -> None:
        """Run `job` in the thread; `done` is called on the loop, with the error if there was one."""
        if self._thread is None:
            # Most brokers leave flushing to the operating system: no thread until there is something to do.
            self._thread = threading.Thread(target=self._run, name="flusher", daemon=True)
            self._thread.start()
        self._work.put((job, done))

    def collect(self) -> None:
        """Call `done` for what has been finished."""
        while True:
            try:
                done, error = self._done.get_nowait()
            except queue.Empty:
                return
            done(error)

    def _run(self) -> None:
        while True:
            item = self._work.get()
            if item is None:
                return
            job, done = item
            error = None
            try:
                job()
            except OSError as failure:
                error = failure
            except Exception as bug:
                # Whoever waits for this job must hear of it, and the jobs after it must be done.
                logger.exception("A flush failed unexpectedly")
                error = OSError(errno.EIO, f"unexpected: {bug!r}")
            self._done.put((done, error))
            doorbell.ring(self._doorbell)

    def close(self) -> None:
        """Finish what was submitted and end the thread."""
        if self._thread is not None:
            self._work.put(None)
            self._thread.join()
            self.collect()
