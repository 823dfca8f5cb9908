"""DescribeLogDirs (35): what lies in which log directory, and how much room is left."""

from __future__ import annotations

import os

from kbroker.api.cluster_view import ClusterView
from kbroker.api.log_directories import LogDirectories
from kbroker.api.request import RequestContext
from kbroker.config.settings import readable
from kbroker.metadata.image import NO_ROW
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.describe_log_dirs import (
    DescribeLogDirsPartition,
    DescribeLogDirsRequest,
    DescribeLogDirsResponse,
    DescribeLogDirsResult,
    DescribeLogDirsTopic,
)
from kbroker.shared.partition_table import PartitionRowState, PartitionTable

VERSIONS = (0, 5)


class DescribeLogDirsHandler:
    """Answers DescribeLogDirs."""

    def __init__(self, view: ClusterView, partitions: PartitionTable, directories: LogDirectories) -> None:
        self._view = view
        self._partitions = partitions
        self._directories = directories

    def handle_describe_log_dirs(self, context: RequestContext) -> None:
        """Answer each directory with its partitions; KAFKA_STORAGE_ERROR for one that failed."""
        request = context.decode(DescribeLogDirsRequest)
        topics = self._view.image.topics
        wanted: dict[str, set[int]] = {}
        if request.topics is None:
            wanted = {name: set(range(len(topic.partitions))) for name, topic in topics.items()}
        else:
            for asked in request.topics:
                wanted.setdefault(asked.topic, set()).update(asked.partitions)
        found: list[dict[str, list[DescribeLogDirsPartition]]] = [{} for _ in self._directories.paths]
        for name, indexes in wanted.items():
            topic = topics.get(name)
            if topic is None:
                continue
            for index in sorted(indexes):
                state = topic.partitions[index] if 0 <= index < len(topic.partitions) else None
                if state is None or state.row == NO_ROW:
                    continue
                row = self._partitions.read(state.row)
                if row.state == PartitionRowState.ONLINE:
                    found[row.log_dir_index].setdefault(name, []).append(
                        DescribeLogDirsPartition(
                            partition_index=index,
                            partition_size=row.size_bytes,
                            offset_lag=max(row.high_watermark - row.log_end_offset, 0),
                        )
                    )
        failed = self._directories.failed()
        results = [
            _failed(directory) if number in failed else _described(directory, found[number])
            for number, directory in enumerate(self._directories.paths)
        ]
        context.respond(DescribeLogDirsResponse(results=results))


def _failed(directory: str) -> DescribeLogDirsResult:
    return DescribeLogDirsResult(error_code=ErrorCode.KAFKA_STORAGE_ERROR, log_dir=readable(directory))


def _described(directory: str, topics: dict[str, list[DescribeLogDirsPartition]]) -> DescribeLogDirsResult:
    try:
        disk = os.statvfs(directory)
    except OSError:
        return _failed(directory)
    return DescribeLogDirsResult(
        log_dir=readable(directory),
        topics=[DescribeLogDirsTopic(name=name, partitions=partitions) for name, partitions in topics.items()],
        total_bytes=disk.f_frsize * disk.f_blocks,
        usable_bytes=disk.f_frsize * disk.f_bavail,
    )
