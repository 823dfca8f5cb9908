"""What `kbroker topics` asks of a cluster: topics, their partitions and their configs."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kbroker.cli.broker_connection import error_text
from kbroker.cli.cluster_client import ClusterClient, first_error
from kbroker.cli.command_error import BrokerRefused
from kbroker.protocol.messages.create_partitions import (
    CreatePartitionsAssignment,
    CreatePartitionsRequest,
    CreatePartitionsTopic,
)
from kbroker.protocol.messages.create_topics import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
)
from kbroker.protocol.messages.delete_topics import DeleteTopicsRequest
from kbroker.protocol.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource

_TOPIC: Final = 2
"""Kind of a resource that has configs."""
_DEFAULT_CONFIG: Final = 5
"""Source of a config that nobody has set."""


@dataclass(frozen=True, slots=True)
class TopicPartition:
    """A partition; brokers by their ids, `leader` None while there is none."""

    id: int
    leader: int | None
    replicas: tuple[int, ...]
    isr: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic; its id is written as Kafka writes it, empty where the broker does not tell."""

    name: str
    topic_id: str
    partitions: tuple[TopicPartition, ...]


@dataclass(frozen=True, slots=True)
class ConfigEntry:
    """A topic's config; `is_default` when nobody has set it, on the topic or the broker."""

    name: str
    value: str | None
    is_default: bool


@dataclass(frozen=True, slots=True)
class NewTopic:
    """
    A topic to be made.

    partitions, replication_factor  -1: the broker's default
    replica_assignment              brokers of each partition, which then says both; empty: the broker chooses
    """

    name: str
    partitions: int = -1
    replication_factor: int = -1
    replica_assignment: Sequence[Sequence[int]] = ()
    config: Mapping[str, str] | None = None


class TopicAdmin:
    """Topics of a cluster; raises BrokerRefused with the broker's words, CommandError when it cannot be asked."""

    def __init__(self, cluster: ClusterClient, timeout_s: float) -> None:
        self._cluster = cluster
        self._timeout_ms = int(timeout_s * 1000)

    def names(self) -> list[str]:
        """Return the names of all topics, sorted."""
        return sorted(topic.name for topic in self._cluster.metadata().topics)

    def describe(self, names: Iterable[str]) -> tuple[list[Topic], set[int]]:
        """Return topics in the order of their names given, and the ids of the brokers there are."""
        metadata = self._cluster.metadata(names)
        topics = []
        for topic in metadata.topics:
            _raise_for(topic.error_code, None)
            partitions = tuple(
                TopicPartition(
                    one.partition_index,
                    one.leader_id if one.leader_id >= 0 else None,
                    tuple(one.replica_nodes),
                    tuple(one.isr_nodes),
                )
                for one in sorted(topic.partitions, key=lambda one: one.partition_index)
            )
            topics.append(Topic(topic.name, topic_id_text(topic.topic_id), partitions))
        return topics, {broker.node_id for broker in metadata.brokers}

    def configs(self, names: Sequence[str]) -> dict[str, dict[str, ConfigEntry]]:
        """Return topic → name → config."""
        resources = [
            DescribeConfigsResource(resource_type=_TOPIC, resource_name=name, configuration_keys=None) for name in names
        ]
        found = {}
        for result in self._cluster.call(DescribeConfigsRequest(resources=resources)).results:
            _raise_for(result.error_code, result.error_message)
            found[result.resource_name] = {
                one.name: ConfigEntry(one.name, one.value, one.is_default or one.config_source == _DEFAULT_CONFIG)
                for one in result.configs
            }
        return found

    def create(self, topic: NewTopic) -> None:
        """Make a topic."""
        configs = [CreatableTopicConfig(name=name, value=value) for name, value in (topic.config or {}).items()]
        assignments = [
            CreatableReplicaAssignment(partition_index=index, broker_ids=list(brokers))
            for index, brokers in enumerate(topic.replica_assignment)
        ]
        request = CreateTopicsRequest(
            topics=[
                CreatableTopic(
                    name=topic.name,
                    num_partitions=-1 if assignments else topic.partitions,
                    replication_factor=-1 if assignments else topic.replication_factor,
                    assignments=assignments,
                    configs=configs,
                )
            ],
            timeout_ms=self._timeout_ms,
        )
        answer = self._cluster.call_controller(
            request, lambda answer: first_error([one.error_code for one in answer.topics])
        )
        for one in answer.topics:
            _raise_for(one.error_code, one.error_message)

    def add_partitions(self, name: str, count: int, assignment: Sequence[Sequence[int]] | None = None) -> None:
        """
        Give a topic more partitions.

        count       of partitions it is to have
        assignment  brokers of each new one; None: the broker chooses
        """
        chosen = (
            None if assignment is None else [CreatePartitionsAssignment(broker_ids=list(one)) for one in assignment]
        )
        request = CreatePartitionsRequest(
            topics=[CreatePartitionsTopic(name=name, count=count, assignments=chosen)], timeout_ms=self._timeout_ms
        )
        answer = self._cluster.call_controller(
            request, lambda answer: first_error([one.error_code for one in answer.results])
        )
        for one in answer.results:
            _raise_for(one.error_code, one.error_message)

    def delete(self, names: Sequence[str]) -> None:
        """Delete topics."""
        # Version 6 names them in another way.
        answer = self._cluster.call_controller(
            DeleteTopicsRequest(topic_names=list(names), timeout_ms=self._timeout_ms),
            lambda answer: first_error([one.error_code for one in answer.responses]),
            highest=5,
        )
        for one in answer.responses:
            _raise_for(one.error_code, one.error_message)


def topic_id_text(topic_id: bytes) -> str:
    """Return a topic id as Kafka writes it (URL-safe base64 without padding); empty for none."""
    return base64.urlsafe_b64encode(topic_id).decode("ascii").rstrip("=") if any(topic_id) else ""


def _raise_for(code: int, message: str | None) -> None:
    if code:
        raise BrokerRefused(code, error_text(code, message))
