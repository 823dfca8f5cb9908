"""
Brings each change of the cluster to all workers: first to those who write the logs, then to those who serve clients.

A client that is told of a topic may use it at once, so the IO workers open the logs before any network worker hears of
them; and the one who asked for the change is answered when everybody has it. Who is dead or just starting is not waited
for: it asks for the whole image when it is there (HELLO).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from kbroker.ipc.command_server import CommandServer
from kbroker.ipc.commands import CommandKind
from kbroker.ipc.event_loop import EventLoop
from kbroker.metadata.delta import MetadataDelta, full_delta
from kbroker.metadata.image import MetadataImage
from kbroker.shared.worker_table import WorkerField, WorkerState, WorkerTable

PATIENCE_MS = 5_000
"""How long a change waits for a worker that lives but does not move."""

_CHECK_INTERVAL_MS = 20


class _Publication:
    """A delta on its way."""

    __slots__ = ("deadline_ms", "delta", "done", "told_network")

    def __init__(self, delta: MetadataDelta, done: Callable[[], None], deadline_ms: int) -> None:
        self.delta = delta
        self.done = done
        self.deadline_ms = deadline_ms
        self.told_network = False


class Publisher:
    """
    Sends metadata to the workers of this broker, in order.

    image  returns the controller's present image
    """

    def __init__(
        self, loop: EventLoop, server: CommandServer, table: WorkerTable, image: Callable[[], MetadataImage]
    ) -> None:
        self._loop = loop
        self._server = server
        self._table = table
        self._image = image
        self._network = [table.network_worker(index) for index in range(table.network)]
        self._io = [table.io_worker(index) for index in range(table.io)]
        self._queue: deque[_Publication] = deque()
        self._greetings: dict[int, int] = {}
        self._check_planned = False

    def publish(self, delta: MetadataDelta, done: Callable[[], None]) -> None:
        """Send a delta to all workers; `done` is called when all that live work with it."""
        publication = _Publication(delta, done, self._loop.now_ms + PATIENCE_MS)
        self._queue.append(publication)
        self._send(self._io, delta)
        self.check()

    def when_published(self, done: Callable[[], None]) -> None:
        """Call `done` when all that live work with everything that was published so far: now, as a rule."""
        if not self._queue:
            done()
            return
        last = self._queue[-1]
        before = last.done

        def both() -> None:
            before()
            done()

        last.done = both

    def greet(self, worker: int) -> None:
        """Send the whole image to a worker that has none; a network worker gets it once the logs are open."""
        if worker in self._io:
            self._send([worker], full_delta(self._image()))
        else:
            self._greetings[worker] = self._loop.now_ms + PATIENCE_MS
        self.check()

    def check(self) -> None:
        """See how far the workers are; send on what they waited for. Called when one says APPLIED, and now and then."""
        now = self._loop.now_ms
        for worker, deadline in list(self._greetings.items()):
            if now >= deadline or self._have(self._io, self._image().version, starting_too=True):
                del self._greetings[worker]
                self._send([worker], full_delta(self._image()))
        queue = self._queue
        for publication in queue:
            if not publication.told_network:
                if now < publication.deadline_ms and not self._have(self._io, publication.delta.version):
                    break
                publication.told_network = True
                publication.deadline_ms = now + PATIENCE_MS
                self._send(self._network, publication.delta)
        while queue and queue[0].told_network:
            first = queue[0]
            if now < first.deadline_ms and not self._have(self._network, first.delta.version):
                break
            queue.popleft()
            first.done()
        if (queue or self._greetings) and not self._check_planned:
            self._check_planned = True
            self._loop.call_later(_CHECK_INTERVAL_MS, self._check_again)

    def _check_again(self) -> None:
        self._check_planned = False
        self.check()

    def _have(self, workers: list[int], version: int, *, starting_too: bool = False) -> bool:
        """Return whether every worker that is ready (or, starting_too, alive at all) has applied `version`."""
        table = self._table
        least = WorkerState.STARTING if starting_too else WorkerState.READY
        return all(
            table.get(worker, WorkerField.METADATA_VERSION) >= version
            for worker in workers
            if least <= table.get(worker, WorkerField.STATE) <= WorkerState.READY
        )

    def _send(self, workers: list[int], delta: MetadataDelta) -> None:
        data = delta.encode()
        for worker in workers:
            self._server.send(worker, CommandKind.METADATA, delta.version, data)
