"""Rows of the partition table belong to one partition at a time, also across a restart of the cluster worker."""

from __future__ import annotations

import pytest

from kbroker.cluster.row_allocator import RowAllocator
from kbroker.shared.partition_table import PartitionTable, region_size

A, B = b"a" * 16, b"b" * 16


@pytest.fixture
def table():
    return PartitionTable(memoryview(bytearray(region_size(4))), 4)


def test_a_partition_keeps_its_row_across_restarts(table):
    rows = RowAllocator(table)
    given = [rows.row_of(A, 0), rows.row_of(A, 1), rows.row_of(B, 0)]
    assert given == [0, 1, 2]
    reborn = RowAllocator(table)
    assert [reborn.row_of(A, 0), reborn.row_of(A, 1), reborn.row_of(B, 0)] == given
    assert (reborn.free, reborn.capacity) == (1, 4)


def test_rows_that_came_back_are_used_last(table):
    rows = RowAllocator(table)
    rows.row_of(A, 0)
    rows.row_of(A, 1)
    assert rows.release(A) == 2
    assert rows.release(A) == 0
    assert list(table.claimed()) == []
    assert [rows.row_of(B, partition) for partition in range(4)] == [2, 3, 0, 1]
    assert rows.free == 0
    with pytest.raises(IndexError):
        rows.row_of(B, 4)
    assert RowAllocator(table).row_of(B, 3) == 1
