"""Bytes become requests, handled in turn and answered in order; whatever a client does, no memory is lost."""

from __future__ import annotations

import logging
import os
import select
import socket
import struct
from pathlib import Path

import pytest
from connection_room import MAX_REQUEST_BYTES, Room, answer, frame

from kbroker.api.handler import Handler
from kbroker.api.request import RequestContext, Shortcut
from kbroker.net.connection import LARGE_FRAME_BYTES, MAX_PIPELINED, MAX_WAITING_OUTPUT_BYTES
from kbroker.net.connection_set import RECEIVE_BLOCK_BYTES
from kbroker.protocol.api_keys import ApiKey
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.heartbeat import HeartbeatResponse
from kbroker.shared.request_arena import Block
from kbroker.storage.log_reader import FileSlice, OpenFile

METADATA, PRODUCE, FETCH = ApiKey.METADATA, ApiKey.PRODUCE, ApiKey.FETCH


def test_frames_that_come_byte_by_byte(room: Room) -> None:
    client = room.connect()
    for byte in frame(METADATA, 1, b"abc") + frame(METADATA, 2, b"de"):
        client.send(bytes([byte]))
        room.turns(1)
    assert room.read(client, 21) == answer(1, b"abc") + answer(2, b"de")


def test_many_frames_in_one_piece(room: Room) -> None:
    client = room.connect()
    client.send(b"".join(frame(METADATA, n, b"%d" % n) for n in range(500)))
    expected = b"".join(answer(n, b"%d" % n) for n in range(500))
    assert room.read(client, len(expected)) == expected


@pytest.mark.parametrize(
    "size",
    [LARGE_FRAME_BYTES - 14, LARGE_FRAME_BYTES, RECEIVE_BLOCK_BYTES, MAX_REQUEST_BYTES - 10],
    ids=["just not large", "large", "as large as a receive block", "the largest allowed"],
)
def test_frames_of_any_size_between_small_ones(room: Room, size: int) -> None:
    client = room.connect()
    body = os.urandom(size)
    data = memoryview(frame(METADATA, 1, b"before") + frame(METADATA, 2, body) + frame(METADATA, 3, b"after"))
    client.setblocking(False)
    while data:
        try:
            data = data[client.send(data[:50_000]) :]
        except BlockingIOError:
            pass
        room.turns(1)
    expected = answer(1, b"before") + answer(2, body) + answer(3, b"after")
    assert room.read(client, len(expected)) == expected


def test_produce_requests_are_pipelined_and_answered_in_their_order(room: Room) -> None:
    client = room.connect()
    client.send(b"".join(frame(PRODUCE, n) for n in range(5)))
    room.until(lambda: len(room.waiting) == 5)
    for index in (3, 1, 4):
        room.respond(next(context for context in room.waiting if context.correlation_id == index), b"%d" % index)
    room.turns()
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.recv(1)
    room.respond(room.waiting[0], b"0")
    assert room.read(client, 18) == answer(0, b"0") + answer(1, b"1")
    room.respond(room.waiting[0], b"2")
    assert room.read(client, 27) == b"".join(answer(n, b"%d" % n) for n in (2, 3, 4))


class KnowsBeginnings(Shortcut):
    """Recognises requests whose body begins with K; one with a ! is a bug."""

    def __init__(self) -> None:
        self.handled: list[bytes] = []

    def recognise(self, block: Block, position: int, end: int) -> RequestContext | None:
        body = bytes(block.view[position + 10 : end])
        if not body.startswith(b"K"):
            return None
        correlation_id = int.from_bytes(block.view[position + 4 : position + 8], "big")
        return RequestContext(PRODUCE, 3, correlation_id, None, block, position + 10, end)

    def handle(self, context: RequestContext) -> None:
        self.handled.append(context.body())
        if b"!" in self.handled[-1]:
            raise ValueError("a bug")
        context.respond_parts([b"short"])


