"""
AlterReplicaLogDirs (34): in which log directory a partition is to lie.

That it lies where it is wanted is answered as done. A move is refused: copying a log while it is written, and changing
over, comes later. The response has no room for a reason, so the broker's log tells it.
"""

from __future__ import annotations

import logging

from kbroker.api.cluster_view import ClusterView
from kbroker.api.leadership import led_partition
from kbroker.api.log_directories import LogDirectories
from kbroker.api.log_readers import LogReaders
from kbroker.api.request import RequestContext
from kbroker.errors import KafkaError
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.alter_replica_log_dirs import (
    AlterReplicaLogDirPartitionResult,
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
    AlterReplicaLogDirTopicResult,
)

logger = logging.getLogger(__name__)

VERSIONS = (0, 2)


class AlterReplicaLogDirsHandler:
    """Answers AlterReplicaLogDirs."""

    def __init__(self, view: ClusterView, readers: LogReaders, directories: LogDirectories) -> None:
        self._view = view
        self._readers = readers
        self._directories = directories

    def handle_alter_replica_log_dirs(self, context: RequestContext) -> None:
        """
        Answer each partition, once; of one wanted in several directories the last counts.

        LOG_DIR_NOT_FOUND for a directory that is none of log.dirs, KAFKA_STORAGE_ERROR for one that failed,
        UNKNOWN_TOPIC_OR_PARTITION, and UNSUPPORTED_VERSION for a move.
        """
        request = context.decode(AlterReplicaLogDirsRequest)
        results: dict[str, dict[int, AlterReplicaLogDirPartitionResult]] = {}
        unmoved = ""
        for wanted in request.dirs:
            for topic in wanted.topics:
                for index in topic.partitions:
                    result = AlterReplicaLogDirPartitionResult(partition_index=index)
                    try:
                        self._check(wanted.path, topic.name, index)
                    except KafkaError as error:
                        result.error_code = error.code
                        unmoved = error.message or unmoved
                    results.setdefault(topic.name, {})[index] = result
        if unmoved:
            logger.warning(
                "%s asked for what comes later: %s", context.connection.client_named(context.client_id), unmoved
            )
        context.respond(
            AlterReplicaLogDirsResponse(
                results=[
                    AlterReplicaLogDirTopicResult(topic_name=name, partitions=list(partitions.values()))
                    for name, partitions in results.items()
                ]
            )
        )

    def _check(self, path: str, name: str, index: int) -> None:
        """Raise KafkaError unless the partition lies in the directory; with a message when it would have to move."""
        names = self._directories.names()
        if path not in names:
            raise KafkaError(ErrorCode.LOG_DIR_NOT_FOUND)
        if names.index(path) in self._directories.failed():
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR)
        _, partition = led_partition(self._view, name, index, leader_only=False)
        row = self._readers.row(partition)
        here = names[row.log_dir_index]
        if here != path:
            raise KafkaError(
                ErrorCode.UNSUPPORTED_VERSION,
                f"{name}-{index} lies in {here}; moving it to {path} is not served in this version of the broker",
            )
