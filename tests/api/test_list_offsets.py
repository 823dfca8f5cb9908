"""Offsets by meaning and by time, never beyond what the asker may see; on a real log of six records."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from kbroker.api.list_offsets import ListOffsetsHandler
from kbroker.api.log_readers import LogReaders
from kbroker.clock import ManualClock
from kbroker.protocol.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopic,
)
from kbroker.protocol.record_batch import BatchBuilder
from kbroker.shared.partition_table import PartitionRow, PartitionRowState
from kbroker.storage.log import Log
from kbroker.storage.log_config import LogConfig
from kbroker.types import TopicPartition

LATEST, EARLIEST, MAX_TIMESTAMP, EARLIEST_LOCAL, LATEST_TIERED, PENDING_UPLOAD = -1, -2, -3, -4, -5, -6
TIMES = [1000, 1001, 3000, 3001, 2000, 2001]
"""Record timestamps; two records per batch, one batch per segment, the largest in the middle."""


class Served:
    """Topic `t` with one partition in epoch 3 and the handler that answers about it."""

    def __init__(self, world, directory: str) -> None:
        self.world = world
        self.topic = world.add_topic("t")
        self.log = Log.open(f"{directory}/t-0", TopicPartition("t", 0), LogConfig(), clock=ManualClock())
        self.handler = ListOffsetsHandler(world.view, LogReaders(world.partitions, [directory], 16))

    def write(self) -> None:
        for first in (0, 2, 4):
            builder = BatchBuilder()
            for number in (0, 1):
                builder.append(b"k", b"v", TIMES[first + number])
            self.log.stage(memoryview(bytearray(builder.build())), 1 + first // 2, 5000)
            self.log.write_staged()
            if first < 4:
                self.log.roll()
        self.publish()

    def publish(self, **changes) -> None:
        row = self.log.row()._replace(high_watermark=6, last_stable_offset=6, leader_epoch=3)
        self.world.partitions.publish(self.topic.partitions[0].row, row._replace(**changes))

    def ask(self, timestamp: int, version: int = 11, *, epoch: int = -1, **fields):
        most = fields.pop("max_num_offsets", 1)
        asked = ListOffsetsPartition(
            partition_index=0, timestamp=timestamp, current_leader_epoch=epoch, max_num_offsets=most
        )
        request = ListOffsetsRequest(
            **{"replica_id": -1, **fields}, topics=[ListOffsetsTopic(name="t", partitions=[asked])]
        )
        response = self.world.send(self.handler.handle_list_offsets, request, version).response(ListOffsetsResponse)
        (partition,) = response.topics[0].partitions
        return partition

    def answer(self, timestamp: int, version: int = 11, **fields) -> tuple[int, int, int, int]:
        found = self.ask(timestamp, version, **fields)
        return found.error_code, found.timestamp, found.offset, found.leader_epoch


@pytest.fixture
def served(world, tmp_path):
    served = Served(world, str(tmp_path))
    served.write()
    yield served
    served.log.close_files()


@pytest.mark.parametrize("version", range(1, 12))
def test_latest_and_earliest(served, version: int) -> None:
    epoch = version >= 4
    assert served.answer(LATEST, version) == (0, -1, 6, 3 if epoch else -1)
    assert served.answer(EARLIEST, version) == (0, -1, 0, 1 if epoch else -1)


def test_earliest_follows_the_log_start(served) -> None:
    served.publish(log_start_offset=3)
    assert served.answer(EARLIEST)[2] == 3
    assert served.answer(EARLIEST_LOCAL)[2] == 3


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        pytest.param(0, (0, 1000, 0, 1), id="before all: the first record"),
        pytest.param(1001, (0, 1001, 1, 1), id="exactly a record's, in the middle of a batch"),
        pytest.param(1002, (0, 3000, 2, 2), id="between two: the next one"),
        pytest.param(3001, (0, 3001, 3, 2), id="the largest"),
        pytest.param(3002, (0, -1, -1, -1), id="after all: nothing"),
    ],
)
def test_first_record_at_or_after_a_time(served, timestamp: int, expected) -> None:
    assert served.answer(timestamp) == expected


@pytest.mark.parametrize("version", range(7, 12))
def test_record_with_the_largest_timestamp(served, version: int) -> None:
    assert served.answer(MAX_TIMESTAMP, version) == (0, 3001, 3, 2)


def test_empty_log(world, tmp_path) -> None:
    served = Served(world, str(tmp_path))
    served.publish(high_watermark=0, last_stable_offset=0)
    assert [served.answer(when)[2] for when in (LATEST, EARLIEST, MAX_TIMESTAMP, 0)] == [0, 0, -1, -1]
    served.log.close_files()


def test_consumers_see_no_further_than_the_high_watermark(served) -> None:
    served.publish(high_watermark=3)
    assert served.answer(LATEST)[2] == 3
    assert served.answer(3000)[:3] == (0, 3000, 2)
    assert served.answer(3001)[2] == -1
    assert served.answer(MAX_TIMESTAMP)[2] == -1


def test_read_committed_stops_at_the_last_stable_offset(served) -> None:
    served.publish(last_stable_offset=2)
    assert served.answer(LATEST, isolation_level=0)[2] == 6
    assert served.answer(LATEST, isolation_level=1)[2] == 2
    assert served.answer(3000, isolation_level=1)[2] == -1


def test_replicas_see_the_whole_log(served) -> None:
    served.publish(high_watermark=3)
    assert served.answer(LATEST, replica_id=7)[2] == 6


def test_nothing_lies_in_remote_storage(served) -> None:
    assert served.answer(LATEST_TIERED) == (0, -1, -1, -1)
    assert served.answer(PENDING_UPLOAD) == (0, -1, -1, -1)


@pytest.mark.parametrize(
    ("timestamp", "version"),
    [(MAX_TIMESTAMP, 6), (EARLIEST_LOCAL, 7), (LATEST_TIERED, 8), (PENDING_UPLOAD, 10), (-7, 11)],
)
def test_meaning_that_a_version_does_not_have(served, timestamp: int, version: int) -> None:
    assert served.answer(timestamp, version) == (35, -1, -1, -1)


@pytest.mark.parametrize(("epoch", "error"), [(2, 74), (3, 0), (4, 75), (-1, 0)])
def test_client_must_know_the_leader_epoch(served, epoch: int, error: int) -> None:
    assert served.ask(LATEST, epoch=epoch).error_code == error


def test_partitions_that_cannot_be_asked(world, served) -> None:
    world.add_topic("elsewhere", leader=7)
    topics = [
        ListOffsetsTopic(name=name, partitions=[ListOffsetsPartition(partition_index=index, timestamp=LATEST)])
        for name, index in (("unknown", 0), ("t", 1), ("t", -1), ("elsewhere", 0))
    ]
    request = ListOffsetsRequest(replica_id=-1, topics=topics)
    response = world.send(served.handler.handle_list_offsets, request, 11).response(ListOffsetsResponse)
    codes = [[partition.error_code for partition in topic.partitions] for topic in response.topics]
    assert codes == [[3], [3, 3], [6]]
    request.replica_id = -2
    response = world.send(served.handler.handle_list_offsets, request, 11).response(ListOffsetsResponse)
    assert response.topics[2].partitions[0].error_code != 6, "the debugging consumer may ask any replica"


def test_partition_named_twice_is_one_row(world, served) -> None:
    """In one entry of its topic or in two."""
    world.add_topic("u")
    once = [ListOffsetsPartition(partition_index=0, timestamp=LATEST)]
    request = ListOffsetsRequest(
        replica_id=-1,
        topics=[
            ListOffsetsTopic(name="t", partitions=once * 2),
            ListOffsetsTopic(name="u", partitions=once),
            ListOffsetsTopic(name="u", partitions=once),
        ],
    )
    response = world.send(served.handler.handle_list_offsets, request, 11).response(ListOffsetsResponse)
    rows = [(topic.name, [partition.error_code for partition in topic.partitions]) for topic in response.topics]
    assert rows == [("t", [42]), ("u", [42])]


@pytest.mark.parametrize(("state", "error"), [(PartitionRowState.OFFLINE, 56), (PartitionRowState.UNKNOWN, 5)])
def test_log_that_cannot_be_read(world, served, state: int, error: int) -> None:
    world.partitions.publish(served.topic.partitions[0].row, PartitionRow(state=state))
    assert served.ask(LATEST).error_code == error


def test_replaced_topic_is_read_anew(world, served, tmp_path) -> None:
    """The row number may be the same; the topic id is not."""
    assert served.answer(EARLIEST)[2] == 0
    world.put(replace(served.topic, topic_id=b"2" * 16))
    assert served.answer(LATEST)[2] == 6


# Version 0


def test_version_0_lists_segment_starts_newest_first(served) -> None:
    def offsets(timestamp: int, most: int) -> list[int]:
        return served.ask(timestamp, 0, max_num_offsets=most).old_style_offsets

    assert offsets(LATEST, 10) == [6, 4, 2, 0]
    assert offsets(LATEST, 1) == [6]
    assert offsets(EARLIEST, 10) == [0]
    assert offsets(LATEST, 0) == []
    served.publish(high_watermark=3, log_start_offset=1)
    assert offsets(LATEST, 10) == [3, 2, 1]


def test_version_0_goes_by_when_segments_were_written(served) -> None:
    for number, base_offset in enumerate((0, 2, 4)):
        os.utime(f"{served.log.directory}/{base_offset:020d}.log", (100 * (number + 1),) * 2)
    assert served.ask(200_000, 0, max_num_offsets=10).old_style_offsets == [2, 0]
    assert served.ask(99_999, 0, max_num_offsets=10).old_style_offsets == []


@pytest.mark.parametrize("version", [0, 1])
def test_old_versions_have_no_special_times_but_two(served, version: int) -> None:
    assert served.ask(MAX_TIMESTAMP, version).error_code == 35


def test_earliest_while_retention_removes_the_first_segment(served) -> None:
    """The file may be gone before the row says so; the client is told the row's start, and no error."""
    os.remove(f"{served.log.directory}/{0:020d}.log")
    assert served.answer(EARLIEST) == (0, -1, 0, -1)
