"""Timers fire once, in order, in the first advance that reaches their deadline, and never after they were cancelled."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kbroker.purgatory.timing_wheel import TimingWheel


def test_a_timer_fires_at_its_deadline_and_not_before() -> None:
    """A millisecond early is too early."""
    wheel = TimingWheel(1_000)
    fired: list[str] = []
    timer = wheel.add(1_500, lambda: fired.append("x"))
    assert wheel.next_deadline_ms() == 1_500
    assert wheel.advance(1_499) == 0
    assert timer.is_pending
    assert wheel.advance(1_500) == 1
    assert fired == ["x"]
    assert not timer.is_pending
    assert wheel.next_deadline_ms() is None


def test_a_cancelled_timer_stays_silent() -> None:
    """Cancelling twice, or after firing, is harmless."""
    wheel = TimingWheel()
    fired: list[int] = []
    timer = wheel.add(10, lambda: fired.append(1))
    assert timer.cancel()
    assert not timer.cancel()
    wheel.advance(1_000)
    assert fired == []
    assert len(wheel) == 0


def test_a_deadline_in_the_past_fires_in_the_next_advance() -> None:
    """Work that came late is not lost for a turn of the wheel."""
    wheel = TimingWheel(10_000)
    wheel.add(10_500, lambda: None)
    wheel.advance(10_400)
    fired: list[int] = []
    wheel.add(5, lambda: fired.append(1))
    assert wheel.next_deadline_ms() == 5
    wheel.advance(10_400)
    assert fired == [1]


def test_callbacks_may_add_and_cancel() -> None:
    """A callback cancels a timer of the same millisecond and starts one that is due in the same advance."""
    wheel = TimingWheel()
    fired: list[str] = []

    def first() -> None:
        fired.append("first")
        second.cancel()
        wheel.add(80, lambda: fired.append("third"))

    wheel.add(70, first)
    second = wheel.add(70, lambda: fired.append("second"))
    wheel.advance(100)
    assert fired == ["first", "third"]


@given(
    start=st.integers(0, 2**41),
    delays=st.lists(st.integers(-5, 2**32) | st.integers(0, 200), max_size=30),
    steps=st.lists(st.integers(0, 2**30) | st.integers(0, 100), max_size=30),
    cancelled=st.sets(st.integers(0, 29)),
)
def test_wheel_agrees_with_a_sorted_list(start: int, delays: list[int], steps: list[int], cancelled: set[int]) -> None:
    """Whatever the deadlines and steps, the wheel does what sorting them would."""
    wheel = TimingWheel(start)
    fired: list[int] = []
    pending = {}
    for index, delay in enumerate(delays):
        deadline = start + delay

        def note(deadline: int = deadline) -> None:
            fired.append(deadline)

        timer = wheel.add(deadline, note)
        if index in cancelled:
            timer.cancel()
        else:
            pending[index] = deadline
    now = start
    for step in [*steps, 2**33]:
        now += step
        fired.clear()
        wheel.advance(now)
        due = sorted(deadline for deadline in pending.values() if deadline <= now)
        assert sorted(fired) == due
        assert [d for d in fired if d > start] == [d for d in due if d > start]
        pending = {index: deadline for index, deadline in pending.items() if deadline > now}
        deadline = wheel.next_deadline_ms()
        assert (deadline is None) == (not pending)
        if deadline is not None:
            assert deadline <= min(pending.values())
        assert len(wheel) == len(pending)
