"""
The loop every worker runs: epoll, timers, and a hook at the end of each turn.

Why not asyncio: the design rests on "one message per peer and turn". What a turn produced for each peer and each
connection is collected while its events are handled and leaves in the end-of-turn hooks; asyncio has no such place, and
costs a handle and a context switch per callback besides (docs/decisions/0003-own-event-loop.md).

One thread. Callbacks must not block. An exception that escapes a callback is a bug: it ends the worker, which the
supervisor starts anew.
"""

from __future__ import annotations

import heapq
import itertools
import select
import time
from collections.abc import Callable
from typing import Final

Handler = Callable[[int], None]
"""Called with the epoll event bits."""

_monotonic_ns: Final = time.monotonic_ns
_UNPOLLED_TURNS: Final = 8
"""So many turns in a row may do without a look at the descriptors, when something was found elsewhere."""

READ: Final = select.EPOLLIN
WRITE: Final = select.EPOLLOUT


class Timer:
    """A callback to come; `cancel()` it while it has not run."""

    __slots__ = ("callback", "deadline_ms")

    def __init__(self, deadline_ms: int, callback: Callable[[], None] | None) -> None:
        self.deadline_ms = deadline_ms
        self.callback = callback

    def cancel(self) -> None:
        """Make sure that the callback does not run any more."""
        self.callback = None


class EventLoop:
    """Runs handlers for descriptors and timers until `stop()`."""

    __slots__ = (
        "_epoll",
        "_handlers",
        "_peeked",
        "_sequence",
        "_timers",
        "_turn_end",
        "before_sleep",
        "now_ms",
        "running",
    )

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._timers: list[tuple[int, int, Timer]] = []
        self._sequence = itertools.count()
        self._turn_end: list[Callable[[], None]] = []
        self.now_ms = _monotonic_ns() // 1_000_000
        """Monotonic milliseconds at the start of this turn."""
        self.running = False
        self.before_sleep: Callable[[], bool] | None = None
        """Asked before the loop would sleep; True: it found something to do, so the loop must not."""
        self._peeked: list[tuple[int, int]] = []

    def add(self, fd: int, events: int, handler: Handler) -> None:
        """Call `handler` whenever one of `events` is true for `fd`."""
        self._handlers[fd] = handler
        self._epoll.register(fd, events)

    def modify(self, fd: int, events: int) -> None:
        """Change what `fd` is watched for; 0 leaves only errors and hang-ups."""
        self._epoll.modify(fd, events)

    def remove(self, fd: int) -> None:
        """Forget `fd`; to be called before it is closed."""
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def call_at(self, deadline_ms: int, callback: Callable[[], None]) -> Timer:
        """Run `callback` once `now_ms` has reached `deadline_ms`."""
        timer = Timer(deadline_ms, callback)
        heapq.heappush(self._timers, (deadline_ms, next(self._sequence), timer))
        return timer

    def call_later(self, delay_ms: int, callback: Callable[[], None]) -> Timer:
        """Run `callback` in `delay_ms` milliseconds."""
        return self.call_at(_monotonic_ns() // 1_000_000 + delay_ms, callback)

    def every(self, interval_ms: int, callback: Callable[[], None]) -> None:
        """Run `callback` each `interval_ms`, first in one interval."""

        def again() -> None:
            callback()
            self.call_later(interval_ms, again)

        self.call_later(interval_ms, again)

    def at_turn_end(self, hook: Callable[[], None]) -> None:
        """Run `hook` at the end of every turn, in the order of these calls."""
        self._turn_end.append(hook)

    def stop(self) -> None:
        """End `run()` after this turn."""
        self.running = False

    def peek(self) -> bool:
        """Look for events without sleeping; return whether there are any. The next turn handles them."""
        self._peeked = self._epoll.poll(0)
        return bool(self._peeked)

    def run(self) -> None:
        """Handle events until `stop()` is called."""
        self.running = True
        # Setting up may have left something to send before the first event comes.
        for hook in self._turn_end:
            hook()
        poll = self._epoll.poll
        handlers = self._handlers
        timers = self._timers
        hooks = self._turn_end
        unpolled = 0
        while self.running:
            if self.before_sleep is not None and self.before_sleep():
                if self._peeked:
                    events, self._peeked = self._peeked, []
                    unpolled = 0
                elif unpolled < _UNPOLLED_TURNS:
                    # A system call saved; whoever writes to descriptors can wait for a few of these turns.
                    events = []
                    unpolled += 1
                else:
                    events = poll(0)
                    unpolled = 0
            elif timers:
                wait = (timers[0][0] - _monotonic_ns() // 1_000_000) / 1000
                events = poll(max(0, wait))
            else:
                events = poll(-1)
            self.now_ms = _monotonic_ns() // 1_000_000
            for fd, bits in events:
                handler = handlers.get(fd)
                # An earlier handler of this turn may have removed this descriptor.
                if handler is not None:
                    handler(bits)
            if timers and timers[0][0] <= self.now_ms:
                self._run_timers()
            for hook in hooks:
                hook()

    def _run_timers(self) -> None:
        timers = self._timers
        while timers and timers[0][0] <= self.now_ms:
            timer = heapq.heappop(timers)[2]
            callback = timer.callback
            if callback is not None:
                timer.callback = None
                callback()

    def close(self) -> None:
        """Give the epoll descriptor back."""
        self._epoll.close()
