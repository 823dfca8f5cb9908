"""No producer id is given out twice, whoever dies when."""

from __future__ import annotations

import json

import pytest

from kbroker.clock import ManualClock
from kbroker.cluster.embedded import EmbeddedStore
from kbroker.cluster.producer_id_blocks import ProducerIdBlocks
from kbroker.errors import KafkaError


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "store.sqlite")


def test_blocks_follow_each_other_across_restarts(path):
    store = EmbeddedStore(path, clock=ManualClock())
    blocks = ProducerIdBlocks(store, broker_id=3)
    assert blocks.allocate() == (0, 999)
    assert json.loads(store.get("/latest_producer_id_block")[0]) == {
        "version": 1,
        "broker": 3,
        "block_start": "0",
        "block_end": "999",
    }
    store.close()
    store = EmbeddedStore(path, clock=ManualClock())
    assert ProducerIdBlocks(store, broker_id=3).allocate() == (1000, 1999)
    store.close()


def test_ids_that_may_be_in_use_are_skipped(path):
    store = EmbeddedStore(path, clock=ManualClock())
    blocks = ProducerIdBlocks(store, broker_id=0)
    blocks.skip_to(5_000)
    assert blocks.allocate().first >= 5_000
    before = blocks.allocate()
    blocks.skip_to(5_000)
    assert blocks.allocate().first > before.last
    store.close()


class Contended(EmbeddedStore):
    """A store in which another broker gets ahead `times` times."""

    times = 0

    def set(self, path, data, version=-1):
        if self.times:
            self.times -= 1
            EmbeddedStore.set(self, path, json.dumps({"block_end": "123999"}).encode())
        return EmbeddedStore.set(self, path, data, version)


def test_brokers_that_take_a_block_at_once_get_different_ones(path):
    store = Contended(path, clock=ManualClock())
    blocks = ProducerIdBlocks(store, broker_id=0)
    blocks.allocate()
    store.times = 1
    assert blocks.allocate() == (124_000, 124_999)
    store.times = 1000
    with pytest.raises(KafkaError, match="other brokers"):
        blocks.allocate()
    store.close()


def test_used_up_ids_are_told(path):
    store = EmbeddedStore(path, clock=ManualClock())
    store.create("/latest_producer_id_block", json.dumps({"block_end": str(2**63 - 500)}).encode())
    with pytest.raises(KafkaError, match="used up"):
        ProducerIdBlocks(store, broker_id=0).allocate()
    store.close()
