"""CreateTopics (19), DeleteTopics (20) and CreatePartitions (37): decided by the cluster worker, one command each."""

from __future__ import annotations

from collections.abc import Callable

from kbroker.api.channel import CLUSTER_WORKER, CommandChannel, ExactlyOnce, Timers, forwarded
from kbroker.api.request import RequestContext
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.create_partitions import (
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreatePartitionsTopicResult,
)
from kbroker.protocol.messages.create_topics import CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse
from kbroker.protocol.messages.delete_topics import DeletableTopicResult, DeleteTopicsRequest, DeleteTopicsResponse
from kbroker.protocol.schema import Message

CREATE_TOPICS_VERSIONS = (0, 7)
DELETE_TOPICS_VERSIONS = (0, 6)
CREATE_PARTITIONS_VERSIONS = (0, 3)

_DELETE_BY_ID_SINCE = 6
_SHORTEST_TIMEOUT_MS = 1_000
"""What a change may take, from the client to the controller and back, when the client allows less."""


class TopicHandlers:
    """
    Forwards what changes topics.

    Nothing is left hanging: when the cluster worker dies the client is told NOT_CONTROLLER, upon which it asks again;
    when the request's own timeout passes, REQUEST_TIMED_OUT, and the change may still happen. As with Kafka's
    controller, which only has to begin within that time, nothing is begun when there is none, and a little is enough.
    """

    def __init__(self, channel: CommandChannel, timers: Timers) -> None:
        self._channel = channel
        self._timers = timers

    def handle_create_topics(self, context: RequestContext) -> None:
        """Have topics created, or only checked (validate_only)."""
        request = context.decode(CreateTopicsRequest)
        names = list(dict.fromkeys(topic.name for topic in request.topics))

        def refused(error: ErrorCode) -> Message:
            return CreateTopicsResponse(
                topics=[
                    CreatableTopicResult(name=name, error_code=error, error_message=error.default_message, configs=None)
                    for name in names
                ]
            )

        self._forward(context, request.timeout_ms, refused)

    def handle_delete_topics(self, context: RequestContext) -> None:
        """Have topics deleted."""
        request = context.decode(DeleteTopicsRequest)
        by_id = context.api_version >= _DELETE_BY_ID_SINCE

        def refused(error: ErrorCode) -> Message:
            if by_id:
                results = [DeletableTopicResult(name=topic.name, topic_id=topic.topic_id) for topic in request.topics]
            else:
                results = [DeletableTopicResult(name=name) for name in dict.fromkeys(request.topic_names)]
            for result in results:
                result.error_code = error
                result.error_message = error.default_message
            return DeleteTopicsResponse(responses=results)

        self._forward(context, request.timeout_ms, refused)

    def handle_create_partitions(self, context: RequestContext) -> None:
        """Have topics given more partitions, or only checked (validate_only)."""
        request = context.decode(CreatePartitionsRequest)
        names = list(dict.fromkeys(topic.name for topic in request.topics))

        def refused(error: ErrorCode) -> Message:
            return CreatePartitionsResponse(
                results=[
                    CreatePartitionsTopicResult(name=name, error_code=error, error_message=error.default_message)
                    for name in names
                ]
            )

        self._forward(context, request.timeout_ms, refused)

    def _forward(self, context: RequestContext, timeout_ms: int, refused: Callable[[ErrorCode], Message]) -> None:
        if timeout_ms <= 0:
            context.respond(refused(ErrorCode.REQUEST_TIMED_OUT))
            return
        once = ExactlyOnce(
            self._timers,
            max(timeout_ms, _SHORTEST_TIMEOUT_MS),
            lambda: context.respond(refused(ErrorCode.REQUEST_TIMED_OUT)),
        )

        def answered(answer: bytes | None) -> None:
            if not once.take():
                return
            if answer is None:
                context.respond(refused(ErrorCode.NOT_CONTROLLER))
            elif not answer:
                # It could not decide for a fault of its own.
                context.respond(refused(ErrorCode.UNKNOWN_SERVER_ERROR))
            else:
                context.respond_parts([answer])

        self._channel.forward(CLUSTER_WORKER, forwarded(context), answered)
