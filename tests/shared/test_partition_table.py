"""Partition rows: what is published is what is read, whole or only its state."""

from __future__ import annotations

from kbroker.shared.partition_table import PartitionRow, PartitionRowState, PartitionTable, region_size


def test_state_alone_follows_every_publication() -> None:
    """It is read without the rest of the row; rows beside it must not show through, whichever half is current."""
    table = PartitionTable(memoryview(bytearray(region_size(3))), 3)
    for row in (0, 2):
        table.publish(row, PartitionRow(state=7, log_start_offset=7))
    for state in (*PartitionRowState, *reversed(PartitionRowState)):
        table.publish(1, PartitionRow(state=state, log_start_offset=99))
        assert table.state(1) == table.read(1).state == state
        assert table.state(0) == table.state(2) == 7
