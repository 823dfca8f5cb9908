"""
ZeroMQ between the workers: each has one mailbox, and an outbox for each peer it writes to.

An endpoint's name carries the worker and its generation (how many times it was forked): what was sent to a worker that
died cannot reach the one born in its place, which would not know what to make of it. Endpoints lie in Linux's abstract
socket namespace: no file is left behind by a killed broker, and only processes of the same user are let in.

PUSH and PULL, one way each. A mailbox only ever receives, so draining it until it is empty is all its edge-triggered
descriptor asks for; an outbox only ever sends.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import cast

import zmq

from kbroker.ipc.event_loop import READ, EventLoop
from kbroker.shared.layout import SharedState
from kbroker.shared.worker_table import WorkerField


def endpoint(shared: SharedState, worker: int, generation: int) -> str:
    """Return the ZeroMQ address of one incarnation of a worker."""
    return f"ipc://@{shared.channel}-{shared.workers.name(worker)}-{generation}"


class Mailbox:
    """
    Where a worker receives.

    context  the process's ZeroMQ context, made after the fork
    deliver  called with each message, oldest first
    """

    __slots__ = ("_deliver", "_receive", "_socket")

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: str, deliver: Callable[[bytes], None]) -> None:
        self._socket = context.socket(zmq.PULL)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RCVHWM, 0)
        self._socket.setsockopt(zmq.IPC_FILTER_UID, os.getuid())
        self._socket.bind(address)
        self._receive = self._socket.recv
        self._deliver = deliver

    def watch(self, loop: EventLoop) -> None:
        """Deliver messages on the loop's turns from now on."""
        loop.add(cast("int", self._socket.getsockopt(zmq.FD)), READ, self.drain)

    def drain(self, _events: int = 0) -> None:
        """Deliver everything that has arrived."""
        receive = self._receive
        deliver = self._deliver
        while True:
            try:
                message = receive(zmq.NOBLOCK)
            except zmq.Again:
                return
            deliver(message)

    def close(self) -> None:
        """Stop receiving."""
        self._socket.close()


class Outbox:
    """
    The way to one peer, whatever its generation.

    Messages sent while the peer is being born wait for it; messages under way when it dies are lost, which `generation`
    tells the sender: it fails what waits for an answer from an older one.
    """

    __slots__ = ("_context", "_shared", "_socket", "_waiting", "generation", "worker")

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], shared: SharedState, worker: int) -> None:
        self._context = context
        self._shared = shared
        self._socket: zmq.Socket[bytes] | None = None
        self._waiting: list[bytes] = []
        self.worker = worker
        self.generation = 0
        """The incarnation messages go to now; 0 before the first is known."""

    def check(self) -> bool:
        """Follow the peer to its present incarnation; return whether an earlier one was given up."""
        current = self._shared.workers.get(self.worker, WorkerField.GENERATION)
        if current == self.generation:
            return False
        gone = self.generation != 0
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._waiting.clear()
        self.generation = current
        return gone

    def send(self, message: bytes) -> None:
        """Send one message to the peer's present incarnation, now or when it is there."""
        socket = self._socket
        if socket is None:
            if self.generation == 0:
                self.check()
                if self.generation == 0:
                    # Not born yet: nobody asked it anything, and it will ask for what it needs.
                    return
            socket = self._connect()
        if self._waiting:
            self._waiting.append(message)
            self.flush()
            return
        try:
            socket.send(message, zmq.NOBLOCK)
        except zmq.Again:
            self._waiting.append(message)

    def flush(self) -> None:
        """Try again to send what could not be sent at once."""
        while self._waiting and self._socket is not None:
            try:
                self._socket.send(self._waiting[0], zmq.NOBLOCK)
            except zmq.Again:
                return
            del self._waiting[0]

    def _connect(self) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.PUSH)
        socket.setsockopt(zmq.LINGER, 0)
        # Commands are bounded by queued.max.requests and the arena long before a queue of small messages matters.
        socket.setsockopt(zmq.SNDHWM, 0)
        # A peer's endpoint appears a few milliseconds after its fork; the default of 100 ms would be felt at start-up.
        socket.setsockopt(zmq.RECONNECT_IVL, 2)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 50)
        socket.connect(endpoint(self._shared, self.worker, self.generation))
        self._socket = socket
        return socket

    def close(self, linger_ms: int = 0) -> None:
        """Close; messages not yet handed to the peer get `linger_ms`."""
        if self._socket is not None:
            self._socket.close(linger=linger_ms)
            self._socket = None
