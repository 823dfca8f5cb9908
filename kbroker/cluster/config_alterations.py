"""
AlterConfigs and IncrementalAlterConfigs: which resource, which change, and what is kept then.

Levels of loggers are set here too, though they are no configuration of the store's: all workers of this broker get them
with the metadata, and they last as long as the broker runs.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from kbroker.cluster.config_changes import changed, changed_levels, replaced
from kbroker.cluster.config_rules import KEYS, ConfigRules
from kbroker.cluster.requests import ResourceChanges, ResourceConfig, ResourceResult, ResourceType
from kbroker.cluster.store import StoreError
from kbroker.cluster.topic_rules import check_topic_name
from kbroker.config.key import Key
from kbroker.config.settings import CLUSTER_KEY
from kbroker.config.topic_keys import TOPIC_KEYS
from kbroker.errors import KafkaError
from kbroker.logging_setup import in_one_line
from kbroker.metadata.image import ConfigKind, MetadataImage, TopicState
from kbroker.protocol.error_codes import ErrorCode

logger = logging.getLogger(__name__)

_KINDS: Mapping[int, ConfigKind] = {
    ResourceType.BROKER: ConfigKind.BROKER,
    ResourceType.GROUP: ConfigKind.GROUP,
    ResourceType.CLIENT_METRICS: ConfigKind.CLIENT_METRICS,
}

_LONGEST_ID = 10
"""Digits of an int32."""

Resource = ResourceConfig | ResourceChanges


@dataclass(slots=True)
class Altered:
    """
    What was decided.

    results  one per resource, in order
    topics   topics with new settings
    configs  new settings of everything else
    """

    results: list[ResourceResult] = field(default_factory=list)
    topics: list[TopicState] = field(default_factory=list)
    configs: dict[ConfigKind, dict[str, Mapping[str, str]]] = field(default_factory=dict)


class ConfigAlterations:
    """
    Decides for the controller.

    image         returns the cluster as it is
    write_topic   keeps a topic's settings
    write         keeps the settings of anything else
    loggers       returns the names of loggers whose level can be set
    told          returns code and message of what went wrong
    """

    def __init__(
        self,
        rules: ConfigRules,
        *,
        image: Callable[[], MetadataImage],
        write_topic: Callable[[str, Mapping[str, str]], None],
        write: Callable[[ConfigKind, str, Mapping[str, str]], None],
        loggers: Callable[[], Sequence[str]],
        told: Callable[[KafkaError | StoreError], tuple[int, str]],
    ) -> None:
        self._rules = rules
        self._image = image
        self._write_topic = write_topic
        self._write = write
        self._loggers = loggers
        self._told = told

    def alter(self, resources: Sequence[Resource], *, validate_only: bool) -> Altered:
        """Decide on each resource on its own; it takes all its changes or none."""
        times = Counter((resource.resource_type, resource.resource_name) for resource in resources)
        done = Altered()
        for resource in resources:
            key = (resource.resource_type, resource.resource_name)
            code, message = 0, None
            try:
                if times[key] > 1:
                    raise KafkaError(
                        ErrorCode.INVALID_REQUEST,
                        f"Resource '{resource.resource_name}' appears more than once: each must appear at most once.",
                    )
                self._decide(resource, done, validate_only)
            except (KafkaError, StoreError) as error:
                code, message = self._told(error)
            done.results.append(ResourceResult(*key, code, message))
        return done

    def _decide(self, resource: Resource, done: Altered, validate_only: bool) -> None:
        resource_type, name = resource.resource_type, resource.resource_name
        if resource_type == ResourceType.TOPIC:
            topic = self._alter_topic(name, resource, validate_only)
            if topic is not None:
                done.topics.append(topic)
            return
        if resource_type == ResourceType.BROKER_LOGGER and isinstance(resource, ResourceChanges):
            self._check_broker(name)
            kind, name = ConfigKind.LOGGER, ""
            before = self._before(done, kind, name)
            after: Mapping[str, str] = changed_levels(before, resource.changes, self._loggers())
        else:
            found = _KINDS.get(resource_type)
            if found is None:
                raise KafkaError(
                    ErrorCode.INVALID_REQUEST,
                    f"Unknown resource type {resource_type} of '{name}': it cannot be altered.",
                )
            kind = found
            if kind is ConfigKind.BROKER and name:
                # Kept under the id as everybody writes it, whatever "007" stood in the request.
                name = str(self._check_broker(name))
            before = self._before(done, kind, name)
            after = self._altered(kind, name, resource, before)
        if not validate_only and after != before:
            self._write(kind, name, after)
            done.configs.setdefault(kind, {})[name] = after
            whose = kind if kind is ConfigKind.LOGGER else f"{kind} {in_one_line(name) or '<default>'}"
            logger.info("Configuration of %s: %s", whose, ", ".join(_told(kind, before, after)))

    def _before(self, done: Altered, kind: ConfigKind, name: str) -> Mapping[str, str]:
        """Return what is set; a broker may have been named twice in one request, as 0 and as 00."""
        found = done.configs.get(kind, {}).get(name)
        return self._image().configs.get(kind, {}).get(name, {}) if found is None else found

    def _alter_topic(self, name: str, resource: Resource, validate_only: bool) -> TopicState | None:
        """Return the topic with its new settings, None when they stay as they are."""
        if not name:
            raise KafkaError(
                ErrorCode.INVALID_REQUEST, "Default topic resources are not allowed: the name of the topic is empty."
            )
        topic = self._image().topics.get(name)
        if topic is None:
            check_topic_name(name)
        # As in Kafka, what is asked for is judged even where there is no such topic.
        config = _after(resource, {} if topic is None else topic.config, TOPIC_KEYS)
        self._rules.check_topic(config)
        if topic is None:
            raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"The topic '{name}' does not exist.")
        if validate_only or config == topic.config:
            return None
        self._write_topic(name, config)
        return replace(topic, config=config)

    def _altered(self, kind: ConfigKind, name: str, resource: Resource, before: Mapping[str, str]) -> Mapping[str, str]:
        """Return the new settings of a broker, a group or a subscription."""
        if kind is ConfigKind.BROKER:
            return self._altered_broker(name, resource, before)
        if not name:
            kinds = "group" if kind is ConfigKind.GROUP else "client metrics"
            raise KafkaError(
                ErrorCode.INVALID_REQUEST, f"Default {kinds} resources are not allowed: the name is empty."
            )
        after = _after(resource, before, KEYS[kind])
        check = self._rules.check_group if kind is ConfigKind.GROUP else self._rules.check_client_metrics
        check(after)
        return after

    def _altered_broker(self, name: str, resource: Resource, before: Mapping[str, str]) -> Mapping[str, str]:
        if name:
            after = _after(resource, before, KEYS[ConfigKind.BROKER])
            self._rules.check_broker(name, after, before)
            return after
        # The cluster's own key always has a value: that of the file while nobody has set it, which is not written down.
        value = self._rules.cluster_value()
        after = _after(resource, {CLUSTER_KEY: value, **before}, KEYS[ConfigKind.BROKER])
        if CLUSTER_KEY not in after:
            raise KafkaError(
                ErrorCode.INVALID_CONFIG, f"{CLUSTER_KEY} of the cluster cannot be removed, only set to another value."
            )
        if CLUSTER_KEY not in before and after.get(CLUSTER_KEY) == value:
            del after[CLUSTER_KEY]
        self._rules.check_broker(name, after, before)
        return after

    def _check_broker(self, name: str) -> int:
        """Return the id that `name` is. Raises INVALID_REQUEST unless it is that of a live broker."""
        live = sorted(self._image().brokers)
        digits = name.removeprefix("-")
        # Python reads no number of thousands of digits.
        if not digits.isdecimal() or len(digits) > _LONGEST_ID:
            raise KafkaError(ErrorCode.INVALID_REQUEST, f"Node id must be an integer, but it is: {name}")
        if int(name) not in live:
            expected = ", ".join(map(str, live))
            raise KafkaError(
                ErrorCode.INVALID_REQUEST, f"Unexpected broker id, expected {expected}, but received {name}"
            )
        return int(name)


def _told(kind: ConfigKind, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    """Yield what changed, in words, without secrets; what nobody knows might be one."""
    for name in sorted({*before, *after}):
        if name not in after:
            yield f"{in_one_line(name)} removed"
        elif before.get(name) != after[name]:
            key = KEYS.get(kind, {}).get(name)
            shown = kind is ConfigKind.LOGGER or (key is not None and not key.sensitive)
            yield f"{name}={in_one_line(after[name])}" if shown else f"{in_one_line(name)} set"


def _after(resource: Resource, before: Mapping[str, str], keys: Mapping[str, Key]) -> dict[str, str]:
    if isinstance(resource, ResourceConfig):
        return replaced(resource.configs)
    return changed(before, resource.changes, keys)
