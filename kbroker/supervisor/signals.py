"""Signals as bytes in a pipe: handlers only note what came, the supervisor's loop acts on it."""

from __future__ import annotations

import contextlib
import os
import signal

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class SignalPipe:
    """Makes SIGTERM, SIGINT, SIGCHLD and SIGHUP readable on `fd`."""

    __slots__ = ("_write_fd", "fd")

    def __init__(self) -> None:
        self.fd, self._write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def open(self) -> None:
        """Start listening; for the main thread of the supervisor."""
        numbers = (*STOP_SIGNALS, signal.SIGCHLD, signal.SIGHUP)
        signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, _noted_by_wakeup_fd)
        # Whoever started the broker may have blocked them for itself.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)

    def read(self) -> set[int]:
        """Return the numbers of the signals that came since the last call."""
        with contextlib.suppress(BlockingIOError):
            return set(os.read(self.fd, 4096))
        return set()

    def leave_in_child(self) -> None:
        """
        Give a freshly forked worker the signals it should have.

        Workers are stopped through shared memory, in order, by the supervisor. A terminal's Ctrl-C and systemd's
        SIGTERM reach every process of the group at once; a worker that obeyed would tear the order.
        """
        signal.set_wakeup_fd(-1)
        for number in (*STOP_SIGNALS, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.close(self.fd)
        os.close(self._write_fd)


def _noted_by_wakeup_fd(_number: int, _frame: object) -> None:
    """Do nothing: the number is in the pipe already."""
