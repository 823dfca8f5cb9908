"""OffsetForLeaderEpoch (23): where a leader epoch ended, by which consumers find that their history was truncated."""

from __future__ import annotations

from kbroker.api.cluster_view import ClusterView
from kbroker.api.leadership import led_partition
from kbroker.api.log_readers import LogReaders
from kbroker.api.request import RequestContext
from kbroker.errors import KafkaError
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.offset_for_leader_epoch import (
    EpochEndOffset,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderTopicResult,
)
from kbroker.storage.leader_epoch_cache import end_offset_for, read_leader_epochs

VERSIONS = (0, 4)


class OffsetForLeaderEpochHandler:
    """Answers OffsetForLeaderEpoch."""

    def __init__(self, view: ClusterView, readers: LogReaders) -> None:
        self._view = view
        self._readers = readers

    def handle_offset_for_leader_epoch(self, context: RequestContext) -> None:
        """Answer epoch and end offset per partition; both -1 for an epoch the log knows nothing of."""
        request = context.decode(OffsetForLeaderEpochRequest)
        topics = []
        for topic in request.topics:
            results = []
            for asked in topic.partitions:
                result = EpochEndOffset(partition=asked.partition)
                try:
                    result.leader_epoch, result.end_offset = self._end_offset(
                        topic.topic, asked.partition, asked.current_leader_epoch, asked.leader_epoch
                    )
                except KafkaError as error:
                    result.error_code = error.code
                except OSError:
                    result.error_code = ErrorCode.KAFKA_STORAGE_ERROR
                results.append(result)
            topics.append(OffsetForLeaderTopicResult(topic=topic.topic, partitions=results))
        context.respond(OffsetForLeaderEpochResponse(topics=topics))

    def _end_offset(self, name: str, index: int, current_leader_epoch: int, leader_epoch: int) -> tuple[int, int]:
        topic, partition = led_partition(self._view, name, index, current_leader_epoch)
        row = self._readers.row(partition)
        reader = self._readers.reader(topic, partition, row)
        return end_offset_for(read_leader_epochs(reader.directory) or [], leader_epoch, row.log_end_offset)
