"""
The receiving end of commands: what IO workers and the cluster worker have in common.

Each message says which incarnation of which worker sent it. What a dead incarnation left is dropped: its payloads may
lie in memory that its successor is about to use. When a network worker's generation has moved on, this worker writes
the new one into the arena fence, at the start of a turn, when nothing of the old generation is in hand any more.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from typing import Final

import zmq

from kbroker.ipc import doorbell
from kbroker.ipc.commands import (
    APPENDS_HEAD,
    COMPLETION_ENTRY,
    COMPLETION_HEAD,
    COMPLETION_ONE,
    MESSAGE,
    ONE_APPEND_RECORD,
    REPLY_PART_HEAD,
    RING_HEAD,
    SENDER,
    AppendResult,
    Command,
    CommandKind,
    RingKind,
    iterate_commands,
    pack_command,
)
from kbroker.ipc.endpoints import Mailbox, Outbox, endpoint
from kbroker.ipc.event_loop import EventLoop
from kbroker.ipc.placement import LeavesToClient
from kbroker.ipc.spinning import Patience, Spinning, ring_unless_looking
from kbroker.shared.layout import SharedState
from kbroker.shared.worker_table import WorkerField, WorkerKind

CommandHandler = Callable[[int, bytes, Command], None]
"""Called with (sender's table number, message, command)."""
AppendOne = Callable[[int, int, int, int, int], None]
"""Called with (sender's table number, command id, partition row, arena position, bytes)."""

_CHECK_INTERVAL_MS: Final = 1_000
"""A second look: the supervisor rings whenever it has forked."""
_RING_RETRY_MS: Final = 1
_FORKS: Final = int(WorkerField.FORKS)
_GENERATION: Final = int(WorkerField.GENERATION)
_unpack_one_append: Final = ONE_APPEND_RECORD.unpack_from
_ONE_APPEND_BYTES: Final = ONE_APPEND_RECORD.size
_APPENDED_HEAD: Final = RING_HEAD.pack(RingKind.APPENDED)
_pack_completion_of_one: Final = COMPLETION_ONE.pack
_COMPLETION_OF_ONE_BYTES: Final = COMPLETION_ONE.size


class CommandServer:
    """
    Receives commands for one worker and hands each to the handler of its kind.

    worker        this worker's table number
    handlers      by CommandKind
    before_fence  finishes what still reads from an arena
    """

    def __init__(
        self,
        loop: EventLoop,
        shared: SharedState,
        worker: int,
        handlers: Mapping[int, CommandHandler],
        before_fence: Callable[[], None],
    ) -> None:
        table = shared.workers
        self._loop = loop
        self._shared = shared
        self._table = table
        self._worker = worker
        self._handlers = handlers
        self._before_fence = before_fence
        self.append_one: AppendOne | None = None
        """Carries out an APPEND of one entry, the short way; None: the handler of APPEND does."""
        generation = table.get(worker, WorkerField.GENERATION)
        self._header = SENDER.pack(MESSAGE, worker, generation)
        self._context = zmq.Context()
        self._outboxes = [Outbox(self._context, shared, peer) for peer in range(table.count)]
        self._staged: dict[int, list[bytes]] = {}
        self._mailbox = Mailbox(self._context, endpoint(shared, worker, generation), self._deliver)
        self._greeted = 0
        self._generation = generation
        self._forks = -1
        io_index = worker - table.io_worker(0)
        self._append_rings = shared.commands[io_index] if io_index >= 0 else []
        # Whether the last append was all that its sender had under way.
        self._one_under_way = False
        self._sender = 0
        self._leaves_to_client = LeavesToClient(table)
        # For the next append of a client that sends one after the other: an answer's way there and back.
        self._patience = Patience()
        self._spinning = Spinning(table, worker, self._append_rings, loop.peek)
        if self._append_rings:
            loop.before_sleep = self._await_append
        doorbell.listen(loop, shared.doorbells[worker], self._rung)
        self._mailbox.watch(loop)
        loop.at_turn_end(self.flush)
        loop.every(_CHECK_INTERVAL_MS, self.check_peers)
        self.check_peers()

    def _rung(self) -> None:
        if self._table.get(0, _FORKS) != self._forks:
            self.check_peers()
        self._take_appends()

    def _take_appends(self) -> None:
        self._one_under_way = False
        append_one = self.append_one
        for ring in self._append_rings:
            for record in ring.take():
                if append_one is not None and len(record) == _ONE_APPEND_BYTES and self._take_one(record, append_one):
                    continue
                generation, one_under_way = APPENDS_HEAD.unpack_from(record, 0)
                # What was meant for this worker's predecessor has been given up by its sender.
                if generation == self._generation:
                    self._patience.end()
                    self._one_under_way = one_under_way == 1
                    self._deliver(record[APPENDS_HEAD.size :])

    def _take_one(self, record: bytes, append_one: AppendOne) -> bool:
        """Carry out the only APPEND of a record; return whether it was nothing out of the ordinary."""
        generation, one_under_way, magic, sender, sender_generation, entries, command_id, row, start, size = (
            _unpack_one_append(record, 0)
        )
        if (
            entries != 1
            or magic != MESSAGE
            or generation != self._generation
            or self._table.get(sender, _GENERATION) != sender_generation
            or self._outboxes[sender].generation != sender_generation
        ):
            return False
        self._patience.end()
        self._one_under_way = one_under_way == 1
        self._sender = sender
        append_one(sender, command_id, row, start, size)
        return True

    def _await_append(self) -> bool:
        """Look for the append that follows the answer just given; return whether it, or something else, came."""
        window_ns = 0
        if self._one_under_way:
            # Once per answer.
            self._one_under_way = False
            self._patience.begin()
            window_ns = self._patience.window_ns()
            if window_ns:
                self._leaves_to_client.answered(self._sender)
        if not self._spinning.look(window_ns):
            return False
        self._take_appends()
        return True

    def _deliver(self, message: bytes) -> None:
        magic, sender, generation = SENDER.unpack_from(message, 0)
        self._sender = sender
        if magic != MESSAGE or self._table.get(sender, _GENERATION) != generation:
            return
        outbox = self._outboxes[sender]
        if outbox.generation != generation:
            # Born anew, and quicker than the doorbell: what it is sent now must not go to its predecessor.
            self._follow(outbox)
        handlers = self._handlers
        for command in iterate_commands(message):
            handlers[command.kind](sender, message, command)

    def move_fences(self) -> None:
        """
        Tell network workers born anew that nothing of their predecessors is in hand any more.

        Appends of this turn may have been staged from an old arena already: they are finished first.
        """
        table = self._table
        for index in range(table.network):
            generation = table.get(table.network_worker(index), WorkerField.GENERATION)
            if table.fence(self._worker, index) != generation:
                self._before_fence()
                table.set_fence(self._worker, index, generation)
                doorbell.ring(self._shared.doorbells[table.network_worker(index)])

    def send(self, peer: int, kind: CommandKind, command_id: int, body: bytes) -> None:
        """Send a command to another worker at the end of this turn."""
        self._staged.setdefault(peer, []).append(pack_command(kind, command_id, body))

    def flush(self) -> None:
        """Send what this turn produced, one message per peer."""
        if self._staged:
            for peer, commands in self._staged.items():
                self._outboxes[peer].send(self._header + b"".join(commands))
            self._staged.clear()

    def _follow(self, outbox: Outbox) -> None:
        if outbox.check():
            self._staged.pop(outbox.worker, None)

    def check_peers(self) -> None:
        """Follow peers to their new incarnations; greet a new cluster worker."""
        # Remembered before the generations are looked at: a fork after this line is seen the next time.
        self._forks = self._table.get(0, _FORKS)
        self.move_fences()
        for outbox in self._outboxes:
            outbox.flush()
            self._follow(outbox)
        if self._table.kind(self._worker) != WorkerKind.CLUSTER:
            generation = self._table.get(0, WorkerField.GENERATION)
            if generation != self._greeted:
                self._greeted = generation
                self.send(0, CommandKind.HELLO, 0, b"")

    def close(self) -> None:
        """Close the sockets and the context."""
        for outbox in self._outboxes:
            outbox.close(linger_ms=100)
        self._mailbox.close()
        self._context.term()


class Completions:
    """
    The IO worker's way back to the network workers: collects a turn's completions, writes each ring once, rings once.

    io_index  which IO worker this is
    """

    def __init__(self, loop: EventLoop, shared: SharedState, io_index: int) -> None:
        self._loop = loop
        self._shared = shared
        self._table = shared.workers
        self._rings = shared.rings[io_index]
        count = shared.workers.network
        self._appended: list[list[bytes]] = [[] for _ in range(count)]
        self._advanced: list[list[int]] = [[] for _ in range(count)]
        self._overflow: list[list[bytes]] = [[] for _ in range(count)]
        self._records: list[list[bytes]] = [[] for _ in range(count)]
        self._retry_planned = False

    def appended_one(self, sender: int, command_id: int, result: AppendResult) -> None:
        """Answer an APPEND of one partition."""
        code, base_offset, append_time_ms, log_start = result
        self._appended[sender - 1].append(
            _pack_completion_of_one(command_id, 1, code, base_offset, append_time_ms, log_start)
        )

    def appended(self, sender: int, command_id: int, results: list[AppendResult]) -> None:
        """Answer an APPEND with one result per entry."""
        parts = [COMPLETION_HEAD.pack(command_id, len(results))]
        parts.extend([COMPLETION_ENTRY.pack(*result) for result in results])
        self._appended[sender - 1].append(b"".join(parts))

    def advanced(self, row: int) -> None:
        """Tell the network workers that wait for `row` that its high watermark moved."""
        for index, interest in enumerate(self._shared.interest):
            if interest[row]:
                self._advanced[index].append(row)

    def reply(self, sender: int, command_id: int, body: bytes) -> None:
        """Answer a REQUEST or CALL."""
        step = self._rings[sender - 1].max_record_bytes - REPLY_PART_HEAD.size
        view = memoryview(body)
        position = 0
        records = self._records[sender - 1]
        while True:
            more = position + step < len(body)
            records.append(
                REPLY_PART_HEAD.pack(RingKind.REPLY_PART, more, command_id) + view[position : position + step]
            )
            position += step
            if not more:
                return

    def flush(self) -> None:
        """Write what this turn produced into the rings and wake who waits for it."""
        for index in range(len(self._rings)):
            records = self._records[index]
            appended = self._appended[index]
            if appended:
                self._pack_appended(appended, records, self._rings[index].max_record_bytes)
                appended.clear()
            advanced = self._advanced[index]
            if advanced:
                # Each row once: a record has room for every row there is, not for every append of a turn.
                records.append(RING_HEAD.pack(RingKind.ADVANCED) + array("i", dict.fromkeys(advanced)).tobytes())
                advanced.clear()
            if records or self._overflow[index]:
                self._write(index, records)
                records.clear()

    @staticmethod
    def _pack_appended(appended: list[bytes], records: list[bytes], limit: int) -> None:
        head = _APPENDED_HEAD
        if len(appended) == 1 and len(appended[0]) == _COMPLETION_OF_ONE_BYTES:
            records.append(head + appended[0])
            return
        size = sum(map(len, appended)) + len(head)
        if size <= limit:
            records.append(head + b"".join(appended))
            return
        part: list[bytes] = [head]
        size = len(head)
        for completion in appended:
            if size + len(completion) > limit:
                records.append(b"".join(part))
                part = [head]
                size = len(head)
            part.append(completion)
            size += len(completion)
        records.append(b"".join(part))

    def _write(self, index: int, records: list[bytes]) -> None:
        overflow = self._overflow[index]
        overflow.extend(records)
        ring = self._rings[index]
        written = 0
        while written < len(overflow) and ring.put(overflow[written]):
            written += 1
        del overflow[:written]
        if overflow and not self._retry_planned:
            # The network worker is slower than this one just now; its ring has room again when it has caught up.
            self._retry_planned = True
            self._loop.call_later(_RING_RETRY_MS, self._retry)
        worker = self._table.network_worker(index)
        ring_unless_looking(self._table, worker, self._shared.doorbells[worker])

    def _retry(self) -> None:
        self._retry_planned = False
