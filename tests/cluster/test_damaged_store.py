"""A metadata store with a flipped bit in what its nodes hold is explained in one line, never by a traceback."""

from __future__ import annotations

import sqlite3

import pytest

from kbroker.clock import ManualClock
from kbroker.cluster import nodes
from kbroker.cluster.embedded import EmbeddedStore, damage_explained
from kbroker.cluster.registration import settle_identity
from kbroker.errors import StartupError
from kbroker.testing import Broker


def damage(path, node):
    connection = sqlite3.connect(path)
    (data,) = connection.execute("SELECT data FROM nodes WHERE path = ?", (node,)).fetchone()
    connection.execute("UPDATE nodes SET data = ? WHERE path = ?", (bytes([data[0] ^ 0x80]) + data[1:], node))
    connection.commit()
    connection.close()


def test_every_flipped_bit_of_the_identity_is_read_or_explained(tmp_path):
    path, (log_dir,) = str(tmp_path / "store.sqlite"), [str(tmp_path)]
    settle_identity([log_dir], -1, path, clock=ManualClock())
    store = EmbeddedStore(path, clock=ManualClock())
    sound = store.get(nodes.CLUSTER_ID)[0]
    for position in range(len(sound)):
        for bit in range(8):
            content = bytearray(sound)
            content[position] ^= 1 << bit
            try:
                with damage_explained(path):
                    nodes.decode_cluster_id(bytes(content))
            except StartupError as error:
                assert "store.sqlite: the metadata store is damaged" in str(error)
                assert "\n" not in str(error)
    store.close()


@pytest.mark.parametrize("node", [nodes.CLUSTER_ID, nodes.topic_path("orders"), nodes.state_path("orders", 0)])
def test_a_broker_explains_a_damaged_store(tmp_path, node):
    with Broker(data_dir=tmp_path) as broker:
        broker.create_topic("orders")
        broker.stop()
        (path,) = tmp_path.glob("**/*.sqlite")
        damage(path, node)
        with pytest.raises(StartupError) as caught:
            broker.start()
    said = [line for line in str(caught.value).splitlines() if "metadata store" in line and "away" in line]
    assert len(said) == 1
    assert "away" in said[0] and "topics are found again by their directories" in said[0]
    assert "Traceback" not in str(caught.value)
