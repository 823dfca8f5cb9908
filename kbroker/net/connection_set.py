"""All connections of one network worker, and what they share: the arena, the receive block, the turn's end."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Mapping
from typing import Final

from kbroker.api.handler import Handler
from kbroker.api.request import ConnectionInfo
from kbroker.ipc.event_loop import READ, EventLoop
from kbroker.ipc.request_channel import RequestChannel
from kbroker.net.connection import Connection
from kbroker.shared.request_arena import Block, RequestArena

logger = logging.getLogger(__name__)

RECEIVE_BLOCK_BYTES: Final = 256 * 1024


class ConnectionSet:
    """
    Opens, feeds and closes connections.

    handlers           by api key
    max_request_bytes  socket.request.max.bytes
    max_in_flight      queued.max.requests: commands under way before reading stops
    count_host         told a client's host and 1 or -1 when it has a connection more or less
    """

    def __init__(
        self,
        loop: EventLoop,
        arena: RequestArena,
        handlers: Mapping[int, Handler],
        channel: RequestChannel,
        *,
        max_request_bytes: int,
        max_in_flight: int,
        count_host: Callable[[str, int], None],
    ) -> None:
        self.loop = loop
        self.arena = arena
        self.handlers = handlers
        self.max_request_bytes = max_request_bytes
        self.requests = 0
        self.bytes_in = 0
        self._channel = channel
        self._max_in_flight = max_in_flight
        self._connections: dict[int, Connection] = {}
        self._count_host = count_host
        self._dirty: list[Connection] = []
        self._last_sent: Connection | None = None
        self._starved: list[Connection] = []
        self._block: Block | None = None
        self._fill = 0
        # While large frames come in, as slowly as their senders like, this much stays free for everybody else.
        self._reserve_bytes = arena.free_bytes // 4
        self._large_frames = 0
        loop.at_turn_end(self._end_turn)

    def __len__(self) -> int:
        """Return how many connections are open."""
        return len(self._connections)

    def open(self, sock: socket.socket, info: ConnectionInfo) -> None:
        """Take over an accepted, non-blocking socket."""
        connection = Connection(self, sock, info, self.loop.now_ms)
        self._connections[connection.fd] = connection
        self._count_host(info.client_host, 1)
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("Connection of %s opened on %s", info.client_address(), info.listener_name)
        self.loop.add(connection.fd, READ, connection.on_event)

    def forget(self, connection: Connection) -> None:
        """Stop watching a connection that closes."""
        self.loop.remove(connection.fd)
        del self._connections[connection.fd]
        if connection is self._last_sent:
            self._last_sent = None
        self._count_host(connection.info.client_host, -1)

    def client_processor(self) -> int:
        """Return the processor on which the client that was answered last sends; -1: not known."""
        last_sent = self._last_sent
        return -1 if last_sent is None else last_sent.client_processor()

    def mark_dirty(self, connection: Connection) -> None:
        """Have a connection send at the end of this turn."""
        if not connection.dirty:
            connection.dirty = True
            self._dirty.append(connection)

    def may_start_request(self) -> bool:
        """Return whether another request may be handed on: the request channel is bounded."""
        # Appends only: a group's requests wait for its other members, whose requests must not wait for them.
        return self._channel.appends_in_flight < self._max_in_flight

    # --- memory -----------------------------------------------------------------------------------------------------

    def receive_block(self, room: int) -> tuple[Block, int] | None:
        """Return a block with at least `room` free bytes and where they start; None while the arena is full."""
        block = self._block
        if block is not None:
            if block.size_bytes - self._fill >= room:
                return block, self._fill
            block.release()
        self._block = block = self.arena.allocate(RECEIVE_BLOCK_BYTES)
        self._fill = 0
        return None if block is None else (block, 0)

    def received_until(self, end: int) -> None:
        """Note how far the receive block is used; what follows starts aligned."""
        self._fill = (end + 7) & ~7

    def reuse_receive_block(self, block: Block) -> None:
        """Receive over what was just handled, when nobody holds on to it: the same few pages stay hot."""
        if block is self._block and block.references == 1:
            self._fill = 0

    def large_block(self, size_bytes: int) -> Block | None:
        """Return a block for a large frame on its way in, to be given back by large_frame_ended; None: no room now."""
        if self._large_frames and self.arena.free_bytes - size_bytes < self._reserve_bytes:
            return None
        block = self.arena.allocate(size_bytes)
        if block is not None:
            self._large_frames += 1
        return block

    def large_frame_ended(self) -> None:
        """Note that a large frame has come in whole, or never will."""
        self._large_frames -= 1

    def wait_for_memory(self, connection: Connection) -> None:
        """Resume a connection when the arena, or the request channel, has room again."""
        self._starved.append(connection)

    # --- turns ------------------------------------------------------------------------------------------------------

    def _end_turn(self) -> None:
        # Who had to wait comes first: else a client that pipelines takes the room each of its answers makes for itself.
        if self._starved:
            self._feed_starved()
        if self._dirty:
            self._send_dirty()
            if self._starved:
                self._feed_starved()
        self._channel.flush()

    def _send_dirty(self) -> None:
        dirty = self._dirty
        while dirty:
            batch = dirty[:]
            dirty.clear()
            for connection in batch:
                connection.dirty = False
                connection.flush()
                self._last_sent = connection

    def _feed_starved(self) -> None:
        arena = self.arena
        while self._starved and self.may_start_request() and arena.has_room(RECEIVE_BLOCK_BYTES):
            free_bytes = arena.free_bytes
            starved, self._starved = self._starved, []
            for connection in starved:
                connection.resume()
            self._send_dirty()
            # What they let go of may be what others still wait for, and no event will come to tell them.
            if arena.free_bytes <= free_bytes:
                return

    def close_idle(self, max_idle_ms: int) -> None:
        """Close connections that have been silent for `max_idle_ms` and wait for nothing."""
        limit = self.loop.now_ms - max_idle_ms
        for connection in [c for c in self._connections.values() if c.last_active_ms < limit and c.idle]:
            connection.close("idle for too long")

    def drain(self) -> None:
        """Start no more requests: the broker stops. Those under way are answered."""
        self._max_in_flight = 0

    @property
    def has_output(self) -> bool:
        """Whether any connection has bytes to send that its client has not taken."""
        return any(connection.waiting_output_bytes for connection in self._connections.values())

    def close_all(self) -> None:
        """Close every connection."""
        for connection in list(self._connections.values()):
            connection.close("the broker stops")
