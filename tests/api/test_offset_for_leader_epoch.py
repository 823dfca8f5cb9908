"""A consumer finds where its history parted from the log's: the end of the last epoch it knows."""

from __future__ import annotations

import pytest

from kbroker.api.log_readers import LogReaders
from kbroker.api.offset_for_leader_epoch import OffsetForLeaderEpochHandler
from kbroker.protocol.messages.offset_for_leader_epoch import (
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)
from kbroker.shared.partition_table import PartitionRow, PartitionRowState


@pytest.fixture
def ask(world, tmp_path):
    topic = world.add_topic("t")
    world.partitions.publish(
        topic.partitions[0].row, PartitionRow(state=PartitionRowState.ONLINE, log_end_offset=50, high_watermark=50)
    )
    (tmp_path / "t-0").mkdir()
    (tmp_path / "t-0" / "leader-epoch-checkpoint").write_text("0\n2\n1 10\n3 30\n")
    handler = OffsetForLeaderEpochHandler(world.view, LogReaders(world.partitions, [str(tmp_path)], 16))

    def ask_(epoch: int, version: int = 4, *, topic: str = "t", current: int = -1) -> tuple[int, int, int]:
        asked = OffsetForLeaderPartition(partition=0, leader_epoch=epoch, current_leader_epoch=current)
        request = OffsetForLeaderEpochRequest(
            replica_id=-1, topics=[OffsetForLeaderTopic(topic=topic, partitions=[asked])]
        )
        exchange = world.send(handler.handle_offset_for_leader_epoch, request, version)
        (found,) = exchange.response(OffsetForLeaderEpochResponse).topics[0].partitions
        return found.error_code, found.leader_epoch, found.end_offset

    return ask_


@pytest.mark.parametrize(
    ("epoch", "found", "end_offset"),
    [
        pytest.param(3, 3, 50, id="the current one ends at the log's end"),
        pytest.param(1, 1, 30, id="an old one ended where the next began"),
        pytest.param(2, 1, 30, id="one that wrote nothing: the one before"),
        pytest.param(4, -1, -1, id="a newer one is not known"),
        pytest.param(-1, -1, -1, id="none given"),
    ],
)
def test_end_of_an_epoch(ask, epoch: int, found: int, end_offset: int) -> None:
    assert ask(epoch) == (0, found, end_offset)


@pytest.mark.parametrize("version", range(5))
def test_every_version(ask, version: int) -> None:
    assert ask(1, version) == (0, 1 if version >= 1 else -1, 30)


def test_who_may_not_be_told(world, ask) -> None:
    world.add_topic("elsewhere", leader=7)
    assert ask(1, topic="unknown") == (3, -1, -1)
    assert ask(1, topic="elsewhere")[0] == 6
    assert ask(1, current=2)[0] == 74
    assert ask(1, current=4)[0] == 75
