"""What handlers use of the way to the other workers; kbroker.ipc.request_channel.RequestChannel is the real one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from kbroker.api.request import RequestContext
from kbroker.ipc.commands import ForwardedRequest

CLUSTER_WORKER = 0
"""The cluster worker's number in the worker table."""


class CommandChannel(Protocol):
    """Commands to other workers; each is answered once, with None when the worker died before it answered."""

    def forward(self, peer: int, request: ForwardedRequest, done: Callable[[bytes | None], None]) -> None:
        """Have another worker decide a client's request; `done` gets the encoded response."""

    def call(self, peer: int, name: str, arguments: dict[str, Any], done: Callable[[Any], None]) -> None:
        """Ask another worker something of our own; `done` gets the decoded answer."""


class Cancellable(Protocol):
    """A timer that has not run yet."""

    def cancel(self) -> None:
        """Make sure that it does not run any more."""


class Timers(Protocol):
    """What handlers use of the event loop."""

    def call_later(self, delay_ms: int, callback: Callable[[], None]) -> Cancellable:
        """Run `callback` in `delay_ms` milliseconds."""


class ExactlyOnce:
    """
    Lets the first of an answer and a time limit through, and drops the other.

    timeout_ms  how long the answer may take
    late        called when it took longer; not called any more once `take()` returned True
    """

    __slots__ = ("_done", "_late", "_timer")

    def __init__(self, timers: Timers, timeout_ms: int, late: Callable[[], None]) -> None:
        self._done = False
        self._late = late
        self._timer = timers.call_later(timeout_ms, self._expire)

    def take(self) -> bool:
        """Return True to the first caller only, unless the time limit passed before."""
        if self._done:
            return False
        self._done = True
        self._timer.cancel()
        return True

    def _expire(self) -> None:
        if not self._done:
            self._done = True
            self._late()


def forwarded(context: RequestContext, body: bytes | None = None) -> ForwardedRequest:
    """Return the client's request as another worker gets it; `body` where it is not the client's own."""
    return ForwardedRequest(
        context.api_key,
        context.api_version,
        context.client_id or "",
        context.connection.client_host,
        context.body() if body is None else body,
        context.connection.client_port,
    )
