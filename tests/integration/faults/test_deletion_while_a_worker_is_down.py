"""
A topic whose deletion was acknowledged stays deleted, though the worker that held its logs died before it heard of it.

What is on disk and not in the metadata store is adopted when the broker starts; left behind, the directories of the
dead worker's partitions would bring the topic back.
"""

from __future__ import annotations

import os
import signal

from waiting import eventually

from kbroker.testing import Broker

PARTITIONS = 4


def test_a_topic_deleted_while_an_io_worker_dies_stays_deleted_after_a_restart() -> None:
    with Broker({"num.network.threads": "1", "num.io.threads": "2"}) as broker:
        broker.create_topic("kept", PARTITIONS)
        broker.create_topic("gone", PARTITIONS)
        os.kill(broker.worker_pids()["io-0"], signal.SIGSTOP)
        deletion = broker.admin().delete_topics(["gone"], request_timeout=20)["gone"]
        # The other worker has heard of it; the stopped one dies without.
        eventually(lambda: len(list(broker.data_dir.glob("gone-?"))) == PARTITIONS // 2, "half of the topic deleted")
        killed = broker.kill_worker("io-0")
        deletion.result(20)
        broker.wait_worker_back("io-0", killed)
        eventually(lambda: not list(broker.data_dir.glob("gone-?")), "the other half deleted")
        broker.restart(clean=False)
        assert set(broker.admin().list_topics(timeout=20).topics) == {"kept"}
