"""
Produce: check each partition's batch here, have its owner append it, answer when all owners have.

What needs only CPU (layout, magic, size, checksum, limits) is done by the network worker, of which there are several;
the owner is left with sequences, offsets and the write. A request becomes one command per owning IO worker.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import Final

from kbroker.api.cluster_view import ClusterView
from kbroker.api.produce_refusals import Refused, explained, refused_result
from kbroker.api.request import RequestContext, Shortcut
from kbroker.clock import Clock
from kbroker.errors import KafkaError, MalformedMessage
from kbroker.ipc.commands import MAX_APPEND_ENTRIES, AppendResult
from kbroker.ipc.request_channel import RequestChannel
from kbroker.metadata.image import MetadataImage, PartitionState, TopicState
from kbroker.protocol.api_keys import ApiKey
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.produce_layout import (
    ProduceLayout,
    ProducePartition,
    ProduceResult,
    encode_one,
    encode_one_head,
    encode_produce_response,
    nothing_follows,
    read_produce_layout,
    records_length_position,
    records_size_at,
)
from kbroker.protocol.record_batch import (
    ANY_RECORD_BYTES,
    HEADER_BYTES,
    TRANSACTIONAL_FLAG,
    NotOneBatch,
    RecordRefused,
    check_batch,
    read_batch_header,
    validate_records,
)
from kbroker.shared.request_arena import Block

VERSIONS: Final = (0, 13)
OLDEST_SERVED_VERSION: Final = 3
"""Older versions carry message formats before v2; they are listed for librdkafka's sake (KAFKA-18659) and refused."""

MAX_RECORDS_BYTES: Final = 64 * 1024 * 1024
"""What a batch may decompress to where its records are looked at: a few kilobytes can claim gigabytes."""

_ADMIN_CLIENT_ID: Final = "__admin_client"
"""The client id that Kafka lets write to internal topics."""
OWNER_DIED: Final = "an IO worker died with a Produce request of it under way; the client sends it again"
"""
Why a connection is closed instead of answered.

Whether the batches were written is not known. Hanging up is what a broker that died would do, and clients send
everything anew, in order. With an error for this request alone librdkafka would send its next one first, which was made
up already, even where max.in.flight=1 promises order.
"""
_ANY_TIMESTAMP: Final = -1
_NONE: Final = int(ErrorCode.NONE)
_PRODUCE: Final = int(ApiKey.PRODUCE)
_LONGEST_BEGINNING: Final = 512
_MAX_BEGINNINGS: Final = 4_096
"""Beginnings of requests that are remembered: one for each client, topic and partition."""
_new: Final = tuple.__new__
"""Makes a named tuple without a call of Python code."""


@dataclass(frozen=True, slots=True)
class ProduceLimits:
    """
    What a topic's configuration says about appends.

    past_ms, future_ms  how far timestamps of the producer may lie in the past and in the future; None: any distance
    """

    max_message_bytes: int
    segment_bytes: int
    min_insync_replicas: int
    past_ms: int | None
    future_ms: int | None
    compacted: bool
    """Records need keys."""
    compacted_only: bool
    """Records are never deleted by age or size."""
    max_record_bytes: int = ANY_RECORD_BYTES
    """What one record of a compressed batch may decompress to."""

    @property
    def max_records_bytes(self) -> int:
        """Return what a batch may decompress to where its records are looked at."""
        return max(MAX_RECORDS_BYTES, 8 * self.max_message_bytes)


class _Target:
    """Where a partition's records go."""

    __slots__ = (
        "checks_records",
        "head",
        "head_version",
        "index",
        "io_index",
        "latest_timestamp",
        "limits",
        "max_message_bytes",
        "name",
        "partition",
        "row",
        "segment_bytes",
        "topic",
    )

    def __init__(
        self,
        name: str | bytes,
        index: int,
        topic: TopicState,
        partition: PartitionState,
        io_index: int,
        limits: ProduceLimits,
        now_ms: int,
    ) -> None:
        self.name = name
        self.index = index
        self.topic = topic
        self.partition = partition
        self.row = partition.row
        self.io_index = io_index
        self.limits = limits
        self.max_message_bytes = limits.max_message_bytes
        self.segment_bytes = limits.segment_bytes
        # Timestamps up to here were not too far in the future when this was made, so they are not now; -1: none is.
        self.latest_timestamp = _ANY_TIMESTAMP if limits.future_ms is None else now_ms + limits.future_ms
        self.checks_records = (
            limits.compacted or limits.past_ms is not None or limits.max_record_bytes < ANY_RECORD_BYTES
        )
        # How answers to requests for this partition alone begin, in the version last asked.
        self.head_version = -1
        self.head = b""

    def answer(self, version: int, appended: AppendResult) -> bytes:
        """Return the body of the answer to a request for this partition alone."""
        if version != self.head_version:
            self.head = encode_one_head(version, self.name)
            self.head_version = version
        return encode_one(version, self.head, self.index, appended)


