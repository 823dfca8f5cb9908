"""
A network worker: the composition of one process. It wires; it decides nothing.

Start: loop, request channel, the arena fence; then the metadata image arrives from the cluster worker, and with it the
worker is ready and accepts. Stop: no more accepting, what is under way is answered, then the process ends.
"""

from __future__ import annotations

import logging
import resource
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from kbroker.api.cluster_view import ClusterView
from kbroker.api.fetch import FetchHandler
from kbroker.api.fetch_session import FetchSessionCache
from kbroker.api.handlers import HandlerParts, build_handlers
from kbroker.api.log_readers import LogReaders
from kbroker.clock import SystemClock
from kbroker.config.broker_config import BrokerConfig
from kbroker.config.live_config import LiveConfig
from kbroker.coordinator.group_partition import partition_for
from kbroker.ipc.commands import CommandKind
from kbroker.ipc.event_loop import EventLoop
from kbroker.ipc.request_channel import RequestChannel
from kbroker.log_levels import LogLevels
from kbroker.logging_setup import tell_left_out
from kbroker.metadata.delta import decode_delta
from kbroker.metadata.image import MetadataImage, MissedDelta
from kbroker.net.acceptor import Acceptor
from kbroker.net.connection_set import ConnectionSet
from kbroker.shared.layout import SharedState
from kbroker.shared.request_arena import RequestArena
from kbroker.shared.worker_table import WorkerField, WorkerState

logger = logging.getLogger(__name__)

HEARTBEAT_INTERVAL_MS = 250
_IDLE_CHECK_INTERVAL_MS = 10_000
_CHANGED_FILES_INTERVAL_MS = 5_000
_STOP_PATIENCE_MS = 5_000
_GROUP_PATIENCE_MS = 500
_OPEN_FILES = 512


@dataclass(frozen=True, slots=True)
class NetworkWorkerSpec:
    """
    What the supervisor's side hands to a network worker.

    index               which network worker, from 0
    sockets             (listener name, listening socket, whether the listener's host name leads to it), shared by all
                        network workers
    failed_directories  log directories that could not be used at the start
    """

    config: BrokerConfig
    broker_id: int
    index: int
    sockets: Sequence[tuple[str, socket.socket, bool]]
    failed_directories: Sequence[str]