def test_a_shortcut_left_by_a_handler_is_asked_first_on_its_connection(room: Room) -> None:
    shortcut = KnowsBeginnings()

    def leave(context: RequestContext) -> None:
        context.shortcut = shortcut
        context.respond_parts([b"read"])

    room.handlers[PRODUCE] = Handler(0, 20, leave)
    client, other = room.connect(), room.connect()
    client.send(b"".join(frame(PRODUCE, n, body) for n, body in enumerate([b"K1", b"K2", b"other", b"K3"])))
    expected = answer(0, b"read") + answer(1, b"short") + answer(2, b"read") + answer(3, b"short")
    assert room.read(client, len(expected)) == expected
    assert shortcut.handled == [b"K2", b"K3"]
    other.send(frame(PRODUCE, 7, b"K4"))
    assert room.read(other, len(answer(7, b"read"))) == answer(7, b"read")


def test_a_bug_behind_a_shortcut_costs_one_connection(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    def leave(context: RequestContext) -> None:
        context.shortcut = KnowsBeginnings()
        context.respond_parts([b"read"])

    room.handlers[PRODUCE] = Handler(0, 20, leave)
    client = room.connect()
    client.send(frame(PRODUCE, 1, b"first"))
    assert room.read(client, len(answer(1, b"read"))) == answer(1, b"read")
    client.send(frame(PRODUCE, 2, b"K!"))
    assert room.is_closed(client)
    assert room.whole()
    assert "Produce v3" in caplog.text


def test_another_request_waits_until_the_produces_before_it_are_answered(room: Room) -> None:
    """And a Produce waits for the request before it: the order of effects is the order sent."""
    client = room.connect()
    client.send(frame(PRODUCE, 1) + frame(METADATA, 2, b"m") + frame(FETCH, 3) + frame(PRODUCE, 4))
    room.until(lambda: len(room.waiting) == 1)
    room.turns()
    assert [number for number, _ in room.bodies] == [1]
    room.respond(room.waiting[0])
    assert room.read(client, 17) == answer(1) + answer(2, b"m")
    assert [number for number, _ in room.bodies] == [1, 2, 3]
    room.respond(room.waiting[0])
    room.until(lambda: len(room.bodies) == 4)
    room.respond(room.waiting[0])
    assert room.read(client, 16) == answer(3) + answer(4)


def test_a_request_without_an_answer_lets_the_next_one_have_its_turn(room: Room) -> None:
    """acks=0: nothing is sent, and what waits behind must not wait for ever."""
    client = room.connect()
    client.send(frame(PRODUCE, 1) + frame(METADATA, 2, b"m"))
    room.until(lambda: len(room.waiting) == 1)
    context = room.waiting.pop()
    room.channel.appends_in_flight -= 1
    context.block.release()
    context.no_response()
    assert room.read(client, 9) == answer(2, b"m")


def test_pipelining_has_a_limit(room: Room) -> None:
    room.connections._max_in_flight = 10 * MAX_PIPELINED
    client = room.connect()
    client.send(b"".join(frame(PRODUCE, n) for n in range(MAX_PIPELINED + 5)))
    room.until(lambda: len(room.waiting) == MAX_PIPELINED)
    room.turns()
    assert len(room.waiting) == MAX_PIPELINED
    room.respond(room.waiting[0])
    room.until(lambda: len(room.bodies) == MAX_PIPELINED + 1)


def test_the_limit_of_the_request_channel_stops_all_and_lets_all_go_on(room: Room) -> None:
    room.connections._max_in_flight = 2
    first, second, third = room.connect(), room.connect(), room.connect()
    first.send(frame(PRODUCE, 1) + frame(PRODUCE, 2) + frame(PRODUCE, 3))
    room.until(lambda: len(room.waiting) == 2)
    second.send(frame(METADATA, 4, b"x"))
    third.send(frame(METADATA, 5, b"y"))
    room.turns()
    assert len(room.bodies) == 2
    room.respond(room.waiting[0])
    assert room.read(second, 9) == answer(4, b"x"), "the answer leaves in the turn that brought the room"
    assert room.read(third, 9) == answer(5, b"y")
    room.respond(room.waiting[0])
    room.until(lambda: len(room.bodies) == 5)


def test_requests_that_wait_for_other_clients_do_not_use_up_the_channel(room: Room) -> None:
    """The members of a large group wait in JoinGroup; the request that lets them go on must get through."""
    room.connections._max_in_flight = 2
    parked: list[RequestContext] = []
    room.handlers[ApiKey.JOIN_GROUP] = room.echo._replace(handle=parked.append)
    members = [room.connect() for _ in range(5)]
    for member in members:
        member.send(frame(ApiKey.JOIN_GROUP, 1))
    room.until(lambda: len(parked) == 5)
    for context in parked:
        context.respond_parts([b"joined"])
    assert [room.read(member, 14) for member in members] == [answer(1, b"joined")] * 5


def test_a_client_that_does_not_read_is_not_read_from(room: Room) -> None:
    client = room.connect()
    client.setblocking(False)
    body = b"x" * 60_000
    sent = 0
    for _ in range(200):
        try:
            client.send(frame(METADATA, sent, body))
            sent += 1
        except BlockingIOError:
            pass
        room.turns(1)
    (connection,) = room.connections._connections.values()
    assert connection.waiting_output_bytes < MAX_WAITING_OUTPUT_BYTES + RECEIVE_BLOCK_BYTES + len(body)
    assert len(room.bodies) < 60
    while len(room.bodies) < sent - 1:
        room.read(client, 60_008)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "speaks HTTP"),
        (bytes.fromhex("160301020001") + bytes(30), "TLS handshake"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "speaks SSH"),
        (struct.pack(">i", MAX_REQUEST_BYTES + 1) + bytes(20), f"socket.request.max.bytes={MAX_REQUEST_BYTES}"),
        (struct.pack(">i", -1), "-1 bytes"),
        (struct.pack(">i", 7) + bytes(7), "7 bytes"),
        (frame(999, 1), "API 999 v3 is not served"),
        (frame(METADATA, 1, version=21), "Metadata v21 is not served; versions 0 to 20 are"),
        (struct.pack(">ihhih", 10, METADATA, 3, 1, 100), "malformed request header"),
    ],
    ids=["HTTP", "TLS", "SSH", "too long", "negative", "too short", "unknown API", "unknown version", "bad header"],
)
def test_what_is_no_request_closes_the_connection_with_one_line(
    room: Room, caplog: pytest.LogCaptureFixture, data: bytes, words: str
) -> None:
    client, other = room.connect(), room.connect()
    with caplog.at_level(logging.WARNING):
        client.send(frame(METADATA, 1, b"before") + data)
        assert room.read(client, 100) == answer(1, b"before"), "requests before it are answered"
    assert len(caplog.records) == 1
    assert words in caplog.text
    other.send(frame(METADATA, 2, b"fine"))
    assert room.read(other, 12) == answer(2, b"fine")


