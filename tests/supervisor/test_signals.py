"""Signals are noted and read later; workers have none of the supervisor's."""

from __future__ import annotations

import os
import pty
import signal
from collections.abc import Callable
from pathlib import Path

from kbroker.logging_setup import set_process_prefix, set_up_logging
from kbroker.supervisor.signals import STATE_SIGNAL, STOP_SIGNALS, SignalPipe


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


def test_a_hangup_that_was_ignored_at_the_start_stays_ignored() -> None:
    """As nohup wants it."""

    def main() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        pipe = SignalPipe()
        pipe.open()
        os.kill(os.getpid(), signal.SIGHUP)
        assert pipe.read() == set()

    assert exit_code_of(main) == 0


def test_it_is_known_whether_there_is_a_terminal() -> None:
    def without() -> None:
        os.setsid()
        pipe = SignalPipe()
        pipe.open()
        assert not pipe.of_terminal

    assert exit_code_of(without) == 0
    pid, terminal = pty.fork()
    if not pid:
        pipe = SignalPipe()
        pipe.open()
        os._exit(0 if pipe.of_terminal else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(terminal)


def test_a_worker_that_is_asked_tells_where_it_is(tmp_path: Path) -> None:
    """In one piece, with its name, whatever it was doing."""
    log = tmp_path / "log"

    def some_work() -> None:
        os.kill(os.getpid(), STATE_SIGNAL)

    def main() -> None:
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT), 2)
        set_up_logging("INFO", {})
        pipe = SignalPipe()
        pipe.open()
        pipe.leave_in_child()
        set_process_prefix("io-3")
        some_work()

    assert exit_code_of(main) == 0
    first, *stack = log.read_text().splitlines()
    assert " INFO [io-3] Stack of process " in first
    assert any("in some_work" in line for line in stack)
