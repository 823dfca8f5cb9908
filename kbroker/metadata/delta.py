"""
What changed in the cluster, as a value and as compact JSON for the way from the cluster worker to all others.

    {"v": version, "full": true?, "cluster": id?, "controller": id?,
     "brokers": [[id, rack, [[listener, protocol, host, port], …]], …], "gone_brokers": [id, …],
     "topics": [[name, topic id in hex, internal, {key: value}, [partition, …]], …], "gone_topics": [name, …],
     "partitions": {name: [partition, …]}, "configs": {kind: {name: {key: value}}}}

    partition = [partition, row, leader, leader epoch, partition epoch, [replica, …], [isr, …], [offline replica, …]]

Empty parts are left out. Both ends are processes of the same broker, so the form may change with any version.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kbroker.metadata.image import BrokerState, ConfigKind, Endpoint, MetadataImage, PartitionState, TopicState


@dataclass(frozen=True, slots=True)
class MetadataDelta:
    """
    The step from one image to the next, or (full) a whole image.

    version          of the image after it; without `full` it follows exactly the image before
    cluster_id       None: unchanged
    controller_id    None: unchanged; -1: no controller
    brokers          new or changed brokers
    topics           new or changed topics, whole; a known name with a new topic id replaces the old topic
    removed_topics   names, taken away before `topics` is added
    partitions       by topic: changed partitions, and new ones that follow the last without a gap
    configs          by kind: whole new configurations by name; an empty one: nothing is set any more
    """

    version: int
    full: bool = False
    cluster_id: str | None = None
    controller_id: int | None = None
    brokers: tuple[BrokerState, ...] = ()
    removed_brokers: tuple[int, ...] = ()
    topics: tuple[TopicState, ...] = ()
    removed_topics: tuple[str, ...] = ()
    partitions: Mapping[str, tuple[PartitionState, ...]] = field(default_factory=dict)
    configs: Mapping[ConfigKind, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Return the delta as compact JSON."""
        document: dict[str, Any] = {"v": self.version}
        if self.full:
            document["full"] = True
        if self.cluster_id is not None:
            document["cluster"] = self.cluster_id
        if self.controller_id is not None:
            document["controller"] = self.controller_id
        if self.brokers:
            document["brokers"] = [
                [
                    broker.broker_id,
                    broker.rack,
                    [[e.listener_name, e.security_protocol, e.host, e.port] for e in broker.endpoints],
                ]
                for broker in self.brokers
            ]
        if self.removed_brokers:
            document["gone_brokers"] = self.removed_brokers
        if self.topics:
            document["topics"] = [
                [
                    topic.name,
                    topic.topic_id.hex(),
                    int(topic.internal),
                    dict(topic.config),
                    [_partition_values(state) for state in topic.partitions],
                ]
                for topic in self.topics
            ]
        if self.removed_topics:
            document["gone_topics"] = self.removed_topics
        if self.partitions:
            document["partitions"] = {
                name: [_partition_values(state) for state in states] for name, states in self.partitions.items()
            }
        if self.configs:
            document["configs"] = {
                kind: {name: dict(config) for name, config in configs.items()} for kind, configs in self.configs.items()
            }
        return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def full_delta(image: MetadataImage) -> MetadataDelta:
    """Return the delta that makes `image` out of any other."""
    return MetadataDelta(
        version=image.version,
        full=True,
        cluster_id=image.cluster_id,
        controller_id=image.controller_id,
        brokers=tuple(image.brokers.values()),
        topics=tuple(image.topics.values()),
        configs=image.configs,
    )


def decode_delta(data: bytes | memoryview) -> MetadataDelta:
    """Return the delta in `data`, which must be what `MetadataDelta.encode` made."""
    document: dict[str, Any] = json.loads(bytes(data))
    return MetadataDelta(
        version=document["v"],
        full=document.get("full", False),
        cluster_id=document.get("cluster"),
        controller_id=document.get("controller"),
        brokers=tuple(
            BrokerState(broker_id, tuple(Endpoint(*endpoint) for endpoint in endpoints), rack)
            for broker_id, rack, endpoints in document.get("brokers", ())
        ),
        removed_brokers=tuple(document.get("gone_brokers", ())),
        topics=tuple(
            TopicState(
                name, bytes.fromhex(topic_id), tuple(map(_partition_state, partitions)), config, internal=bool(internal)
            )
            for name, topic_id, internal, config, partitions in document.get("topics", ())
        ),
        removed_topics=tuple(document.get("gone_topics", ())),
        partitions={
            name: tuple(map(_partition_state, states)) for name, states in document.get("partitions", {}).items()
        },
        configs={ConfigKind(kind): configs for kind, configs in document.get("configs", {}).items()},
    )


def _partition_values(state: PartitionState) -> list[Any]:
    return [
        state.partition,
        state.row,
        state.leader,
        state.leader_epoch,
        state.partition_epoch,
        state.replicas,
        state.isr,
        state.offline_replicas,
    ]


def _partition_state(values: list[Any]) -> PartitionState:
    partition, row, leader, leader_epoch, partition_epoch, replicas, isr, offline_replicas = values
    return PartitionState(
        partition, row, leader, leader_epoch, partition_epoch, tuple(replicas), tuple(isr), tuple(offline_replicas)
    )