class _Begun:
    """
    What the beginning of a Produce request for one partition says, all before its records.

    target     where they go; None: not looked up yet
    image_use  the handler's count of images when it was looked up: the image itself would be kept alive
    """

    __slots__ = ("acks", "api_version", "client_id", "image_use", "index", "name", "target", "timeout_ms")

    def __init__(self, context: RequestContext, acks: int, timeout_ms: int, name: str | bytes, index: int) -> None:
        self.api_version = context.api_version
        self.client_id = context.client_id
        self.acks = acks
        self.timeout_ms = timeout_ms
        self.name = name
        self.index = index
        self.target: _Target | None = None
        self.image_use = 0


class _KnownRequest(RequestContext):
    """A Produce request that was recognised; its records are at `position`."""

    __slots__ = ("begun", "size_bytes")

    def __init__(
        self, begun: _Begun, correlation_id: int, block: Block, position: int, size_bytes: int, end: int
    ) -> None:
        super().__init__(_PRODUCE, begun.api_version, correlation_id, begun.client_id, block, position, end)
        self.begun = begun
        self.size_bytes = size_bytes


class _ProduceShortcut(Shortcut):
    """
    Knows Produce requests for one partition by their beginnings, those of one length.

    A producer's requests for a partition are the same up to the length of their records, but for the correlation id.

    known       what the handler has learned
    head_bytes  from the api key to the length of the records
    """

    __slots__ = ("_handler", "_head_bytes", "_known", "_unpack")

    def __init__(self, handler: ProduceHandler, known: dict[tuple[bytes, bytes], _Begun], head_bytes: int) -> None:
        self._handler = handler
        self._known = known
        self._head_bytes = head_bytes
        # Api key and version, correlation id, and the rest as bytes.
        self._unpack = Struct(f">4si{head_bytes - 8}s").unpack_from

    def learn(self, buffer: memoryview, position: int, begun: _Begun) -> None:
        """Remember how the request whose header starts at `position` begins."""
        api, _, rest = self._unpack(buffer, position)
        self._known[api, rest] = begun

    def recognise(self, block: Block, position: int, end: int) -> RequestContext | None:
        """Return the request if it begins like one that was served, and holds nothing but records after that."""
        at = position + self._head_bytes
        # The shortest that could follow: the length and a batch.
        if at + HEADER_BYTES >= end:
            return None
        view = block.view
        api, correlation_id, rest = self._unpack(view, position)
        begun = self._known.get((api, rest))
        if begun is None:
            return None
        version = begun.api_version
        try:
            size, at = records_size_at(view, version, at)
        except MalformedMessage:
            return None
        if not nothing_follows(view, version, at + size, end):
            return None
        return _KnownRequest(begun, correlation_id, block, at, size, end)

    def handle(self, context: RequestContext) -> None:
        """Check and append the records of a request that was recognised."""
        assert isinstance(context, _KnownRequest)
        self._handler.handle_known(context, context.begun, context.position, context.size_bytes)


class _One:
    """A Produce request for one partition, as nearly all are, whose owner has not answered."""

    __slots__ = ("acks", "context", "target")

    def __init__(self, context: RequestContext, acks: int, target: _Target) -> None:
        self.context = context
        self.acks = acks
        self.target = target

    def done(self, appended: list[AppendResult] | None) -> None:
        """Answer, as the owner says."""
        context = self.context
        context.block.release()
        if appended is None:
            context.close_connection(OWNER_DIED)
            return
        result = appended[0]
        if self.acks != 0:
            context.respond_parts([self.target.answer(context.api_version, result)])
        elif result[0] == _NONE:
            context.no_response()
        else:
            context.close_connection(_failed_unacknowledged(self.target.name, self.target.index, result[0]))