def _files_kept_open() -> int:
    """Return how many files the worker may keep open for reading: most descriptors are for connections."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _OPEN_FILES if soft == resource.RLIM_INFINITY else max(8, min(_OPEN_FILES, soft // 4))


def main(shared: SharedState, spec: NetworkWorkerSpec) -> None:
    """Run a network worker until the broker stops; the first line after the fork."""
    NetworkWorker(shared, spec).run()


class NetworkWorker:
    """One network worker's parts and its life."""

    def __init__(self, shared: SharedState, spec: NetworkWorkerSpec) -> None:
        self._shared = shared
        self._table = shared.workers
        self._number = self._table.network_worker(spec.index)
        self._spec = spec
        self._loop = EventLoop()
        config = spec.config
        self._live = LiveConfig(config, spec.broker_id)
        self._levels = LogLevels()
        self._view = ClusterView(MetadataImage(), spec.broker_id, self._table.io)
        self._channel = RequestChannel(
            self._loop, shared, spec.index, self._metadata_came, self._advanced, self._client_processor
        )
        self._readers = LogReaders(shared.partitions, config.log_dirs.directories, _files_kept_open())
        self._fetch = FetchHandler(
            self._loop,
            self._view,
            self._readers,
            shared.interest[spec.index],
            FetchSessionCache(config.fetch.max_incremental_fetch_session_cache_slots),
            config.fetch.fetch_max_bytes,
        )
        shared.interest[spec.index][:] = bytes(shared.rows)
        handlers = build_handlers(
            HandlerParts(
                config=config,
                live=self._live,
                view=self._view,
                channel=self._channel,
                loop=self._loop,
                shared=shared,
                readers=self._readers,
                clock=SystemClock(),
                fetch=self._fetch,
                failed_directories=spec.failed_directories,
                partition_for=partition_for,
            )
        )
        sockets = config.sockets
        self._connections = ConnectionSet(
            self._loop,
            RequestArena(shared.arenas[spec.index], sockets.queued_max_request_bytes),
            handlers,
            self._channel,
            max_request_bytes=sockets.socket_request_max_bytes,
            max_in_flight=sockets.queued_max_requests,
            count_host=partial(shared.hosts.add, spec.index),
        )
        shared.hosts.forget(spec.index)
        self._acceptors = [
            Acceptor(
                self._loop,
                self._connections,
                name,
                sock,
                by_name=by_name,
                buffer_bytes=(sockets.socket_send_buffer_bytes, sockets.socket_receive_buffer_bytes),
                may_open=self._may_open,
            )
            for name, sock, by_name in spec.sockets
        ]
        self._ready = False
        self._stopping_since_ms: int | None = None

    def run(self) -> None:
        """Serve until the supervisor says stop."""
        loop = self._loop
        loop.every(HEARTBEAT_INTERVAL_MS, self._beat)
        if self._spec.config.sockets.connections_max_idle_ms >= 0:
            loop.every(_IDLE_CHECK_INTERVAL_MS, self._close_idle)
        loop.every(_CHANGED_FILES_INTERVAL_MS, self._readers.let_go_of_changed)
        loop.at_turn_end(self._check_turn)
        loop.run()
        self._connections.close_all()
        self._channel.close()

    def _client_processor(self) -> int:
        return self._connections.client_processor()

    def _beat(self) -> None:
        table = self._table
        table.set(self._number, WorkerField.HEARTBEAT_MS, time.monotonic_ns() // 1_000_000)
        table.set(self._number, WorkerField.CONNECTIONS, len(self._connections))
        table.set(self._number, WorkerField.REQUESTS, self._connections.requests)
        table.set(self._number, WorkerField.BYTES_IN, self._connections.bytes_in)
        tell_left_out()

    def _check_turn(self) -> None:
        """Become ready once everything is there; see whether the supervisor wants the worker to stop."""
        if not self._ready and self._view.image.version and self._arena_is_free():
            self._ready = True
            for acceptor in self._acceptors:
                acceptor.open()
            self._beat()
            self._table.set(self._number, WorkerField.STATE, WorkerState.READY)
        if self._table.get(self._number, WorkerField.STOP_STAGE):
            self._stop()

    def _arena_is_free(self) -> bool:
        """Return whether no IO worker reads any more what an earlier incarnation left in the arena."""
        table = self._table
        generation = table.get(self._number, WorkerField.GENERATION)
        return all(table.fence(table.io_worker(i), self._spec.index) == generation for i in range(table.io))

    def _stop(self) -> None:
        if self._stopping_since_ms is None:
            self._stopping_since_ms = self._loop.now_ms
            self._table.set(self._number, WorkerField.STATE, WorkerState.STOPPING)
            if self._ready:
                for acceptor in self._acceptors:
                    acceptor.close()
            self._connections.drain()
            self._fetch.complete_all()
            self._loop.every(20, lambda: None)
            # What this turn has just answered leaves in the next one.
            return
        now_ms = self._loop.now_ms
        if self._channel.appends_in_flight or self._connections.has_output:
            patience_ms = _STOP_PATIENCE_MS
        elif self._channel.in_flight:
            # A member that waits for its group may wait for minutes; everything else is a matter of milliseconds.
            patience_ms = _GROUP_PATIENCE_MS
        else:
            patience_ms = 0
        if now_ms >= self._stopping_since_ms + patience_ms:
            self._loop.stop()

    def _may_open(self, client_host: str) -> str | None:
        sockets = self._live.current.sockets
        limit = sockets.max_connections_per_ip_overrides.get(client_host, sockets.max_connections_per_ip)
        if self._shared.hosts.total("/" + client_host) >= limit:
            return f"it has {limit} connections already (max.connections.per.ip)"
        table = self._table
        others = sum(
            table.get(table.network_worker(i), WorkerField.CONNECTIONS)
            for i in range(table.network)
            if i != self._spec.index
        )
        if others + len(self._connections) >= sockets.max_connections:
            return f"there are {sockets.max_connections} connections already (max.connections)"
        # Now, and not with the next heartbeat: the others count on it.
        table.set(self._number, WorkerField.CONNECTIONS, len(self._connections) + 1)
        return None

    def _close_idle(self) -> None:
        self._connections.close_idle(self._spec.config.sockets.connections_max_idle_ms)

    def _advanced(self, rows: list[int]) -> None:
        self._fetch.advanced(rows)

    def _metadata_came(self, version: int, data: bytes) -> None:
        if version < self._view.image.version:
            # Late news of a cluster worker that died: its successor's versions are higher.
            return
        delta = decode_delta(data)
        try:
            image = self._view.image.apply(delta)
        except MissedDelta:
            self._channel.tell_cluster(CommandKind.HELLO)
            return
        if image is not self._view.image:
            # Before the image: whoever finds it takes what it says about brokers for granted.
            self._live.follow(image.broker_configs)
            self._levels.follow(image.log_levels)
            self._view.image = image
            self._readers.forget_deleted(image)
            self._fetch.image_changed()
        self._table.set(self._number, WorkerField.METADATA_VERSION, image.version)
        self._channel.tell_cluster(CommandKind.APPLIED, image.version)
