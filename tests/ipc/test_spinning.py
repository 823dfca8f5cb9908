"""
Rules under test: who looks sees what comes; nothing written in reliance on a look is missed, however it ends; what
takes long is slept for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from kbroker.ipc import spinning
from kbroker.ipc.spinning import VISIBLE_WITHIN_NS, Patience, Spinning, ring_unless_looking
from kbroker.shared.record_ring import RecordRing, region_size
from kbroker.shared.worker_table import WorkerField, WorkerTable
from kbroker.shared.worker_table import region_size as table_size

WORKER = 2
MS = 1_000_000


class Time:
    """A clock that moves by a microsecond with each look at it."""

    def __init__(self) -> None:
        self.now_ns = 1_000 * MS

    def __call__(self) -> int:
        self.now_ns += 1000
        return self.now_ns


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(spinning, "monotonic_ns", time)
    monkeypatch.setattr(spinning, "sched_yield", lambda: None)
    return time


@pytest.fixture
def table() -> WorkerTable:
    return WorkerTable(memoryview(bytearray(table_size(1, 1))), 1, 1)


@pytest.fixture
def ring() -> RecordRing:
    return RecordRing(memoryview(bytearray(region_size(1024))), 1024)


@pytest.fixture
def bell() -> Iterator[int]:
    fd = os.eventfd(0, os.EFD_NONBLOCK)
    yield fd
    os.close(fd)


def has_rung(bell: int) -> bool:
    try:
        return os.eventfd_read(bell) > 0
    except BlockingIOError:
        return False


def nothing() -> bool:
    return False


def test_a_record_is_seen_whichever_ring_it_comes_into(time: Time, table: WorkerTable, ring: RecordRing) -> None:
    other = RecordRing(memoryview(bytearray(region_size(1024))), 1024)
    other.put(b"record")
    assert Spinning(table, WORKER, [ring, other], nothing).look(MS)


def test_a_record_that_comes_while_looking_is_seen(
    time: Time, table: WorkerTable, ring: RecordRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processor is offered to others meanwhile, the writer among them."""
    monkeypatch.setattr(spinning, "sched_yield", lambda: ring.put(b"record"))
    assert Spinning(table, WORKER, [ring], nothing).look(MS)


def test_what_comes_elsewhere_ends_the_look_too(time: Time, table: WorkerTable, ring: RecordRing) -> None:
    begun = time.now_ns
    assert Spinning(table, WORKER, [ring], lambda: True).look(MS)
    assert time.now_ns - begun < MS // 10


def test_who_looks_is_not_rung_and_who_has_stopped_looking_is(
    time: Time, table: WorkerTable, ring: RecordRing, bell: int
) -> None:
    rung: list[bool] = []

    def write() -> bool:
        ring_unless_looking(table, WORKER, bell)
        rung.append(has_rung(bell))
        return False

    assert not Spinning(table, WORKER, [ring], write).look(MS)
    assert not rung[0]
    assert rung[-1], "the last moments of a look are too short to rely on"
    ring_unless_looking(table, WORKER, bell)
    assert has_rung(bell)


@pytest.mark.parametrize("other", ["nothing else comes", "something else comes", "other work comes first"])
def test_nothing_is_missed_that_was_written_relying_on_a_look(
    time: Time, table: WorkerTable, ring: RecordRing, bell: int, other: str
) -> None:
    """A record written at any moment of a look rings the bell or is seen before the next sleep, or both."""
    for moment in range(30, 400):
        begun = time.now_ns
        written = False

        def write(begun: int = begun, moment: int = moment) -> None:
            nonlocal written
            if not written and time.now_ns >= begun + moment * 1000:
                written = True
                ring.put(b"record")
                ring_unless_looking(table, WORKER, bell)

        def peek(write: object = write, begun: int = begun) -> bool:
            assert callable(write)
            write()
            return other == "something else comes" and time.now_ns > begun + 100_000

        watcher = Spinning(table, WORKER, [ring], peek)
        found = watcher.look(200_000)
        if other == "other work comes first":
            time.now_ns += 50_000
        while not written:
            write()
            time()
        # What a loop does before it sleeps: it asks until there is nothing to do.
        asked = 0
        while not found and asked < 10:
            found = bool(ring.take()) or watcher.look(0)
            asked += 1
        assert bool(ring.take()) or found or has_rung(bell), f"missed after {moment} µs"
        ring.skip_all()
        has_rung(bell)


def test_a_promise_of_a_predecessor_that_was_killed_is_kept(time: Time, table: WorkerTable, ring: RecordRing) -> None:
    table.set(WORKER, WorkerField.LOOKS_UNTIL_NS, time.now_ns + MS // 2)
    watcher = Spinning(table, WORKER, [ring], nothing)
    begun = time.now_ns
    ring.put(b"written in reliance on the promise")
    assert watcher.look(0)
    ring.take()
    assert not watcher.look(0)
    assert time.now_ns - begun >= VISIBLE_WITHIN_NS
    assert not watcher.look(0)


def test_without_a_promise_to_keep_nothing_is_looked_at(time: Time, table: WorkerTable, ring: RecordRing) -> None:
    peeked: list[bool] = []
    watcher = Spinning(table, WORKER, [ring], lambda: bool(peeked.append(True)))
    assert not watcher.look(MS)
    peeked.clear()
    assert not watcher.look(0)
    assert not peeked


def test_what_takes_long_is_slept_for_until_it_is_quick_again(time: Time) -> None:
    patience = Patience()
    assert patience.window_ns() > 0

    def wait(ns: int) -> None:
        patience.begin()
        time.now_ns += ns
        patience.end()

    for _ in range(20):
        wait(100_000)
    assert 100_000 < patience.window_ns() < 500_000, "twice what it takes, about"
    for _ in range(20):
        wait(50 * MS)
    assert patience.window_ns() == 0
    for _ in range(40):
        wait(100_000)
    assert patience.window_ns() > 0


def test_a_wait_that_never_began_does_not_end(time: Time) -> None:
    patience = Patience()
    before = patience.expected_ns
    patience.end()
    assert patience.expected_ns == before
