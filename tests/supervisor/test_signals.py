"""Signals are noted and read later; workers have none of the supervisor's."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from kbroker.supervisor.signals import STOP_SIGNALS, SignalPipe


def exit_code_of(main: Callable[[], None]) -> int:
    """Run `main` in a process of its own: it changes how signals are handled."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            main()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_each_signal_is_read_once_however_often_it_came() -> None:
    def main() -> None:
        pipe = SignalPipe()
        pipe.open()
        assert pipe.read() == set()
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGCHLD, signal.SIGINT, signal.SIGHUP):
            os.kill(os.getpid(), number)
        assert pipe.read() == {signal.SIGTERM, signal.SIGCHLD, signal.SIGINT, signal.SIGHUP}
        assert pipe.read() == set()

    assert exit_code_of(main) == 0


def test_signals_that_the_starter_had_blocked_are_heard() -> None:
    def main() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        pipe = SignalPipe()
        pipe.open()
        os.kill(os.getpid(), signal.SIGTERM)
        assert pipe.read() == {signal.SIGTERM}

    assert exit_code_of(main) == 0


def test_workers_ignore_what_is_meant_for_the_supervisor() -> None:
    """Ctrl-C reaches every process of the terminal; the order of a stop is the supervisor's."""

    def main() -> None:
        pipe = SignalPipe()
        pipe.open()
        pipe.leave_in_child()
        for number in (*STOP_SIGNALS, signal.SIGHUP):
            os.kill(os.getpid(), number)
        assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL

    assert exit_code_of(main) == 0
