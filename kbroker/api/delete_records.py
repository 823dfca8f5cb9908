"""DeleteRecords (21): have partitions forget what lies before an offset; done by the IO workers that own them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kbroker.api.channel import CommandChannel
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
        *,
        workers: WorkerTable,
        readers: LogReaders,
        may_delete: Callable[[TopicState], bool],
    ) -> None:
        self._view = view
        self._channel = channel
        self._workers = workers
        self._readers = readers
        self._may_delete = may_delete

    def handle_delete_records(self, context: RequestContext) -> None:
        """
        Answer the new start of each partition, each once, or why it stays; of one named twice the last wish counts.

        INVALID_TOPIC_EXCEPTION for internal topics, POLICY_VIOLATION where the cleanup policy forbids it,
        OFFSET_OUT_OF_RANGE past the high watermark; NOT_LEADER_OR_FOLLOWER when the owner died: the client may ask
        again, the outcome is the same.

        The request's time limit is for replicas elsewhere to follow. There are none: the owner answers, or dies.
        """
        request = context.decode(DeleteRecordsRequest)
        wanted: dict[str, dict[int, int]] = {}
        for topic in request.topics:
            offsets = wanted.setdefault(topic.name, {})
            offsets.update({asked.partition_index: asked.offset for asked in topic.partitions})
        topics = []
        calls: list[tuple[DeleteRecordsPartitionResult, TopicState, PartitionState, int]] = []
        for name, offsets in wanted.items():
            results = []
            for index, offset in offsets.items():
                result = DeleteRecordsPartitionResult(partition_index=index, low_watermark=_NO_LOW_WATERMARK)
                try:
                    calls.append((result, *self._check(name, index, offset)))
                except KafkaError as error:
                    result.error_code = error.code
                results.append(result)
            topics.append(DeleteRecordsTopicResult(name=name, partitions=results))
        response = DeleteRecordsResponse(topics=topics)
        if not calls:
            context.respond(response)
            return
        waiting = len(calls)

        def receiver(result: DeleteRecordsPartitionResult) -> Callable[[Any], None]:
            def done(answer: Any) -> None:
                nonlocal waiting
                if answer is None:
                    result.error_code = ErrorCode.NOT_LEADER_OR_FOLLOWER
                else:
                    result.error_code = answer["error"]
                    result.low_watermark = answer["low_watermark"] if not answer["error"] else _NO_LOW_WATERMARK
                waiting -= 1
                if not waiting:
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
