"""A data directory starts or explains itself, wherever it comes from."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from kbroker.clock import ManualClock
from kbroker.cluster import nodes
from kbroker.cluster.embedded import EmbeddedStore
from kbroker.cluster.registration import NOT_CONFIGURED, BrokerRegistration, register, settle_identity
from kbroker.errors import StartupError
from kbroker.metadata.image import BrokerState, Endpoint
from kbroker.storage.checkpoints import MetaProperties, read_meta_properties, write_meta_properties

KAFKA_ID = "LZ-T7oi9Tz2ggVW2zXZ7Sw"
OTHER_ID = "5NpuWWmDRsGRFMsO5xypyA"


class Disk:
    """Log directories and the store's file."""

    def __init__(self, root):
        self.root = root
        self.store_path = f"{root}/metadata/store.sqlite"

    def log_dir(self, name, properties=None):
        path = f"{self.root}/{name}"
        os.makedirs(path, exist_ok=True)
        if properties is not None:
            write_meta_properties(path, properties)
        return path

    def settle(self, *log_dirs, broker_id=NOT_CONFIGURED):
        return settle_identity(log_dirs, broker_id, self.store_path, clock=ManualClock())

    def contents(self, *log_dirs):
        return [read_meta_properties(log_dir) for log_dir in log_dirs]


@pytest.fixture
def disk(tmp_path):
    return Disk(tmp_path)


def test_a_new_broker_gets_an_identity_and_keeps_it(disk):
    first, second = disk.log_dir("a"), disk.log_dir("b")
    identity = disk.settle(first, second)
    assert identity.broker_id == 0
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{21}", identity.cluster_id)
    for properties in disk.contents(first, second):
        assert (properties.cluster_id, properties.node_id) == (identity.cluster_id, 0)
    assert disk.settle(first, second) == identity
    assert disk.settle(first, second, broker_id=0) == identity


def test_a_configured_broker_id_is_used_and_remembered(disk):
    log_dir = disk.log_dir("a")
    assert disk.settle(log_dir, broker_id=7).broker_id == 7
    assert disk.settle(log_dir).broker_id == 7


@pytest.mark.parametrize(
    "properties",
    [
        MetaProperties(0, KAFKA_ID, 3),
        MetaProperties(0, KAFKA_ID, 3, directory_id=OTHER_ID),
        MetaProperties(1, KAFKA_ID, 3, directory_id=OTHER_ID),
    ],
    ids=["zookeeper", "zookeeper since 3.7", "kraft"],
)
@pytest.mark.parametrize("broker_id", [NOT_CONFIGURED, 3])
def test_a_directory_of_kafka_is_adopted_and_left_as_it_is(disk, properties, broker_id):
    log_dir = disk.log_dir("kafka", properties)
    file = Path(log_dir, "meta.properties")
    before = file.read_bytes()
    assert disk.settle(log_dir, broker_id=broker_id) == BrokerRegistration(3, KAFKA_ID)
    assert file.read_bytes() == before


def test_a_new_directory_gets_the_form_of_the_others(disk):
    kafka, new = disk.log_dir("kafka", MetaProperties(0, KAFKA_ID, 3)), disk.log_dir("new")
    disk.settle(kafka, new)
    assert disk.contents(new) == [MetaProperties(0, KAFKA_ID, 3)]


def test_an_old_directory_without_a_cluster_id_is_completed(disk):
    log_dir = disk.log_dir("old", MetaProperties(0, None, 3))
    identity = disk.settle(log_dir)
    assert disk.contents(log_dir) == [MetaProperties(0, identity.cluster_id, 3)]


def test_a_lost_store_takes_its_identity_from_the_logs(disk):
    log_dir = disk.log_dir("a")
    identity = disk.settle(log_dir, broker_id=4)
    os.unlink(disk.store_path)
    assert disk.settle(log_dir) == identity


def test_lost_logs_take_their_identity_from_the_store(disk):
    identity = disk.settle(disk.log_dir("a"), broker_id=4)
    assert disk.settle(disk.log_dir("b")) == identity


def refused(disk, *log_dirs, **options):
    """Return why the broker does not start, having seen that it wrote nothing."""
    before = disk.contents(*log_dirs)
    with pytest.raises(StartupError) as raised:
        disk.settle(*log_dirs, **options)
    assert disk.contents(*log_dirs) == before
    return str(raised.value)


def test_another_broker_id_is_explained(disk):
    log_dir = disk.log_dir("a", MetaProperties(1, KAFKA_ID, 3))
    message = refused(disk, log_dir, broker_id=5)
    for part in (
        "broker.id=5",
        f"{log_dir}/meta.properties",
        "broker 3",
        "Set broker.id=3",
        "point log.dirs at another",
    ):
        assert part in message


def test_another_broker_id_than_the_store_s_is_explained(disk):
    disk.settle(disk.log_dir("a"), broker_id=4)
    message = refused(disk, disk.log_dir("b"), broker_id=5)
    assert disk.store_path in message
    assert "broker 4" in message


def test_directories_of_two_clusters_are_explained(disk):
    one, other = disk.log_dir("a", MetaProperties(1, KAFKA_ID, 3)), disk.log_dir("b", MetaProperties(1, OTHER_ID, 3))
    message = refused(disk, one, other)
    for part in (f"{one}/meta.properties (cluster.id={KAFKA_ID})", f"{other}/meta.properties (cluster.id={OTHER_ID})"):
        assert part in message


def test_directories_of_two_brokers_are_explained(disk):
    one, other = disk.log_dir("a", MetaProperties(1, KAFKA_ID, 3)), disk.log_dir("b", MetaProperties(0, KAFKA_ID, 4))
    message = refused(disk, disk.log_dir("new"), one, other)
    assert f"{one}/meta.properties (broker.id=3) and {other}/meta.properties (broker.id=4)" in message


def test_a_store_of_another_cluster_is_explained(disk):
    identity = disk.settle(disk.log_dir("a"))
    log_dir = disk.log_dir("foreign", MetaProperties(1, KAFKA_ID, 0))
    message = refused(disk, log_dir)
    for part in (KAFKA_ID, identity.cluster_id, disk.store_path, f"{log_dir}/meta.properties", "move the store away"):
        assert part in message


def test_a_store_of_another_broker_is_explained(disk):
    identity = disk.settle(disk.log_dir("a"), broker_id=1)
    message = refused(disk, disk.log_dir("foreign", MetaProperties(1, identity.cluster_id, 2)))
    assert "is of broker 2" in message
    assert "is of broker 1" in message


def test_a_broker_is_registered_until_its_session_ends(disk):
    identity = disk.settle(disk.log_dir("a"))
    broker = BrokerState(0, (Endpoint("PLAINTEXT", "PLAINTEXT", "localhost", 9092),))
    store = EmbeddedStore(disk.store_path, clock=ManualClock())
    register(store, identity, broker, clock=ManualClock())
    register(store, identity, broker, clock=ManualClock())
    data, stat = store.get("/brokers/ids/0")
    assert json.loads(data)["endpoints"] == ["PLAINTEXT://localhost:9092"]
    assert nodes.decode_broker(0, data) == broker
    assert stat.ephemeral_owner == store.session_id
    assert nodes.decode_cluster_id(store.get("/cluster/id")[0]) == identity.cluster_id
    store.close()
    store = EmbeddedStore(disk.store_path, clock=ManualClock())
    assert store.children("/brokers/ids") == []
    store.close()
