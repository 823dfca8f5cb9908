"""Whole branches of the metadata tree, as values."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from kbroker.cluster import nodes
from kbroker.cluster.store import NoNode, Store
from kbroker.metadata.image import BrokerState, ConfigKind
from kbroker.storage.checkpoints import decode_uuid
from kbroker.types import Uuid


def read_brokers(store: Store) -> dict[int, BrokerState]:
    """Return the brokers that live, by id. Raises StoreError."""
    ids = [int(name) for name in store.children(nodes.BROKER_IDS)]
    found = store.get_many([nodes.broker_path(broker_id) for broker_id in ids])
    # A broker may vanish between the two reads; its watch tells soon.
    return {
        broker_id: nodes.decode_broker(broker_id, node[0])
        for broker_id, node in zip(ids, found, strict=True)
        if node is not None
    }


def read_configs(store: Store) -> dict[ConfigKind, dict[str, Mapping[str, str]]]:
    """Return what is set on anything but topics, by kind and name (brokers: "" stands for all). Raises StoreError."""
    configs = {
        kind: _read_configs(store, f"/config/{kind}")
        for kind in (ConfigKind.BROKER, ConfigKind.GROUP, ConfigKind.CLIENT_METRICS)
    }
    if store.exists(nodes.LOG_LEVELS) is not None:
        configs[ConfigKind.LOGGER] = {"": nodes.decode_config(store.get(nodes.LOG_LEVELS)[0])}
    return configs


def forget_log_levels(store: Store) -> None:
    """Drop the levels of loggers that an earlier run of the broker was asked for. Raises StoreError."""
    if store.exists(nodes.LOG_LEVELS) is not None:
        store.delete(nodes.LOG_LEVELS)


def _read_configs(store: Store, parent: str) -> dict[str, Mapping[str, str]]:
    names = store.children(parent)
    found = store.get_many([f"{parent}/{name}" for name in names])
    configs = {
        "" if name == nodes.DEFAULT_ENTITY else unquote(name): nodes.decode_config(node[0])
        for name, node in zip(names, found, strict=True)
        if node is not None
    }
    return {name: config for name, config in configs.items() if config}


def read_deleted_topics(store: Store) -> dict[Uuid, str]:
    """Return id and name of each topic that was deleted, but perhaps not from every disk yet."""
    try:
        ids = store.children(nodes.DELETED_TOPICS)
    except NoNode:
        return {}
    found = store.get_many([f"{nodes.DELETED_TOPICS}/{topic_id}" for topic_id in ids])
    return {
        decode_uuid(topic_id): nodes.decode_deleted_topic(node[0])
        for topic_id, node in zip(ids, found, strict=True)
        if node is not None
    }
