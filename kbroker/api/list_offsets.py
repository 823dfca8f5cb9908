"""
ListOffsets (2): offsets by what they mean: earliest, latest, by time, of the largest timestamp.

Answered here, from the partition's row and, for times, the files. What a consumer may see bounds every answer: the high
watermark, or the last stable offset with read_committed; a replica (replica id from 0 on) sees all of the log.
"""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from kbroker.api.cluster_view import ClusterView
from kbroker.api.leadership import led_partition
from kbroker.api.log_readers import LogReaders
from kbroker.api.request import RequestContext
from kbroker.errors import KafkaError
from kbroker.metadata.image import PartitionState
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsPartitionResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopicResponse,
)
from kbroker.protocol.record_times import LOOK_NS
from kbroker.shared.partition_table import PartitionRow
from kbroker.storage.log_reader import LogReader, TimestampOffset
from kbroker.storage.paths import LOG_SUFFIX, segment_base_offsets, segment_path

VERSIONS = (0, 11)

LATEST = -1
EARLIEST = -2
MAX_TIMESTAMP = -3
EARLIEST_LOCAL = -4
LATEST_TIERED = -5
EARLIEST_PENDING_UPLOAD = -6

_SINCE = {
    LATEST: 0,
    EARLIEST: 0,
    MAX_TIMESTAMP: 7,
    EARLIEST_LOCAL: 8,
    LATEST_TIERED: 9,
    EARLIEST_PENDING_UPLOAD: 11,
}
"""The version in which each timestamp with a meaning of its own came."""

_CONSUMER = -1
_DEBUGGING_CONSUMER = -2
_READ_COMMITTED = 1
_LEADER_EPOCH_SINCE = 4

_NOTHING = TimestampOffset(-1, -1, -1)


class _Question(NamedTuple):
    """What is the same for all partitions of a request."""

    version: int
    replica_id: int
    isolation_level: int
    deadline_ns: int
    """Until when records may be looked at, for all partitions together: everybody else waits meanwhile."""


class ListOffsetsHandler:
    """
    Answers ListOffsets.

    readers  rows and logs of the partitions on this broker
    """

    def __init__(self, view: ClusterView, readers: LogReaders) -> None:
        self._view = view
        self._readers = readers

    def handle_list_offsets(self, context: RequestContext) -> None:
        """Answer one offset per partition, each partition once; INVALID_REQUEST for one that is named twice."""
        request = context.decode(ListOffsetsRequest)
        deadline_ns = time.monotonic_ns() + LOOK_NS
        question = _Question(context.api_version, request.replica_id, request.isolation_level, deadline_ns)
        wanted: dict[str, dict[int, ListOffsetsPartition | None]] = {}
        for topic in request.topics:
            partitions = wanted.setdefault(topic.name, {})
            for partition in topic.partitions:
                index = partition.partition_index
                partitions[index] = None if index in partitions else partition
        context.respond(
            ListOffsetsResponse(
                topics=[
                    ListOffsetsTopicResponse(
                        name=name,
                        partitions=[self._answer(question, name, index, asked) for index, asked in partitions.items()],
                    )
                    for name, partitions in wanted.items()
                ]
            )
        )

    def _answer(
        self, question: _Question, name: str, index: int, asked: ListOffsetsPartition | None
    ) -> ListOffsetsPartitionResponse:
        result = ListOffsetsPartitionResponse(partition_index=index)
        try:
            if asked is None:
                raise KafkaError(ErrorCode.INVALID_REQUEST)
            self._fill(result, question, name, asked)
        except KafkaError as error:
            result.error_code = error.code
        except OSError:
            result.error_code = ErrorCode.KAFKA_STORAGE_ERROR
        return result

    def _fill(
        self, result: ListOffsetsPartitionResponse, question: _Question, name: str, asked: ListOffsetsPartition
    ) -> None:
        timestamp = asked.timestamp
        if timestamp < 0 and question.version < _SINCE.get(timestamp, question.version + 1):
            raise KafkaError(ErrorCode.UNSUPPORTED_VERSION)
        topic, partition = led_partition(
            self._view,
            name,
            asked.partition_index,
            asked.current_leader_epoch,
            leader_only=question.replica_id != _DEBUGGING_CONSUMER,
        )
        row = self._readers.row(partition)
        reader = self._readers.reader(topic, partition, row)
        upper = row.log_end_offset
        if question.replica_id == _CONSUMER:
            committed = question.isolation_level == _READ_COMMITTED
            upper = row.last_stable_offset if committed else row.high_watermark
        if question.version == 0:
            result.old_style_offsets = _old_style_offsets(reader, row, timestamp, asked.max_num_offsets, upper)
            return
        if timestamp == LATEST:
            found: TimestampOffset | None = TimestampOffset(-1, upper, partition.leader_epoch)
        elif timestamp in {EARLIEST, EARLIEST_LOCAL}:
            # Only newer versions have the epoch, for which a file must be read.
            with_epoch = question.version >= _LEADER_EPOCH_SINCE
            found = self._earliest(reader, partition, row) if with_epoch else _start_of(row)
        elif timestamp in {LATEST_TIERED, EARLIEST_PENDING_UPLOAD}:
            found = None  # nothing lies in remote storage
        elif timestamp == MAX_TIMESTAMP:
            found = reader.max_timestamp(row, question.deadline_ns)
            if found is not None and found.offset >= upper:
                found = None
        else:
            found = reader.offset_for_timestamp(row, timestamp, upper, question.deadline_ns)
        result.timestamp, result.offset, result.leader_epoch = found or _NOTHING

    def _earliest(self, reader: LogReader, partition: PartitionState, row: PartitionRow) -> TimestampOffset:
        if row.log_start_offset == row.log_end_offset:
            # Whoever leads begins its epoch at the log's end: in an empty log that is its start.
            return TimestampOffset(-1, row.log_start_offset, partition.leader_epoch)
        try:
            return reader.earliest(row)
        except KafkaError:
            # Retention moved the start while we looked; where it is now counts, its epoch is not worth another look.
            return _start_of(self._readers.row(partition))


def _start_of(row: PartitionRow) -> TimestampOffset:
    return TimestampOffset(-1, row.log_start_offset, -1)


def _old_style_offsets(reader: LogReader, row: PartitionRow, timestamp: int, most: int, upper: int) -> list[int]:
    """
    Return what version 0 asks for: the starts of segments last written at or before `timestamp`, newest first.

    most   how many at most
    upper  offsets above are not shown: this one stands for them

    The end of the log counts as a segment written now, unless the last one is empty.
    """
    found: list[tuple[int, int]] = []
    if timestamp == EARLIEST:
        found = [(row.log_start_offset, 0)]
    else:
        for base_offset in segment_base_offsets(reader.directory):
            modified_ms = os.stat(segment_path(reader.directory, base_offset, LOG_SUFFIX)).st_mtime_ns // 1_000_000
            found.append((max(base_offset, row.log_start_offset), modified_ms))
        if row.active_size_bytes or not found:
            found.append((row.log_end_offset, time.time_ns() // 1_000_000))
    offsets = [offset for offset, modified_ms in found if timestamp < 0 or modified_ms <= timestamp]
    visible = sorted({min(offset, upper) for offset in offsets}, reverse=True)
    return visible[: max(most, 0)]
