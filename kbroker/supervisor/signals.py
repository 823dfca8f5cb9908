"""
Signals as bytes in a pipe: handlers only note what came, the supervisor's loop acts on it.

    SIGTERM, SIGINT  stop in order
    SIGHUP           stop in order where the broker belongs to a terminal: that has been closed. Elsewhere one line that
                     there is nothing to read anew. Ignored when it was ignored at the start (nohup)
    SIGUSR1          tell the state of all processes, and where each is
    SIGCHLD          a worker has ended
"""

from __future__ import annotations

import contextlib
import os
import signal
import traceback
from types import FrameType

from kbroker.logging_setup import write_line_in_signal_handler

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
STATE_SIGNAL = signal.SIGUSR1


class SignalPipe:
    """
    Makes the signals readable on `fd`.

    of_terminal  whether SIGHUP means that the terminal of this broker is gone; known after open()
    """

    __slots__ = ("_write_fd", "fd", "of_terminal")

    def __init__(self) -> None:
        self.fd, self._write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.of_terminal = False

    def open(self) -> None:
        """Start listening; for the main thread of the supervisor."""
        numbers = [*STOP_SIGNALS, signal.SIGCHLD, STATE_SIGNAL]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        self.of_terminal = _has_terminal()
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
        signal.signal(STATE_SIGNAL, _tell_where)
        os.close(self.fd)
        os.close(self._write_fd)


def _noted_by_wakeup_fd(_number: int, _frame: object) -> None:
    """Do nothing: the number is in the pipe already."""


def _tell_where(_number: int, frame: FrameType | None) -> None:
    """Write to the log where this process is; compiled modules leave no trace in it."""
    stack = "".join(traceback.format_stack(frame)).rstrip()
    write_line_in_signal_handler(f"Stack of process {os.getpid()}:\n{stack}")


def _has_terminal() -> bool:
    """Return whether this process belongs to a terminal, in the foreground or not."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
