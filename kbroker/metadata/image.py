"""
The cluster as every worker sees it: immutable values, replaced as a whole by `apply`.

A new image shares all that did not change with the old one, so a handler that holds an image sees one moment of the
cluster however long it works.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol, TypeVar

from kbroker.errors import KbrokerError
from kbroker.types import Uuid

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

NO_LEADER = -1
NO_ROW = -1
"""The partition has no replica on this broker."""

INTERNAL_TOPICS = frozenset({"__consumer_offsets", "__transaction_state"})
"""Topics the broker keeps its own state in; Metadata marks them as internal."""


class MissedDelta(KbrokerError):
    """A delta was applied to an image that lacks the ones before it: ask for the whole image."""


class ConfigKind(StrEnum):
    """What can have a configuration, besides topics; named as Kafka's metadata tree names it."""

    BROKER = "brokers"
    GROUP = "groups"
    CLIENT_METRICS = "client-metrics"
    LOGGER = "loggers"
    """One entry, "": the levels that were set while the broker runs."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a broker can be reached through one of its listeners; an empty host stands for "the host you dialled"."""

    listener_name: str
    security_protocol: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class BrokerState:
    """A broker that is alive."""

    broker_id: int
    endpoints: tuple[Endpoint, ...]
    rack: str | None = None

    def endpoint(self, listener_name: str) -> Endpoint | None:
        """Return the endpoint of that listener, None when the broker has no such listener."""
        for endpoint in self.endpoints:
            if endpoint.listener_name == listener_name:
                return endpoint
        return None


@dataclass(frozen=True, slots=True)
class PartitionState:
    """
    One partition.

    row               its index in the shared partition table; NO_ROW when this broker holds no replica
    leader            broker id, NO_LEADER when no replica can lead
    leader_epoch      how many times leadership changed
    partition_epoch   how many times this state changed
    offline_replicas  replicas on brokers that are not alive
    """

    partition: int
    row: int
    leader: int
    leader_epoch: int
    partition_epoch: int
    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    offline_replicas: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class TopicState:
    """
    One topic.

    partitions  by index: partitions[p].partition == p
    config      what is set on the topic itself, by key; defaults are not in here
    internal    one of INTERNAL_TOPICS
    """

    name: str
    topic_id: Uuid
    partitions: tuple[PartitionState, ...]
    config: Mapping[str, str] = field(default_factory=dict)
    internal: bool = False


