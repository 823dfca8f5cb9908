"""The offsets one group has committed, and those of transactions that are still open."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PartitionKey = tuple[str, int]
"""Topic name and partition index."""

INVALID_OFFSET = -1


class CommittedOffset(NamedTuple):
    """An offset as it was committed; timestamps in milliseconds."""

    offset: int
    leader_epoch: int
    """-1 when the client did not say."""
    metadata: str
    commit_timestamp: int
    expire_timestamp: int = -1
    """Set by clients that bring a retention of their own; -1: the broker's retention counts."""


class GroupOffsets:
    """
    Offsets by topic and partition.

    An offset committed within a transaction counts only when the transaction does. Until then it is pending, and a
    reader who wants stable offsets has to wait.
    """

    __slots__ = ("_being_written", "_committed", "_order", "_pending")

    def __init__(self) -> None:
        self._committed: dict[PartitionKey, tuple[CommittedOffset, int]] = {}
        self._pending: dict[int, dict[PartitionKey, tuple[CommittedOffset, int]]] = {}
        self._being_written: dict[PartitionKey, int] = {}
        self._order = 0

    @property
    def is_empty(self) -> bool:
        """Return whether nothing is committed, pending or being written."""
        return not self._committed and not self._pending and not self._being_written

    def begin_write(self, keys: Iterable[PartitionKey]) -> None:
        """Note that commits are on their way to the log: whoever deletes now has to delete them too."""
        counts = self._being_written
        for key in keys:
            counts[key] = counts.get(key, 0) + 1

    def end_write(self, keys: Iterable[PartitionKey]) -> None:
        """Take back begin_write once the writes are over, well or not."""
        counts = self._being_written
        for key in keys:
            counts[key] -= 1
            if not counts[key]:
                del counts[key]

    def all_keys(self) -> set[PartitionKey]:
        """Return every partition about which the log may hold a record that counts or will."""
        return {*self._committed, *self.pending_keys(), *self._being_written}

    def __len__(self) -> int:
        """Return for how many partitions an offset is committed."""
        return len(self._committed)

    def __iter__(self) -> Iterator[tuple[PartitionKey, CommittedOffset]]:
        """Yield partitions and committed offsets, in order of their first commit."""
        for key, (committed, _) in self._committed.items():
            yield key, committed

    def get(self, topic: str, partition: int) -> CommittedOffset | None:
        """Return the committed offset, None when there is none."""
        entry = self._committed.get((topic, partition))
        return None if entry is None else entry[0]

    def put(self, key: PartitionKey, committed: CommittedOffset) -> None:
        """Note a commit; a transaction begun earlier does not overwrite it when it ends."""
        self._order += 1
        self._committed[key] = (committed, self._order)

    def put_pending(self, producer_id: int, key: PartitionKey, committed: CommittedOffset) -> None:
        """Note a commit that counts when the producer's transaction commits."""
        self._order += 1
        self._pending.setdefault(producer_id, {})[key] = (committed, self._order)

    def remove(self, key: PartitionKey) -> None:
        """Forget an offset, pending ones too."""
        self._committed.pop(key, None)
        for producer_id in [producer_id for producer_id, found in self._pending.items() if key in found]:
            found = self._pending[producer_id]
            del found[key]
            if not found:
                del self._pending[producer_id]

    def complete_transaction(self, producer_id: int, *, committed: bool) -> None:
        """End a producer's transaction: its offsets count now, or are gone."""
        pending = self._pending.pop(producer_id, None)
        if pending is None or not committed:
            return
        for key, entry in pending.items():
            known = self._committed.get(key)
            if known is None or known[1] < entry[1]:
                self._committed[key] = entry

    def has_pending(self, topic: str, partition: int) -> bool:
        """Return whether an open transaction may change the partition's offset."""
        key = (topic, partition)
        return any(key in found for found in self._pending.values())

    def pending_keys(self) -> set[PartitionKey]:
        """Return all partitions with pending offsets."""
        return {key for found in self._pending.values() for key in found}
