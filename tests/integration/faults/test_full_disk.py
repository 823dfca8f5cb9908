"""A broker on a small disk that fills up: it says so, stays readable, and goes on when there is space again."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile

import confluent_kafka
import pytest
from confluent_kafka.admin import NewTopic
from waiting import eventually

from kbroker.testing import Broker

SIZE_BYTES = 8 * 1024 * 1024
VALUE_BYTES = 2000


@pytest.fixture
def small_disk():
    """A file system in memory of a few MiB; only root may mount one."""
    assert os.geteuid() == 0, "this test mounts a small tmpfs: run it as root (in CI it is)"
    with tempfile.TemporaryDirectory(prefix="kbroker-disk-") as path:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES}", "tmpfs", path], check=True)
        try:
            yield path
        finally:
            subprocess.run(["umount", "-l", path], check=True)


def fill(path):
    """Leave no byte free; return the file that takes the space."""
    ballast = f"{path}/ballast"
    with open(ballast, "ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return ballast


class Clients:
    def __init__(self, broker):
        self.servers = {"bootstrap.servers": broker.bootstrap_servers, "log_level": 2}
        self.acknowledged = []
        self.refused = []
        self.number = 0

    def produce(self, topic, count, patience_ms=2000):
        """Send records one after the other; note what became of each."""
        producer = confluent_kafka.Producer(
            {**self.servers, "message.timeout.ms": patience_ms, "linger.ms": 0, "batch.num.messages": 1}
        )

        def delivered(error, message):
            if error is None:
                self.acknowledged.append((message.offset(), message.value()))
            else:
                self.refused.append(error.code())

        for _ in range(count):
            self.number += 1
            producer.produce(topic, b"%08d" % self.number + bytes(VALUE_BYTES), on_delivery=delivered)
        producer.flush(20)

    def consume(self, topic, group):
        """Return offset and value of all records of a topic."""
        consumer = confluent_kafka.Consumer(
            {**self.servers, "group.id": group, "enable.auto.commit": False, "enable.partition.eof": True}
        )
        found = []
        try:
            consumer.assign([confluent_kafka.TopicPartition(topic, 0, 0)])
            while True:
                message = consumer.poll(20)
                assert message is not None
                if message.error():
                    assert message.error().code() == confluent_kafka.KafkaError._PARTITION_EOF
                    return found
                found.append((message.offset(), message.value()))
        finally:
            consumer.close()

    def commit(self, topic, offset):
        """Commit a group's offset; return the error's code, 0 when there is none."""
        consumer = confluent_kafka.Consumer({**self.servers, "group.id": "committer", "enable.auto.commit": False})
        try:
            consumer.commit(offsets=[confluent_kafka.TopicPartition(topic, 0, offset)], asynchronous=False)
        except confluent_kafka.KafkaException as error:
            return error.args[0].code()
        finally:
            consumer.close()
        return 0


def test_a_disk_that_fills_up_and_has_space_again(small_disk):
    data = f"{small_disk}/data"
    with Broker({"log.dirs": data, "offsets.topic.num.partitions": "1", "num.io.threads": "1"}) as broker:
        broker.create_topic("orders", config={"segment.bytes": "100000"})
        clients = Clients(broker)
        clients.produce("orders", 100)
        assert clients.commit("orders", 10) == 0
        assert len(clients.acknowledged) == 100
        workers = broker.worker_pids()

        ballast = fill(small_disk)
        clients.produce("orders", 20)
        assert set(clients.refused) <= {
            confluent_kafka.KafkaError.KAFKA_STORAGE_ERROR,
            confluent_kafka.KafkaError._MSG_TIMED_OUT,
        }
        assert len(clients.refused) >= 15  # what was left of a page may have taken a few
        fill(small_disk)
        # The last page of the group's log still takes a few.
        assert any(clients.commit("orders", 20 + number) for number in range(60))
        created = broker.admin().create_topics([NewTopic("late", 1, 1)], request_timeout=5)["late"]
        error = None
        try:
            created.result(10)
        except confluent_kafka.KafkaException as caught:
            error = caught.args[0]
        assert set(clients.acknowledged) <= set(clients.consume("orders", "while-full"))
        assert broker.worker_pids() == workers

        os.unlink(ballast)
        before = len(clients.acknowledged)
        clients.produce("orders", 60, patience_ms=15_000)
        assert len(clients.acknowledged) == before + 60
        assert eventually(lambda: clients.commit("orders", 30) == 0, "a commit after the disk has space again")
        if error is None:
            clients.produce("late", 1, patience_ms=20_000)  # known to the store, its log made as soon as there is space
        else:
            broker.create_topic("late")
        assert set(clients.acknowledged[:160]) <= set(clients.consume("orders", "afterwards"))
        assert broker.worker_pids() == workers
        assert "Traceback" not in broker.log_text()

        broker.restart(clean=False)
        clients.servers["bootstrap.servers"] = broker.bootstrap_servers
        assert set(clients.acknowledged[: before + 60]) <= set(clients.consume("orders", "after-a-crash"))
