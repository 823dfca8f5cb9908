"""
The metadata tree: paths and content of its nodes, which are Apache Kafka's.

    /cluster/id                           {"version":"1","id":"<22 characters>"}
    /controller                E          {"version":2,"brokerid":0,"timestamp":"<ms>","kraftControllerEpoch":-1}
    /controller_epoch                     a number; the node's version fences controllers that were replaced
    /brokers/ids/<id>          E          the broker's endpoints, version 5
    /brokers/topics/<t>                   {"partitions":{"0":[1,2]},"topic_id":"<22 characters>",…,"version":3}
    /brokers/topics/<t>/partitions/<p>/state
                                          {"controller_epoch":1,"leader":2,"version":1,"leader_epoch":0,"isr":[2,1]}
                                          the node's version is the partition epoch
    /config/topics/<t>  /config/brokers/<id or <default>>     {"version":1,"config":{"retention.ms":"3600000"}}
    /config/groups/<g>  /config/client-metrics/<name>         the same; names are percent-encoded
    /latest_producer_id_block             {"version":1,"broker":0,"block_start":"0","block_end":"999"}

Ours alone, in the embedded store:

    /kbroker/identity                     {"version":1,"broker_id":0}: whose store this is
    /kbroker/deleted_topics/<topic id>    {"version":1,"name":"<t>"}: directories of that topic are garbage, not data
    /kbroker/log_levels                   as a configuration: levels of loggers, set while this broker runs

E: ephemeral.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from kbroker.metadata.image import BrokerState, ConfigKind, Endpoint
from kbroker.storage.checkpoints import decode_uuid, encode_uuid
from kbroker.types import Uuid

CLUSTER_ID = "/cluster/id"
CONTROLLER = "/controller"
CONTROLLER_EPOCH = "/controller_epoch"
BROKER_IDS = "/brokers/ids"
TOPICS = "/brokers/topics"
TOPIC_CONFIGS = "/config/topics"
BROKER_CONFIGS = "/config/brokers"
GROUP_CONFIGS = "/config/groups"
CLIENT_METRICS_CONFIGS = "/config/client-metrics"
LOG_LEVELS = "/kbroker/log_levels"
PRODUCER_ID_BLOCK = "/latest_producer_id_block"
IDENTITY = "/kbroker/identity"
DELETED_TOPICS = "/kbroker/deleted_topics"

ROOTS = (
    "/cluster",
    BROKER_IDS,
    TOPICS,
    TOPIC_CONFIGS,
    BROKER_CONFIGS,
    GROUP_CONFIGS,
    CLIENT_METRICS_CONFIGS,
    "/config/clients",
    "/config/users",
    "/config/ips",
    "/config/changes",
    "/admin/delete_topics",
    DELETED_TOPICS,
)
"""Nodes that always exist."""

DEFAULT_ENTITY = "<default>"
"""Kafka's name for "all brokers" under /config/brokers."""


class Assignment(NamedTuple):
    """What a topic's node says: topic id (None before Kafka 2.8) and the replicas of each partition, by index."""

    topic_id: Uuid | None
    replicas: Mapping[int, tuple[int, ...]]


class LeaderState(NamedTuple):
    """What a partition's state node says."""

    leader: int
    leader_epoch: int
    isr: tuple[int, ...]
    controller_epoch: int


def encode_json(document: Any) -> bytes:
    """Return a document as a node's data."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def broker_path(broker_id: int) -> str:
    """Return the path of a broker's registration."""
    return f"{BROKER_IDS}/{broker_id}"


def topic_path(topic: str) -> str:
    """Return the path of a topic's assignment."""
    return f"{TOPICS}/{topic}"


def partitions_path(topic: str) -> str:
    """Return the path above a topic's partitions."""
    return f"{TOPICS}/{topic}/partitions"


def partition_path(topic: str, partition: int) -> str:
    """Return the path above a partition's state."""
    return f"{TOPICS}/{topic}/partitions/{partition}"


def state_path(topic: str, partition: int) -> str:
    """Return the path of a partition's state."""
    return f"{TOPICS}/{topic}/partitions/{partition}/state"


def topic_config_path(topic: str) -> str:
    """Return the path of a topic's configuration."""
    return f"{TOPIC_CONFIGS}/{topic}"


def broker_config_path(broker: str) -> str:
    """Return the path of a broker's dynamic configuration; "" means all brokers."""
    return f"{BROKER_CONFIGS}/{broker or DEFAULT_ENTITY}"


def config_path(kind: ConfigKind, name: str) -> str:
    """Return the path of the configuration of anything but a topic."""
    if kind is ConfigKind.BROKER:
        return broker_config_path(name)
    if kind is ConfigKind.LOGGER:
        return LOG_LEVELS
    quoted = quote(name, safe="")
    # "." and ".." are no names of nodes.
    return f"/config/{kind}/{quoted if quoted.strip('.') else quoted.replace('.', '%2E')}"


