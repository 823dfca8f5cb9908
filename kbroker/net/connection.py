"""
One client connection: bytes in, frames, requests, answers in order, bytes out.

Input goes straight into the arena. All connections of a worker share one receive block for what a turn brings; requests
are handled where they lie. The beginning of a frame that did not come whole waits outside the arena (small frames), or
in a block of its own that the rest is received into (large ones), so that thousands of slow senders hold no shared
memory.

Requests of a connection are handled one after the other, as Kafka does, with one exception: Produce requests that
follow each other are pipelined. Order is kept all the same, because they take the same way to the same owner.

Not reading is the only brake: while a request has to wait for its turn, or answers wait for a client that does not take
them, nothing more is read from that socket. That the client has left is noticed all the same: what it sent before is
handled at once then, not when the long poll in front of it ends. A consumer's last Metadata request would otherwise
bring back the topic whose deletion has ended that poll.
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
from collections import deque
from struct import Struct
from typing import TYPE_CHECKING, Final

from kbroker.api.failed_answers import failures
from kbroker.api.request import ConnectionInfo, RequestContext, Shortcut
from kbroker.api.unknown_error import unknown_server_error
from kbroker.errors import MalformedMessage
from kbroker.ipc.event_loop import READ, WRITE
from kbroker.net import framing
from kbroker.net.sender import Sender, size_of
from kbroker.protocol.api_keys import ApiKey
from kbroker.protocol.headers import decode_request_header, encode_response_header
from kbroker.shared.request_arena import Block

if TYPE_CHECKING:
    from kbroker.net.connection_set import ConnectionSet

logger = logging.getLogger(__name__)

_SIZE: Final = Struct(">i")
_API_KEY: Final = Struct(">h")
_MIN_FRAME_BYTES: Final = framing.MIN_FRAME_BYTES
_PRODUCE: Final = int(ApiKey.PRODUCE)
_API_VERSIONS: Final = int(ApiKey.API_VERSIONS)
_LEFT: Final = select.EPOLLRDHUP
_HANG_UP: Final = ~(READ | WRITE | _LEFT)
MAX_PIPELINED: Final = 1_000
MAX_PIPELINED_BYTES: Final = 8 * 1024 * 1024
"""What one connection may have under way to the logs: others' requests wait behind it."""
MAX_WAITING_OUTPUT_BYTES: Final = 32 * 1024
"""Answers a turn may leave to be sent before the next request is looked at: what a client that never reads costs."""
LARGE_FRAME_BYTES: Final = 64 * 1024
MIN_RECEIVE_BYTES: Final = 32 * 1024
_HUNG_UP: Final = "by the client"


