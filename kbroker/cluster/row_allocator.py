"""Who has which row of the shared partition table; the cluster worker's book-keeping."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from kbroker.shared.partition_table import PartitionTable
from kbroker.types import Uuid


class RowAllocator:
    """
    Gives rows out and takes them back.

    table  rows claimed in it stay with their partitions: a reborn cluster worker finds what its predecessor gave out

    A row must not come back before every worker has let go of the partition: whoever still reads it by the old image
    would take another partition's state for it. Freed rows are given out last for the same reason.
    """

    __slots__ = ("_free", "_rows", "_table")

    def __init__(self, table: PartitionTable) -> None:
        self._table = table
        self._rows: dict[Uuid, dict[int, int]] = {}
        used = set()
        for row, topic_id, partition in table.claimed():
            self._rows.setdefault(topic_id, {})[partition] = row
            used.add(row)
        self._free = deque(row for row in range(table.rows) if row not in used)

    @property
    def free(self) -> int:
        """How many more partitions there is room for."""
        return len(self._free)

    @property
    def capacity(self) -> int:
        """How many partitions there is room for at all."""
        return self._table.rows

    def row_of(self, topic_id: Uuid, partition: int) -> int:
        """Return the partition's row, claiming a free one the first time. Raises IndexError when none is free."""
        rows = self._rows.setdefault(topic_id, {})
        row = rows.get(partition)
        if row is None:
            row = self._free.popleft()
            self._table.claim(row, topic_id, partition)
            rows[partition] = row
        return row

    def release(self, topic_id: Uuid) -> int:
        """Take back all rows of a topic that every worker let go of; return how many."""
        rows = self._rows.pop(topic_id, {})
        for row in rows.values():
            self._table.release(row)
            self._free.append(row)
        return len(rows)

    def topics(self) -> Iterable[Uuid]:
        """Return the ids of all topics that have rows."""
        return self._rows.keys()