def deleted_topic_path(topic_id: Uuid) -> str:
    """Return the path of the note that a topic was deleted."""
    return f"{DELETED_TOPICS}/{encode_uuid(topic_id)}"


def encode_cluster_id(cluster_id: str) -> bytes:
    """Return the data of /cluster/id."""
    return encode_json({"version": "1", "id": cluster_id})


def decode_cluster_id(data: bytes) -> str | None:
    """Return the cluster id in /cluster/id; None while nothing was written yet."""
    return str(json.loads(data)["id"]) if data else None


def encode_identity(broker_id: int) -> bytes:
    """Return the data of /kbroker/identity."""
    return encode_json({"version": 1, "broker_id": broker_id})


def decode_identity(data: bytes) -> int | None:
    """Return the broker id in /kbroker/identity; None while nothing was written yet."""
    return int(json.loads(data)["broker_id"]) if data else None


def encode_controller(broker_id: int, now_ms: int) -> bytes:
    """Return the data of /controller."""
    return encode_json({"version": 2, "brokerid": broker_id, "timestamp": str(now_ms), "kraftControllerEpoch": -1})


def encode_topic(topic_id: Uuid, replicas: Sequence[Sequence[int]]) -> bytes:
    """Return the data of a topic's node; `replicas` by partition."""
    return encode_json(
        {
            "partitions": {str(partition): list(brokers) for partition, brokers in enumerate(replicas)},
            "topic_id": encode_uuid(topic_id),
            "adding_replicas": {},
            "removing_replicas": {},
            "version": 3,
        }
    )


def decode_topic(data: bytes) -> Assignment:
    """Return what a topic's node says, of any version Kafka wrote."""
    document = json.loads(data)
    topic_id = document.get("topic_id")
    return Assignment(
        None if topic_id is None else decode_uuid(topic_id),
        {int(partition): tuple(brokers) for partition, brokers in document["partitions"].items()},
    )


def encode_state(state: LeaderState) -> bytes:
    """Return the data of a partition's state node."""
    return encode_json(
        {
            "controller_epoch": state.controller_epoch,
            "leader": state.leader,
            "version": 1,
            "leader_epoch": state.leader_epoch,
            "isr": list(state.isr),
        }
    )


def decode_state(data: bytes) -> LeaderState:
    """Return what a partition's state node says."""
    document = json.loads(data)
    return LeaderState(
        document["leader"], document["leader_epoch"], tuple(document["isr"]), document.get("controller_epoch", 0)
    )


def encode_config(config: Mapping[str, str]) -> bytes:
    """Return the data of a configuration node."""
    return encode_json({"version": 1, "config": dict(config)})


def decode_config(data: bytes) -> dict[str, str]:
    """Return what a configuration node sets; empty for a node without data."""
    return dict(json.loads(data)["config"]) if data else {}


def encode_deleted_topic(name: str) -> bytes:
    """Return the data of the note that a topic was deleted."""
    return encode_json({"version": 1, "name": name})


def decode_deleted_topic(data: bytes) -> str:
    """Return the name a deleted topic had."""
    return str(json.loads(data)["name"])


def encode_broker(broker: BrokerState, now_ms: int) -> bytes:
    """Return the data of a broker's registration, version 5."""
    document: dict[str, Any] = {
        "features": {},
        "listener_security_protocol_map": {
            endpoint.listener_name: endpoint.security_protocol for endpoint in broker.endpoints
        },
        "endpoints": [
            f"{endpoint.listener_name}://{_bracketed(endpoint.host)}:{endpoint.port}" for endpoint in broker.endpoints
        ],
        "jmx_port": -1,
    }
    # Host and port of the plain listener stand apart too: that is all the oldest clients of ZooKeeper read.
    plain = next((endpoint for endpoint in broker.endpoints if endpoint.security_protocol == "PLAINTEXT"), None)
    document |= {"port": plain.port if plain else -1, "host": plain.host if plain else None, "version": 5}
    document["timestamp"] = str(now_ms)
    if broker.rack is not None:
        document["rack"] = broker.rack
    return encode_json(document)


def _bracketed(host: str) -> str:
    """Return a host as it stands before a port: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def decode_broker(broker_id: int, data: bytes) -> BrokerState:
    """Return a broker's registration, of any version Kafka wrote."""
    document = json.loads(data)
    protocols = document.get("listener_security_protocol_map", {})
    endpoints = []
    for text in document.get("endpoints") or [f"PLAINTEXT://{document['host']}:{document['port']}"]:
        name, _, address = text.partition("://")
        host, _, port = address.rpartition(":")
        endpoints.append(Endpoint(name, protocols.get(name, name), host.strip("[]"), int(port)))
    return BrokerState(broker_id, tuple(endpoints), document.get("rack"))
