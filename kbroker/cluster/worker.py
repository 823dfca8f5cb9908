"""
The cluster worker: keeps the metadata store, decides as the controller, tells all other workers.

Requests come one at a time through the mailbox; each is decided at once (a transaction of the store), published, and
answered when all workers know.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass

from kbroker.clock import SystemClock
from kbroker.cluster.adoption import plan_adoption
from kbroker.cluster.client_requests import ClusterRequests
from kbroker.cluster.config_rules import ConfigRules
from kbroker.cluster.controller import Controller, ControllerConfig, internal_topics
from kbroker.cluster.embedded import EmbeddedStore, damage_explained
from kbroker.cluster.producer_id_blocks import ProducerIdBlocks
from kbroker.cluster.publisher import PATIENCE_MS, Publisher
from kbroker.cluster.registration import BrokerRegistration, register
from kbroker.cluster.row_allocator import RowAllocator
from kbroker.cluster.store import StoreUnavailable
from kbroker.cluster.tree_reader import forget_log_levels
from kbroker.config.broker_config import BrokerConfig
from kbroker.config.live_config import LiveConfig
from kbroker.config.topic_config import describe_topic
from kbroker.errors import NoLogDirectory
from kbroker.ipc.command_server import CommandServer
from kbroker.ipc.commands import Command, CommandKind, body_of, unpack_request
from kbroker.ipc.event_loop import EventLoop
from kbroker.log_levels import LogLevels
from kbroker.logging_setup import name_client, tell_left_out
from kbroker.metadata.delta import MetadataDelta
from kbroker.metadata.image import BrokerState, Endpoint
from kbroker.shared.layout import SharedState
from kbroker.shared.worker_table import WorkerField, WorkerState
from kbroker.storage.checkpoints import read_partition_metadata
from kbroker.storage.disk_faults import directory_identity, directory_trouble
from kbroker.storage.paths import deleted_directory_name, parse_partition_directory, partition_directories
from kbroker.types import Uuid

logger = logging.getLogger(__name__)

HEARTBEAT_INTERVAL_MS = 250
_FINISH_RETRY_MS = 500
_STORE_CHECK_INTERVAL_MS = 1000
STORE_FILE = "kbroker-metadata.sqlite"


@dataclass(frozen=True, slots=True)
class ClusterWorkerSpec:
    """
    What the supervisor's side hands to the cluster worker.

    registration        who this broker is
    listeners           (name, security protocol, real port) of each bound listener
    failed_directories  log directories that could not be used at the start
    """

    config: BrokerConfig
    registration: BrokerRegistration
    listeners: Sequence[tuple[str, str, int]]
    failed_directories: frozenset[str]


_CALLS_APART = frozenset({"allocate_producer_ids"})
"""Calls whose answers have nothing to do with what is published."""


def main(shared: SharedState, spec: ClusterWorkerSpec) -> None:
    """Run the cluster worker until the broker stops; the first line after the fork."""
    ClusterWorker(shared, spec).run()


class ClusterWorker:
    """The cluster worker's parts and its life."""

    def __init__(self, shared: SharedState, spec: ClusterWorkerSpec) -> None:
        self._table = shared.workers
        self._shared = shared
        config = spec.config
        registration = spec.registration
        self._loop = EventLoop()
        clock = SystemClock()
        self._store_path = store_path(config)
        first_life = self._table.get(0, WorkerField.GENERATION) == 1
        if not first_life and not os.path.exists(self._store_path):
            # In an empty store made anew there are no topics: the IO workers would delete their logs.
            raise NoLogDirectory(f"the metadata store is gone ({self._store_path} was removed); the broker ends")
        self._store = EmbeddedStore(self._store_path, clock=clock)
        self._store_identity = directory_identity(self._store_path)
        self._store_trouble = ""
        self._rows = RowAllocator(shared.partitions)
        self._live = LiveConfig(config, registration.broker_id)
        self._levels = LogLevels()
        self._controller = Controller(
            self._store,
            controller_config(config),
            self._rows,
            broker_id=registration.broker_id,
            clock=clock,
            rules=ConfigRules(self._live),
        )
        register(self._store, registration, broker_state(config, registration, spec.listeners), clock=clock)
        with damage_explained(self._store_path):
            if first_life:
                forget_log_levels(self._store)
            self._controller.start()
        self._follow_levels()
        self._directory_count = len(config.log_dirs.directories)
        self._directories = [d for d in config.log_dirs.directories if d not in spec.failed_directories]
        if first_life:
            self._take_over_disk(self._directories)
        self._requests = ClusterRequests(
            self._controller,
            _ProducerIds(ProducerIdBlocks(self._store, broker_id=registration.broker_id)),
            lambda own: describe_topic(self._live.current.settings, self._live.current.topic_defaults, own),
        )
        self._server = CommandServer(
            self._loop,
            shared,
            0,
            {
                CommandKind.HELLO: self._hello,
                CommandKind.APPLIED: self._applied,
                CommandKind.REQUEST: self._request,
                CommandKind.CALL: self._call,
            },
            before_fence=lambda: None,
        )
        self._publisher = Publisher(self._loop, self._server, self._table, lambda: self._controller.image)
        # Topics that are deleted but for their note: the image version without them, and the generations of the IO
        # workers that were told, () when one of them was not there to be told. To begin with those of an earlier life:
        # whoever greets this one gets an image without them.
        self._unfinished: dict[Uuid, tuple[int, tuple[int, ...]]] = dict.fromkeys(
            self._controller.pending_deletions(), (self._controller.image.version, ())
        )
        self._finish_planned = False

    def run(self) -> None:
        """Serve until the supervisor says stop. Raises NoLogDirectory when the store is no longer where it was."""
        loop = self._loop
        loop.every(HEARTBEAT_INTERVAL_MS, self._beat)
        loop.every(_STORE_CHECK_INTERVAL_MS, self._look_for_store)
        self._beat()
        loop.at_turn_end(self._check_stop)
        self._table.set(0, WorkerField.STATE, WorkerState.READY)
        if self._unfinished:
            loop.call_later(PATIENCE_MS, self._finish_deletions)
        loop.run()
        if self._store_trouble:
            raise NoLogDirectory(f"the metadata store is gone ({self._store_trouble}); the broker ends")
        self._server.close()
        self._store.close()

    def _look_for_store(self) -> None:
        """End rather than tell clients of topics that are kept in a file which nobody will find again (KIP-112)."""
        trouble = directory_trouble(os.path.dirname(self._store_path))
        if trouble is None and directory_identity(self._store_path) != self._store_identity:
            trouble = OSError(errno.ENOENT, "the file was removed or replaced", self._store_path)
        if trouble is not None:
            self._store_trouble = str(trouble)
            self._loop.stop()

    def _take_over_disk(self, directories: Sequence[str]) -> None:
        """Adopt what the store does not know, before anybody else looks at the directories; remove deleted topics."""
        plan = plan_adoption(
            directories, self._controller.image.topics, self._controller.pending_deletions(), self._controller.room
        )
        for garbage in plan.garbage:
            with contextlib.suppress(OSError):
                remove_partition_directory(garbage)
        if not self._is_any_directory_away():
            self._controller.finish_deletions(self._controller.pending_deletions())
        if plan.topics:
            self._controller.adopt(plan)
        if plan.summary:
            logger.info("%s", plan.summary)
        if plan.strangers:
            logger.warning("%s", plan.strangers)

    def _beat(self) -> None:
        self._table.set(0, WorkerField.HEARTBEAT_MS, time.monotonic_ns() // 1_000_000)
        self._table.set(0, WorkerField.PARTITIONS, self._rows.capacity - self._rows.free)
        tell_left_out()

    def _check_stop(self) -> None:
        if self._table.get(0, WorkerField.STOP_STAGE):
            self._loop.stop()

    # --- commands ---------------------------------------------------------------------------------------------------

    def _hello(self, sender: int, _message: bytes, _command: Command) -> None:
        self._publisher.greet(sender)

    def _applied(self, _sender: int, _message: bytes, _command: Command) -> None:
        self._publisher.check()

    def _request(self, sender: int, message: bytes, command: Command) -> None:
        request = unpack_request(message, command)
        before = set(self._controller.image.topics_by_id)
        delta: MetadataDelta | None = None
        try:
            outcome = self._requests.handle(request.api_key, request.api_version, request.body)
            delta = outcome.delta
            self._follow_levels()
            body = outcome.response.encode(request.api_version)
        except Exception:
            # A bug of ours. Nobody else should lose the controller to it: this client is told, and what was changed is.
            named = name_client(request.client_host, request.client_port, request.client_id)
            logger.exception("Request of %s failed: API %d v%d", named, request.api_key, request.api_version)
            body = b""
        self._answer(sender, command.command_id, body, delta, before)

    def _follow_levels(self) -> None:
        self._levels.follow(self._controller.image.log_levels)

    def _call(self, sender: int, message: bytes, command: Command) -> None:
        arguments = json.loads(body_of(message, command))
        before = set(self._controller.image.topics_by_id)
        name = arguments.pop("call")
        answer, delta = self._requests.call(name, arguments)
        body = json.dumps(answer).encode()
        if name in _CALLS_APART:
            self._server.send(sender, CommandKind.REPLY, command.command_id, body)
        else:
            self._answer(sender, command.command_id, body, delta, before)

    def _answer(
        self, sender: int, command_id: int, body: bytes, delta: MetadataDelta | None, before: set[Uuid]
    ) -> None:
        """
        Publish what changed; answer when everybody has it.

        Also when nothing did: "that topic exists" is no answer to somebody who cannot see it yet.
        """
        if delta is None:
            self._publisher.when_published(lambda: self._server.send(sender, CommandKind.REPLY, command_id, body))
            return
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("Metadata version %d: %s", delta.version, _in_words(delta))
        deleted = [topic_id for topic_id in before if topic_id not in self._controller.image.topics_by_id]

        told = self._serving_io_generations()

        def known_to_all() -> None:
            self._server.send(sender, CommandKind.REPLY, command_id, body)
            if deleted:
                self._unfinished.update(dict.fromkeys(deleted, (delta.version, told)))
                self._finish_deletions()

        self._publisher.publish(delta, known_to_all)

    def _serving_io_generations(self) -> tuple[int, ...]:
        """Return the generations of the IO workers; () when one of them is not ready."""
        table = self._table
        workers = [table.io_worker(index) for index in range(table.io)]
        if any(table.get(worker, WorkerField.STATE) != WorkerState.READY for worker in workers):
            return ()
        return tuple(table.get(worker, WorkerField.GENERATION) for worker in workers)

    def _finish_deletions(self) -> None:
        """
        Drop the notes of deleted topics that no IO worker holds any more; come back later for the others.

        An IO worker that died before it was told of a deletion does not open the logs when it is born anew, but leaves
        their directories: without the note, the next start of the broker would take them for a topic to adopt. So would
        one that finds a log directory again that is offline now: till then all notes are kept.
        """
        if self._is_any_directory_away():
            return
        table = self._table
        serving = self._serving_io_generations()
        applied = min(table.get(table.io_worker(index), WorkerField.METADATA_VERSION) for index in range(table.io))
        done = [topic_id for topic_id, (version, _) in self._unfinished.items() if serving and applied >= version]
        try:
            self._remove_left_behind([topic_id for topic_id in done if self._unfinished[topic_id][1] != serving])
            self._controller.finish_deletions(done)
        except (StoreUnavailable, OSError) as error:
            logger.warning("The notes of deleted topics stay until the next start: %s", error)
        for topic_id in done:
            del self._unfinished[topic_id]
        if self._unfinished and not self._finish_planned:
            self._finish_planned = True
            self._loop.call_later(_FINISH_RETRY_MS, self._finish_again)

    def _is_any_directory_away(self) -> bool:
        """Return whether a log directory could not be used at the start, or has failed since."""
        return len(self._directories) < self._directory_count or self._table.offline_directories() != 0

    def _finish_again(self) -> None:
        self._finish_planned = False
        self._finish_deletions()

    def _remove_left_behind(self, topic_ids: Sequence[Uuid]) -> None:
        """Remove directories of deleted topics that a dead IO worker left. Raises OSError, StoreUnavailable."""
        if not topic_ids:
            return
        names = {name for topic_id, name in self._controller.pending_deletions().items() if topic_id in topic_ids}
        for log_dir in self._directories:
            for key, directory in partition_directories(log_dir).items():
                if key.topic in names and not os.path.islink(directory) and _names_one_of(directory, topic_ids):
                    logger.info("%s: its topic was deleted; removed", directory)
                    remove_partition_directory(directory)


def _names_one_of(directory: str, topic_ids: Sequence[Uuid]) -> bool:
    try:
        return read_partition_metadata(directory) in topic_ids
    except OSError:
        return False


def remove_partition_directory(directory: str) -> None:
    """
    Remove the directory of a deleted topic's partition. Raises OSError.

    It is renamed first, as IO workers do: what is left of a removal that is cut short has lost the file that tells the
    topic id, and the next start would take it for a topic to adopt.
    """
    log_dir, name = os.path.split(directory)
    topic_partition = parse_partition_directory(name)
    assert topic_partition is not None, directory
    renamed = os.path.join(log_dir, deleted_directory_name(topic_partition))
    os.rename(directory, renamed)
    shutil.rmtree(renamed)


def _in_words(delta: MetadataDelta) -> str:
    """Return what changed, for the log."""
    changed = sorted({topic.name for topic in delta.topics} | set(delta.partitions))
    parts = [
        f"{', '.join(names)} {what}"
        for names, what in ((changed, "made or changed"), (delta.removed_topics, "deleted"))
        if names
    ]
    return "; ".join(parts) or "configurations or brokers"


class _ProducerIds:
    """Blocks of producer ids as requests want them: the first, and how many."""

    def __init__(self, blocks: ProducerIdBlocks) -> None:
        self._blocks = blocks

    def allocate(self) -> tuple[int, int]:
        block = self._blocks.allocate()
        return block.first, block.last - block.first + 1


def store_path(config: BrokerConfig) -> str:
    """Return where the embedded store lies."""
    return os.path.join(config.metadata.directory, STORE_FILE)


def controller_config(config: BrokerConfig) -> ControllerConfig:
    """Return what the broker's configuration tells the controller."""
    topics = config.topics
    groups = config.groups
    return ControllerConfig(
        num_partitions=topics.num_partitions,
        default_replication_factor=topics.default_replication_factor,
        delete_topic_enable=topics.delete_topic_enable,
        internal_topics=internal_topics(
            offsets_num_partitions=_number(groups["offsets_topic_num_partitions"]),
            offsets_replication_factor=_number(groups["offsets_topic_replication_factor"]),
            offsets_segment_bytes=_number(groups["offsets_topic_segment_bytes"]),
        ),
    )


def broker_state(
    config: BrokerConfig, registration: BrokerRegistration, listeners: Sequence[tuple[str, str, int]]
) -> BrokerState:
    """Return this broker as others see it: advertised addresses, host names, or "" for "the one you dialled"."""
    host_names = {listener.name: listener.host_name for listener in config.listeners.listeners}
    advertised = {listener.name: listener for listener in config.listeners.advertised or ()}
    endpoints = []
    for name, protocol, port in listeners:
        told = advertised.get(name)
        host, told_port = (host_names.get(name, ""), port) if told is None else (told.host, told.port or port)
        endpoints.append(Endpoint(name, protocol, host, told_port))
    return BrokerState(registration.broker_id, tuple(endpoints), config.identity.rack)


def _number(value: object) -> int:
    assert isinstance(value, int), value
    return value
