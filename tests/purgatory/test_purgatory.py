"""A parked operation completes exactly once: when its condition holds, or when its time is over."""

from __future__ import annotations

from kbroker.clock import ManualClock
from kbroker.purgatory.delayed_operation import DelayedOperation
from kbroker.purgatory.purgatory import Purgatory


class Waiting(DelayedOperation):
    """Completes when `ready` says so; notes what happened."""

    __slots__ = ("checks", "events", "ready", "ready_at_check")

    def __init__(self, deadline_ms: int, ready_at_check: int = 0) -> None:
        super().__init__(deadline_ms)
        self.ready = False
        self.checks = 0
        self.ready_at_check = ready_at_check
        self.events: list[str] = []

    def try_complete(self) -> bool:
        self.checks += 1
        return self.force_complete() if self.ready or self.checks == self.ready_at_check else False

    def on_complete(self) -> None:
        self.events.append("complete")

    def on_expire(self) -> None:
        self.events.append("expire")


def test_what_is_ready_is_not_parked() -> None:
    """The common case touches neither wheel nor watch list."""
    purgatory: Purgatory[int] = Purgatory()
    operation = Waiting(100, ready_at_check=1)
    assert purgatory.try_complete_else_watch(operation, [1])
    assert operation.events == ["complete"]
    assert (purgatory.watched_keys(), len(purgatory.wheel)) == (0, 0)


def test_what_gets_ready_while_it_is_parked_is_seen() -> None:
    """The condition may come true between the first check and the watch."""
    purgatory: Purgatory[int] = Purgatory()
    operation = Waiting(100, ready_at_check=2)
    assert purgatory.try_complete_else_watch(operation, [1, 2, 1])
    assert (purgatory.watched_keys(), len(purgatory.wheel)) == (0, 0)


def test_a_check_completes_and_forgets_everywhere() -> None:
    """A completed operation is gone from all its keys, and its timer is off."""
    clock = ManualClock()
    purgatory: Purgatory[str] = Purgatory()
    operation = Waiting(clock.now_ms + 500)
    assert not purgatory.try_complete_else_watch(operation, ["a", "b"])
    assert purgatory.check("a") == 0
    operation.ready = True
    assert purgatory.check("unknown") == 0
    assert purgatory.check("b") == 1
    assert (purgatory.watched("a"), purgatory.next_deadline_ms()) == (0, None)
    clock.advance(1_000)
    purgatory.advance(clock.wall_ms())
    assert operation.events == ["complete"]


def test_time_completes_what_nothing_else_did() -> None:
    """on_expire comes first, then on_complete, once."""
    purgatory: Purgatory[str] = Purgatory()
    operation = Waiting(500)
    purgatory.try_complete_else_watch(operation, ["a"])
    assert purgatory.next_deadline_ms() == 500
    purgatory.advance(499)
    assert operation.events == []
    purgatory.advance(500)
    assert operation.events == ["expire", "complete"]
    assert purgatory.check("a") == 0
    assert not operation.force_complete()


def test_forced_completion_leaves_no_trace() -> None:
    """Whoever forces an operation stops its timer; the watch lists let go of it at the next check."""
    purgatory: Purgatory[str] = Purgatory()
    operation = Waiting(500)
    purgatory.try_complete_else_watch(operation, ["a"])
    assert operation.force_complete()
    assert purgatory.next_deadline_ms() is None
    purgatory.check("a")
    assert purgatory.watched_keys() == 0
    assert operation.events == ["complete"]


def test_a_cancelled_operation_never_completes() -> None:
    """The connection went away: nobody wants the answer."""
    purgatory: Purgatory[str] = Purgatory()
    operation = Waiting(500)
    purgatory.try_complete_else_watch(operation, ["a"])
    purgatory.cancel(operation)
    purgatory.advance(1_000)
    assert operation.events == []
    assert (purgatory.watched_keys(), len(purgatory.wheel)) == (0, 0)


def test_completing_one_may_complete_another() -> None:
    """A completion that changes the same key again does not confuse the walk over its watchers."""
    purgatory: Purgatory[str] = Purgatory()

    class Chain(Waiting):
        __slots__ = ()

        def on_complete(self) -> None:
            super().on_complete()
            second.ready = True
            purgatory.check("a")

    first, second = Chain(500), Waiting(500)
    for operation in (first, second):
        purgatory.try_complete_else_watch(operation, ["a"])
    first.ready = True
    purgatory.check("a")
    assert first.events == second.events == ["complete"]
    assert purgatory.watched_keys() == 0
