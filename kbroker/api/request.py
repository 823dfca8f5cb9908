"""
One request on its way through a handler, and how it is answered.

A handler is a callable that takes a RequestContext and answers it once, now or later: `respond(message)`,
`respond_parts(parts)`, `no_response()` or `close_connection(reason)`. It never sees a socket; the network worker sends
the answers of a connection in the order of their requests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from kbroker.logging_setup import name_client
from kbroker.protocol.schema import Message, Payload
from kbroker.shared.request_arena import Block

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """
    What a handler may know of the connection a request came on.

    listener_name  which listener accepted it
    local_host     the address the client dialled, as this machine sees it
    local_port     the port the client dialled
    client_host    the client's address, with the leading slash that Kafka shows
    by_name        whether the listener's host name, where it has one, leads to local_host
    client_port    the port the client sends from
    """

    listener_name: str
    local_host: str
    local_port: int
    client_host: str
    by_name: bool = True
    client_port: int = 0

    def client_address(self) -> str:
        """Return where the client is, for people."""
        return name_client(self.client_host, self.client_port)

    def client_named(self, client_id: str | None) -> str:
        """Return where the client is and what it calls itself, for people."""
        return name_client(self.client_host, self.client_port, client_id)


class Shortcut:
    """
    Knows requests that begin like an earlier one of its connection, so that nothing in their beginning is read again.

    The handler of the earlier request left it (`RequestContext.shortcut`).
    """

    def recognise(self, block: Block, position: int, end: int) -> RequestContext | None:
        """
        Return the request whose header starts at `position` in the block, if it is one of those; else None.

        `end` is where its frame ends. Never raises: what is not as expected is left to those who read all of it.
        """
        raise NotImplementedError

    def handle(self, context: RequestContext) -> None:
        """Answer a request that was recognised, now or later."""
        raise NotImplementedError


class RequestContext:
    """
    A request: where it lies in the arena, who sent it, and the way to answer it.

    buffer      the block it lies in
    position    where the body starts within `buffer` (after the header)
    end         where the body ends
    block       keeps the memory; retained while a command's payload lies in it
    connection  who sent it
    """

    __slots__ = (
        "_done",
        "abandoned",
        "api_key",
        "api_version",
        "block",
        "buffer",
        "client_id",
        "closes",
        "connection",
        "correlation_id",
        "end",
        "header_position",
        "parts",
        "position",
        "shortcut",
    )

    def __init__(
        self,
        api_key: int,
        api_version: int,
        correlation_id: int,
        client_id: str | None,
        block: Block,
        position: int,
        end: int,
    ) -> None:
        self.api_key = api_key
        self.api_version = api_version
        self.correlation_id = correlation_id
        self.client_id = client_id
        self.block = block
        self.buffer = block.view
        self.position = position
        self.end = end
        self.parts: list[Payload] | None = None
        """The answer once there is one; an empty list: the client expects none."""
        self.closes: str | None = None
        """Why the connection is to be closed instead of answered."""
        self.abandoned: Callable[[], None] | None = None
        """Called when the client goes away before it was answered: what is parked for it can be dropped."""
        self.header_position = -1
        """Where its header starts in `buffer`; -1: not known."""
        self.shortcut: Shortcut | None = None
        """Left by the handler for those of the connection's next requests that begin like this one."""
        self.connection: ConnectionInfo
        self._done: Callable[[RequestContext], None]

    def bind(self, connection: ConnectionInfo, done: Callable[[RequestContext], None]) -> None:
        """Say whose request this is, and who is told when it has its answer."""
        self.connection = connection
        self._done = done

    def decode(self, message_class: type[M]) -> M:
        """
        Return the body as a message; raises MalformedMessage.

        Bytes left over are not looked at, as in Kafka: librdkafka 2.x ends some Metadata requests with three too many.
        """
        return message_class.decode(self.buffer[: self.end], self.api_version, self.position)[0]

    def body(self) -> bytes:
        """Return a copy of the body, for another worker to decode."""
        return bytes(self.buffer[self.position : self.end])

    def respond(self, message: Message) -> None:
        """Answer with a message."""
        self.parts = message.encode_parts(self.api_version)
        self._done(self)

    def respond_parts(self, parts: list[Payload]) -> None:
        """Answer with an encoded body."""
        self.parts = parts
        self._done(self)

    def no_response(self) -> None:
        """Finish a request that the client expects no answer to (acks=0)."""
        self.parts = []
        self._done(self)

    def close_connection(self, reason: str) -> None:
        """Close the connection instead of answering; `reason` goes to the log."""
        self.closes = reason
        self.parts = []
        self._done(self)
