"""
What reaches the cluster worker, and what goes back: clients' requests in wire form, calls of the broker's own workers.

Here is only translation; `controller.Controller` decides. A decision comes back with the delta that all workers must be
told, and the answer goes out when they have been.

    REQUEST  CreateTopics DeleteTopics CreatePartitions AlterConfigs IncrementalAlterConfigs
    CALL     create_topics          {"topics": [name], "internal": bool} → {"topics": {name: {"error", "message"}}}
             allocate_producer_ids  {} → {"first", "count"}, or {"error", "message"}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from kbroker.cluster.controller import Controller
from kbroker.cluster.requests import (
    ConfigChange,
    MorePartitions,
    NewTopic,
    Outcome,
    ResourceChanges,
    ResourceConfig,
    ResourceResult,
    TopicReference,
    TopicResult,
)
from kbroker.cluster.store import StoreError
from kbroker.config.settings import DescribedKey
from kbroker.errors import KafkaError
from kbroker.metadata.delta import MetadataDelta
from kbroker.protocol.api_keys import ApiKey
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages import alter_configs, incremental_alter_configs
from kbroker.protocol.messages.create_partitions import (
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreatePartitionsTopicResult,
)
from kbroker.protocol.messages.create_topics import (
    CreatableTopic,
    CreatableTopicConfigs,
    CreatableTopicResult,
    CreateTopicsRequest,
    CreateTopicsResponse,
)
from kbroker.protocol.messages.delete_topics import DeletableTopicResult, DeleteTopicsRequest, DeleteTopicsResponse
from kbroker.protocol.schema import Message

_DELETE_BY_STATE_SINCE = 6
_DELETION_DISABLED_SINCE = 3

DescribeTopic = Callable[[Mapping[str, str]], Sequence[DescribedKey]]
"""Returns all keys of a topic with the settings given."""


class ProducerIds(Protocol):
    """Gives out producer ids; no id twice in the life of the cluster."""

    def allocate(self) -> tuple[int, int]:
        """Return (first id, how many) of a new block. Raises KafkaError, StoreError."""


class Decision(NamedTuple):
    """The answer to a request, and what all workers must be told before it goes out (None: nothing)."""

    response: Message
    delta: MetadataDelta | None


class ClusterRequests:
    """
    Translates for the controller.

    describe_topic  for the answer of CreateTopics, which tells a new topic's whole configuration
    """

    def __init__(self, controller: Controller, producer_ids: ProducerIds, describe_topic: DescribeTopic) -> None:
        self._controller = controller
        self._producer_ids = producer_ids
        self._describe_topic = describe_topic
        self._handlers: dict[int, Callable[[int, bytes], Decision]] = {
            ApiKey.CREATE_TOPICS: self._create_topics,
            ApiKey.DELETE_TOPICS: self._delete_topics,
            ApiKey.CREATE_PARTITIONS: self._create_partitions,
            ApiKey.ALTER_CONFIGS: self._alter_configs,
            ApiKey.INCREMENTAL_ALTER_CONFIGS: self._incremental_alter_configs,
        }
        self._calls: dict[str, Callable[[dict[str, Any]], tuple[dict[str, Any], MetadataDelta | None]]] = {
            "create_topics": self._call_create_topics,
            "allocate_producer_ids": self._call_allocate_producer_ids,
        }

    def handle(self, api_key: int, api_version: int, body: bytes) -> Decision:
        """Decide a client's request. Raises MalformedMessage; KeyError for an API that is not decided here."""
        return self._handlers[api_key](api_version, body)

    def call(self, name: str, arguments: dict[str, Any]) -> tuple[dict[str, Any], MetadataDelta | None]:
        """Answer a worker of this broker. Raises KeyError for a call nobody knows."""
        return self._calls[name](arguments)

    # Clients' requests

    def _create_topics(self, version: int, body: bytes) -> Decision:
        request, _ = CreateTopicsRequest.decode(body, version)
        refused = {topic.name: refusal for topic in request.topics if (refusal := _bad_assignment(topic)) is not None}
        wanted = [_new_topic(topic) for topic in request.topics if topic.name not in refused]
        outcome = self._controller.create_topics(wanted, validate_only=request.validate_only)
        decided = {result.name: result for result in outcome.results} | refused
        results = [self._created(decided[name]) for name in dict.fromkeys(topic.name for topic in request.topics)]
        return Decision(CreateTopicsResponse(topics=results), outcome.delta)

    def _created(self, result: TopicResult) -> CreatableTopicResult:
        answer = CreatableTopicResult(
            name=result.name,
            topic_id=result.topic_id,
            error_code=result.error_code,
            error_message=result.error_message,
            num_partitions=result.num_partitions,
            replication_factor=result.replication_factor,
        )
        if not result.error_code:
            answer.configs = [
                CreatableTopicConfigs(
                    name=key.name,
                    value=key.value,
                    read_only=key.read_only,
                    config_source=key.source,
                    is_sensitive=key.sensitive,
                )
                for key in self._describe_topic(result.configs)
            ]
        return answer

    def _delete_topics(self, version: int, body: bytes) -> Decision:
        request, _ = DeleteTopicsRequest.decode(body, version)
        if version >= _DELETE_BY_STATE_SINCE:
            wanted = [TopicReference(topic.name, topic.topic_id) for topic in request.topics]
        else:
            wanted = [TopicReference(name) for name in request.topic_names]
        outcome = self._controller.delete_topics(wanted)
        results = []
        for result in outcome.results:
            code = result.error_code
            if code == ErrorCode.TOPIC_DELETION_DISABLED and version < _DELETION_DISABLED_SINCE:
                code = ErrorCode.INVALID_REQUEST  # these versions do not know the code
            results.append(
                DeletableTopicResult(
                    name=result.name, topic_id=result.topic_id, error_code=code, error_message=result.error_message
                )
            )
        return Decision(DeleteTopicsResponse(responses=results), outcome.delta)

    def _create_partitions(self, version: int, body: bytes) -> Decision:
        request, _ = CreatePartitionsRequest.decode(body, version)
        wanted = [
            MorePartitions(
                topic.name,
                topic.count,
                None if topic.assignments is None else [one.broker_ids for one in topic.assignments],
            )
            for topic in request.topics
        ]
        outcome = self._controller.create_partitions(wanted, validate_only=request.validate_only)
        results = [
            CreatePartitionsTopicResult(
                name=result.name, error_code=result.error_code, error_message=result.error_message
            )
            for result in outcome.results
        ]
        return Decision(CreatePartitionsResponse(results=results), outcome.delta)

    def _alter_configs(self, version: int, body: bytes) -> Decision:
        request, _ = alter_configs.AlterConfigsRequest.decode(body, version)
        outcome = self._controller.alter_configs(
            [
                ResourceConfig(
                    resource.resource_type,
                    resource.resource_name,
                    [(config.name, config.value) for config in resource.configs],
                )
                for resource in request.resources
            ],
            validate_only=request.validate_only,
        )
        responses = [alter_configs.AlterConfigsResourceResponse(**_resource_fields(one)) for one in outcome.results]
        return Decision(alter_configs.AlterConfigsResponse(responses=responses), outcome.delta)

    def _incremental_alter_configs(self, version: int, body: bytes) -> Decision:
        request, _ = incremental_alter_configs.IncrementalAlterConfigsRequest.decode(body, version)
        outcome = self._controller.incremental_alter_configs(
            [
                ResourceChanges(
                    resource.resource_type,
                    resource.resource_name,
                    [ConfigChange(config.config_operation, config.name, config.value) for config in resource.configs],
                )
                for resource in request.resources
            ],
            validate_only=request.validate_only,
        )
        responses = [
            incremental_alter_configs.AlterConfigsResourceResponse(**_resource_fields(one)) for one in outcome.results
        ]
        return Decision(incremental_alter_configs.IncrementalAlterConfigsResponse(responses=responses), outcome.delta)

    # Calls of the broker's own workers

    def _call_create_topics(self, arguments: dict[str, Any]) -> tuple[dict[str, Any], MetadataDelta | None]:
        outcome = self._make_topics(arguments["topics"], internal=arguments["internal"])
        return {"topics": {result.name: _told(result) for result in outcome.results}}, outcome.delta

    def _make_topics(self, names: Sequence[str], *, internal: bool) -> Outcome[TopicResult]:
        if internal:
            return self._controller.create_internal_topics(names)
        return self._controller.create_topics([NewTopic(name) for name in names])

    def _call_allocate_producer_ids(self, _arguments: dict[str, Any]) -> tuple[dict[str, Any], MetadataDelta | None]:
        try:
            first, count = self._producer_ids.allocate()
        except KafkaError as error:
            return {"error": error.code, "message": str(error)}, None
        except StoreError as error:
            return {"error": int(ErrorCode.KAFKA_STORAGE_ERROR), "message": str(error)}, None
        return {"first": first, "count": count}, None


def _told(result: TopicResult) -> dict[str, Any]:
    return {"error": int(result.error_code), "message": result.error_message}


def _new_topic(topic: CreatableTopic) -> NewTopic:
    return NewTopic(
        topic.name,
        topic.num_partitions,
        topic.replication_factor,
        {one.partition_index: one.broker_ids for one in topic.assignments},
        {config.name: config.value for config in topic.configs},
    )


def _bad_assignment(topic: CreatableTopic) -> TopicResult | None:
    """Return the refusal of a topic that assigns a partition twice; None when it does not."""
    indexes = [one.partition_index for one in topic.assignments]
    if len(set(indexes)) == len(indexes):
        return None
    return TopicResult(
        topic.name,
        ErrorCode.INVALID_REPLICA_ASSIGNMENT,
        f"Found multiple manual assignments for one partition of topic '{topic.name}'.",
    )


def _resource_fields(result: ResourceResult) -> dict[str, Any]:
    return {
        "error_code": result.error_code,
        "error_message": result.error_message,
        "resource_type": result.resource_type,
        "resource_name": result.resource_name,
    }