class Changes(Protocol):
    """What `MetadataImage.apply` needs to know; kbroker.metadata.delta.MetadataDelta explains each field."""

    @property
    def version(self) -> int: ...  # noqa: D102
    @property
    def full(self) -> bool: ...  # noqa: D102
    @property
    def cluster_id(self) -> str | None: ...  # noqa: D102
    @property
    def controller_id(self) -> int | None: ...  # noqa: D102
    @property
    def brokers(self) -> tuple[BrokerState, ...]: ...  # noqa: D102
    @property
    def removed_brokers(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def topics(self) -> tuple[TopicState, ...]: ...  # noqa: D102
    @property
    def removed_topics(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def partitions(self) -> Mapping[str, tuple[PartitionState, ...]]: ...  # noqa: D102
    @property
    def configs(self) -> Mapping[ConfigKind, Mapping[str, Mapping[str, str]]]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class MetadataImage:
    """
    One moment of the cluster.

    version         counts the deltas since the broker started
    cluster_id      Kafka's text form, 22 characters; empty before the first delta
    controller_id   NO_LEADER when there is none
    configs         what was set on anything but topics: by kind, then by name; nothing is empty in here
    """

    version: int = 0
    cluster_id: str = ""
    controller_id: int = NO_LEADER
    brokers: Mapping[int, BrokerState] = field(default_factory=dict)
    topics: Mapping[str, TopicState] = field(default_factory=dict)
    topics_by_id: Mapping[Uuid, TopicState] = field(default_factory=dict)
    configs: Mapping[ConfigKind, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)

    @property
    def broker_configs(self) -> Mapping[str, Mapping[str, str]]:
        """Return what was set on brokers: by broker id as text, "" holds what is set for all."""
        return self.configs.get(ConfigKind.BROKER, {})

    @property
    def log_levels(self) -> Mapping[str, str]:
        """Return the levels that loggers were set to while the broker runs, by logger."""
        return self.configs.get(ConfigKind.LOGGER, {}).get("", {})

    def partition(self, topic: str, index: int) -> PartitionState | None:
        """Return a partition, None when there is no such topic or partition."""
        state = self.topics.get(topic)
        if state is None or not 0 <= index < len(state.partitions):
            return None
        return state.partitions[index]

    def partition_by_id(self, topic_id: Uuid, index: int) -> PartitionState | None:
        """Return a partition, None when there is no such topic or partition."""
        state = self.topics_by_id.get(topic_id)
        if state is None or not 0 <= index < len(state.partitions):
            return None
        return state.partitions[index]

    def apply(self, delta: Changes) -> MetadataImage:
        """
        Return the image after `delta`.

        A delta this image already contains changes nothing: deltas may come twice around a full one.
        Raises MissedDelta when deltas between this image and `delta` are missing.
        Costs a copy of the dictionaries of names that change, and of the tuples of the topics that change.
        """
        if delta.full:
            return _whole(delta)
        if delta.version <= self.version:
            return self
        if delta.version != self.version + 1:
            raise MissedDelta(f"delta {delta.version} cannot follow image {self.version}")
        topics, topics_by_id = self.topics, self.topics_by_id
        if delta.topics or delta.removed_topics or delta.partitions:
            topics, topics_by_id = dict(topics), dict(topics_by_id)
            for name in delta.removed_topics:
                gone = topics.pop(name, None)
                if gone is not None:
                    del topics_by_id[gone.topic_id]
            changed = [*delta.topics]
            changed += [_with_partitions(topics[name], states) for name, states in delta.partitions.items()]
            for topic in changed:
                before = topics.get(topic.name)
                if before is not None and before.topic_id != topic.topic_id:
                    del topics_by_id[before.topic_id]
                topics[topic.name] = topics_by_id[topic.topic_id] = topic
        return replace(
            self,
            version=delta.version,
            cluster_id=self.cluster_id if delta.cluster_id is None else delta.cluster_id,
            controller_id=self.controller_id if delta.controller_id is None else delta.controller_id,
            brokers=_merged(self.brokers, {state.broker_id: state for state in delta.brokers}, delta.removed_brokers),
            topics=topics,
            topics_by_id=topics_by_id,
            configs=self._configs_after(delta) if delta.configs else self.configs,
        )

    def _configs_after(self, delta: Changes) -> Mapping[ConfigKind, Mapping[str, Mapping[str, str]]]:
        configs = dict(self.configs)
        for kind, changed in delta.configs.items():
            configs[kind] = _merged(
                configs.get(kind, {}),
                {name: config for name, config in changed.items() if config},
                tuple(name for name, config in changed.items() if not config),
            )
        return configs


def _whole(delta: Changes) -> MetadataImage:
    """Return the image a full delta describes."""
    return MetadataImage(
        version=delta.version,
        cluster_id=delta.cluster_id or "",
        controller_id=NO_LEADER if delta.controller_id is None else delta.controller_id,
        brokers={state.broker_id: state for state in delta.brokers},
        topics={topic.name: topic for topic in delta.topics},
        topics_by_id={topic.topic_id: topic for topic in delta.topics},
        configs={
            kind: {name: config for name, config in configs.items() if config}
            for kind, configs in delta.configs.items()
        },
    )


def _merged(
    before: Mapping[_Key, _Value], changed: Mapping[_Key, _Value], removed: tuple[_Key, ...]
) -> Mapping[_Key, _Value]:
    if not changed and not removed:
        return before
    merged = dict(before)
    for key in removed:
        merged.pop(key, None)
    merged.update(changed)
    return merged


def _with_partitions(topic: TopicState, changed: tuple[PartitionState, ...]) -> TopicState:
    """Return the topic with some partitions replaced, or added at the end."""
    partitions = [*topic.partitions]
    for state in sorted(changed, key=lambda state: state.partition):
        if state.partition < len(partitions):
            partitions[state.partition] = state
        else:
            partitions.append(state)
    return replace(topic, partitions=tuple(partitions))
