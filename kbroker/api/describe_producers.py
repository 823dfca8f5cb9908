"""DescribeProducers (61): which producers wrote to a partition lately; told by the IO worker that owns it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from kbroker.api.channel import CommandChannel
from kbroker.api.cluster_view import ClusterView
from kbroker.api.leadership import led_partition
from kbroker.api.request import RequestContext
from kbroker.api.topic_name import is_legal_topic_name
from kbroker.errors import KafkaError
from kbroker.metadata.image import PartitionState, TopicState
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.describe_producers import (
    DescribeProducersRequest,
    DescribeProducersResponse,
    PartitionResponse,
    ProducerState,
    TopicResponse,
)
from kbroker.shared.worker_table import WorkerTable

VERSIONS: Final = (0, 0)


class DescribeProducersHandler:
    """Answers DescribeProducers."""

    def __init__(self, view: ClusterView, channel: CommandChannel, workers: WorkerTable) -> None:
        self._view = view
        self._channel = channel
        self._workers = workers

    def handle_describe_producers(self, context: RequestContext) -> None:
        """
        Answer the producers of each partition.

        UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION for a name that no topic has; NOT_LEADER_OR_FOLLOWER, upon
        which clients ask again, when another broker leads it or its owner died.
        """
        request = context.decode(DescribeProducersRequest)
        response = DescribeProducersResponse()
        calls: list[tuple[PartitionResponse, TopicState, PartitionState]] = []
        for topic in request.topics:
            results = []
            for index in topic.partition_indexes:
                result = PartitionResponse(partition_index=index)
                try:
                    if not is_legal_topic_name(topic.name):
                        raise KafkaError(ErrorCode.INVALID_TOPIC_EXCEPTION)
                    calls.append((result, *led_partition(self._view, topic.name, index)))
                except KafkaError as error:
                    _refuse(result, error.code, error.message)
                results.append(result)
            response.topics.append(TopicResponse(name=topic.name, partitions=results))
        waiting = len(calls)
        if not waiting:
            context.respond(response)
            return

        def receiver(result: PartitionResponse) -> Callable[[Any], None]:
            def done(answer: Any) -> None:
                nonlocal waiting
                if answer is None:
                    _refuse(result, ErrorCode.NOT_LEADER_OR_FOLLOWER)
                elif answer["error"]:
                    _refuse(result, answer["error"])
                else:
                    result.active_producers = [ProducerState(**producer) for producer in answer["producers"]]
                waiting -= 1
                if not waiting:
                    context.respond(response)

            return done

        for result, found, partition in calls:
            self._channel.call(
                self._workers.io_worker(self._view.owner(found, partition)),
                "describe_producers",
                {"row": partition.row, "topic": found.name, "partition": partition.partition},
                receiver(result),
            )


def _refuse(result: PartitionResponse, code: int, message: str = "") -> None:
    result.error_code = code
    result.error_message = message or ErrorCode(code).default_message
