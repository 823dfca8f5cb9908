"""Operators see what lies where and how much room is left; a failed directory says so and holds nothing."""

from __future__ import annotations

import pytest

from kbroker.api.describe_log_dirs import DescribeLogDirsHandler
from kbroker.api.log_directories import LogDirectories
from kbroker.protocol.messages.describe_log_dirs import (
    DescribableLogDirTopic,
    DescribeLogDirsRequest,
    DescribeLogDirsResponse,
)
from kbroker.shared.partition_table import PartitionRow, PartitionRowState


@pytest.fixture
def dirs(world, tmp_path) -> list[str]:
    paths = [str(tmp_path / name) for name in ("one", "two")]
    for path in paths:
        (tmp_path / path).mkdir()
    topic = world.add_topic("t", 3)
    for state, directory, size in zip(topic.partitions, (0, 1, 1), (100, 200, 300), strict=True):
        world.partitions.publish(
            state.row, PartitionRow(state=PartitionRowState.ONLINE, log_dir_index=directory, size_bytes=size)
        )
    return paths


def describe(world, dirs, version=5, failed=(), topics=None, offline=0):
    handler = DescribeLogDirsHandler(world.view, world.partitions, LogDirectories(dirs, failed, lambda: offline))
    request = DescribeLogDirsRequest(topics=topics)
    return world.send(handler.handle_describe_log_dirs, request, version).response(DescribeLogDirsResponse).results


def sizes(result) -> dict[str, dict[int, int]]:
    return {
        topic.name: {part.partition_index: part.partition_size for part in topic.partitions} for topic in result.topics
    }


@pytest.mark.parametrize("version", range(6))
def test_all_partitions_by_directory(world, dirs, version: int) -> None:
    one, two = describe(world, dirs, version)
    assert [one.log_dir, two.log_dir] == dirs
    assert [one.error_code, two.error_code] == [0, 0]
    assert sizes(one) == {"t": {0: 100}}
    assert sizes(two) == {"t": {1: 200, 2: 300}}
    if version >= 4:
        assert 0 < one.usable_bytes <= one.total_bytes


def test_only_the_partitions_asked_for(world, dirs) -> None:
    topics = [
        DescribableLogDirTopic(topic="t", partitions=[2, 9, 2]),
        DescribableLogDirTopic(topic="unknown", partitions=[0]),
    ]
    one, two = describe(world, dirs, topics=topics)
    assert (sizes(one), sizes(two)) == ({}, {"t": {2: 300}})


def test_failed_directories(world, dirs) -> None:
    """One failed while the broker ran, one could not be used from the start."""
    one, two, three = describe(world, [*dirs, "/bad"], failed=["/bad"], offline=0b10)
    assert [(result.log_dir, result.error_code) for result in (one, two, three)] == [
        (dirs[0], 0),
        (dirs[1], 56),
        ("/bad", 56),
    ]
    assert two.topics == []


def test_a_partition_that_is_offline_alone_takes_no_directory_with_it(world, dirs) -> None:
    row = world.view.topic("t").partitions[1].row
    world.partitions.publish(row, PartitionRow(state=PartitionRowState.OFFLINE))
    one, two = describe(world, dirs)
    assert (one.error_code, two.error_code) == (0, 0)
    assert (sizes(one), sizes(two)) == ({"t": {0: 100}}, {"t": {2: 300}})


def test_directory_that_vanished(world, dirs) -> None:
    assert describe(world, [dirs[0], dirs[1] + "/gone"])[1].error_code == 56
