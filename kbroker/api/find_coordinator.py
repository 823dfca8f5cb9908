"""FindCoordinator (10): which broker decides for a group; the first such question makes __consumer_offsets."""

from __future__ import annotations

from kbroker.api.cluster_view import ClusterView
from kbroker.api.endpoints import client_endpoint
from kbroker.api.group_routing import OFFSETS_TOPIC, GroupRouting
from kbroker.api.request import ConnectionInfo, RequestContext
from kbroker.api.topic_creation import TopicCreation
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.find_coordinator import Coordinator, FindCoordinatorRequest, FindCoordinatorResponse

VERSIONS = (0, 6)

GROUP_KEY = 0
TRANSACTION_KEY = 1

_BATCHED_SINCE = 4
_NO_TRANSACTIONS = "Transactions are not served in this version of the broker."
_NO_KEY_TYPE = "There is no coordinator of that kind on this broker."


class FindCoordinatorHandler:
    """Answers FindCoordinator."""

    def __init__(self, view: ClusterView, routing: GroupRouting, creation: TopicCreation) -> None:
        self._view = view
        self._routing = routing
        self._creation = creation

    def handle_find_coordinator(self, context: RequestContext) -> None:
        """
        Answer the coordinator of each key.

        COORDINATOR_NOT_AVAILABLE, upon which clients ask again, while __consumer_offsets is not there. Share groups and
        unknown kinds get INVALID_REQUEST. Transactional ids get what ends a producer at once, with the reason in the
        message, instead of keeping it asking until its time is up: UNSUPPORTED_VERSION; in versions before 4, which
        librdkafka speaks, TRANSACTIONAL_ID_AUTHORIZATION_FAILED, the only code that it does not retry there.
        """
        request = context.decode(FindCoordinatorRequest)
        keys = request.coordinator_keys if context.api_version >= _BATCHED_SINCE else [request.key]
        if request.key_type != GROUP_KEY:
            if request.key_type == TRANSACTION_KEY:
                batched = context.api_version >= _BATCHED_SINCE
                error = ErrorCode.UNSUPPORTED_VERSION if batched else ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
                message = _NO_TRANSACTIONS
            else:
                error = ErrorCode.INVALID_REQUEST
                message = _NO_KEY_TYPE
            _respond(context, [_failed(key, error, message) for key in keys])
            return
        if keys and self._view.topic(OFFSETS_TOPIC) is None:

            def created(_errors: dict[str, int]) -> None:
                self._answer(context, keys)

            self._creation.create([OFFSETS_TOPIC], created, internal=True)
            return
        self._answer(context, keys)

    def _answer(self, context: RequestContext, keys: list[str]) -> None:
        _respond(context, [self._coordinator(key, context.connection) for key in keys])

    def _coordinator(self, key: str, connection: ConnectionInfo) -> Coordinator:
        leader = self._routing.leader(key)
        broker = None if leader is None else self._view.image.brokers.get(leader)
        endpoint = None if broker is None else client_endpoint(broker, self._view.broker_id, connection)
        if leader is None or endpoint is None:
            return _failed(key, ErrorCode.COORDINATOR_NOT_AVAILABLE, None)
        host, port = endpoint
        return Coordinator(key=key, node_id=leader, host=host, port=port, error_message="")


def _failed(key: str, error: ErrorCode, message: str | None) -> Coordinator:
    return Coordinator(
        key=key, node_id=-1, host="", port=-1, error_code=error, error_message=message or error.default_message
    )


def _respond(context: RequestContext, coordinators: list[Coordinator]) -> None:
    if context.api_version >= _BATCHED_SINCE:
        context.respond(FindCoordinatorResponse(coordinators=coordinators))
        return
    found = coordinators[0]
    context.respond(
        FindCoordinatorResponse(
            error_code=found.error_code,
            # What Kafka says in these versions when there is no error.
            error_message=found.error_message or "NONE",
            node_id=found.node_id,
            host=found.host,
            port=found.port,
        )
    )
