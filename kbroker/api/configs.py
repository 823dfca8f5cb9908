"""
Configurations: DescribeConfigs (32) and ListConfigResources (74) are answered from the image and the broker's own
settings; AlterConfigs (33) and IncrementalAlterConfigs (44) are decided by the cluster worker.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum

from kbroker.api.channel import CLUSTER_WORKER, CommandChannel, forwarded
from kbroker.api.cluster_view import ClusterView
from kbroker.api.endpoints import told_listeners
from kbroker.api.request import ConnectionInfo, RequestContext
from kbroker.api.topic_name import is_legal_topic_name
from kbroker.config.client_metrics_keys import describe_client_metrics
from kbroker.config.group_keys import describe_group
from kbroker.config.key import Value, ValueType
from kbroker.config.live_config import LiveConfig
from kbroker.config.settings import ConfigSource, DescribedKey
from kbroker.config.topic_config import describe_topic
from kbroker.errors import KafkaError
from kbroker.log_levels import ROOT_LOGGER, level_of, logger_names
from kbroker.metadata.image import ConfigKind
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages import alter_configs, incremental_alter_configs
from kbroker.protocol.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResource,
    DescribeConfigsResourceResult,
    DescribeConfigsResponse,
    DescribeConfigsResult,
    DescribeConfigsSynonym,
)
from kbroker.protocol.messages.list_config_resources import (
    ConfigResource,
    ListConfigResourcesRequest,
    ListConfigResourcesResponse,
)
from kbroker.protocol.schema import Message

DESCRIBE_CONFIGS_VERSIONS = (0, 4)
ALTER_CONFIGS_VERSIONS = (0, 2)
INCREMENTAL_ALTER_CONFIGS_VERSIONS = (0, 1)
LIST_CONFIG_RESOURCES_VERSIONS = (0, 1)

_LISTS_ALL_SINCE = 1


class ResourceType(IntEnum):
    """What can have a configuration, numbered as on the wire."""

    TOPIC = 2
    BROKER = 4
    BROKER_LOGGER = 8
    CLIENT_METRICS = 16
    GROUP = 32


class ConfigHandlers:
    """
    Answers what is asked about configurations and forwards what changes them.

    live  the configuration in force
    """

    def __init__(self, view: ClusterView, channel: CommandChannel, live: LiveConfig) -> None:
        self._view = view
        self._channel = channel
        self._live = live

    def handle_describe_configs(self, context: RequestContext) -> None:
        """Answer the configuration of topics, groups, subscriptions and this broker, and the levels of its loggers."""
        request = context.decode(DescribeConfigsRequest)
        results = []
        for resource in request.resources:
            result = DescribeConfigsResult(
                resource_type=resource.resource_type, resource_name=resource.resource_name, error_message=""
            )
            try:
                wanted = set(resource.configuration_keys or ())
                result.configs = [
                    _described(key, synonyms=request.include_synonyms, documentation=request.include_documentation)
                    for key in self._keys(resource, context.connection)
                    if not wanted or key.name in wanted
                ]
            except KafkaError as error:
                result.error_code = error.code
                result.error_message = str(error)
            results.append(result)
        context.respond(DescribeConfigsResponse(results=results))

    def _keys(self, resource: DescribeConfigsResource, connection: ConnectionInfo) -> Sequence[DescribedKey]:
        name = resource.resource_name
        current = self._live.current
        configs = self._view.image.configs
        match resource.resource_type:
            case ResourceType.TOPIC:
                if not is_legal_topic_name(name):
                    raise KafkaError(ErrorCode.INVALID_TOPIC_EXCEPTION, f"'{name}' is no legal name of a topic.")
                topic = self._view.topic(name)
                if topic is None:
                    raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"The topic '{name}' does not exist.")
                return describe_topic(current.settings, current.topic_defaults, topic.config)
            case ResourceType.BROKER:
                return self._broker_keys(name, connection)
            case ResourceType.BROKER_LOGGER:
                if not name:
                    raise KafkaError(ErrorCode.INVALID_REQUEST, "Broker id must not be empty")
                self._check_broker(name, "")
                return _logger_keys()
            case ResourceType.GROUP:
                if not name:
                    raise KafkaError(ErrorCode.INVALID_REQUEST, "Group name must not be empty")
                return describe_group(current.settings, configs.get(ConfigKind.GROUP, {}).get(name, {}))
            case ResourceType.CLIENT_METRICS:
                if not name:
                    raise KafkaError(ErrorCode.INVALID_REQUEST, "Client metrics subscription name must not be empty")
                return describe_client_metrics(configs.get(ConfigKind.CLIENT_METRICS, {}).get(name, {}))
        raise KafkaError(
            ErrorCode.INVALID_REQUEST,
            f"Unknown resource type {resource.resource_type} of '{name}': nothing to describe.",
        )

    def _check_broker(self, name: str, otherwise: str) -> None:
        """Raise INVALID_REQUEST unless `name` is the id of this broker; no other can be told about here."""
        broker_id = self._view.broker_id
        try:
            given = int(name)
        except ValueError:
            raise KafkaError(ErrorCode.INVALID_REQUEST, f"Broker id must be an integer, but it is: {name}") from None
        if given != broker_id:
            raise KafkaError(
                ErrorCode.INVALID_REQUEST, f"Unexpected broker id, expected {broker_id}{otherwise}, but received {name}"
            )

    def _broker_keys(self, name: str, connection: ConnectionInfo) -> Sequence[DescribedKey]:
        """Return this broker's keys with what was set while it runs; for "" only what is set for all brokers."""
        if not name:
            return self._live.current.settings.describe_dynamic(ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG)
        self._check_broker(name, " or empty string")
        broker_id = self._view.broker_id
        known: dict[str, Value] = {"broker.id": broker_id, "node.id": broker_id}
        broker = self._view.image.brokers.get(broker_id)
        if broker is not None:
            known["advertised.listeners"] = told_listeners(broker, broker_id, connection)
        return self._live.current.describe(known)

    def handle_list_config_resources(self, context: RequestContext) -> None:
        """Answer the names of what can have a configuration; UNSUPPORTED_VERSION for a type that cannot be listed."""
        request = context.decode(ListConfigResourcesRequest)
        image = self._view.image
        brokers = [str(broker_id) for broker_id in sorted(image.brokers)]
        names: dict[int, Sequence[str]] = {
            ResourceType.TOPIC: sorted(image.topics),
            ResourceType.BROKER: brokers,
            ResourceType.BROKER_LOGGER: brokers,
            ResourceType.CLIENT_METRICS: sorted(image.configs.get(ConfigKind.CLIENT_METRICS, ())),
            ResourceType.GROUP: sorted(image.configs.get(ConfigKind.GROUP, ())),
        }
        if context.api_version < _LISTS_ALL_SINCE:
            wanted = [int(ResourceType.CLIENT_METRICS)]
        else:
            wanted = list(dict.fromkeys(request.resource_types)) or list(names)
        if any(resource_type not in names for resource_type in wanted):
            context.respond(ListConfigResourcesResponse(error_code=ErrorCode.UNSUPPORTED_VERSION))
            return
        context.respond(
            ListConfigResourcesResponse(
                config_resources=[
                    ConfigResource(resource_name=name, resource_type=resource_type)
                    for resource_type in wanted
                    for name in names[resource_type]
                ]
            )
        )

    def handle_alter_configs(self, context: RequestContext) -> None:
        """Have whole configurations replaced."""
        request = context.decode(alter_configs.AlterConfigsRequest)
        resources = [(resource.resource_type, resource.resource_name) for resource in request.resources]

        def refused(error: ErrorCode) -> Message:
            return alter_configs.AlterConfigsResponse(
                responses=[
                    alter_configs.AlterConfigsResourceResponse(
                        error_code=error, error_message=error.default_message, resource_type=kind, resource_name=name
                    )
                    for kind, name in resources
                ]
            )

        self._forward(context, refused)

    def handle_incremental_alter_configs(self, context: RequestContext) -> None:
        """Have single keys changed."""
        request = context.decode(incremental_alter_configs.IncrementalAlterConfigsRequest)
        resources = [(resource.resource_type, resource.resource_name) for resource in request.resources]

        def refused(error: ErrorCode) -> Message:
            return incremental_alter_configs.IncrementalAlterConfigsResponse(
                responses=[
                    incremental_alter_configs.AlterConfigsResourceResponse(
                        error_code=error, error_message=error.default_message, resource_type=kind, resource_name=name
                    )
                    for kind, name in resources
                ]
            )

        self._forward(context, refused)

    def _forward(self, context: RequestContext, refused: Callable[[ErrorCode], Message]) -> None:
        def answered(answer: bytes | None) -> None:
            if answer is None:
                context.respond(refused(ErrorCode.NOT_CONTROLLER))
            elif not answer:
                # It could not decide for a fault of its own.
                context.respond(refused(ErrorCode.UNKNOWN_SERVER_ERROR))
            else:
                context.respond_parts([answer])

        self._channel.forward(CLUSTER_WORKER, forwarded(context), answered)


def _described(key: DescribedKey, *, synonyms: bool, documentation: bool) -> DescribeConfigsResourceResult:
    return DescribeConfigsResourceResult(
        name=key.name,
        value=None if key.sensitive else key.value,
        read_only=key.read_only,
        config_source=key.source,
        is_default=key.source == ConfigSource.DEFAULT_CONFIG,
        is_sensitive=key.sensitive,
        synonyms=[
            DescribeConfigsSynonym(
                name=synonym.name, value=None if key.sensitive else synonym.value, source=synonym.source
            )
            for synonym in (key.synonyms if synonyms else ())
        ],
        config_type=key.type,
        # Loggers have none, and Kafka says so.
        documentation=key.documentation if documentation or not key.documentation else None,
    )


def _logger_keys() -> list[DescribedKey]:
    """Return the loggers of this process with the levels in force; all workers of the broker have the same."""
    return [
        DescribedKey(
            name,
            level_of(name),
            ConfigSource.DYNAMIC_BROKER_LOGGER_CONFIG,
            ValueType.UNKNOWN,
            read_only=False,
            sensitive=False,
            documentation="",
            synonyms=(),
        )
        for name in (ROOT_LOGGER, *logger_names())
    ]
