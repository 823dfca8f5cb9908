"""Handlers of one turn run together; timers in order of their deadlines; hooks at the end of every turn."""

import os
import socket

import pytest

from kbroker.ipc.event_loop import READ, WRITE, EventLoop


def test_timers_run_in_order_of_deadline_then_of_creation(loop: EventLoop) -> None:
    ran: list[str] = []
    now = loop.now_ms
    loop.call_at(now + 2, lambda: ran.append("late"))
    loop.call_at(now + 1, lambda: ran.append("first"))
    loop.call_at(now + 1, lambda: ran.append("second"))
    loop.call_at(now + 3, loop.stop)
    loop.run()
    assert ran == ["first", "second", "late"]


def test_a_cancelled_timer_does_not_run_even_when_due_in_the_same_turn(loop: EventLoop) -> None:
    ran: list[str] = []
    due = loop.now_ms + 1
    loop.call_at(due, lambda: second.cancel())  # noqa: PLW0108 - `second` comes later
    second = loop.call_at(due, lambda: ran.append("cancelled"))
    loop.call_at(due, loop.stop)
    loop.run()
    assert ran == []


def test_a_timer_added_by_a_timer_runs_when_it_is_due(loop: EventLoop) -> None:
    ran: list[str] = []

    def first() -> None:
        ran.append("first")
        loop.call_at(loop.now_ms, lambda: ran.append("at once"))
        loop.call_later(2, loop.stop)

    loop.call_later(0, first)
    loop.run()
    assert ran == ["first", "at once"]


def test_no_timer_runs_before_its_deadline(loop: EventLoop) -> None:
    early: list[int] = []

    def check(deadline: int) -> None:
        if loop.now_ms < deadline:
            early.append(deadline)

    for delay in range(1, 15):
        deadline = loop.now_ms + delay
        loop.call_at(deadline, lambda deadline=deadline: check(deadline))  # type: ignore[misc]
    loop.call_later(16, loop.stop)
    loop.run()
    assert early == []


def test_every_comes_back(loop: EventLoop) -> None:
    ran: list[int] = []

    def count() -> None:
        ran.append(1)
        if len(ran) == 3:
            loop.stop()

    loop.every(1, count)
    loop.run()
    assert len(ran) == 3


def test_hooks_run_in_order_at_the_end_of_each_turn_and_once_before_the_first(loop: EventLoop) -> None:
    ran: list[str] = []
    loop.at_turn_end(lambda: ran.append("a"))
    loop.at_turn_end(lambda: ran.append("b"))
    loop.call_later(0, lambda: ran.append("timer"))
    loop.call_later(0, loop.stop)
    loop.run()
    assert ran == ["a", "b", "timer", "a", "b"]


def test_a_descriptor_removed_in_a_turn_is_not_told_of_its_event_of_that_turn(loop: EventLoop) -> None:
    """Closing one connection while handling another must not touch what is gone."""
    ours, theirs = zip(*(socket.socketpair() for _ in range(2)), strict=True)
    heard: list[int] = []

    def remove_the_other(index: int) -> None:
        heard.append(index)
        loop.remove(ours[1 - index].fileno())
        loop.stop()

    for index, sock in enumerate(ours):
        loop.add(sock.fileno(), READ, lambda _events, index=index: remove_the_other(index))  # type: ignore[misc]
    for sock in theirs:
        sock.send(b"x")
    loop.run()
    assert len(heard) == 1
    loop.remove(ours[heard[0]].fileno())
    loop.remove(12345)
    for sock in (*ours, *theirs):
        sock.close()


def test_modify_changes_what_is_heard(loop: EventLoop) -> None:
    ours, theirs = socket.socketpair()
    heard: list[int] = []

    def on_event(events: int) -> None:
        heard.append(events)
        loop.stop()

    loop.add(ours.fileno(), READ, on_event)
    loop.modify(ours.fileno(), WRITE)
    loop.run()
    assert heard == [WRITE]
    loop.remove(ours.fileno())
    ours.close()
    theirs.close()


def test_an_exception_of_a_handler_ends_the_loop() -> None:
    """It is a bug: the worker ends and is started anew, instead of going on with half done work."""
    loop = EventLoop()
    read, write = os.pipe()

    def fail(_events: int) -> None:
        raise RuntimeError("a bug")

    loop.add(read, READ, fail)
    os.write(write, b"x")
    with pytest.raises(RuntimeError, match="a bug"):
        loop.run()
    loop.close()
    os.close(read)
    os.close(write)
