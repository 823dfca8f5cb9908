"""Slow jobs run off the loop and are told on it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from worker_rooms import run_until

from kbroker.io_workers.flusher import Flusher
from kbroker.ipc.event_loop import EventLoop


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    loop = EventLoop()
    yield loop
    loop.close()


def test_jobs_run_in_another_thread_and_end_on_the_loop_in_order(loop: EventLoop) -> None:
    flusher = Flusher(loop)
    ran: list[tuple[str, bool]] = []
    here = threading.get_ident()

    def note(what: str) -> None:
        ran.append((what, threading.get_ident() == here))

    for number in range(3):
        flusher.submit(lambda number=number: note(f"job {number}"), lambda _e, number=number: note(f"done {number}"))  # type: ignore[misc]
    run_until(loop, lambda: len(ran) == 6)
    assert [what for what, on_loop in ran if on_loop] == ["done 0", "done 1", "done 2"]
    assert [what for what, on_loop in ran if not on_loop] == ["job 0", "job 1", "job 2"]
    flusher.close()


def test_what_the_disk_refused_is_told(loop: EventLoop) -> None:
    flusher = Flusher(loop)
    told: list[OSError | None] = []

    def refused() -> None:
        raise OSError(5, "Input/output error")

    flusher.submit(refused, told.append)
    flusher.submit(lambda: None, told.append)
    run_until(loop, lambda: len(told) == 2)
    assert isinstance(told[0], OSError)
    assert told[1] is None
    flusher.close()


def test_a_bug_in_a_job_is_told_too_and_the_next_jobs_are_done(loop: EventLoop) -> None:
    """A produce that waits for its flush must not wait for ever."""
    flusher = Flusher(loop)
    told: list[OSError | None] = []

    def bug() -> None:
        raise ValueError("a bug")

    flusher.submit(bug, told.append)
    flusher.submit(lambda: None, told.append)
    run_until(loop, lambda: len(told) == 2)
    assert "a bug" in str(told[0])
    assert told[1] is None
    flusher.close()


def test_closing_finishes_what_was_submitted(loop: EventLoop) -> None:
    flusher = Flusher(loop)
    told: list[OSError | None] = []
    for _ in range(10):
        flusher.submit(lambda: None, told.append)
    flusher.close()
    assert told == [None] * 10


def test_no_thread_until_there_is_something_to_do(loop: EventLoop) -> None:
    threads = threading.active_count()
    flusher = Flusher(loop)
    assert threading.active_count() == threads
    flusher.close()
