"""Connections over socket pairs, with handlers that the test answers for."""

from __future__ import annotations

import socket
import struct
from collections import Counter
from collections.abc import Callable

from worker_rooms import run_until

from kbroker.api.handler import Handler
from kbroker.api.request import ConnectionInfo, RequestContext
from kbroker.ipc.event_loop import EventLoop
from kbroker.net.connection_set import ConnectionSet
from kbroker.protocol.api_keys import ApiKey
from kbroker.shared.memory import SharedRegion
from kbroker.shared.request_arena import RequestArena, region_size

MAX_REQUEST_BYTES = 1_000_000
INFO = ConnectionInfo("PLAINTEXT", "127.0.0.1", 9092, "/192.0.2.1")


class Channel:
    """Counts what is under way as the request channel does."""

    def __init__(self) -> None:
        self.appends_in_flight = 0
        self.flushes = 0

    def flush(self) -> None:
        self.flushes += 1


def frame(api_key: int, correlation_id: int, body: bytes = b"", version: int = 3) -> bytes:
    """Return a request with header v1, client id null."""
    request = struct.pack(">hhih", api_key, version, correlation_id, -1) + body
    return struct.pack(">i", len(request)) + request


def answer(correlation_id: int, body: bytes = b"") -> bytes:
    """Return the bytes of an answer with response header v0."""
    return struct.pack(">ii", 4 + len(body), correlation_id) + body


class Room:
    """A ConnectionSet and what its handlers were given."""

    def __init__(self, loop: EventLoop) -> None:
        self.loop = loop
        self.region = SharedRegion.create("test-net", region_size(MAX_REQUEST_BYTES))
        self.arena = RequestArena(self.region)
        self.channel = Channel()
        self.waiting: list[RequestContext] = []
        self.bodies: list[tuple[int, bytes]] = []
        self.echo = Handler(0, 20, self._echo)
        self.keep = Handler(0, 20, self._keep)
        self.handlers = {
            ApiKey.API_VERSIONS: Handler(0, 4, self._echo),
            ApiKey.METADATA: self.echo,
            ApiKey.PRODUCE: self.keep,
            ApiKey.FETCH: self.keep,
        }
        self.connections = ConnectionSet(
            loop,
            self.arena,
            self.handlers,
            self.channel,  # type: ignore[arg-type]
            max_request_bytes=MAX_REQUEST_BYTES,
            max_in_flight=500,
            count_host=self._count_host,
        )
        self.clients: list[socket.socket] = []
        self.hosts: Counter[str] = Counter()

    def connect(self) -> socket.socket:
        """Return the client's end of a new connection."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.settimeout(5)
        self.clients.append(theirs)
        self.connections.open(ours, INFO)
        return theirs

    def _count_host(self, host: str, change: int) -> None:
        self.hosts[host] += change

    def _echo(self, context: RequestContext) -> None:
        body = context.body()
        self.bodies.append((context.correlation_id, body))
        context.respond_parts([body])

    def _keep(self, context: RequestContext) -> None:
        self.bodies.append((context.correlation_id, context.body()))
        context.block.retain()
        self.channel.appends_in_flight += 1
        self.waiting.append(context)

    def respond(self, context: RequestContext, body: bytes = b"") -> None:
        """Answer a request that was kept."""
        self.waiting.remove(context)
        self.channel.appends_in_flight -= 1
        context.block.release()
        context.respond_parts([body])

    def turns(self, count: int = 3) -> None:
        """Let the loop turn."""
        for _ in range(count):
            self.loop.call_later(0, lambda: None)
            run_until(self.loop, lambda: True)
            self.loop.call_later(0, self.loop.stop)
            self.loop.run()

    def until(self, condition: Callable[[], bool]) -> None:
        run_until(self.loop, condition)

    def read(self, client: socket.socket, size: int) -> bytes:
        """Read so many bytes while the loop runs."""
        data = bytearray()
        client.setblocking(False)

        def enough() -> bool:
            try:
                while len(data) < size:
                    piece = client.recv(size - len(data))
                    if not piece:
                        return True
                    data.extend(piece)
            except BlockingIOError:
                self.loop.call_later(1, lambda: None)
            return len(data) >= size

        self.until(enough)
        return bytes(data)

    def is_closed(self, client: socket.socket) -> bool:
        """Run the loop until the broker has closed this connection, and see nothing but that."""
        return self.read(client, 1) == b""

    def whole(self) -> bool:
        """Return whether all memory but the receive block is free."""
        return self.arena.free_bytes + 256 * 1024 >= self.region.size_bytes

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.connections.close_all()
        assert not len(self.connections)
        assert not any(self.hosts.values())
        for context in self.waiting[:]:
            self.respond(context)
        assert self.whole(), "memory was lost"
        self.region.close()
