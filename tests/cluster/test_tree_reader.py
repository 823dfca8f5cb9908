"""Whole branches of the tree are read as values."""

from __future__ import annotations

import pytest

from kbroker.clock import ManualClock
from kbroker.cluster import nodes
from kbroker.cluster.embedded import EmbeddedStore
from kbroker.cluster.tree_reader import forget_log_levels, read_brokers, read_configs, read_deleted_topics
from kbroker.metadata.image import BrokerState, ConfigKind, Endpoint

TOPIC_ID = b"a" * 16


@pytest.fixture
def store(tmp_path):
    store = EmbeddedStore(str(tmp_path / "store.sqlite"), clock=ManualClock())
    for root in nodes.ROOTS:
        store.ensure(root)
    yield store
    store.close()


def test_live_brokers_are_read(store):
    broker = BrokerState(12, (Endpoint("PLAINTEXT", "PLAINTEXT", "h", 9092),))
    store.create("/brokers/ids/12", nodes.encode_broker(broker, 0))
    assert read_brokers(store) == {12: broker}


def test_broker_configurations_are_read(store):
    store.create("/config/brokers/<default>", nodes.encode_config({"a": "1"}))
    store.create("/config/brokers/0", nodes.encode_config({"b": "2"}))
    store.create("/config/brokers/1", nodes.encode_config({}))
    assert read_configs(store)[ConfigKind.BROKER] == {"": {"a": "1"}, "0": {"b": "2"}}


@pytest.mark.parametrize("name", ["g", "a/b", "..", "<default>", "ä %"])
def test_any_name_of_a_group_can_be_kept(store, name):
    store.create(nodes.config_path(ConfigKind.GROUP, name), nodes.encode_config({"a": "1"}))
    assert read_configs(store)[ConfigKind.GROUP] == {name: {"a": "1"}}


def test_levels_of_loggers_last_until_they_are_forgotten(store):
    assert ConfigKind.LOGGER not in read_configs(store)
    store.create(nodes.LOG_LEVELS, nodes.encode_config({"root": "DEBUG"}))
    assert read_configs(store)[ConfigKind.LOGGER] == {"": {"root": "DEBUG"}}
    forget_log_levels(store)
    forget_log_levels(store)
    assert ConfigKind.LOGGER not in read_configs(store)


def test_deleted_topics_are_read_from_their_notes(store, tmp_path):
    assert read_deleted_topics(store) == {}
    store.create(nodes.deleted_topic_path(TOPIC_ID), nodes.encode_deleted_topic("a"))
    assert read_deleted_topics(store) == {TOPIC_ID: "a"}
    empty = EmbeddedStore(str(tmp_path / "empty.sqlite"), clock=ManualClock())
    assert read_deleted_topics(empty) == {}
    empty.close()
