"""
The network worker's end of the request channel: requests go out over ZeroMQ, appends and completions through rings.

Commands collect per peer while a turn runs and leave as one message each when it ends. Appends, which are small, many
and waited for, go through a ring in shared memory and a doorbell; what coordinators and the controller are asked goes
over ZeroMQ (docs/decisions/0004). Answers come back as ring records (from IO workers) or messages (from the cluster
worker). Each command has an id that says which incarnation of
this worker sent it, so that an answer meant for a dead one is dropped.

A peer that dies loses what was under way, silently. `check_peers` sees its new generation in the worker table and
answers each such command with None, which callers turn into a retriable error: nothing is left hanging.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import zmq

from kbroker.ipc import doorbell
from kbroker.ipc.commands import (
    APPENDS_HEAD,
    COMPLETION_ENTRY,
    COMPLETION_HEAD,
    COMPLETION_ONE,
    MESSAGE,
    REPLY_PART_HEAD,
    RING_HEAD,
    SENDER,
    AppendResult,
    CommandKind,
    ForwardedRequest,
    RingKind,
    body_of,
    iterate_commands,
    pack_append,
    pack_command,
    pack_request,
)
from kbroker.ipc.endpoints import Mailbox, Outbox, endpoint
from kbroker.ipc.event_loop import EventLoop
from kbroker.ipc.placement import FollowsClient
from kbroker.ipc.spinning import Patience, Spinning, ring_unless_looking
from kbroker.shared.layout import SharedState
from kbroker.shared.worker_table import WorkerField

AppendDone = Callable[[list[AppendResult] | None], None]
ReplyDone = Callable[[bytes | None], None]

CHECK_INTERVAL_MS: Final = 1_000
"""A second look: the supervisor rings whenever it has forked."""
_RING_RETRY_MS: Final = 1
_new: Final = tuple.__new__
"""Makes a named tuple without a call of Python code."""
_APPENDED: Final = int(RingKind.APPENDED)
_ADVANCED: Final = int(RingKind.ADVANCED)
_FORKS: Final = int(WorkerField.FORKS)
_RING_HEAD_BYTES: Final = RING_HEAD.size
_RECORD_OF_ONE_BYTES: Final = RING_HEAD.size + COMPLETION_ONE.size
_unpack_completion_of_one: Final = COMPLETION_ONE.unpack_from
_HEAD_BYTES: Final = COMPLETION_HEAD.size
_ENTRY_BYTES: Final = COMPLETION_ENTRY.size


class RequestChannel:
    """
    Sends commands for one network worker and brings their answers back.

    shared       the broker's shared memory
    index        which network worker this is
    on_metadata  called with (image version, delta JSON)
    on_advanced  called with the partition rows whose high watermark moved
    client_processor  see FollowsClient
    """

    def __init__(
        self,
        loop: EventLoop,
        shared: SharedState,
        index: int,
        on_metadata: Callable[[int, bytes], None],
        on_advanced: Callable[[list[int]], None],
        client_processor: Callable[[], int] = lambda: -1,
    ) -> None:
        table = shared.workers
        worker = table.network_worker(index)
        generation = table.get(worker, WorkerField.GENERATION)
        self._shared = shared
        self._index = index
        self._on_metadata = on_metadata
        self._on_advanced = on_advanced
        self._header = SENDER.pack(MESSAGE, worker, generation)
        self._context = zmq.Context()
        self._outboxes = [Outbox(self._context, shared, peer) for peer in range(table.count)]
        self._staged: list[list[bytes]] = [[] for _ in range(table.count)]
        self._dirty: list[int] = []
        self._loop = loop
        self._command_rings = [row[index] for row in shared.commands]
        self._staged_appends: list[list[bytes]] = [[] for _ in range(table.io)]
        self._dirty_appends: list[int] = []
        self._retry_planned = False
        self._next_id = generation << 40
        self._appends: dict[int, tuple[int, AppendDone]] = {}
        self._replies: dict[int, tuple[int, ReplyDone]] = {}
        self._parts: dict[int, list[bytes]] = {}
        self._rings = [row[index] for row in shared.rings]
        for ring in self._rings:
            ring.skip_all()
        self._mailbox = Mailbox(self._context, endpoint(shared, worker, generation), self._deliver)
        self._mailbox.watch(loop)
        self._forks = 0
        doorbell.listen(loop, shared.doorbells[worker], self._rung)
        # Whether the append last sent was all that was under way: its client waits for just that.
        self._one_under_way = False
        self._answer_patience = Patience()
        self._request_patience = Patience()
        self._spinning = Spinning(table, worker, self._rings, loop.peek)
        self._follows_client = FollowsClient(table, worker, client_processor)
        loop.before_sleep = self._await_what_comes_soon
        loop.at_turn_end(self.flush)
        loop.every(CHECK_INTERVAL_MS, self.check_peers)
        # Not here and now: it may bring completions, and who is told of them is still being put together.
        loop.call_later(0, self.check_peers)

    @property
    def appends_in_flight(self) -> int:
        """Appends that have not been answered yet; their payloads lie in the arena."""
        return len(self._appends)

    @property
    def in_flight(self) -> int:
        """Commands that have not been answered yet; those of groups may wait for other members, for minutes."""
        return len(self._appends) + len(self._replies)

    def append(
        self, io_index: int, acks: int, timeout_ms: int, entries: list[tuple[int, int, int]], done: AppendDone
    ) -> None:
        """
        Have an IO worker append batches that lie in this worker's arena.

        entries  (partition row, arena position, bytes) each, at most MAX_APPEND_ENTRIES
        done     called with one AppendResult per entry, or None when the owner died before it answered
        """
        command_id = self._next_id = self._next_id + 1
        peer = self._shared.workers.io_worker(io_index)
        self._appends[command_id] = (peer, done)
        staged = self._staged_appends[io_index]
        if not staged:
            self._dirty_appends.append(io_index)
        staged.append(pack_append(command_id, acks, timeout_ms, entries))

    def forward(self, peer: int, request: ForwardedRequest, done: ReplyDone) -> None:
        """Have another worker decide a client's request; `done` gets the encoded response, None if the worker died."""
        command_id = self._next_id = self._next_id + 1
        self._replies[command_id] = (peer, done)
        self._stage(peer, pack_request(command_id, request))

    def call(self, peer: int, name: str, arguments: dict[str, Any], done: Callable[[Any], None]) -> None:
        """Ask another worker something of our own; `done` gets the decoded answer, or None if the worker died."""
        command_id = self._next_id = self._next_id + 1
        self._replies[command_id] = (peer, lambda answer: done(None if answer is None else json.loads(answer)))
        body = json.dumps({"call": name, **arguments}, separators=(",", ":")).encode()
        self._stage(peer, pack_command(CommandKind.CALL, command_id, body))

    def tell_cluster(self, kind: CommandKind, value: int = 0) -> None:
        """Send HELLO or APPLIED to the cluster worker."""
        self._stage(0, pack_command(kind, value, b""))

    def _stage(self, peer: int, command: bytes) -> None:
        staged = self._staged[peer]
        if not staged:
            self._dirty.append(peer)
        staged.append(command)

    def flush(self) -> None:
        """Send what this turn produced, one message per peer."""
        if self._dirty_appends:
            self._flush_appends()
        if not self._dirty:
            return
        for peer in self._dirty:
            staged = self._staged[peer]
            self._outboxes[peer].send(self._header + b"".join(staged))
            staged.clear()
        self._dirty.clear()

    def _flush_appends(self) -> None:
        """Put the appends of this turn into the rings of their owners, and wake each owner once."""
        shared = self._shared
        dirty, self._dirty_appends = self._dirty_appends, []
        self._request_patience.end()
        self._one_under_way = len(self._appends) == 1
        if self._one_under_way:
            self._answer_patience.begin()
        for io_index in dirty:
            staged = self._staged_appends[io_index]
            peer = shared.workers.io_worker(io_index)
            outbox = self._outboxes[peer]
            if outbox.generation == 0:
                outbox.check()
                if outbox.generation == 0:
                    # Not born yet: the turn after its birth is soon enough.
                    self._dirty_appends.append(io_index)
                    continue
            head = APPENDS_HEAD.pack(outbox.generation, self._one_under_way) + self._header
            ring = self._command_rings[io_index]
            limit = ring.max_record_bytes - len(head)
            first = 0
            while first < len(staged):
                size = len(staged[first])
                after = first + 1
                while after < len(staged) and size + len(staged[after]) <= limit:
                    size += len(staged[after])
                    after += 1
                if not ring.put(head + b"".join(staged[first:after])):
                    break
                first = after
            del staged[:first]
            if staged:
                # The owner is slower than this worker just now: its ring has room again when it has caught up.
                self._dirty_appends.append(io_index)
                if not self._retry_planned:
                    self._retry_planned = True
                    self._loop.call_later(_RING_RETRY_MS, self._retry)
            ring_unless_looking(shared.workers, peer, shared.doorbells[peer])

    def _retry(self) -> None:
        self._retry_planned = False

    def _rung(self) -> None:
        if self._shared.workers.get(0, _FORKS) != self._forks:
            self.check_peers()
        self._take_completions()

    def _await_what_comes_soon(self) -> bool:
        """
        Look around for a moment before the loop sleeps; return whether something came.

        For the answer to the one append under way, then for the next request of a client that sends one after the
        other. With several under way something always goes on, and processor time is worth more than a wake-up.
        """
        window_ns = 0
        if self._one_under_way:
            if self._appends:
                window_ns = self._answer_patience.window_ns()
            else:
                # Once per answer.
                self._one_under_way = False
                self._request_patience.begin()
                window_ns = self._request_patience.window_ns()
                if window_ns:
                    self._follows_client.answered()
        if not self._spinning.look(window_ns):
            return False
        self._take_completions()
        return True

    def _take_completions(self) -> None:
        advanced: list[int] = []
        for ring in self._rings:
            for record in ring.take():
                kind = record[0]
                if kind == _APPENDED:
                    self._appended(record)
                elif kind == _ADVANCED:
                    advanced.extend(memoryview(record)[RING_HEAD.size :].cast("i"))
                else:
                    self._reply_part(record)
        if advanced:
            self._on_advanced(advanced)

    def _appended(self, record: bytes) -> None:
        end = len(record)
        appends = self._appends
        if end == _RECORD_OF_ONE_BYTES:
            command_id, count, code, base_offset, append_time_ms, log_start = _unpack_completion_of_one(
                record, _RING_HEAD_BYTES
            )
            if count == 1:
                self._answer_patience.end()
                waiting = appends.pop(command_id, None)
                if waiting is not None:
                    waiting[1]([_new(AppendResult, (code, base_offset, append_time_ms, log_start))])
                return
        position = _RING_HEAD_BYTES
        while position < end:
            command_id, count = COMPLETION_HEAD.unpack_from(record, position)
            position += _HEAD_BYTES
            waiting = appends.pop(command_id, None)
            self._answer_patience.end()
            if count == 1:
                results = [_new(AppendResult, COMPLETION_ENTRY.unpack_from(record, position))]
            else:
                results = [
                    _new(AppendResult, COMPLETION_ENTRY.unpack_from(record, position + index * _ENTRY_BYTES))
                    for index in range(count)
                ]
            position += count * _ENTRY_BYTES
            if waiting is not None:
                waiting[1](results)

    def _reply_part(self, record: bytes) -> None:
        _, more, command_id = REPLY_PART_HEAD.unpack_from(record, 0)
        part = record[REPLY_PART_HEAD.size :]
        if more:
            self._parts.setdefault(command_id, []).append(part)
            return
        earlier = self._parts.pop(command_id, None)
        waiting = self._replies.pop(command_id, None)
        if waiting is not None:
            waiting[1](part if earlier is None else b"".join((*earlier, part)))

    def _deliver(self, message: bytes) -> None:
        for command in iterate_commands(message):
            if command.kind == CommandKind.METADATA:
                self._on_metadata(command.command_id, body_of(message, command))
            elif command.kind == CommandKind.REPLY:
                waiting = self._replies.pop(command.command_id, None)
                if waiting is not None:
                    waiting[1](body_of(message, command))

    def check_peers(self) -> None:
        """Notice peers that died: fail what waits for them, greet the cluster worker born anew."""
        # Remembered before the generations are looked at: a fork after this line is seen the next time.
        self._forks = self._shared.workers.get(0, _FORKS)
        for outbox in self._outboxes:
            outbox.flush()
            first = outbox.generation == 0
            if not outbox.check() and not (first and outbox.worker == 0 and outbox.generation):
                continue
            peer = outbox.worker
            # What it answered before it died counts.
            self._take_completions()
            staged = self._staged[peer]
            if staged:
                staged.clear()
                self._dirty.remove(peer)
            io_index = peer - self._shared.workers.io_worker(0)
            if io_index >= 0 and self._staged_appends[io_index]:
                self._staged_appends[io_index].clear()
                self._dirty_appends.remove(io_index)
            for command_id in [key for key, (owner, _) in self._appends.items() if owner == peer]:
                self._appends.pop(command_id)[1](None)
            for command_id in [key for key, (owner, _) in self._replies.items() if owner == peer]:
                self._parts.pop(command_id, None)
                self._replies.pop(command_id)[1](None)
            if peer == 0:
                self.tell_cluster(CommandKind.HELLO)

    def close(self) -> None:
        """Close the sockets and the context."""
        for outbox in self._outboxes:
            outbox.close(linger_ms=100)
        self._mailbox.close()
        self._context.term()
