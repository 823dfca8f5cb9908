"""InitProducerId (22): numbers for idempotent producers, taken from blocks that the cluster worker gives out."""

from __future__ import annotations

from typing import Any

from kbroker.api.channel import CLUSTER_WORKER, CommandChannel
from kbroker.api.request import RequestContext
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse

VERSIONS = (0, 6)

_NONE = -1


class InitProducerIdHandler:
    """
    Answers InitProducerId.

    A block is kept per network worker; what is left of it when the worker dies is never given out, so no two producers
    ever share an id.
    """

    def __init__(self, channel: CommandChannel) -> None:
        self._channel = channel
        self._next = 0
        self._end = 0
        self._waiting: list[RequestContext] = []

    def handle_init_producer_id(self, context: RequestContext) -> None:
        """
        Answer a producer id with epoch 0; COORDINATOR_LOAD_IN_PROGRESS, upon which producers ask again, when none
        can be had now.

        A transactional id gets UNSUPPORTED_VERSION, which ends the producer at once: transactions are not served.
        An empty one, half of (producer id, epoch), and two-phase commit without a transactional id get INVALID_REQUEST.
        """
        request = context.decode(InitProducerIdRequest)
        if request.transactional_id:
            _refuse(context, ErrorCode.UNSUPPORTED_VERSION)
        elif (
            request.transactional_id is not None
            or (request.producer_id == _NONE) != (request.producer_epoch == _NONE)
            or request.enable2_pc
            or request.keep_prepared_txn
        ):
            _refuse(context, ErrorCode.INVALID_REQUEST)
        elif self._next < self._end:
            self._give(context)
        else:
            self._waiting.append(context)
            if len(self._waiting) == 1:
                self._channel.call(CLUSTER_WORKER, "allocate_producer_ids", {}, self._allocated)

    def _allocated(self, answer: Any) -> None:
        waiting, self._waiting = self._waiting, []
        if answer is not None and "first" in answer:
            self._next = answer["first"]
            self._end = self._next + answer["count"]
        for place, context in enumerate(waiting):
            if self._next < self._end:
                self._give(context)
            elif answer is None or "first" not in answer:
                _refuse(context, ErrorCode.COORDINATOR_LOAD_IN_PROGRESS)
            else:
                # More producers came at once than a block has ids.
                self._waiting = waiting[place:]
                self._channel.call(CLUSTER_WORKER, "allocate_producer_ids", {}, self._allocated)
                return

    def _give(self, context: RequestContext) -> None:
        context.respond(InitProducerIdResponse(producer_id=self._next, producer_epoch=0))
        self._next += 1


def _refuse(context: RequestContext, error: ErrorCode) -> None:
    context.respond(InitProducerIdResponse(error_code=error, producer_epoch=_NONE))
