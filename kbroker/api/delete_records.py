"""DeleteRecords (21): have partitions forget what lies before an offset; done by the IO workers that own them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kbroker.api.channel import CommandChannel, ExactlyOnce, Timers
from kbroker.api.cluster_view import ClusterView
from kbroker.api.leadership import led_partition
from kbroker.api.log_readers import LogReaders
from kbroker.api.request import RequestContext
from kbroker.errors import KafkaError
from kbroker.metadata.image import PartitionState, TopicState
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.delete_records import (
    DeleteRecordsPartitionResult,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
    DeleteRecordsTopicResult,
)
from kbroker.shared.worker_table import WorkerTable

VERSIONS = (0, 2)

HIGH_WATERMARK = -1
"""Stands for "all that consumers can see"."""

_NO_LOW_WATERMARK = -1


class DeleteRecordsHandler:
    """
    Answers DeleteRecords.

    may_delete  whether a topic's cleanup.policy lets records go; not so for one that is only compacted
    """

    def __init__(
        self,
        view: ClusterView,
        channel: CommandChannel,
        timers: Timers,
        *,
        workers: WorkerTable,
        readers: LogReaders,
        may_delete: Callable[[TopicState], bool],
    ) -> None:
        self._view = view
        self._channel = channel
        self._timers = timers
        self._workers = workers
        self._readers = readers
        self._may_delete = may_delete

    def handle_delete_records(self, context: RequestContext) -> None:
        """
        Answer the new start of each partition, or why it stays.

        INVALID_TOPIC_EXCEPTION for internal topics, POLICY_VIOLATION where the cleanup policy forbids it,
        OFFSET_OUT_OF_RANGE past the high watermark; NOT_LEADER_OR_FOLLOWER when the owner died, REQUEST_TIMED_OUT when
        it took longer than the client allows: upon both the client may ask again, the outcome is the same.
        """
        request = context.decode(DeleteRecordsRequest)
        topics = []
        calls: list[tuple[DeleteRecordsPartitionResult, TopicState, PartitionState, int]] = []
        for topic in request.topics:
            results = []
            for asked in topic.partitions:
                result = DeleteRecordsPartitionResult(
                    partition_index=asked.partition_index, low_watermark=_NO_LOW_WATERMARK
                )
                try:
                    calls.append((result, *self._check(topic.name, asked.partition_index, asked.offset)))
                except KafkaError as error:
                    result.error_code = error.code
                results.append(result)
            topics.append(DeleteRecordsTopicResult(name=topic.name, partitions=results))
        response = DeleteRecordsResponse(topics=topics)
        if not calls:
            context.respond(response)
            return
        waiting = {id(result): result for result, *_ in calls}

        def late() -> None:
            for result in waiting.values():
                result.error_code = ErrorCode.REQUEST_TIMED_OUT
            context.respond(response)

        once = ExactlyOnce(self._timers, max(request.timeout_ms, 0), late)

        def receiver(result: DeleteRecordsPartitionResult) -> Callable[[Any], None]:
            def done(answer: Any) -> None:
                if waiting.pop(id(result), None) is None:
                    return
                if answer is None:
                    result.error_code = ErrorCode.NOT_LEADER_OR_FOLLOWER
                else:
                    result.error_code = answer["error"]
                    result.low_watermark = answer["low_watermark"] if not answer["error"] else _NO_LOW_WATERMARK
                if not waiting and once.take():
                    context.respond(response)

            return done

        for result, found, partition, offset in calls:
            self._channel.call(
                self._workers.io_worker(self._view.owner(found, partition)),
                "delete_records",
                {"row": partition.row, "topic": found.name, "partition": partition.partition, "offset": offset},
                receiver(result),
            )

    def _check(self, name: str, index: int, offset: int) -> tuple[TopicState, PartitionState, int]:
        """Return what to ask the owner for, or raise why not."""
        topic, partition = led_partition(self._view, name, index)
        if topic.internal:
            raise KafkaError(ErrorCode.INVALID_TOPIC_EXCEPTION)
        row = self._readers.row(partition)
        if not self._may_delete(topic):
            raise KafkaError(ErrorCode.POLICY_VIOLATION)
        if offset == HIGH_WATERMARK:
            offset = row.high_watermark
        if not 0 <= offset <= row.high_watermark:
            raise KafkaError(ErrorCode.OFFSET_OUT_OF_RANGE)
        return topic, partition, offset
