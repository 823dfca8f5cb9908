"""
Configurations: DescribeConfigs (32) and ListConfigResources (74) are answered from the image and the broker's own
settings; AlterConfigs (33) and IncrementalAlterConfigs (44) are decided by the cluster worker.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum

from kbroker.api.channel import CLUSTER_WORKER, CommandChannel, forwarded
from kbroker.api.cluster_view import ClusterView
from kbroker.api.request import RequestContext
from kbroker.api.topic_name import is_legal_topic_name
from kbroker.config.key import ValueType
from kbroker.config.settings import ConfigSource, DescribedKey, Synonym
from kbroker.errors import KafkaError
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

    describe_broker  returns all keys of this broker, as the file and the command line set them
    describe_topic   returns all keys of a topic with the settings given
    """

    def __init__(
        self,
        view: ClusterView,
        channel: CommandChannel,
        describe_broker: Callable[[], Sequence[DescribedKey]],
        describe_topic: Callable[[Mapping[str, str]], Sequence[DescribedKey]],
    ) -> None:
        self._view = view
        self._channel = channel
        self._describe_broker = describe_broker
        self._describe_topic = describe_topic

    def handle_describe_configs(self, context: RequestContext) -> None:
        """Answer the configuration of topics, of this broker, and the levels of its loggers."""
        request = context.decode(DescribeConfigsRequest)
        results = []
        for resource in request.resources:
            result = DescribeConfigsResult(
                resource_type=resource.resource_type, resource_name=resource.resource_name, error_message=None
            )
            try:
                wanted = set(resource.configuration_keys or ())
                result.configs = [
                    _described(key, synonyms=request.include_synonyms, documentation=request.include_documentation)
                    for key in self._keys(resource)
                    if not wanted or key.name in wanted
                ]
            except KafkaError as error:
                result.error_code = error.code
                result.error_message = str(error)
            results.append(result)
        context.respond(DescribeConfigsResponse(results=results))

    def _keys(self, resource: DescribeConfigsResource) -> Sequence[DescribedKey]:
        name = resource.resource_name
        if resource.resource_type == ResourceType.TOPIC:
            if not is_legal_topic_name(name):
                raise KafkaError(ErrorCode.INVALID_TOPIC_EXCEPTION, f"'{name}' is no legal name of a topic.")
            topic = self._view.topic(name)
            if topic is None:
                error = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
                raise KafkaError(error, error.default_message)
            return self._describe_topic(topic.config)
        if resource.resource_type == ResourceType.BROKER:
            return self._broker_keys(name)
        if resource.resource_type == ResourceType.BROKER_LOGGER:
            if not name:
                raise KafkaError(ErrorCode.INVALID_REQUEST, "Broker id must not be empty")
            self._check_broker(name, "")
            return _logger_keys()
        raise KafkaError(ErrorCode.INVALID_REQUEST, f"Unsupported resource type: {resource.resource_type}")

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

    def _broker_keys(self, name: str) -> Sequence[DescribedKey]:
        """Return this broker's keys with what was set while it ran; for "" only what is set for all brokers."""
        keys = self._describe_broker()
        configs = self._view.image.broker_configs
        for_all = configs.get("", {})
        if not name:
            source = ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG
            return [_overridden(key, for_all[key.name], source) for key in keys if key.name in for_all]
        self._check_broker(name, " or empty string")
        own = configs.get(str(self._view.broker_id), {})
        if not own and not for_all:
            return keys
        described = []
        for key in keys:
            if key.name in for_all:
                key = _overridden(key, for_all[key.name], ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG)
            if key.name in own:
                key = _overridden(key, own[key.name], ConfigSource.DYNAMIC_BROKER_CONFIG)
            described.append(key)
        return described

    def handle_list_config_resources(self, context: RequestContext) -> None:
        """Answer the names of what can have a configuration; UNSUPPORTED_VERSION for a type that cannot be listed."""
        request = context.decode(ListConfigResourcesRequest)
        image = self._view.image
        brokers = [str(broker_id) for broker_id in sorted(image.brokers)]
        names: dict[int, Sequence[str]] = {
            ResourceType.TOPIC: sorted(image.topics),
            ResourceType.BROKER: brokers,
            ResourceType.BROKER_LOGGER: brokers,
            ResourceType.CLIENT_METRICS: (),
            ResourceType.GROUP: (),
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


def _overridden(key: DescribedKey, text: str, source: ConfigSource) -> DescribedKey:
    value = None if key.sensitive else text
    return key._replace(value=value, source=source, synonyms=(Synonym(key.name, value, source), *key.synonyms))


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
        documentation=key.documentation if documentation else None,
    )


def _logger_keys() -> list[DescribedKey]:
    """Return the loggers of this process with the levels in force; clients cannot set them."""
    names = ["root", *sorted(name for name in logging.root.manager.loggerDict if name.startswith("kbroker"))]
    described = []
    for name in names:
        logger = logging.root if name == "root" else logging.getLogger(name)
        level = logging.getLevelName(logger.getEffectiveLevel())
        level = {"WARNING": "WARN", "CRITICAL": "FATAL"}.get(level, level)
        described.append(
            DescribedKey(
                name,
                level,
                ConfigSource.DYNAMIC_BROKER_LOGGER_CONFIG,
                ValueType.STRING,
                read_only=True,
                sensitive=False,
                documentation="Level of this logger.",
                synonyms=(),
            )
        )
    return described