class _Pending:
    """A Produce request whose owners have not all answered."""

    __slots__ = ("acks", "context", "lost", "topics", "waiting")

    def __init__(self, context: RequestContext, acks: int) -> None:
        self.context = context
        self.acks = acks
        self.topics: list[tuple[str | bytes, list[ProduceResult]]] = []
        self.waiting = 0
        # Whether an owner died before it answered.
        self.lost = False


def _failed_unacknowledged(name: str | bytes, index: int, code: int) -> str:
    return f"Produce with acks=0 to {name!r}-{index} failed: {ErrorCode(code).name}"


class ProduceHandler:
    """
    Handles Produce requests of one network worker.

    limits            returns a topic's ProduceLimits; asked once per topic and image
    log_start_offset  returns where the log of a partition row starts, -1: not known
    """

    def __init__(
        self,
        view: ClusterView,
        channel: RequestChannel,
        clock: Clock,
        limits: Callable[[TopicState], ProduceLimits],
        log_start_offset: Callable[[int], int],
    ) -> None:
        self._view = view
        self._channel = channel
        self._clock = clock
        self._limits = limits
        self._log_start_offset = log_start_offset
        self._looked_ms = clock.wall_ms()
        self._targets: dict[tuple[str | bytes, int], _Target] = {}
        self._image: MetadataImage | None = None
        # Counts the images that were used.
        self._image_use = 0
        self._known: dict[tuple[bytes, bytes], _Begun] = {}
        # By the length of the beginnings they know.
        self._shortcuts: dict[int, _ProduceShortcut] = {}

    def look_at_clock(self) -> None:
        """
        Notice that the clock was set back; to be called every second or so.

        Timestamps are held against the time when their target was found, and before one is refused for lying too far
        ahead against the time it is: the usual request asks no clock.
        """
        now_ms = self._clock.wall_ms()
        if now_ms < self._looked_ms:
            self._use_new_image()
        self._looked_ms = now_ms

    def handle(self, context: RequestContext) -> None:
        """Answer a Produce request."""
        version = context.api_version
        layout = read_produce_layout(context.buffer, version, context.position, context.end)
        acks = layout.acks
        refusal = self._refusal(version, acks, layout.transactional_id)
        if refusal is None and len(layout.topics) == 1:
            name, partitions = layout.topics[0]
            if len(partitions) == 1:
                self._handle_one(context, layout, name, partitions[0])
                return
        pending = _Pending(context, acks)
        # One command per owner: (row, arena position, bytes) and where each result belongs.
        entries: dict[int, list[tuple[int, int, int]]] = {}
        places: dict[int, list[tuple[list[ProduceResult], int]]] = {}
        arena_position = context.block.position
        for name, partitions in layout.topics:
            results: list[ProduceResult] = []
            pending.topics.append((name, results))
            for partition in partitions:
                try:
                    if refusal is not None:
                        raise refusal
                    target = self._target(context.client_id, name, partition.partition, acks)
                    self._check(context, target, partition.position, partition.size_bytes)
                except KafkaError as error:
                    results.append(refused_result(partition.partition, error))
                    continue
                io_index = target.io_index
                if io_index not in entries:
                    entries[io_index] = []
                    places[io_index] = []
                entries[io_index].append((target.row, arena_position + partition.position, partition.size_bytes))
                places[io_index].append((results, len(results)))
                results.append(ProduceResult(partition.partition, _NONE))
        if not entries:
            self._answer(pending)
            return
        context.block.retain()
        pending.waiting = len(entries)
        for io_index, owned in entries.items():
            found = places[io_index]
            if len(owned) <= MAX_APPEND_ENTRIES:
                self._append(pending, io_index, owned, found, layout.timeout_ms)
                continue
            pending.waiting += (len(owned) - 1) // MAX_APPEND_ENTRIES
            for start in range(0, len(owned), MAX_APPEND_ENTRIES):
                end = start + MAX_APPEND_ENTRIES
                self._append(pending, io_index, owned[start:end], found[start:end], layout.timeout_ms)

    def _handle_one(
        self, context: RequestContext, layout: ProduceLayout, name: str | bytes, partition: ProducePartition
    ) -> None:
        acks = layout.acks
        try:
            target = self._target(context.client_id, name, partition.partition, acks)
            self._check(context, target, partition.position, partition.size_bytes)
        except KafkaError as error:
            self._refuse_one(context, acks, name, partition.partition, error)
            return
        begun = _Begun(context, acks, layout.timeout_ms, name, partition.partition)
        context.shortcut = self._shortcut(context, begun, partition)
        self._append_one(context, begun, target, partition.position, partition.size_bytes)

    def handle_known(self, context: RequestContext, begun: _Begun, position: int, size: int) -> None:
        """Answer a request that begins like an earlier one; its records are at `position` in the block."""
        try:
            if self._image is not self._view.image:
                self._use_new_image()
            target = begun.target
            if target is None or begun.image_use != self._image_use:
                target = begun.target = self._target(begun.client_id, begun.name, begun.index, begun.acks)
                begun.image_use = self._image_use
            self._check(context, target, position, size)
        except KafkaError as error:
            self._refuse_one(context, begun.acks, begun.name, begun.index, error)
            return
        self._append_one(context, begun, target, position, size)

    def _append_one(self, context: RequestContext, begun: _Begun, target: _Target, position: int, size: int) -> None:
        block = context.block
        block.retain()
        entry = (target.row, block.position + position, size)
        acks = begun.acks
        self._channel.append(target.io_index, acks, begun.timeout_ms, [entry], _One(context, acks, target).done)

    def _refuse_one(self, context: RequestContext, acks: int, name: str | bytes, index: int, error: KafkaError) -> None:
        pending = _Pending(context, acks)
        pending.topics.append((name, [refused_result(index, error)]))
        self._answer(pending)

    def _shortcut(self, context: RequestContext, begun: _Begun, partition: ProducePartition) -> Shortcut | None:
        """Return the shortcut for requests that begin like this one, which has been checked."""
        header_position = context.header_position
        if header_position < 0 or partition.size_bytes < HEADER_BYTES:
            return None
        length_at = records_length_position(context.api_version, partition.position, partition.size_bytes)
        head_bytes = length_at - header_position
        if head_bytes > _LONGEST_BEGINNING:
            return None
        shortcut = self._shortcuts.get(head_bytes)
        if shortcut is None:
            shortcut = self._shortcuts[head_bytes] = _ProduceShortcut(self, self._known, head_bytes)
        if len(self._known) >= _MAX_BEGINNINGS:
            self._known.clear()
        shortcut.learn(context.buffer, header_position, begun)
        return shortcut

    def _append(
        self,
        pending: _Pending,
        io_index: int,
        entries: list[tuple[int, int, int]],
        places: list[tuple[list[ProduceResult], int]],
        timeout_ms: int,
    ) -> None:
        def done(appended: list[AppendResult] | None) -> None:
            if appended is None:
                pending.lost = True
            else:
                for (results, place), (code, base_offset, append_time, log_start) in zip(places, appended, strict=True):
                    results[place] = _new(
                        ProduceResult, (results[place].partition, code, base_offset, append_time, log_start, None)
                    )
            pending.waiting -= 1
            if not pending.waiting:
                pending.context.block.release()
                self._answer(pending)

        self._channel.append(io_index, pending.acks, timeout_ms, entries, done)

    def _answer(self, pending: _Pending) -> None:
        context = pending.context
        if pending.lost:
            context.close_connection(OWNER_DIED)
            return
        if pending.acks != 0:
            context.respond_parts([encode_produce_response(context.api_version, pending.topics)])
            return
        # Without acknowledgements the only way to tell the client of an error is to hang up: it refreshes its metadata.
        for name, results in pending.topics:
            for result in results:
                if result.error_code != _NONE:
                    context.close_connection(_failed_unacknowledged(name, result.partition, result.error_code))
                    return
        context.no_response()

    def _refusal(self, version: int, acks: int, transactional_id: str | None) -> KafkaError | None:
        """Return the error that the whole request meets, whatever its partitions."""
        if acks not in (-1, 0, 1):
            return KafkaError(ErrorCode.INVALID_REQUIRED_ACKS, f"acks={acks}: 0, 1 and -1 (all) are the choices")
        if version < OLDEST_SERVED_VERSION:
            return KafkaError(
                ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT,
                "message formats before v2 are not served; use Produce v3 or later",
            )
        if transactional_id is not None:
            return KafkaError(ErrorCode.INVALID_TXN_STATE, "transactions are not served in this version")
        return None

    def _use_new_image(self) -> None:
        """Forget what was looked up under another image."""
        self._image = self._view.image
        self._image_use += 1
        self._targets.clear()

    def _target(self, client_id: str | None, name: str | bytes, index: int, acks: int) -> _Target:
        """Return where a partition's records go; raises KafkaError when this client's must not."""
        if self._image is not self._view.image:
            self._use_new_image()
        key = (name, index)
        target = self._targets.get(key)
        if target is None:
            target = self._targets[key] = self._find(name, index)
        if target.topic.internal and client_id != _ADMIN_CLIENT_ID:
            raise KafkaError(ErrorCode.INVALID_TOPIC_EXCEPTION, f"cannot append to internal topic {target.topic.name}")
        least = target.limits.min_insync_replicas
        if acks == -1 and len(target.partition.isr) < least:
            raise Refused(
                ErrorCode.NOT_ENOUGH_REPLICAS,
                f"{len(target.partition.isr)} replicas in sync, min.insync.replicas={least}",
                self._log_start_offset(target.row),
            )
        return target

    def _check(self, context: RequestContext, target: _Target, position: int, size: int) -> None:
        """Check a partition's records, `size` bytes at `position`; raises KafkaError for what is wrong with them."""
        if size < 0:
            raise KafkaError(ErrorCode.INVALID_RECORD, "the partition's records are null")
        try:
            attributes = check_batch(
                context.buffer,
                position,
                size,
                context.api_version,
                target.max_message_bytes,
                target.segment_bytes,
                target.latest_timestamp,
            )
            if attributes & TRANSACTIONAL_FLAG:
                raise KafkaError(ErrorCode.INVALID_TXN_STATE, "transactions are not served in this version")
            if target.checks_records:
                self._check_records(context.buffer[position : position + size], target.limits)
        except NotOneBatch:
            raise
        except KafkaError as error:
            self._refuse(context, target, position, size, error)

    def _check_records(self, records: memoryview, limits: ProduceLimits) -> None:
        earliest = None if limits.past_ms is None else self._clock.wall_ms() - limits.past_ms
        validate_records(
            records,
            read_batch_header(records, 0),
            keys_required=limits.compacted,
            earliest_timestamp=earliest,
            max_bytes=limits.max_records_bytes,
            max_record_bytes=limits.max_record_bytes,
        )

    def _refuse(self, context: RequestContext, target: _Target, position: int, size: int, error: KafkaError) -> None:
        """
        Raise a refusal with all that is known of it.

        Returns after all when a timestamp was too far ahead only of the time when the target was found.
        """
        now_ms = self._clock.wall_ms()
        limits = target.limits
        latest = None if limits.future_ms is None else now_ms + limits.future_ms
        records = context.buffer[position : position + size]
        known = target.latest_timestamp
        if isinstance(error, RecordRefused) and latest is not None and known < latest:
            target.latest_timestamp = latest
            if known < read_batch_header(records, 0).max_timestamp <= latest:
                self._check(context, target, position, size)
                return
        raise explained(
            error,
            records,
            self._log_start_offset(target.row),
            keys_required=limits.compacted,
            earliest_timestamp=None if limits.past_ms is None else now_ms - limits.past_ms,
            latest_timestamp=latest,
        )

    def _find(self, name: str | bytes, index: int) -> _Target:
        view = self._view
        if isinstance(name, bytes):
            topic = view.topic_by_id(name)
            if topic is None:
                raise KafkaError(ErrorCode.UNKNOWN_TOPIC_ID)
        else:
            topic = view.topic(name)
            if topic is None:
                raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        if not 0 <= index < len(topic.partitions):
            raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        partition = topic.partitions[index]
        if partition.leader != view.broker_id:
            raise KafkaError(ErrorCode.NOT_LEADER_OR_FOLLOWER)
        return _Target(
            name, index, topic, partition, view.owner(topic, partition), self._limits(topic), self._clock.wall_ms()
        )
