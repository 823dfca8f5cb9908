"""
Produce: check each partition's batch here, have its owner append it, answer when all owners have.

What needs only CPU (layout, magic, size, checksum, limits) is done by the network worker, of which there are several;
the owner is left with sequences, offsets and the write. A request becomes one command per owning IO worker.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kbroker.api.cluster_view import ClusterView
from kbroker.api.request import RequestContext
from kbroker.clock import Clock
from kbroker.errors import KafkaError
from kbroker.ipc.commands import MAX_APPEND_ENTRIES, AppendResult
from kbroker.ipc.request_channel import RequestChannel
from kbroker.metadata.image import MetadataImage, PartitionState, TopicState
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.produce_layout import (
    ProduceLayout,
    ProducePartition,
    ProduceResult,
    encode_one,
    encode_one_head,
    encode_produce_response,
    read_produce_layout,
)
from kbroker.protocol.record_batch import validate_batches, validate_records

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
_NONE: Final = int(ErrorCode.NONE)
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


class _Target:
    """Where a partition's records go."""

    __slots__ = ("head", "head_version", "index", "io_index", "limits", "name", "partition", "row", "topic")

    def __init__(
        self,
        name: str | bytes,
        index: int,
        topic: TopicState,
        partition: PartitionState,
        io_index: int,
        limits: ProduceLimits,
    ) -> None:
        self.name = name
        self.index = index
        self.topic = topic
        self.partition = partition
        self.row = partition.row
        self.io_index = io_index
        self.limits = limits
        # How answers to requests for this partition alone begin, in the version last asked.
        self.head_version = -1
        self.head = b""

    def answer(self, version: int, appended: AppendResult) -> bytes:
        """Return the body of the answer to a request for this partition alone."""
        if version != self.head_version:
            self.head = encode_one_head(version, self.name)
            self.head_version = version
        return encode_one(version, self.head, self.index, appended)


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

    limits  returns a topic's ProduceLimits; asked once per topic and image
    """

    def __init__(
        self, view: ClusterView, channel: RequestChannel, clock: Clock, limits: Callable[[TopicState], ProduceLimits]
    ) -> None:
        self._view = view
        self._channel = channel
        self._clock = clock
        self._limits = limits
        self._targets: dict[tuple[str | bytes, int], _Target] = {}
        self._image: MetadataImage | None = None

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
                    target = self._check(context, name, partition, acks)
                except KafkaError as error:
                    results.append(ProduceResult(partition.partition, error.code, error_message=error.message or None))
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
            target = self._check(context, name, partition, acks)
        except KafkaError as error:
            pending = _Pending(context, acks)
            result = ProduceResult(partition.partition, error.code, error_message=error.message or None)
            pending.topics.append((name, [result]))
            self._answer(pending)
            return
        block = context.block
        block.retain()
        entry = (target.row, block.position + partition.position, partition.size_bytes)
        self._channel.append(target.io_index, acks, layout.timeout_ms, [entry], _One(context, acks, target).done)

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

    def _check(self, context: RequestContext, name: str | bytes, partition: ProducePartition, acks: int) -> _Target:
        if self._image is not self._view.image:
            self._image = self._view.image
            self._targets.clear()
        key = (name, partition.partition)
        target = self._targets.get(key)
        if target is None:
            target = self._targets[key] = self._find(name, partition.partition)
        limits = target.limits
        if target.topic.internal and context.client_id != _ADMIN_CLIENT_ID:
            raise KafkaError(ErrorCode.INVALID_TOPIC_EXCEPTION, f"cannot append to internal topic {target.topic.name}")
        if acks == -1 and len(target.partition.isr) < limits.min_insync_replicas:
            raise KafkaError(
                ErrorCode.NOT_ENOUGH_REPLICAS,
                f"{len(target.partition.isr)} replicas in sync, min.insync.replicas={limits.min_insync_replicas}",
            )
        if partition.size_bytes < 0:
            raise KafkaError(ErrorCode.INVALID_RECORD, "the partition's records are null")
        records = context.buffer[partition.position : partition.position + partition.size_bytes]
        header = validate_batches(
            records,
            api_version=context.api_version,
            max_message_bytes=limits.max_message_bytes,
            max_segment_bytes=limits.segment_bytes,
            max_timestamp=None if limits.future_ms is None else self._clock.wall_ms() + limits.future_ms,
        )
        if header.is_transactional:
            raise KafkaError(ErrorCode.INVALID_TXN_STATE, "transactions are not served in this version")
        if limits.compacted or limits.past_ms is not None:
            earliest = None if limits.past_ms is None else self._clock.wall_ms() - limits.past_ms
            validate_records(
                records,
                header,
                keys_required=limits.compacted,
                earliest_timestamp=earliest,
                max_bytes=max(MAX_RECORDS_BYTES, 8 * limits.max_message_bytes),
            )
        return target

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
        return _Target(name, index, topic, partition, view.owner(topic, partition), self._limits(topic))
