"""
The group coordinators inside an IO worker: the pure runtime, tied to the partitions of __consumer_offsets that are its
own.

A coordinator's records are appended like any produce and answered when the turn's writes are done; what a partition
holds is replayed when its log is opened.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterator, Mapping

from kbroker.config.key import Value
from kbroker.coordinator.error_responses import error_response
from kbroker.coordinator.group import ClientInfo
from kbroker.coordinator.group_config import GroupConfig
from kbroker.coordinator.offset_store import TopicNames
from kbroker.coordinator.runtime import CoordinatorRuntime
from kbroker.errors import KafkaError
from kbroker.io_workers.dispatch import AppendDispatcher, Committed
from kbroker.io_workers.partitions import OwnedPartitions, PartitionChanges
from kbroker.ipc.command_server import Completions
from kbroker.ipc.commands import Command, unpack_request
from kbroker.ipc.event_loop import EventLoop, Timer
from kbroker.logging_setup import name_client
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.registry import request_class
from kbroker.protocol.record_batch import iterate_batch_headers
from kbroker.protocol.schema import Message
from kbroker.storage.log import Log
from kbroker.storage.log_reader import LogReader, read_bytes
from kbroker.types import TopicPartition, Uuid

logger = logging.getLogger(__name__)

OFFSETS_TOPIC = "__consumer_offsets"
_LOAD_BYTES = 5 * 1024 * 1024


class GroupCoordinators:
    """The coordinators of one IO worker's partitions of __consumer_offsets."""

    def __init__(
        self,
        config: Mapping[str, Value],
        partitions: OwnedPartitions,
        dispatcher: AppendDispatcher,
        completions: Completions,
    ) -> None:
        self._partitions = partitions
        self._dispatcher = dispatcher
        self._completions = completions
        fields = {name: config[name] for name in GroupConfig.__dataclass_fields__ if name in config}
        self._runtime = CoordinatorRuntime(
            GroupConfig(**fields),  # type: ignore[arg-type]
            append=self._append,
            reply=self._reply,
            topics=TopicNames(self._topic_name, self._topic_id),
            wall_ms=lambda: time.time_ns() // 1_000_000,
        )
        self._tokens: dict[int, tuple[int, int, int]] = {}
        self._next_token = itertools.count(1)
        self._timer: Timer | None = None
        self._unread: set[TopicPartition] = set()
        """Partitions whose log could not be read just then."""

    def handle(self, sender: int, message: bytes, command: Command, now_ms: int) -> None:
        """Hand a client's request to the coordinator it is for."""
        forwarded = unpack_request(message, command)
        version = forwarded.api_version
        request, _ = request_class(forwarded.api_key).decode(forwarded.body, version)
        token = next(self._next_token)
        self._tokens[token] = (sender, command.command_id, version)
        client = ClientInfo(forwarded.client_id, forwarded.client_host)
        try:
            self._runtime.handle(token, forwarded.api_key, version, request, client, now_ms)
        except Exception:
            # A bug of ours. This client is told; the worker's partitions and everybody else's groups go on.
            named = name_client(forwarded.client_host, forwarded.client_port, forwarded.client_id)
            logger.exception("Request of %s failed: %s v%d", named, type(request).__name__, version)
            if token in self._tokens:
                self._reply(token, error_response(request, version, ErrorCode.UNKNOWN_SERVER_ERROR))

    def follow(self, changes: PartitionChanges, now_ms: int, progress: Callable[[], None]) -> None:
        """
        Load the coordinators of partitions that came, give up those that went, forget offsets of deleted topics.

        progress  called now and then: replaying a large partition takes a while
        """
        topic = self._partitions.topic(OFFSETS_TOPIC)
        if topic is not None:
            self._runtime.partition_count = len(topic.partitions)
        for name in changes.closed:
            if name.topic == OFFSETS_TOPIC:
                self._runtime.unload(name.partition)
        opened = [name for name in changes.opened if name.topic == OFFSETS_TOPIC]
        for name in opened:
            self._runtime.begin_load(name.partition)
        for name in opened:
            self._load(name, now_ms, progress)
        if changes.deleted_topics:
            self._runtime.topics_deleted(changes.deleted_topics, now_ms)

    def _load(self, name: TopicPartition, now_ms: int, progress: Callable[[], None]) -> None:
        row = self._partitions.row_of(name)
        owned = None if row is None else self._dispatcher.partitions.get(row)
        if owned is None or owned.log is None:
            self._runtime.unload(name.partition)
            return
        try:
            self._runtime.load(name.partition, _batches(owned.log, progress), now_ms)
        except KafkaError as error:
            logger.error("%s: the groups in it cannot be served: %s", name, error)
        except OSError as error:
            logger.error("%s: the groups in it cannot be served until it can be read: %s", name, error)
            self._unread.add(name)

    def load_again(self, now_ms: int, progress: Callable[[], None]) -> None:
        """Try again to read the partitions that could not be: out of descriptors, for example."""
        unread, self._unread = self._unread, set()
        for name in unread:
            self._load(name, now_ms, progress)

    def advance(self, loop: EventLoop) -> None:
        """Let happen what is due; have the loop come back when the next thing is."""
        deadline = self._runtime.next_deadline_ms()
        if deadline is not None and deadline <= loop.now_ms:
            deadline = self._runtime.tick(loop.now_ms)
        if deadline is None:
            return
        timer = self._timer
        if timer is not None and timer.callback is not None:
            if timer.deadline_ms <= deadline:
                return
            timer.cancel()
        # Waking up is all: every turn ends with this look.
        self._timer = loop.call_at(deadline, lambda: None)

    def _append(self, partition: int, batch: bytes, committed: Committed) -> None:
        row = self._partitions.row_of(TopicPartition(OFFSETS_TOPIC, partition))
        if row is None:
            raise KafkaError(ErrorCode.NOT_COORDINATOR)
        self._dispatcher.append_internal(row, batch, committed)

    def _reply(self, token: int, response: Message) -> None:
        sender, command_id, version = self._tokens[token]
        body = response.encode(version)
        del self._tokens[token]
        self._completions.reply(sender, command_id, body)

    def _topic_name(self, topic_id: Uuid) -> str | None:
        topic = self._partitions.image.topics_by_id.get(topic_id)
        return None if topic is None else topic.name

    def _topic_id(self, name: str) -> Uuid | None:
        topic = self._partitions.image.topics.get(name)
        return None if topic is None else topic.topic_id


def _batches(log: Log, progress: Callable[[], None]) -> Iterator[memoryview]:
    """Yield what a log holds, some MiB of whole batches at a time."""
    reader = LogReader(log.directory)
    row = log.row()
    offset = row.log_start_offset
    while offset < row.high_watermark:
        progress()
        piece = reader.read(row, offset, _LOAD_BYTES, row.high_watermark, at_least_one=True)
        if piece is None:
            return
        data = memoryview(read_bytes(piece))
        end = 0
        for header in iterate_batch_headers(data):
            end = header.position + header.size_bytes
            offset = header.last_offset + 1
        yield data[:end]
