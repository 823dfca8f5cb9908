"""
Where delayed operations wait, watched under the keys whose change may complete them.

Why check, watch, check again: the condition may come true between the first check and the watch, and then nobody would
ever look again. Operations are dropped from all their watch lists as soon as they complete, so that a key that never
changes holds no dead ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from kbroker.purgatory.timing_wheel import TimingWheel

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from kbroker.purgatory.delayed_operation import DelayedOperation

KeyT = TypeVar("KeyT", bound="Hashable")


class Purgatory(Generic[KeyT]):
    """
    Operations by key, and the wheel that lets them expire.

    wheel  shared with other users of the same loop, or the purgatory's own when none is given
    """

    __slots__ = ("_watchers", "wheel")

    def __init__(self, wheel: TimingWheel | None = None) -> None:
        self.wheel = TimingWheel() if wheel is None else wheel
        self._watchers: dict[KeyT, dict[DelayedOperation, None]] = {}

    def try_complete_else_watch(self, operation: DelayedOperation, keys: Iterable[KeyT]) -> bool:
        """
        Return True when the operation is completed at once; else watch it under `keys` until it is or expires.

        An operation is given to one purgatory, once.
        """
        if operation.try_complete():
            return True
        watched = tuple(dict.fromkeys(keys))
        watchers = self._watchers
        for key in watched:
            found = watchers.get(key)
            if found is None:
                watchers[key] = {operation: None}
            else:
                found[operation] = None
        operation._keys = watched
        if operation.try_complete():
            self._forget(operation)
            return True
        operation._timer = self.wheel.add(operation.deadline_ms, lambda: self._expire(operation))
        return False

    def check(self, key: KeyT) -> int:
        """Let every operation watched under `key` try to complete; returns how many did."""
        watchers = self._watchers.get(key)
        if watchers is None:
            return 0
        completed = 0
        for operation in tuple(watchers):
            # One operation's completion may have completed another one of the list.
            if operation.is_completed or operation.try_complete():
                self._forget(operation)
                completed += 1
        return completed

    def cancel(self, operation: DelayedOperation) -> None:
        """Drop an operation that nobody waits for any more: neither on_complete nor on_expire will run."""
        operation.is_completed = True
        if operation._timer is not None:
            operation._timer.cancel()
            operation._timer = None
        self._forget(operation)

    def advance(self, now_ms: int) -> int:
        """Expire what is due; returns how many timers of the wheel fired."""
        return self.wheel.advance(now_ms)

    def next_deadline_ms(self) -> int | None:
        """Return when `advance` should be called next; None when nothing waits."""
        return self.wheel.next_deadline_ms()

    def watched(self, key: KeyT) -> int:
        """Return how many operations are watched under `key`."""
        return len(self._watchers.get(key, ()))

    def watched_keys(self) -> int:
        """Return how many keys have operations."""
        return len(self._watchers)

    def _expire(self, operation: DelayedOperation) -> None:
        self._forget(operation)
        if not operation.is_completed:
            operation._timer = None
            operation.on_expire()
            operation.force_complete()

    def _forget(self, operation: DelayedOperation) -> None:
        watchers = self._watchers
        for key in operation._keys:
            found = watchers.get(key)  # type: ignore[arg-type]
            if found is not None and operation in found:
                del found[operation]
                if not found:
                    del watchers[key]  # type: ignore[arg-type]
        operation._keys = ()
