"""Rows are given out with an identity, published by their owner, and found again by a cluster worker born anew."""

import pytest

from kbroker.shared.partition_table import PartitionRow, PartitionRowState, PartitionTable, region_size

TOPIC = bytes(range(16))
OTHER = bytes(range(16, 32))


@pytest.fixture
def memory() -> memoryview:
    return memoryview(bytearray(region_size(8)))


def test_a_new_row_is_unknown_until_its_owner_publishes(memory: memoryview) -> None:
    table = PartitionTable(memory, 8)
    table.claim(3, TOPIC, 7)
    assert table.read(3) == PartitionRow()
    assert table.read(3).state == PartitionRowState.UNKNOWN


def test_publishing_one_row_leaves_its_neighbours_alone(memory: memoryview) -> None:
    table = PartitionTable(memory, 8)
    rows = [PartitionRow(*range(n * 100, n * 100 + len(PartitionRow._fields))) for n in range(8)]
    for number, row in enumerate(rows):
        table.publish(number, row)
    assert [table.read(number) for number in range(8)] == rows


def test_claims_are_found_again_by_another_table_over_the_same_memory(memory: memoryview) -> None:
    table = PartitionTable(memory, 8)
    table.claim(0, TOPIC, 0)
    table.claim(5, OTHER, 2)
    table.publish(5, PartitionRow(state=1, log_end_offset=9))
    again = PartitionTable(memory, 8)
    assert list(again.claimed()) == [(0, TOPIC, 0), (5, OTHER, 2)]
    assert again.read(5).log_end_offset == 9


def test_a_released_row_is_free_and_starts_unknown_when_claimed_again(memory: memoryview) -> None:
    """What a deleted partition had published must not be taken for its successor's."""
    table = PartitionTable(memory, 8)
    table.claim(1, TOPIC, 0)
    table.publish(1, PartitionRow(state=1, high_watermark=100, log_end_offset=100))
    table.release(1)
    assert list(table.claimed()) == []
    table.claim(1, OTHER, 4)
    assert table.read(1) == PartitionRow()
    assert list(table.claimed()) == [(1, OTHER, 4)]
