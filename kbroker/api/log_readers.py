"""The read sides of the partitions a network worker serves: found by topic and partition, opened when first needed."""

from __future__ import annotations

import os
from collections.abc import Sequence

from kbroker.errors import KafkaError
from kbroker.metadata.image import MetadataImage, PartitionState, TopicState
from kbroker.protocol.error_codes import ErrorCode
from kbroker.shared.partition_table import PartitionRow, PartitionRowState, PartitionTable
from kbroker.storage.log_reader import FileCache, LogReader


class LogReaders:
    """
    Hands out LogReaders and rows.

    log_dirs   the broker's log.dirs, in the order that rows count them
    max_files  descriptors kept open for reading
    """

    def __init__(self, table: PartitionTable, log_dirs: Sequence[str], max_files: int) -> None:
        self._table = table
        self._log_dirs = log_dirs
        self._files = FileCache(max_files)
        self._readers: dict[int, tuple[bytes, LogReader]] = {}

    def row(self, partition: PartitionState) -> PartitionRow:
        """
        Return what the partition's owner last published.

        Raises KafkaError: KAFKA_STORAGE_ERROR when its log directory failed, LEADER_NOT_AVAILABLE before it was opened.
        """
        row = self._table.read(partition.row)
        if row.state != PartitionRowState.ONLINE:
            if row.state == PartitionRowState.OFFLINE:
                raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR)
            raise KafkaError(ErrorCode.LEADER_NOT_AVAILABLE)
        return row

    def reader(self, topic: TopicState, partition: PartitionState, row: PartitionRow) -> LogReader:
        """Return the partition's reader; `row` tells which log directory it lies in."""
        found = self._readers.get(partition.row)
        # A row number is used again after its partition was deleted.
        if found is not None and found[0] == topic.topic_id:
            return found[1]
        directory = os.path.join(self._log_dirs[row.log_dir_index], f"{topic.name}-{partition.partition}")
        reader = LogReader(directory, self._files)
        self._readers[partition.row] = (topic.topic_id, reader)
        return reader

    def let_go_of_changed(self) -> None:
        """Close what readers hold of logs whose files have changed: nobody may come to read them for a long time."""
        for row, (_, reader) in self._readers.items():
            reader.follow(self._table.read(row))

    def forget_deleted(self, image: MetadataImage) -> None:
        """Close the readers of topics that are gone."""
        known = image.topics_by_id
        for row, (topic_id, reader) in list(self._readers.items()):
            if topic_id not in known:
                self._files.drop(reader.directory)
                del self._readers[row]
