"""A worker is a child that dies with its supervisor; failures are counted and slow the next fork down."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable

import pytest

from kbroker.errors import StartupError
from kbroker.supervisor.worker_process import EXIT_CANNOT_START, WorkerProcess


def fail() -> None:
    raise ValueError("a bug")


def cannot_start() -> None:
    raise StartupError("port in use")


def leave() -> None:
    raise SystemExit("not in order")


@pytest.mark.parametrize(
    ("main", "code", "words"),
    [
        (lambda: None, 0, ""),
        (fail, 1, "ValueError: a bug"),
        (cannot_start, EXIT_CANNOT_START, "kbroker: port in use\n"),
        (leave, 1, "kbroker: io-0: not in order\n"),
    ],
    ids=["returns", "bug", "cannot start", "leaves"],
)
def test_how_a_worker_ends_is_its_exit_code(
    main: Callable[[], None], code: int, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    order: list[str] = []
    worker = WorkerProcess(3, "io-0", main)
    worker.fork(lambda: order.append("in child"))
    _, status = os.waitpid(worker.pid, 0)
    assert os.waitstatus_to_exitcode(status) == code
    assert order == [], "the child's doing stays in the child"
    err = capfd.readouterr().err
    assert words in err
    assert ("Traceback" in err) == (main is fail)


def test_what_is_done_in_the_child_comes_before_its_main() -> None:
    read, write = os.pipe()
    worker = WorkerProcess(1, "net-0", lambda: os.write(write, b"main") and None)
    worker.fork(lambda: os.write(write, b"first ") and None)
    os.waitpid(worker.pid, 0)
    assert os.read(read, 100) == b"first main"
    os.close(read)
    os.close(write)


def test_a_worker_dies_with_its_supervisor() -> None:
    """Killed with -9 the supervisor can tell nobody; the kernel does it."""
    read, write = os.pipe()
    supervisor = os.fork()
    if not supervisor:
        worker = WorkerProcess(1, "net-0", lambda: time.sleep(60))
        worker.fork(lambda: None)
        os.write(write, b"%d\n" % worker.pid)
        time.sleep(60)
        os._exit(0)
    pid = int(os.read(read, 100))
    worker_end = os.pidfd_open(pid)
    os.kill(supervisor, signal.SIGKILL)
    os.waitpid(supervisor, 0)
    assert select.select([worker_end], [], [], 10)[0], "the worker is still there"
    for fd in (read, write, worker_end):
        os.close(fd)


def test_the_first_failure_costs_nothing_and_more_of_them_double_the_wait() -> None:
    worker = WorkerProcess(1, "net-0", lambda: None)
    delays = []
    going = True
    while going:
        worker.pid = 1
        going = worker.failed(1000)
        assert worker.pid == 0
        delays.append(worker.start_at_ms - 1000)
    assert delays == [0, 50, 100, 200, 400, 800, 1600, 3200, 5000]


def test_failures_of_more_than_a_minute_ago_are_forgotten() -> None:
    worker = WorkerProcess(1, "net-0", lambda: None)
    for number in range(100):
        now_ms = number * 10_000
        assert worker.failed(now_ms)
    assert worker.start_at_ms - now_ms <= 5000
    assert worker.failed(now_ms + 60_001)
    assert worker.start_at_ms == now_ms + 60_001
