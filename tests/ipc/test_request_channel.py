"""Every command is answered: by its owner, or with None when the owner died."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from worker_rooms import Processes, run_until

from kbroker.ipc.command_server import CommandServer, Completions
from kbroker.ipc.commands import (
    APPEND_ENTRY,
    APPEND_HEAD,
    COMMAND,
    AppendResult,
    Command,
    CommandKind,
    ForwardedRequest,
    body_of,
    unpack_request,
)
from kbroker.ipc.event_loop import EventLoop
from kbroker.ipc.request_channel import RequestChannel
from kbroker.shared.layout import SharedState
from kbroker.shared.worker_table import WorkerField

CLUSTER, NET, OTHER_NET, IO = 0, 1, 2, 3
REQUEST = ForwardedRequest(11, 9, "client", "/192.0.2.1", b"body")


def io_worker(shared: SharedState, *, deaf: bool = False, rings: bool = True) -> Callable[[], None]:
    """Return the main of an IO worker: each append is answered with its position as base offset, requests echo."""

    def main() -> None:
        loop = EventLoop()
        if not rings:
            shared.doorbells[NET] = os.eventfd(0, os.EFD_NONBLOCK)
        completions = Completions(loop, shared, 0)

        def append(sender: int, message: bytes, command: Command) -> None:
            start = command.position + APPEND_HEAD.size - COMMAND.size
            entries = [APPEND_ENTRY.unpack_from(message, start + n * APPEND_ENTRY.size) for n in range(command.entries)]
            results = [AppendResult(0, position, size, row) for row, position, size in entries]
            if len(results) == 1:
                completions.appended_one(sender, command.command_id, results[0])
            else:
                completions.appended(sender, command.command_id, results)

        def request(sender: int, message: bytes, command: Command) -> None:
            body = unpack_request(message, command).body
            completions.reply(sender, command.command_id, body * (300_000 if body == b"many" else 1))

        def call(sender: int, message: bytes, command: Command) -> None:
            asked = json.loads(body_of(message, command))
            if asked["call"] == "advance":
                for row in asked["rows"]:
                    completions.advanced(row)
            completions.reply(sender, command.command_id, json.dumps({"pid": os.getpid(), **asked}).encode())

        handlers = {CommandKind.APPEND: append, CommandKind.REQUEST: request, CommandKind.CALL: call}
        if deaf:
            handlers = dict.fromkeys(handlers, lambda *_: None)
        CommandServer(loop, shared, IO, handlers, before_fence=lambda: None)
        loop.at_turn_end(completions.flush)
        loop.run()

    return main


class Ends:
    """The parts of a network worker that the channel tells."""

    def __init__(self) -> None:
        self.metadata: list[tuple[int, bytes]] = []
        self.advanced: list[list[int]] = []
        self.answers: dict[Any, Any] = {}

    def note(self, name: Any) -> Callable[[Any], None]:
        def done(answer: Any) -> None:
            assert name not in self.answers, "answered twice"
            self.answers[name] = answer

        return done


@pytest.fixture
def ends() -> Ends:
    return Ends()


@pytest.fixture
def make_channel(loop: EventLoop, shared: SharedState, ends: Ends) -> Iterator[Callable[[], RequestChannel]]:
    """Made after the forks, as in a real worker."""
    made = []

    def make() -> RequestChannel:
        channel = RequestChannel(
            loop, shared, 0, lambda version, data: ends.metadata.append((version, data)), ends.advanced.append
        )
        made.append(channel)
        return channel

    yield make
    for channel in made:
        channel.close()


@pytest.fixture
def start(processes: Processes, make_channel: Callable[[], RequestChannel]) -> Callable[..., RequestChannel]:
    def start(main: Callable[[], None]) -> RequestChannel:
        processes.new_generation(CLUSTER)
        processes.new_generation(NET)
        processes.fork(IO, main)
        return make_channel()

    return start


def test_appends_are_answered_with_a_result_per_entry(
    start: Callable[..., RequestChannel], loop: EventLoop, shared: SharedState, ends: Ends
) -> None:
    channel = start(io_worker(shared))
    entries = [(n, n * 1000, n) for n in range(4096)]
    channel.append(0, 1, 1000, entries[:1], ends.note("one"))
    channel.append(0, -1, 1000, entries, ends.note("many"))
    channel.append(0, 0, 1000, entries[2:3], ends.note("another"))
    assert channel.appends_in_flight == 3
    run_until(loop, lambda: not channel.in_flight)
    assert ends.answers == {
        "one": [AppendResult(0, 0, 0, 0)],
        "many": [AppendResult(0, position, size, row) for row, position, size in entries],
        "another": [AppendResult(0, 2000, 2, 2)],
    }
    assert list(ends.answers) == ["one", "many", "another"]


def test_answers_larger_than_a_ring_record_are_put_together(
    start: Callable[..., RequestChannel], loop: EventLoop, shared: SharedState, ends: Ends
) -> None:
    channel = start(io_worker(shared))
    channel.forward(IO, REQUEST._replace(body=b"many"), ends.note("large"))
    channel.forward(IO, REQUEST, ends.note("small"))
    channel.forward(IO, REQUEST._replace(body=b""), ends.note("empty"))
    run_until(loop, lambda: not channel.in_flight)
    assert ends.answers == {"large": b"many" * 300_000, "small": b"body", "empty": b""}


def test_who_waits_for_a_row_hears_that_it_advanced(
    start: Callable[..., RequestChannel], loop: EventLoop, shared: SharedState, ends: Ends
) -> None:
    channel = start(io_worker(shared))
    shared.interest[0][5] = 1
    channel.call(IO, "advance", {"rows": [4, 5]}, ends.note("call"))
    run_until(loop, lambda: bool(ends.answers))
    assert ends.advanced == [[5]]
    assert ends.answers["call"]["rows"] == [4, 5]


def test_everything_under_way_is_failed_when_its_owner_dies(
    start: Callable[..., RequestChannel], loop: EventLoop, shared: SharedState, ends: Ends, processes: Processes
) -> None:
    channel = start(io_worker(shared, deaf=True))
    channel.append(0, 1, 1000, [(1, 2, 3)], ends.note("append"))
    channel.forward(IO, REQUEST, ends.note("request"))
    channel.call(IO, "anything", {}, ends.note("call"))
    run_until(loop, lambda: True)
    assert not ends.answers
    processes.kill(IO)
    channel.append(0, 1, 1000, [(1, 2, 3)], ends.note("append to the dead"))
    processes.fork(IO, io_worker(shared))
    run_until(loop, lambda: not channel.in_flight)
    assert ends.answers == {"append": None, "request": None, "call": None, "append to the dead": None}
    channel.append(0, 1, 1000, [(1, 2, 3)], ends.note("append to the living"))
    run_until(loop, lambda: not channel.in_flight)
    assert ends.answers["append to the living"] == [AppendResult(0, 2, 3, 1)]


def test_what_an_owner_answered_before_it_died_counts(
    start: Callable[..., RequestChannel], loop: EventLoop, shared: SharedState, ends: Ends, processes: Processes
) -> None:
    """It was killed between the ring and the doorbell: the records are written, and the client may be told so."""
    channel = start(io_worker(shared, rings=False))
    # Nobody looks before he is called. The call that told of the fork has been heard, and the cluster worker has been
    # greeted: both come with a look at the rings.
    loop.before_sleep = None
    run_until(loop, lambda: channel._outboxes[CLUSTER].generation > 0)
    ring = shared.rings[0][0]
    channel.append(0, 1, 1000, [(1, 2, 3)], ends.note("append"))
    run_until(loop, lambda: ring._words[0] > 0)
    assert not ends.answers
    processes.kill(IO)
    processes.new_generation(IO)
    run_until(loop, lambda: not channel.in_flight)
    assert ends.answers == {"append": [AppendResult(0, 2, 3, 1)]}


def test_an_answer_meant_for_an_earlier_incarnation_is_dropped(
    loop: EventLoop,
    shared: SharedState,
    ends: Ends,
    processes: Processes,
    make_channel: Callable[[], RequestChannel],
) -> None:
    for worker in (CLUSTER, NET, IO):
        processes.new_generation(worker)
    old = make_channel()
    old.append(0, 1, 1000, [(1, 2, 3)], ends.note("old"))
    old_id = next(iter(old._appends))
    completions = Completions(loop, shared, 0)
    completions.appended_one(NET, old_id, AppendResult(0, 1, 1, 1))
    completions.flush()
    loop.remove(shared.doorbells[NET])
    processes.new_generation(NET)
    channel = make_channel()
    channel.append(0, 1, 1000, [(1, 2, 3)], ends.note("new"))
    new_id = next(iter(channel._appends))
    assert new_id != old_id
    for command_id in (old_id, new_id):
        completions.appended_one(NET, command_id, AppendResult(0, command_id, 0, 0))
    completions.flush()
    run_until(loop, lambda: not channel.in_flight)
    assert ends.answers == {"new": [AppendResult(0, new_id, 0, 0)]}


def test_a_cluster_worker_born_anew_is_greeted_and_its_metadata_arrive(
    loop: EventLoop, shared: SharedState, ends: Ends, processes: Processes, make_channel: Callable[[], RequestChannel]
) -> None:
    def cluster_worker() -> None:
        own_loop = EventLoop()

        def hello(sender: int, _message: bytes, _command: Command) -> None:
            generation = shared.workers.get(CLUSTER, WorkerField.GENERATION)
            server.send(sender, CommandKind.METADATA, generation, b"image %d" % generation)

        server = CommandServer(own_loop, shared, CLUSTER, {CommandKind.HELLO: hello}, lambda: None)
        own_loop.run()

    processes.fork(CLUSTER, cluster_worker)
    processes.new_generation(NET)
    processes.new_generation(IO)
    channel = make_channel()
    run_until(loop, lambda: len(ends.metadata) == 1)
    channel.forward(CLUSTER, REQUEST, ends.note("request"))
    processes.kill(CLUSTER)
    processes.fork(CLUSTER, cluster_worker)
    run_until(loop, lambda: len(ends.metadata) == 2)
    assert ends.metadata == [(1, b"image 1"), (2, b"image 2")]
    assert ends.answers == {"request": None}
