"""A partition stays in its log directory: wanted there, that is done; wanted elsewhere, it is refused."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from kbroker.api.alter_replica_log_dirs import AlterReplicaLogDirsHandler
from kbroker.api.log_directories import LogDirectories
from kbroker.api.log_readers import LogReaders
from kbroker.protocol.messages.alter_replica_log_dirs import (
    AlterReplicaLogDir,
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
    AlterReplicaLogDirTopic,
)
from kbroker.shared.partition_table import PartitionRow, PartitionRowState

HERE, THERE, FAILED, WENT_OFFLINE = "/data/one", "/data/two", "/data/three", "/data/four"


@pytest.fixture
def alter(world) -> Any:
    directories = [HERE, THERE, FAILED, WENT_OFFLINE]
    handler = AlterReplicaLogDirsHandler(
        world.view,
        LogReaders(world.partitions, directories, 1),
        LogDirectories(directories, {FAILED}, lambda: 1 << 3),
    )
    for name, state in (("t", PartitionRowState.ONLINE), ("offline", PartitionRowState.OFFLINE)):
        for partition in world.add_topic(name, 2).partitions:
            world.partitions.publish(partition.row, PartitionRow(state=state, log_dir_index=0))

    def send(*wanted: tuple[str, str, list[int]], version: int = 2) -> list[tuple[str, list[tuple[int, int]]]]:
        request = AlterReplicaLogDirsRequest(
            dirs=[
                AlterReplicaLogDir(path=path, topics=[AlterReplicaLogDirTopic(name=name, partitions=indexes)])
                for path, name, indexes in wanted
            ]
        )
        exchange = world.send(handler.handle_alter_replica_log_dirs, request, version)
        response = exchange.response(AlterReplicaLogDirsResponse)
        return [
            (topic.topic_name, [(one.partition_index, one.error_code) for one in topic.partitions])
            for topic in response.results
        ]

    return send


@pytest.mark.parametrize("version", range(3))
def test_a_partition_that_lies_there_already_is_done(alter, version: int) -> None:
    assert alter((HERE, "t", [0, 1]), version=version) == [("t", [(0, 0), (1, 0)])]


def test_a_move_is_refused_and_the_reason_logged(alter, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert alter((THERE, "t", [0, 1]), (HERE, "t", [1])) == [("t", [(0, 35), (1, 0)])]
    (record,) = caplog.records
    assert f"t-0 lies in {HERE}" in record.getMessage() or f"t-1 lies in {HERE}" in record.getMessage()


@pytest.mark.parametrize(
    ("path", "name", "index", "error"),
    [
        ("/nowhere", "t", 0, 57),
        (HERE + "/", "t", 0, 57),
        ("", "t", 0, 57),
        (FAILED, "t", 0, 56),
        (WENT_OFFLINE, "t", 0, 56),
        (HERE, "t", 9, 3),
        (HERE, "unknown", 0, 3),
        (HERE, "offline", 0, 56),
    ],
)
def test_what_is_impossible_is_told(alter, path: str, name: str, index: int, error: int) -> None:
    assert alter((path, name, [index])) == [(name, [(index, error)])]
