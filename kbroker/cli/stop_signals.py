"""SIGINT, SIGTERM and SIGHUP for commands that have something to finish before they end."""

from __future__ import annotations

import os
import signal
from typing import Self

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """
    Notes the first signal that asks for the end, within a `with`; a second one ends the process at once.

    number  of the signal, None before one came
    fd      readable from then on

    What was ignored when the process was started, as by nohup, stays ignored.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.fd = -1
        self._write_fd = -1
        self._previous: dict[signal.Signals, object] = {}
        self._previous_wakeup_fd = -1

    def __enter__(self) -> Self:
        self.fd, self._write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for number in STOP_SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._note)
        self._previous_wakeup_fd = signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        return self

    def __exit__(self, *_error: object) -> None:
        signal.set_wakeup_fd(self._previous_wakeup_fd)
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # it came from signal.signal
        os.close(self.fd)
        os.close(self._write_fd)

    @property
    def exit_code(self) -> int | None:
        """Return what a shell makes of the signal, None before one came."""
        return None if self.number is None else 128 + self.number

    def _note(self, number: int, _frame: object) -> None:
        if self.number is not None:
            os._exit(128 + number)
        self.number = number