def test_a_bug_in_a_handler_costs_one_connection(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_context: RequestContext) -> None:
        raise RuntimeError("a bug")

    room.handlers[FETCH] = room.echo._replace(handle=fail)
    client, other = room.connect(), room.connect()
    client.send(frame(FETCH, 1))
    assert room.is_closed(client)
    assert "Request of 192.0.2.1:0 failed: Fetch v3" in caplog.text
    other.send(frame(METADATA, 2))
    assert room.read(other, 8) == answer(2)


def test_a_handler_may_close_instead_of_answering_in_the_order_of_requests(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    client = room.connect()
    client.send(frame(PRODUCE, 1) + frame(PRODUCE, 2) + frame(PRODUCE, 3))
    room.until(lambda: len(room.waiting) == 3)
    second = room.waiting.pop(1)
    room.channel.appends_in_flight -= 1
    second.block.release()
    second.close_connection("acks=0 failed")
    room.turns()
    assert not caplog.records
    room.respond(room.waiting[0], b"fine")
    assert room.read(client, 100) == answer(1, b"fine")
    assert "acks=0 failed" in caplog.text


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_client_that_goes_away_leaves_nothing_behind(room: Room, reset: bool) -> None:
    """In the middle of a frame, with requests under way and one waiting for its turn."""
    parts = (b"", frame(METADATA, 9)[:7], frame(METADATA, 9, b"x" * 100_000)[:50_000], frame(METADATA, 9, b"y"))
    clients = [room.connect() for _ in parts]
    for client, part in zip(clients, parts, strict=True):
        client.send(frame(PRODUCE, 1) + frame(PRODUCE, 2) + part)
    room.until(lambda: len(room.waiting) == 8)
    abandoned: list[int] = []
    for context in room.waiting[::2]:
        context.abandoned = lambda: abandoned.append(1)
    for client in clients:
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    room.until(lambda: len(abandoned) == 4)
    while room.waiting:
        room.respond(room.waiting[0], b"nobody reads this")
    room.until(lambda: not len(room.connections))
    assert room.whole()


def test_requests_sent_before_a_half_close_are_carried_out(room: Room) -> None:
    client = room.connect()
    client.send(frame(PRODUCE, 1) + frame(METADATA, 2, b"m"))
    client.shutdown(socket.SHUT_WR)
    room.until(lambda: len(room.bodies) == 2)
    assert room.bodies == [(1, b""), (2, b"m")]


def test_large_frames_that_find_no_memory_wait_and_hold_none(room: Room) -> None:
    """Two slow senders may not keep everybody else from being served, nor each other for ever."""
    size = 900_000
    clients = [room.connect() for _ in range(6)]
    for client in clients:
        client.send(frame(METADATA, 1, b"x" * size)[:100_000])
    room.turns()
    receiving = [c for c in room.connections._connections.values() if c._block is not None]
    waiting = [c for c in room.connections._connections.values() if c.waiting_for_memory]
    assert receiving
    assert waiting
    assert len(receiving) + len(waiting) == 6
    small = room.connect()
    small.send(frame(METADATA, 2, b"served"))
    assert room.read(small, 14) == answer(2, b"served")
    rests = {client: memoryview(frame(METADATA, 1, b"x" * size))[100_000:] for client in clients}
    read = dict.fromkeys(clients, 0)
    for client in clients:
        client.setblocking(False)

    def all_served() -> bool:
        for client in clients:
            try:
                if rests[client]:
                    rests[client] = rests[client][client.send(rests[client]) :]
            except BlockingIOError:
                pass
            try:
                read[client] += len(client.recv(1 << 20))
            except BlockingIOError:
                pass
        room.loop.call_later(1, lambda: None)
        return all(count == size + 8 for count in read.values())

    room.until(all_served)
    assert room.whole()


def test_a_client_that_leaves_while_it_waits_for_memory(room: Room) -> None:
    holder = room.arena.allocate(room.region.size_bytes)
    assert holder is not None
    client, other = room.connect(), room.connect()
    client.send(frame(METADATA, 1, b"x"))
    other.send(frame(METADATA, 2, b"y"))
    room.turns()
    assert not room.bodies
    client.close()
    room.turns()
    holder.release()
    assert room.read(other, 9) == answer(2, b"y")


def test_no_cpu_is_burnt_while_there_is_memory_but_in_pieces(room: Room) -> None:
    """Free bytes in pieces too small for a receive block are no reason to try in every turn."""
    pieces = []
    while room.arena.has_room(1):
        block = room.arena.allocate(1)
        assert block is not None
        pieces.append(block)
    for piece in pieces[::2]:
        piece.release()
    assert room.arena.free_bytes > RECEIVE_BLOCK_BYTES
    client = room.connect()
    client.send(frame(METADATA, 1))
    turns: list[int] = []
    room.loop.at_turn_end(lambda: turns.append(1))
    room.loop.call_later(50, room.loop.stop)
    room.loop.run()
    assert len(turns) < 10
    for piece in pieces[1::2]:
        piece.release()
    assert room.read(client, 8) == answer(1)


def test_slices_of_files_are_sent_between_bytes(room: Room, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "log").write_bytes(content)
    file = OpenFile(str(tmp_path / "log"))
    parts = [
        b"head",
        FileSlice(file, 5, 100),
        b"middle",
        FileSlice(file, 1000, 2_000_000),
        FileSlice(file, 0, 50),
        b"e",
    ]
    expected = b"".join(
        content[part.position :][: part.size_bytes] if isinstance(part, FileSlice) else part for part in parts
    )
    client = room.connect()
    client.send(frame(FETCH, 1) + frame(METADATA, 2, b"after"))
    room.until(lambda: len(room.waiting) == 1)
    context = room.waiting.pop()
    room.channel.appends_in_flight -= 1
    context.block.release()
    context.respond_parts(list(parts))
    expected = answer(1, expected) + answer(2, b"after")
    assert room.read(client, len(expected)) == expected


@pytest.mark.parametrize("size", [100, 100_000], ids=["small slice", "large slice"])
def test_a_file_shorter_than_promised_closes_the_connection(room: Room, tmp_path: Path, size: int) -> None:
    """Anything else would shift all that follows: the client would take records for answers."""
    (tmp_path / "log").write_bytes(b"x" * 50)
    client = room.connect()
    client.send(frame(FETCH, 1))
    room.until(lambda: len(room.waiting) == 1)
    context = room.waiting.pop()
    room.channel.appends_in_flight -= 1
    context.block.release()
    context.respond_parts([FileSlice(OpenFile(str(tmp_path / "log")), 0, size)])
    assert len(room.read(client, 1000)) < 8 + size


def test_draining_answers_what_is_under_way_and_starts_nothing(room: Room) -> None:
    client = room.connect()
    client.send(frame(PRODUCE, 1))
    room.until(lambda: len(room.waiting) == 1)
    room.connections.drain()
    client.send(frame(PRODUCE, 2))
    room.turns()
    assert len(room.bodies) == 1
    room.respond(room.waiting[0], b"done")
    assert room.read(client, 12) == answer(1, b"done")
    assert not room.connections.has_output
    assert len(room.bodies) == 1


def test_a_stale_hang_up_does_not_close_the_connection_that_got_the_number(room: Room) -> None:
    """Closed and accepted in one turn: the event was meant for another connection with the same descriptor."""
    client = room.connect()
    (connection,) = room.connections._connections.values()
    connection.on_event(select.EPOLLHUP | select.EPOLLERR)
    client.send(frame(METADATA, 1, b"x"))
    assert room.read(client, 9) == answer(1, b"x")


def test_only_silent_connections_are_closed_as_idle(room: Room) -> None:
    silent, busy = room.connect(), room.connect()
    busy.send(frame(PRODUCE, 1))
    room.until(lambda: len(room.waiting) == 1)
    for connection in room.connections._connections.values():
        connection.last_active_ms -= 10_000
    room.connections.close_idle(9_000)
    assert room.is_closed(silent)
    assert len(room.connections) == 1
    assert room.hosts == {"/192.0.2.1": 1}
    room.respond(room.waiting[0])
    assert room.read(busy, 8) == answer(1)


def named_frame(api_key: int, version: int, body: bytes, client_id: bytes) -> bytes:
    """Return a request with header v1 and a client id."""
    request = struct.pack(">hhih", api_key, version, 1, len(client_id)) + client_id + body
    return struct.pack(">i", len(request)) + request


def test_at_debug_comings_goings_and_refusals_are_told_with_the_client(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    refused = HeartbeatResponse(error_code=ErrorCode.UNKNOWN_MEMBER_ID).encode(0)
    room.handlers[ApiKey.HEARTBEAT] = room.echo._replace(handle=lambda context: context.respond_parts([refused]))
    with caplog.at_level(logging.DEBUG, "kbroker"):
        client = room.connect()
        client.send(named_frame(ApiKey.HEARTBEAT, 0, b"", b"a \n client"))
        room.read(client, 10)
        client.close()
        room.until(lambda: not len(room.connections))
    named = "192.0.2.1:0 (client id 'a \\n client')"
    assert [record.getMessage() for record in caplog.records] == [
        "Connection of 192.0.2.1:0 opened on PLAINTEXT",
        f"Heartbeat v0 of {named}: UNKNOWN_MEMBER_ID",
        f"Connection of {named} closed: by the client",
    ]


def test_at_info_nothing_of_it_is_told_and_no_answer_is_looked_at(
    room: Room, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kbroker.net.connection.failures", None)
    with caplog.at_level(logging.INFO, "kbroker"):
        client = room.connect()
        client.send(frame(METADATA, 1, b"x"))
        assert room.read(client, 9) == answer(1, b"x")
        client.close()
        room.until(lambda: not len(room.connections))
    assert not caplog.records


def test_a_warning_names_the_client(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    client = room.connect()
    client.send(named_frame(METADATA, 3, b"", b"analytics") + named_frame(99, 0, b"", b"analytics"))
    room.read(client, 100)
    assert "Connection of 192.0.2.1:0 (client id 'analytics') closed: API 99 v0 is not served" in caplog.text
