"""A worker hears each living peer, none of the dead, and answers to where the peer lives now."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import zmq
from worker_rooms import Processes, run_until

from kbroker.ipc.command_server import CommandServer, Completions
from kbroker.ipc.commands import (
    APPENDS_HEAD,
    MESSAGE,
    RING_HEAD,
    SENDER,
    Command,
    CommandKind,
    RingKind,
    body_of,
    pack_append,
    pack_command,
)
from kbroker.ipc.endpoints import endpoint
from kbroker.ipc.event_loop import EventLoop
from kbroker.shared.layout import RING_BYTES, SharedState

CLUSTER, NET, IO = 0, 1, 3


class Heard:
    """Commands that came, as (sender, kind, id, body)."""

    def __init__(self) -> None:
        self.commands: list[tuple[int, int, int, bytes]] = []

    def __call__(self, sender: int, message: bytes, command: Command) -> None:
        self.commands.append((sender, command.kind, command.command_id, body_of(message, command)))


@contextmanager
def server_of(
    loop: EventLoop, shared: SharedState, worker: int, heard: Heard, before_fence: Callable[[], None] = lambda: None
) -> Iterator[CommandServer]:
    server = CommandServer(loop, shared, worker, dict.fromkeys(CommandKind, heard), before_fence)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def socket_of(kind: int, *, connect: str = "", bind: str = "") -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(kind) as sock:
        sock.setsockopt(zmq.LINGER, 0)
        sock.setsockopt(zmq.RCVTIMEO, 5000)
        if connect:
            sock.connect(connect)
        else:
            sock.bind(bind)
        yield sock


def message(sender: int, generation: int, *commands: bytes) -> bytes:
    return SENDER.pack(MESSAGE, sender, generation) + b"".join(commands)


def test_what_a_dead_incarnation_left_is_not_carried_out(
    loop: EventLoop, shared: SharedState, processes: Processes
) -> None:
    """Its payloads lie in memory that its successor may be using."""
    for worker in (CLUSTER, NET, NET, IO):
        processes.new_generation(worker)
    heard = Heard()
    with server_of(loop, shared, IO, heard), socket_of(zmq.PUSH, connect=endpoint(shared, IO, 1)) as network:
        network.send(message(NET, 1, pack_command(CommandKind.CALL, 1, b"from the dead")))
        network.send(b"\0" * 40)
        network.send(message(NET, 2, pack_command(CommandKind.CALL, 2, b"a"), pack_command(CommandKind.REPLY, 3, b"")))
        run_until(loop, lambda: len(heard.commands) == 2)
    assert heard.commands == [(NET, CommandKind.CALL, 2, b"a"), (NET, CommandKind.REPLY, 3, b"")]


def test_a_worker_greets_the_cluster_worker_at_once_and_each_one_born_anew(
    loop: EventLoop, shared: SharedState, processes: Processes
) -> None:
    processes.new_generation(CLUSTER)
    processes.new_generation(IO)
    with (
        socket_of(zmq.PULL, bind=endpoint(shared, CLUSTER, 1)) as first,
        socket_of(zmq.PULL, bind=endpoint(shared, CLUSTER, 2)) as second,
        server_of(loop, shared, IO, Heard()),
    ):
        hello = message(IO, 1, pack_command(CommandKind.HELLO, 0, b""))
        run_until(loop, lambda: True)
        assert first.recv() == hello
        processes.new_generation(CLUSTER)
        run_until(loop, lambda: bool(second.poll(0)))
        assert second.recv() == hello


def test_a_worker_born_anew_is_answered_where_it_lives_now(
    loop: EventLoop, shared: SharedState, processes: Processes
) -> None:
    """Its HELLO may come before the server has noticed the fork: an image sent to the dead would leave it stuck."""
    processes.new_generation(CLUSTER)
    processes.new_generation(IO)

    class Greeter(Heard):
        def __call__(self, sender: int, message: bytes, command: Command) -> None:
            super().__call__(sender, message, command)
            server.send(sender, CommandKind.METADATA, 5, b"image")

    heard = Greeter()
    with (
        server_of(loop, shared, CLUSTER, heard) as server,
        socket_of(zmq.PUSH, connect=endpoint(shared, CLUSTER, 1)) as out,
        socket_of(zmq.PULL, bind=endpoint(shared, IO, 2)) as mailbox,
    ):
        server.send(IO, CommandKind.METADATA, 4, b"for the one who dies")
        run_until(loop, lambda: True)
        processes.new_generation(IO, ring=False)
        out.send(message(IO, 2, pack_command(CommandKind.HELLO, 0, b"")))
        run_until(loop, lambda: bool(heard.commands))
        assert mailbox.recv() == message(CLUSTER, 1, pack_command(CommandKind.METADATA, 5, b"image"))
        run_until(loop, lambda: True)
        server.check_peers()
        server.send(IO, CommandKind.METADATA, 6, b"delta")
        server.flush()
        assert mailbox.recv() == message(CLUSTER, 1, pack_command(CommandKind.METADATA, 6, b"delta"))


def test_who_was_never_born_is_sent_nothing(loop: EventLoop, shared: SharedState, processes: Processes) -> None:
    processes.new_generation(CLUSTER)
    with server_of(loop, shared, CLUSTER, Heard()) as server:
        server.send(NET, CommandKind.METADATA, 1, b"too early")
        run_until(loop, lambda: True)
        processes.new_generation(NET)
        with socket_of(zmq.PULL, bind=endpoint(shared, NET, 1)) as mailbox:
            server.send(NET, CommandKind.METADATA, 2, b"in time")
            server.flush()
            assert mailbox.recv() == message(CLUSTER, 1, pack_command(CommandKind.METADATA, 2, b"in time"))


def test_the_fence_moves_only_after_what_was_in_hand_is_finished(
    loop: EventLoop, shared: SharedState, processes: Processes
) -> None:
    processes.new_generation(NET)
    processes.new_generation(IO)
    fences_seen: list[int] = []
    with server_of(loop, shared, IO, Heard(), lambda: fences_seen.append(shared.workers.fence(IO, 0))):
        assert shared.workers.fence(IO, 0) == 1
        processes.new_generation(NET)
        run_until(loop, lambda: shared.workers.fence(IO, 0) == 2)
    assert fences_seen == [0, 1]


def test_the_short_way_of_one_append_heeds_generations_as_the_long_one_does(
    loop: EventLoop, shared: SharedState, processes: Processes
) -> None:
    processes.new_generation(CLUSTER)
    net, io = processes.new_generation(NET), processes.new_generation(IO)
    heard = Heard()
    taken: list[tuple[int, ...]] = []
    one, two = pack_append(7, -1, 1000, [(3, 4096, 100)]), pack_append(8, 1, 1000, [(3, 0, 1), (4, 1, 1)])
    ring = shared.commands[0][0]
    with server_of(loop, shared, IO, heard) as server:
        server.append_one = lambda *append: taken.append(append)
        ring.put(APPENDS_HEAD.pack(io, 1) + message(NET, net, one))
        ring.put(APPENDS_HEAD.pack(io - 1, 1) + message(NET, net, one))
        ring.put(APPENDS_HEAD.pack(io, 1) + message(NET, net - 1, one))
        ring.put(APPENDS_HEAD.pack(io, 0) + message(NET, net, two))
        server._take_appends()
        assert taken == [(NET, 7, 3, 4096, 100)], "what was meant for a predecessor, or sent by one, is dropped"
        assert [command[2] for command in heard.commands] == [8]
        # Its sender was born anew, and the doorbell has not been heard: the long way follows it first.
        reborn = processes.new_generation(NET, ring=False)
        ring.put(APPENDS_HEAD.pack(io, 1) + message(NET, reborn, one))
        server._take_appends()
        assert [command[2] for command in heard.commands] == [8, 7]
        ring.put(APPENDS_HEAD.pack(io, 1) + message(NET, reborn, one))
        server._take_appends()
        assert len(taken) == 2


def test_more_completions_than_the_ring_holds_arrive_in_order(loop: EventLoop, shared: SharedState) -> None:
    """The reader is slower than the writer for a while; nothing is lost, nothing overtakes."""
    completions = Completions(loop, shared, 0)
    ring = shared.rings[0][1]
    loop.at_turn_end(completions.flush)
    size = ring.max_record_bytes - 100
    for number in range(20):
        completions.reply(NET + 1, number, bytes([number]) * size)
    taken: list[bytes] = []
    run_until(loop, lambda: bool(taken.extend(ring.take())) or len(taken) == 20)
    assert 20 * size > 4 * RING_BYTES
    assert [record[-1] for record in taken] == list(range(20))
    assert all(record[0] == RingKind.REPLY_PART for record in taken)


def test_only_who_waits_for_a_row_is_told_and_once_per_turn(loop: EventLoop, shared: SharedState) -> None:
    completions = Completions(loop, shared, 0)
    shared.interest[1][7] = 1
    shared.interest[1][9] = 1
    for row in (7, 8, 9, 7, 7):
        completions.advanced(row)
    completions.flush()
    assert shared.rings[0][0].take() == []
    (record,) = shared.rings[0][1].take()
    assert record[: RING_HEAD.size] == RING_HEAD.pack(RingKind.ADVANCED)
    assert list(memoryview(record)[RING_HEAD.size :].cast("i")) == [7, 9]
