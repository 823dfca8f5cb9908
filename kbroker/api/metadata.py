"""Metadata (3) and DescribeTopicPartitions (75): brokers, topics, and who leads their partitions."""

from __future__ import annotations

from kbroker.api.cluster_view import ClusterView
from kbroker.api.endpoints import client_endpoint
from kbroker.api.request import ConnectionInfo, RequestContext
from kbroker.api.topic_creation import TopicCreation
from kbroker.api.topic_name import is_legal_topic_name
from kbroker.metadata.image import INTERNAL_TOPICS, NO_LEADER, NO_ROW, MetadataImage, PartitionState, TopicState
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.describe_topic_partitions import (
    Cursor,
    DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
)
from kbroker.protocol.messages.metadata import (
    MetadataRequest,
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from kbroker.security.authorized_operations import CLUSTER_OPERATIONS, NOT_ASKED, TOPIC_OPERATIONS
from kbroker.shared.partition_table import PartitionRowState, PartitionTable
from kbroker.types import ZERO_UUID, Uuid

METADATA_VERSIONS = (0, 13)
DESCRIBE_TOPIC_PARTITIONS_VERSIONS = (0, 0)

_TOPIC_IDS_SINCE = 12
"""Versions 10 and 11 have the field in the request, but a bug in old brokers made it unusable (KAFKA-12701)."""

_MAX_PARTITIONS = 2000
"""How many partitions one DescribeTopicPartitions answer holds at most (max.request.partition.size.limit)."""

_NONE = int(ErrorCode.NONE)


def brokers_for(
    image: MetadataImage, broker_id: int, connection: ConnectionInfo
) -> list[tuple[int, str, int, str | None]]:
    """Return (id, host, port, rack) of each broker that is alive and has the listener the client came through."""
    brokers = []
    for state in image.brokers.values():
        endpoint = client_endpoint(state, broker_id, connection)
        if endpoint is not None:
            brokers.append((state.broker_id, *endpoint, state.rack))
    return brokers


class MetadataHandlers:
    """
    Answers Metadata and DescribeTopicPartitions.

    partitions          the rows of this broker's logs: a log whose directory failed has no leader
    creation            makes topics that a client names and nobody has made
    auto_create_topics  auto.create.topics.enable
    """

    def __init__(
        self, view: ClusterView, partitions: PartitionTable, creation: TopicCreation, *, auto_create_topics: bool
    ) -> None:
        self._view = view
        self._partitions = partitions
        self._creation = creation
        self._auto_create_topics = auto_create_topics
        self._image: MetadataImage | None = None
        self._topics: dict[str, MetadataResponseTopic] = {}

    def handle_metadata(self, context: RequestContext) -> None:
        """Answer Metadata, after making the missing topics where client and configuration allow it."""
        request = context.decode(MetadataRequest)
        version = context.api_version
        if request.topics is None or (version == 0 and not request.topics):
            self._answer(context, request, [self._topic(topic) for topic in self._view.image.topics.values()])
            return
        if version < _TOPIC_IDS_SINCE and any(
            topic.name is None or topic.topic_id != ZERO_UUID for topic in request.topics
        ):
            self._refuse(context, request)
            return
        missing: list[str] = []
        view = self._view
        for asked in request.topics:
            name = asked.name
            if asked.topic_id == ZERO_UUID and name is not None and view.topic(name) is None:
                missing.append(name)
        creatable: list[str] = []
        if missing and self._auto_create_topics and (request.allow_auto_topic_creation or version < 4):
            creatable = [name for name in dict.fromkeys(missing) if is_legal_topic_name(name)]
        if not creatable:
            self._answer(context, request, self._named_topics(request, {}))
            return
        waiting = 0
        errors: dict[str, int] = {}

        def created(part: dict[str, int]) -> None:
            nonlocal waiting
            errors.update(part)
            waiting -= 1
            if not waiting:
                self._answer(context, request, self._named_topics(request, errors))

        own = [name for name in creatable if name in INTERNAL_TOPICS]
        others = [name for name in creatable if name not in INTERNAL_TOPICS]
        waiting = bool(own) + bool(others)
        if own:
            self._creation.create(own, created, internal=True)
        if others:
            self._creation.create(others, created)

    def _named_topics(self, request: MetadataRequest, errors: dict[str, int]) -> list[MetadataResponseTopic]:
        """
        Return the topics asked for, each once.

        errors  what came of making the missing ones, by name
        """
        view = self._view
        answered: dict[str | Uuid, MetadataResponseTopic] = {}
        for asked in request.topics or ():
            if asked.topic_id != ZERO_UUID:
                topic = view.topic_by_id(asked.topic_id)
                if topic is None:
                    answered[asked.topic_id] = MetadataResponseTopic(
                        error_code=ErrorCode.UNKNOWN_TOPIC_ID, name=None, topic_id=asked.topic_id
                    )
                else:
                    answered[topic.name] = self._topic(topic)
                continue
            name = asked.name
            if name is None:
                # Neither name nor id: the null id is an id nobody has.
                answered[ZERO_UUID] = MetadataResponseTopic(error_code=ErrorCode.UNKNOWN_TOPIC_ID, name=None)
                continue
            topic = view.topic(name)
            if topic is not None:
                answered[name] = self._topic(topic)
                continue
            error = errors.get(name)
            if error is None:
                error = (
                    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
                    if is_legal_topic_name(name)
                    else ErrorCode.INVALID_TOPIC_EXCEPTION
                )
            elif error == _NONE:
                # Made, but the news has not reached this worker yet.
                error = ErrorCode.LEADER_NOT_AVAILABLE
            answered[name] = MetadataResponseTopic(
                error_code=error,
                name=name,
                is_internal=name in INTERNAL_TOPICS,
                topic_authorized_operations=self._topic_operations(request),
            )
        return list(answered.values())

    @staticmethod
    def _topic_operations(request: MetadataRequest) -> int:
        return TOPIC_OPERATIONS if request.include_topic_authorized_operations else NOT_ASKED

    def _answer(self, context: RequestContext, request: MetadataRequest, topics: list[MetadataResponseTopic]) -> None:
        image = self._view.image
        operations = self._topic_operations(request)
        for topic in topics:
            topic.topic_authorized_operations = (
                operations if topic.error_code != ErrorCode.UNKNOWN_TOPIC_ID else NOT_ASKED
            )
        response = MetadataResponse(
            brokers=[
                MetadataResponseBroker(node_id=node_id, host=host, port=port, rack=rack)
                for node_id, host, port, rack in brokers_for(image, self._view.broker_id, context.connection)
            ],
            cluster_id=image.cluster_id,
            controller_id=image.controller_id,
            topics=topics,
            cluster_authorized_operations=(
                CLUSTER_OPERATIONS if request.include_cluster_authorized_operations else NOT_ASKED
            ),
        )
        # In one piece: nothing in it is large by itself, and there may be tens of thousands of partitions.
        context.respond_parts([response.encode(context.api_version)])

    @staticmethod
    def _refuse(context: RequestContext, request: MetadataRequest) -> None:
        context.respond(
            MetadataResponse(
                topics=[
                    MetadataResponseTopic(
                        error_code=ErrorCode.INVALID_REQUEST, name=topic.name or "", topic_id=topic.topic_id
                    )
                    for topic in request.topics or ()
                ],
                error_code=ErrorCode.INVALID_REQUEST,
            )
        )

    def _topic(self, topic: TopicState) -> MetadataResponseTopic:
        """
        Return a topic's part of the answer.

        Kept for as long as the image is the same, and made anew where a log directory failed meanwhile: the answer
        about all topics of a large cluster costs its encoding, and one look at each row.
        """
        image = self._view.image
        if image is not self._image:
            self._image = image
            self._topics = {}
        known = self._topics.get(topic.name)
        row_state = self._partitions.state
        failed = {
            state.partition
            for state in topic.partitions
            if state.row != NO_ROW and row_state(state.row) == PartitionRowState.OFFLINE
        }
        if known is None:
            known = MetadataResponseTopic(
                name=topic.name,
                topic_id=topic.topic_id,
                is_internal=topic.internal,
                partitions=[_partition(state) for state in topic.partitions],
            )
            self._topics[topic.name] = known
        if not failed:
            return known
        return MetadataResponseTopic(
            name=topic.name,
            topic_id=topic.topic_id,
            is_internal=topic.internal,
            partitions=[
                self._failed_partition(state) if state.partition in failed else _partition(state)
                for state in topic.partitions
            ],
        )

    def _failed_partition(self, state: PartitionState) -> MetadataResponsePartition:
        """Return a partition whose log on this broker cannot be used; another broker may still lead it."""
        broker_id = self._view.broker_id
        partition = _partition(state)
        if broker_id not in partition.offline_replicas:
            partition.offline_replicas = [*partition.offline_replicas, broker_id]
        if state.leader == broker_id:
            partition.leader_id = NO_LEADER
            partition.error_code = ErrorCode.LEADER_NOT_AVAILABLE
        return partition

    def handle_describe_topic_partitions(self, context: RequestContext) -> None:
        """Answer topics with their partitions, in the order of their names, page by page."""
        request = context.decode(DescribeTopicPartitionsRequest)
        cursor = request.cursor
        all_topics = not request.topics
        names = set(self._view.image.topics) if all_topics else {topic.name for topic in request.topics}
        if cursor is not None and (cursor.partition_index < 0 or not (all_topics or cursor.topic_name in names)):
            context.respond(
                DescribeTopicPartitionsResponse(
                    topics=[
                        DescribeTopicPartitionsResponseTopic(error_code=ErrorCode.INVALID_REQUEST, name=topic.name)
                        for topic in request.topics
                    ]
                )
            )
            return
        pages = sorted(names if cursor is None else (name for name in names if name >= cursor.topic_name))
        remaining = max(min(_MAX_PARTITIONS, request.response_partition_limit), 1)
        topics: list[DescribeTopicPartitionsResponseTopic] = []
        next_cursor: Cursor | None = None
        for name in pages:
            first = cursor.partition_index if cursor is not None and name == cursor.topic_name else 0
            if remaining == 0:
                next_cursor = Cursor(topic_name=name, partition_index=first)
                break
            topic = self._view.topic(name)
            if topic is None:
                legal = is_legal_topic_name(name)
                error = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION if legal else ErrorCode.INVALID_TOPIC_EXCEPTION
                topics.append(
                    DescribeTopicPartitionsResponseTopic(
                        error_code=error, name=name, topic_authorized_operations=TOPIC_OPERATIONS
                    )
                )
                continue
            end = min(first + remaining, len(topic.partitions))
            topics.append(
                DescribeTopicPartitionsResponseTopic(
                    name=name,
                    topic_id=topic.topic_id,
                    is_internal=topic.internal,
                    partitions=[_described(partition) for partition in self._topic(topic).partitions[first:end]],
                    topic_authorized_operations=TOPIC_OPERATIONS,
                )
            )
            remaining -= max(end - first, 0)
            if end < len(topic.partitions):
                next_cursor = Cursor(topic_name=name, partition_index=end)
                break
        context.respond(DescribeTopicPartitionsResponse(topics=topics, next_cursor=next_cursor))


def _partition(state: PartitionState) -> MetadataResponsePartition:
    return MetadataResponsePartition(
        error_code=_NONE if state.leader != NO_LEADER else ErrorCode.LEADER_NOT_AVAILABLE,
        partition_index=state.partition,
        leader_id=state.leader,
        leader_epoch=state.leader_epoch,
        replica_nodes=list(state.replicas),
        isr_nodes=list(state.isr),
        offline_replicas=list(state.offline_replicas),
    )


def _described(partition: MetadataResponsePartition) -> DescribeTopicPartitionsResponsePartition:
    return DescribeTopicPartitionsResponsePartition(
        error_code=partition.error_code,
        partition_index=partition.partition_index,
        leader_id=partition.leader_id,
        leader_epoch=partition.leader_epoch,
        replica_nodes=partition.replica_nodes,
        isr_nodes=partition.isr_nodes,
        eligible_leader_replicas=[],
        last_known_elr=[],
        offline_replicas=partition.offline_replicas,
    )
