"""
What a partition remembers of each idempotent producer, so that a batch sent twice is stored once.

Per producer id: its epoch and its last five batches. A batch that equals one of the five is a duplicate and is answered
with the offsets it got; any other must continue the sequence. Producers unheard of for `producer.id.expiration.ms` are
forgotten, and so are accepted again with any sequence.

Snapshot file, `<offset>.snapshot`: the state before `offset`. Big-endian:

    int16   version, 1
    uint32  CRC-32C of all that follows
    int32   number of producers, then for each:
    int64 producer id, int16 producer epoch, int32 last sequence, int64 last offset, int32 last offset - first offset,
    int64 timestamp, int32 coordinator epoch, int64 first offset of the open transaction (-1: none)

Only the last batch of each producer is in a snapshot; that is Kafka's format, and enough to continue a sequence.
"""

from __future__ import annotations

import contextlib
import os
from struct import Struct
from typing import NamedTuple

from fastcrc import crc32

from kbroker.errors import KafkaError
from kbroker.storage.paths import SNAPSHOT_SUFFIX, parse_segment_name, segment_path
from kbroker.types import Buffer

_OUT_OF_ORDER_SEQUENCE_NUMBER = 45
_INVALID_PRODUCER_EPOCH = 47
_TRANSACTION_COORDINATOR_FENCED = 52

MAX_SEQUENCE = 2**31 - 1
BATCHES_REMEMBERED = 5
SNAPSHOT_VERSION = 1
_SNAPSHOT_HEAD = Struct(">hIi")
_SNAPSHOT_ENTRY = Struct(">qhiqiqiq")
_CHECKED_FROM = 6
_crc32c = crc32.iscsi


class ProducerBatch(NamedTuple):
    """One batch a producer wrote."""

    first_sequence: int
    last_sequence: int
    last_offset: int
    offset_delta: int
    timestamp: int


class ProducerEntry(NamedTuple):
    """What is known of one producer. Replaced, never changed: undoing an append is putting the old one back."""

    epoch: int = -1
    batches: tuple[ProducerBatch, ...] = ()
    """Oldest first, at most five."""
    last_timestamp: int = -1
    coordinator_epoch: int = -1
    transaction_first_offset: int = -1


class ProducerState:
    """The producers of one log."""

    __slots__ = ("entries", "map_end_offset")

    def __init__(self) -> None:
        self.entries: dict[int, ProducerEntry] = {}
        self.map_end_offset = 0
        """The state covers all batches below this offset."""

    def find_duplicate(
        self, producer_id: int, epoch: int, first_sequence: int, offset_delta: int
    ) -> ProducerBatch | None:
        """Return the batch that this one repeats, None when it is new."""
        entry = self.entries.get(producer_id)
        if entry is not None and entry.epoch == epoch:
            last_sequence = add_sequence(first_sequence, offset_delta)
            for batch in entry.batches:
                if batch.first_sequence == first_sequence and batch.last_sequence == last_sequence:
                    return batch
        return None

    def append(
        self,
        producer_id: int,
        epoch: int,
        first_sequence: int,
        offset_delta: int,
        first_offset: int,
        timestamp: int,
        *,
        transactional: bool,
        check: bool,
    ) -> None:
        """
        Note a batch of records.

        check  hold it against the producer's epoch and sequence; False for what is replicated or replayed

        Raises KafkaError: INVALID_PRODUCER_EPOCH for an older epoch, OUT_OF_ORDER_SEQUENCE_NUMBER for a gap.
        """
        old = self.entries.get(producer_id)
        batch = ProducerBatch(
            first_sequence,
            add_sequence(first_sequence, offset_delta),
            first_offset + offset_delta,
            offset_delta,
            timestamp,
        )
        if old is None:
            transaction = first_offset if transactional else -1
            self.entries[producer_id] = ProducerEntry(epoch, (batch,), timestamp, -1, transaction)
            return
        if check:
            self._check(old, producer_id, epoch, first_sequence)
        transaction = old.transaction_first_offset
        if transactional and transaction < 0:
            transaction = first_offset
        batches = (*old.batches[1 - BATCHES_REMEMBERED :], batch) if old.epoch == epoch else (batch,)
        self.entries[producer_id] = ProducerEntry(epoch, batches, timestamp, old.coordinator_epoch, transaction)

    def _check(self, old: ProducerEntry, producer_id: int, epoch: int, first_sequence: int) -> None:
        if epoch < old.epoch:
            raise KafkaError(
                _INVALID_PRODUCER_EPOCH,
                f"epoch {epoch} of producer {producer_id} is older than the current {old.epoch}",
            )
        if epoch != old.epoch:
            if first_sequence != 0 and old.epoch >= 0:
                raise KafkaError(
                    _OUT_OF_ORDER_SEQUENCE_NUMBER,
                    f"producer {producer_id} begins epoch {epoch} with sequence {first_sequence} instead of 0",
                )
            return
        last_sequence = old.batches[-1].last_sequence if old.batches else -1
        if first_sequence != (0 if last_sequence == MAX_SEQUENCE else last_sequence + 1) and old.epoch >= 0:
            raise KafkaError(
                _OUT_OF_ORDER_SEQUENCE_NUMBER,
                f"producer {producer_id} sent sequence {first_sequence} after {last_sequence}",
            )

    def append_marker(
        self, producer_id: int, epoch: int, coordinator_epoch: int, timestamp: int, *, check: bool
    ) -> None:
        """
        Note the end of a producer's transaction.

        Raises KafkaError when `check`: INVALID_PRODUCER_EPOCH, TRANSACTION_COORDINATOR_FENCED for an older coordinator.
        """
        old = self.entries.get(producer_id, ProducerEntry())
        if check and epoch < old.epoch:
            raise KafkaError(
                _INVALID_PRODUCER_EPOCH,
                f"epoch {epoch} of producer {producer_id} is older than the current {old.epoch}",
            )
        if check and coordinator_epoch < old.coordinator_epoch:
            raise KafkaError(
                _TRANSACTION_COORDINATOR_FENCED,
                f"coordinator epoch {coordinator_epoch} is older than the current {old.coordinator_epoch}",
            )
        batches = old.batches if old.epoch == epoch else ()
        self.entries[producer_id] = ProducerEntry(epoch, batches, timestamp, coordinator_epoch, -1)

    def first_open_offset(self) -> int:
        """Return where the oldest open transaction begins, -1 when none is open."""
        return min(
            [entry.transaction_first_offset for entry in self.entries.values() if entry.transaction_first_offset >= 0],
            default=-1,
        )

    def restore(self, producer_id: int, entry: ProducerEntry | None) -> None:
        """Put back what was known of a producer before an append that failed."""
        if entry is None:
            self.entries.pop(producer_id, None)
        else:
            self.entries[producer_id] = entry

    def expire(self, now_ms: int, expiration_ms: int) -> int:
        """Forget producers without an open transaction whose last batch is `expiration_ms` old; return how many."""
        expired = [
            producer_id
            for producer_id, entry in self.entries.items()
            if entry.transaction_first_offset < 0 and now_ms - entry.last_timestamp >= expiration_ms
        ]
        for producer_id in expired:
            del self.entries[producer_id]
        return len(expired)

    def clear(self, map_end_offset: int) -> None:
        """Forget all producers; the state then covers what is below `map_end_offset`."""
        self.entries.clear()
        self.map_end_offset = map_end_offset


