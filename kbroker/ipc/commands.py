"""
What the messages between workers look like: the one place for these layouts.

A ZeroMQ message is [sender header][command]...: everything one turn of the sender's loop had for this peer.

    sender header   =BxHI   MESSAGE kind, sender's table number, sender's generation
    command         =BxHiQ  kind, entries, bytes that follow, command id

    APPEND          body: acks int16, pad, timeout ms int32, then so many entries of
                    =iqi: partition row, arena position, bytes
    REQUEST         body: api key int16, version int16, client id size int16, host size int16, port uint16,
                    client id, host, request body
    CALL            body: JSON {"call": name, ...}: between our own workers, never a client's
    REPLY           body: the answer to REQUEST (an encoded response) or to CALL (JSON)

A record of the completion ring is [kind uint8][body]:

    APPENDED        completions one after the other: =QI (command id, count), then count of =hxxxxxxqqq
                    (error code, base offset, log append time, log start offset)
    ADVANCED        =B3x, then int32 partition rows whose high watermark moved and that somebody watches
    REPLY_PART      =BB6xQ (kind, 1 if more parts follow, command id), then bytes of the answer

Numbers are in machine order: both ends run on the same machine.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import Final, NamedTuple

APPENDS_HEAD: Final = Struct("=II")
"""
Before a message in a ring of appends: the generation of the IO worker it is meant for, and 1 when nothing else is under
way for the sender: it waits for just this one, and the next will follow the answer.
"""


class CommandKind(IntEnum):
    """Kinds of commands inside a ZeroMQ message."""

    APPEND = 1
    REQUEST = 2
    CALL = 3
    REPLY = 4
    METADATA = 5
    """A metadata delta (JSON); command id: the image version."""
    HELLO = 6
    """A worker asks the cluster worker for the whole image; count: 0."""
    APPLIED = 7
    """A worker works with image version = command id now."""


class RingKind(IntEnum):
    """Kinds of records in a completion ring."""

    APPENDED = 1
    ADVANCED = 2
    REPLY_PART = 3


SENDER: Final = Struct("=BxHI")
COMMAND: Final = Struct("=BxHiQ")
APPEND_HEAD: Final = Struct("=BxHiQhxxi")
APPEND_ENTRY: Final = Struct("=iqi")
APPEND_ONE: Final = Struct("=BxHiQhxxiiqi")
APPEND_ONE_BODY_BYTES: Final = APPEND_ONE.size - COMMAND.size
ONE_APPEND_RECORD: Final = Struct("=IIBxHI2xH4xQ8xiqi")
"""
What is read of a record in a ring of appends that holds one APPEND of one entry, as most do: generation meant, one
under way; MESSAGE, sender, its generation; entries, command id; partition row, arena position, bytes.
"""
REQUEST_HEAD: Final = Struct("=hhhhH")

COMPLETION_HEAD: Final = Struct("=QI")
COMPLETION_ENTRY: Final = Struct("=hxxxxxxqqq")
COMPLETION_ONE: Final = Struct("=QIhxxxxxxqqq")
RING_HEAD: Final = Struct("=B7x")
ADVANCED_ROW: Final = Struct("=i")
REPLY_PART_HEAD: Final = Struct("=BB6xQ")

MESSAGE: Final = 0x6B

_APPEND: Final = int(CommandKind.APPEND)
_new: Final = tuple.__new__
"""Makes a named tuple without a call of Python code."""

MAX_APPEND_ENTRIES: Final = 4096
"""Entries of one APPEND: its completion must fit into a record of the ring, whatever a client puts in a request."""


class Command(NamedTuple):
    """One command taken out of a message; `position` is where its body starts."""

    kind: int
    entries: int
    size_bytes: int
    command_id: int
    position: int


class AppendResult(NamedTuple):
    """What came of appending one partition's batches."""

    error_code: int
    base_offset: int
    log_append_time_ms: int
    log_start_offset: int


class ForwardedRequest(NamedTuple):
    """A client's request on its way to the worker that decides it."""

    api_key: int
    api_version: int
    client_id: str
    client_host: str
    body: bytes
    client_port: int = 0


def pack_command(kind: int, command_id: int, body: bytes, count: int = 0) -> bytes:
    """Return a command with `body`."""
    return COMMAND.pack(kind, count, len(body), command_id) + body


def pack_append(command_id: int, acks: int, timeout_ms: int, entries: list[tuple[int, int, int]]) -> bytes:
    """Return an APPEND of (partition row, arena position, bytes) entries."""
    if len(entries) == 1:
        row, position, size = entries[0]
        return APPEND_ONE.pack(_APPEND, 1, APPEND_ONE_BODY_BYTES, command_id, acks, timeout_ms, row, position, size)
    body_bytes = APPEND_HEAD.size - COMMAND.size + len(entries) * APPEND_ENTRY.size
    head = APPEND_HEAD.pack(_APPEND, len(entries), body_bytes, command_id, acks, timeout_ms)
    return head + b"".join([APPEND_ENTRY.pack(*entry) for entry in entries])


def pack_request(command_id: int, request: ForwardedRequest) -> bytes:
    """Return a REQUEST command."""
    client_id = request.client_id.encode()[:32767]
    host = request.client_host.encode()
    head = REQUEST_HEAD.pack(request.api_key, request.api_version, len(client_id), len(host), request.client_port)
    return pack_command(CommandKind.REQUEST, command_id, b"".join((head, client_id, host, request.body)))


def unpack_request(message: bytes, command: Command) -> ForwardedRequest:
    """Read the body of a REQUEST command."""
    api_key, version, id_bytes, host_bytes, port = REQUEST_HEAD.unpack_from(message, command.position)
    start = command.position + REQUEST_HEAD.size
    end_id = start + id_bytes
    end_host = end_id + host_bytes
    return ForwardedRequest(
        api_key,
        version,
        message[start:end_id].decode(errors="replace"),
        message[end_id:end_host].decode(),
        message[end_host : command.position + command.size_bytes],
        port,
    )


def body_of(message: bytes, command: Command) -> bytes:
    """Return a command's body."""
    return message[command.position : command.position + command.size_bytes]


def iterate_commands(message: bytes) -> list[Command]:
    """Return the commands of a message, without its sender header."""
    commands = []
    position = SENDER.size
    end = len(message)
    unpack = COMMAND.unpack_from
    head_bytes = COMMAND.size
    while position < end:
        kind, count, size, command_id = unpack(message, position)
        position += head_bytes
        commands.append(_new(Command, (kind, count, size, command_id, position)))
        position += size
    return commands
