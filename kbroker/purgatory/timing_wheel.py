"""
A hierarchical timing wheel: many timers, most of them cancelled before they fire.

A timer lies in a slot of one of eight levels of 64 slots. A slot of level n covers 64**n milliseconds. The level is
that of the highest group of six bits in which deadline and current time differ, so all timers of a level are due before
those of the next, and the first occupied slot of the lowest occupied level holds the earliest. When time enters a slot
of a higher level, its timers move down. Adding and cancelling cost the same whatever the number of timers.

Time comes in through `advance`; the wheel has no clock and no thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_BITS = 6
_SLOTS = 1 << _BITS
_SLOT_MASK = _SLOTS - 1
_LEVELS = 8
_LATEST = (1 << (_BITS * _LEVELS)) - 1


class Timer:
    """
    One timer of a wheel; returned by TimingWheel.add.

    deadline_ms  when it is due
    callback     called once, without arguments, from within TimingWheel.advance
    """

    __slots__ = ("_level", "_slot", "_wheel", "callback", "deadline_ms")

    def __init__(self, deadline_ms: int, callback: Callable[[], object]) -> None:
        self.deadline_ms = deadline_ms
        self.callback = callback
        self._wheel: TimingWheel | None = None
        self._level = 0
        self._slot = 0

    @property
    def is_pending(self) -> bool:
        """Return whether the timer still waits: it has neither fired nor been cancelled."""
        return self._wheel is not None

    def cancel(self) -> bool:
        """Take the timer off its wheel; returns whether it was still pending."""
        wheel = self._wheel
        if wheel is None:
            return False
        wheel._remove(self)
        return True


class TimingWheel:
    """
    The wheel.

    start_ms  where time stands, in the same milliseconds as every deadline
    """

    __slots__ = ("_buckets", "_count", "_current_ms", "_earliest_ms", "_occupied")

    def __init__(self, start_ms: int = 0) -> None:
        self._current_ms = start_ms
        self._count = 0
        self._occupied = [0] * _LEVELS  # one bit per slot that holds timers
        self._buckets: list[dict[Timer, None]] = [{} for _ in range(_LEVELS * _SLOTS)]
        self._earliest_ms: int | None = None  # never later than the earliest deadline; None: to be looked for

    def __len__(self) -> int:
        """Return how many timers are pending."""
        return self._count

    def add(self, deadline_ms: int, callback: Callable[[], object]) -> Timer:
        """
        Return a new timer that calls `callback` in the first `advance` that reaches `deadline_ms`.

        A deadline that has passed already fires in the next `advance`.
        """
        timer = Timer(deadline_ms, callback)
        if self._count == 0 or (self._earliest_ms is not None and deadline_ms < self._earliest_ms):
            self._earliest_ms = deadline_ms
        self._insert(timer)
        self._count += 1
        return timer

    def advance(self, now_ms: int) -> int:
        """
        Move time forward and fire what is due, in order of deadlines; returns how many timers fired.

        Callbacks may add and cancel timers; one added with a deadline not after now_ms fires in the same call.
        An exception of a callback reaches the caller; that timer is gone, the others stay pending.
        """
        if self._count == 0:
            self._current_ms = max(self._current_ms, now_ms)
            return 0
        earliest = self._earliest_ms
        if earliest is not None and now_ms < earliest:
            return 0
        self._earliest_ms = None
        fired = 0
        while self._count:
            level, slot, start_ms = self._first_slot()
            if start_ms > now_ms:
                break
            self._current_ms = max(self._current_ms, start_ms)
            bucket = self._buckets[level * _SLOTS + slot]
            if level == 0:
                while bucket:
                    timer = next(iter(bucket))
                    self._remove(timer)
                    fired += 1
                    timer.callback()
            else:
                timers = list(bucket)
                bucket.clear()
                self._occupied[level] &= ~(1 << slot)
                for timer in timers:
                    self._insert(timer)
        self._current_ms = max(self._current_ms, now_ms)
        return fired

    def next_deadline_ms(self) -> int | None:
        """
        Return when `advance` should be called next; None when no timer is pending.

        Never later than the earliest deadline; earlier only after the timer it was for has been cancelled.
        """
        if self._count == 0:
            return None
        if self._earliest_ms is None:
            level, slot, _ = self._first_slot()
            self._earliest_ms = min(timer.deadline_ms for timer in self._buckets[level * _SLOTS + slot])
        return self._earliest_ms

    def _first_slot(self) -> tuple[int, int, int]:
        """Return level, slot and first millisecond of the occupied slot that comes first."""
        for level, occupied in enumerate(self._occupied):
            if occupied:
                slot = (occupied & -occupied).bit_length() - 1
                shift = level * _BITS
                start_ms = (self._current_ms >> (shift + _BITS) << (shift + _BITS)) | (slot << shift)
                return level, slot, start_ms
        raise AssertionError("no timer is pending")

    def _insert(self, timer: Timer) -> None:
        place_ms = min(max(timer.deadline_ms, self._current_ms), _LATEST)
        difference = place_ms ^ self._current_ms
        level = (difference.bit_length() - 1) // _BITS if difference else 0
        slot = (place_ms >> (level * _BITS)) & _SLOT_MASK
        timer._wheel = self
        timer._level = level
        timer._slot = slot
        self._buckets[level * _SLOTS + slot][timer] = None
        self._occupied[level] |= 1 << slot

    def _remove(self, timer: Timer) -> None:
        bucket = self._buckets[timer._level * _SLOTS + timer._slot]
        del bucket[timer]
        if not bucket:
            self._occupied[timer._level] &= ~(1 << timer._slot)
        timer._wheel = None
        self._count -= 1