def add_sequence(sequence: int, increment: int) -> int:
    """Return a sequence number `increment` further; after 2^31 - 1 comes 0."""
    result = sequence + increment
    return result if result <= MAX_SEQUENCE else result - MAX_SEQUENCE - 1


def encode_snapshot(state: ProducerState) -> bytes:
    """Return the content of a snapshot file."""
    body = bytearray(_SNAPSHOT_HEAD.size)
    for producer_id, entry in state.entries.items():
        last = entry.batches[-1] if entry.batches else ProducerBatch(-1, -1, -1, 0, -1)
        body += _SNAPSHOT_ENTRY.pack(
            producer_id,
            entry.epoch,
            last.last_sequence,
            last.last_offset,
            last.offset_delta,
            entry.last_timestamp,
            entry.coordinator_epoch,
            entry.transaction_first_offset,
        )
    _SNAPSHOT_HEAD.pack_into(body, 0, SNAPSHOT_VERSION, 0, len(state.entries))
    _SNAPSHOT_HEAD.pack_into(body, 0, SNAPSHOT_VERSION, _crc32c(memoryview(body)[_CHECKED_FROM:]), len(state.entries))
    return bytes(body)


def decode_snapshot(content: Buffer) -> dict[int, ProducerEntry]:
    """Return the producers in a snapshot file. Raises ValueError for one that is cut off or damaged."""
    if len(content) < _SNAPSHOT_HEAD.size:
        raise ValueError("snapshot is cut off")
    version, crc, count = _SNAPSHOT_HEAD.unpack_from(content)
    if version != SNAPSHOT_VERSION:
        raise ValueError(f"snapshot version {version} is not known")
    if crc != _crc32c(bytes(content[_CHECKED_FROM:])):
        raise ValueError("snapshot has a wrong checksum")
    if count < 0 or len(content) < _SNAPSHOT_HEAD.size + count * _SNAPSHOT_ENTRY.size:
        raise ValueError("snapshot is cut off")
    entries: dict[int, ProducerEntry] = {}
    for number in range(count):
        producer_id, epoch, sequence, offset, delta, timestamp, coordinator_epoch, transaction = (
            _SNAPSHOT_ENTRY.unpack_from(content, _SNAPSHOT_HEAD.size + number * _SNAPSHOT_ENTRY.size)
        )
        batches: tuple[ProducerBatch, ...] = ()
        if offset >= 0:
            first = sequence - delta if sequence >= delta else sequence - delta + MAX_SEQUENCE + 1
            batches = (ProducerBatch(first, sequence, offset, delta, timestamp),)
        entries[producer_id] = ProducerEntry(epoch, batches, timestamp, coordinator_epoch, transaction)
    return entries


def snapshot_offsets(directory: str) -> list[int]:
    """Return the offsets of a partition's snapshots, ascending. Raises OSError."""
    parsed = (parse_segment_name(name) for name in os.listdir(directory) if name.endswith(SNAPSHOT_SUFFIX))
    return sorted(found[0] for found in parsed if found is not None and found[1] == SNAPSHOT_SUFFIX)


def load_newest_snapshot(directory: str, state: ProducerState, log_start_offset: int, log_end_offset: int) -> bool:
    """
    Fill `state` from the newest sound snapshot not past the log's end; unsound and later ones are removed.

    Returns whether there was one; without, the state is empty from the log's start. Raises OSError.
    """
    state.clear(log_start_offset)
    for offset in reversed(snapshot_offsets(directory)):
        path = segment_path(directory, offset, SNAPSHOT_SUFFIX)
        if offset <= log_end_offset:
            try:
                with open(path, "rb") as file:
                    entries = decode_snapshot(file.read())
            except ValueError:
                pass
            else:
                state.entries = entries
                state.map_end_offset = offset
                return True
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    return False