class Connection:
    """
    A client's connection, owned by the ConnectionSet that accepted it.

    info            what handlers may know of it
    last_active_ms  loop time of the last byte received
    """

    __slots__ = (
        "_block",
        "_client_id",
        "_events",
        "_filled",
        "_frame_bytes",
        "_in_flight",
        "_in_flight_bytes",
        "_left",
        "_owner",
        "_partial",
        "_pipelining",
        "_sender",
        "_shortcut",
        "_sock",
        "_stopped_at",
        "_tells",
        "closed",
        "dirty",
        "fd",
        "info",
        "last_active_ms",
        "waiting_for_memory",
    )

    def __init__(self, owner: ConnectionSet, sock: socket.socket, info: ConnectionInfo, now_ms: int) -> None:
        self._owner = owner
        self._sock = sock
        self._sender = Sender(sock)
        self.fd = sock.fileno()
        self.info = info
        self.last_active_ms = now_ms
        self.closed = False
        self.dirty = False
        self.waiting_for_memory = False
        self._events = READ
        self._partial = b""
        # A large frame on its way in: its block, how much is there, and its whole size with the length field.
        self._block: Block | None = None
        self._filled = 0
        self._frame_bytes = 0
        # Input that has to wait for its turn: block, position, end.
        self._stopped_at: tuple[Block, int, int] | None = None
        self._in_flight: deque[RequestContext] = deque()
        self._in_flight_bytes = 0
        self._pipelining = False
        # For requests that begin like the last Produce; see api.request.
        self._shortcut: Shortcut | None = None
        # Whether the client has closed its side while we were not reading.
        self._left = False
        self._client_id: str | None = None
        self._tells: bool = logger.isEnabledFor(logging.DEBUG)

    def on_event(self, events: int) -> None:
        """Handle what epoll saw."""
        try:
            if events & WRITE:
                self._owner.mark_dirty(self)
            if events & READ:
                self._receive()
            elif events & _HANG_UP and self._hung_up():
                self.close(_HUNG_UP)
            elif events & _LEFT:
                self._left = True
                self.resume()
        except (ConnectionError, TimeoutError) as error:
            self.close(str(error))
        except OSError as error:
            self._lost(error)

    def _hung_up(self) -> bool:
        # An event may be stale: meant for a connection closed earlier in this turn, whose number this one was given.
        poller = select.poll()
        poller.register(self.fd, 0)
        return bool(poller.poll(0))

    # --- in ---------------------------------------------------------------------------------------------------------

    def _receive(self) -> None:
        self.last_active_ms = self._owner.loop.now_ms
        if self._block is not None:
            self._receive_large()
            return
        partial = self._partial
        receive_block = self._owner.receive_block(len(partial) + MIN_RECEIVE_BYTES)
        if receive_block is None:
            self._wait_for_memory()
            return
        block, start = receive_block
        view = block.view
        filled = start + len(partial)
        try:
            received = self._sock.recv_into(view[filled:])
        except BlockingIOError:
            return
        if not received:
            self.close(_HUNG_UP)
            return
        if partial:
            view[start:filled] = partial
            self._partial = b""
        end = filled + received
        self._owner.bytes_in += received
        # The block must not be given to another connection below while frames in it are being handled.
        self._owner.received_until(end)
        self._frames(block, start, end)
        self._owner.reuse_receive_block(block)

    def _receive_large(self) -> None:
        block = self._block
        assert block is not None
        try:
            received = self._sock.recv_into(block.view[self._filled : self._frame_bytes])
        except BlockingIOError:
            return
        if not received:
            self.close(_HUNG_UP)
            return
        self._owner.bytes_in += received
        self._filled += received
        if self._filled == self._frame_bytes:
            self._block = None
            self._owner.large_frame_ended()
            self._frames(block, 0, self._frame_bytes)
            block.release()

    def _frames(self, block: Block, position: int, end: int) -> None:
        """Handle the whole frames between `position` and `end`; keep what is left for later."""
        view = block.view
        limit = self._owner.max_request_bytes
        while end - position >= 4:
            size = _SIZE.unpack_from(view, position)[0]
            if not _MIN_FRAME_BYTES <= size <= limit:
                self._refuse(framing.explain(bytes(view[position : min(end, position + 64)]), size, limit))
                return
            frame_end = position + 4 + size
            if frame_end > end:
                break
            if not self._may_handle(_API_KEY.unpack_from(view, position + 4)[0]):
                block.retain()
                self._stopped_at = (block, position, end)
                if self._in_flight or self._sender.waiting_bytes:
                    self._watch()
                else:
                    # The worker's limit stopped it, and nothing of its own will come back to wake it.
                    self._wait_for_memory()
                return
            self._handle(block, position + 4, frame_end)
            if self.closed:
                return
            position = frame_end
        if position < end:
            self._keep(view[position:end])

    def _keep(self, beginning: memoryview) -> None:
        """Keep the beginning of a frame whose rest has not come yet."""
        have = len(beginning)
        frame_bytes = 4 + _SIZE.unpack_from(beginning)[0] if have >= 4 else 0
        if frame_bytes > LARGE_FRAME_BYTES:
            own = self._owner.large_block(frame_bytes)
            if own is not None:
                own.view[:have] = beginning
                self._block = own
                self._filled = have
                self._frame_bytes = frame_bytes
                return
            # Who waits for memory must hold none, or all might wait for each other.
            self._wait_for_memory()
        self._partial = bytes(beginning)

    def _may_handle(self, api_key: int) -> bool:
        if self._sender.waiting_bytes > MAX_WAITING_OUTPUT_BYTES or not self._owner.may_start_request():
            return False
        if self._left:
            self._abandon()
        if not self._in_flight:
            return True
        return (
            self._pipelining
            and api_key == _PRODUCE
            and len(self._in_flight) < MAX_PIPELINED
            and self._in_flight_bytes < MAX_PIPELINED_BYTES
        )

    def _handle(self, block: Block, position: int, end: int) -> None:
        owner = self._owner
        context: RequestContext | None = None
        try:
            shortcut = self._shortcut
            if shortcut is not None:
                context = shortcut.recognise(block, position, end)
                if context is not None:
                    context.bind(self.info, self._answered_and_told if self._tells else self._answered)
                    self._in_flight.append(context)
                    self._in_flight_bytes += end - context.position
                    self._pipelining = True
                    shortcut.handle(context)
                    return
            header = decode_request_header(block.view[:end], position)
            api_key = header.api_key
            context = RequestContext(
                api_key,
                header.api_version,
                header.correlation_id,
                header.client_id,
                block,
                header.body_position,
                end,
            )
            context.header_position = position
            context.bind(self.info, self._answered_and_told if self._tells else self._answered)
            if self._client_id is None:
                self._client_id = header.client_id
            handler = owner.handlers.get(api_key)
            # ApiVersions answers versions it does not know itself: with those it does.
            if handler is None or (
                not handler.min_version <= header.api_version <= handler.max_version and api_key != _API_VERSIONS
            ):
                self._refuse(framing.explain_unknown(api_key, header.api_version, handler))
                return
            self._in_flight.append(context)
            self._in_flight_bytes += end - context.position
            self._pipelining = api_key == _PRODUCE
            handler.handle(context)
            if context.shortcut is not None:
                self._shortcut = context.shortcut
        except MalformedMessage as error:
            what = "request header" if context is None else framing.api_name(context.api_key, context.api_version)
            self._refuse(f"malformed {what}: {error}")
        except Exception as error:
            self._failed(context, error)

    def _failed(self, context: RequestContext | None, error: Exception) -> None:
        """Deal with a bug of ours: one log entry, an error to the client; other connections are not touched."""
        what = "header" if context is None else framing.api_name(context.api_key, context.api_version)
        logger.error("Request of %s failed: %s", self._client(), what, exc_info=error)
        answer = None
        if context is not None and context.parts is None and context in self._in_flight:
            answer = unknown_server_error(context.api_key, context.api_version)
        if context is None or answer is None:
            self.close("a request failed that cannot be answered")
        else:
            context.respond_parts(answer)

    def _refuse(self, reason: str) -> None:
        logger.warning("Connection of %s closed: %s", self._client(), reason)
        if not self.closed:
            # Answers to the requests before this one.
            with contextlib.suppress(OSError):
                self._sender.send()
        self.close(reason)

    def _lost(self, error: OSError) -> None:
        logger.warning("Connection of %s: %s; closed", self._client(), error)
        self.close(str(error))

    def _client(self) -> str:
        """Return who the client is, for people: where it is and what it calls itself."""
        return self.info.client_named(self._client_id)

    def _wait_for_memory(self) -> None:
        self.waiting_for_memory = True
        self._owner.wait_for_memory(self)
        self._watch()

    def resume(self) -> None:
        """Go on with input that had to wait, if its turn has come."""
        if self.closed:
            return
        self.waiting_for_memory = False
        stopped_at = self._stopped_at
        if stopped_at is not None:
            self._stopped_at = None
            block, position, end = stopped_at
            self._frames(block, position, end)
            block.release()
        elif self._partial:
            beginning, self._partial = self._partial, b""
            self._keep(memoryview(beginning))
        if not self.closed:
            self._watch()

    # --- out --------------------------------------------------------------------------------------------------------

    def _answered(self, _context: RequestContext) -> None:
        """Queue the answers that are complete, in the order of their requests."""
        if self.closed:
            return
        in_flight = self._in_flight
        queue = self._sender.queue
        while in_flight:
            context = in_flight[0]
            parts = context.parts
            if parts is None:
                break
            in_flight.popleft()
            self._in_flight_bytes -= context.end - context.position
            if context.closes is not None:
                self._refuse(context.closes)
                return
            self._owner.requests += 1
            if not parts:
                continue
            head = encode_response_header(context.api_key, context.api_version, context.correlation_id)
            first = parts[0]
            if len(parts) == 1 and type(first) is bytes:
                self._sender.queue_bytes(_SIZE.pack(len(head) + len(first)) + head + first)
                continue
            size = len(head)
            for part in parts:
                size += size_of(part)
            if type(first) is bytes:
                queue(_SIZE.pack(size) + head + first)
                del parts[0]
            else:
                queue(_SIZE.pack(size) + head)
            for part in parts:
                queue(part)
        if not self.dirty:
            self._owner.mark_dirty(self)

    def _answered_and_told(self, context: RequestContext) -> None:
        """Do what _answered does, and tell what was refused; for debugging."""
        # The answer's parts are taken out of it on the way to the socket.
        if context.parts:
            refused = failures(context.api_key, context.api_version, context.parts)
            if refused:
                name = framing.api_name(context.api_key, context.api_version)
                logger.debug("%s of %s: %s", name, self._client(), refused)
        self._answered(context)

    def flush(self) -> None:
        """Send what waits; called at the end of a turn."""
        if self.closed:
            return
        try:
            self._sender.send()
        except (ConnectionError, TimeoutError) as error:
            self.close(str(error))
            return
        except OSError as error:
            self._lost(error)
            return
        if self._stopped_at is not None and not self.waiting_for_memory:
            self.resume()
        else:
            self._watch()

    def _watch(self) -> None:
        """Watch the socket for what this connection can use now."""
        events = 0
        if self._sender.waiting_bytes:
            events = WRITE
        if self._stopped_at is None and not self.waiting_for_memory:
            events |= READ
        elif not self._left:
            events |= _LEFT
        if events != self._events:
            self._events = events
            self._owner.loop.modify(self.fd, events)

    def client_processor(self) -> int:
        """
        Return the processor that handled what came last; -1: not known.

        Where the client is on this machine, it is the one the client ran on when it sent.
        """
        try:
            return self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_INCOMING_CPU)
        except OSError:
            return -1

    @property
    def waiting_output_bytes(self) -> int:
        """Bytes of answers that the client has not taken yet."""
        return self._sender.waiting_bytes

    @property
    def idle(self) -> bool:
        """Whether nothing is under way for it."""
        return not self._in_flight and not self._sender.waiting_bytes and self._stopped_at is None

    def close(self, reason: str) -> None:
        """Close the socket and let go of all memory; answers still to come are dropped. `reason` is for debugging."""
        if self.closed:
            return
        self.closed = True
        if self._tells:
            logger.debug("Connection of %s closed: %s", self._client(), reason)
        self._owner.forget(self)
        self._sock.close()
        if self._block is not None:
            self._block.release()
            self._block = None
            self._owner.large_frame_ended()
        if self._stopped_at is not None:
            self._stopped_at[0].release()
            self._stopped_at = None
        self._abandon()

    def _abandon(self) -> None:
        """Let go of requests whose answers nobody will read; what they change, they change."""
        for context in self._in_flight:
            if context.parts is None and context.abandoned is not None:
                context.abandoned()
        self._in_flight.clear()
        self._in_flight_bytes = 0
