"""
kill -9 under load with acks=1: the broker comes back, and every acknowledged record is where it was said to be.

acks=1 means: in the file when it is acknowledged. A process that is killed takes nothing with it that the kernel has.
"""

from __future__ import annotations

import threading
from typing import Self

import confluent_kafka
import pytest
from clients import Confluent
from waiting import eventually

from kbroker.errors import StartupError
from kbroker.testing import Broker

PARTITIONS = 4
CONFIG = {"num.network.threads": "2", "num.io.threads": "2", "log.segment.bytes": "262144"}
PROGRESS = 2000
TIMEOUT_S = 60.0


class Load:
    """
    A producer in a thread, acks=1, one request in flight, that repeats what was not acknowledged.

    acknowledged  (partition, offset) → value, as the delivery reports said
    """

    def __init__(self, broker: Broker, topic: str) -> None:
        self.acknowledged: dict[tuple[int, int], bytes] = {}
        self.failures: list[confluent_kafka.KafkaError] = []
        self._topic = topic
        self._stop = threading.Event()
        # Without idempotence a repeat may write a record twice, but with one request in flight never out of order.
        self._producer = confluent_kafka.Producer(
            {
                "bootstrap.servers": broker.bootstrap_servers,
                "acks": 1,
                "max.in.flight": 1,
                "linger.ms": 1,
                "batch.num.messages": 50,
                "message.timeout.ms": 60_000,
                "reconnect.backoff.ms": 10,
                "reconnect.backoff.max.ms": 100,
                "retry.backoff.ms": 20,
                "log_level": 0,
            }
        )
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Produce no more and wait for what is under way."""
        if not self._stop.is_set():
            self._stop.set()
            self._thread.join()
            assert self._producer.flush(TIMEOUT_S) == 0, "records were neither delivered nor refused"

    def wait_for_progress(self, records: int = PROGRESS) -> None:
        """Wait until so many more records were acknowledged."""
        target = len(self.acknowledged) + records
        eventually(
            lambda: len(self.acknowledged) >= target or self.failures,
            lambda: f"{target} acknowledged records, have {len(self.acknowledged)}",
            TIMEOUT_S,
        )
        assert not self.failures, self.failures[:3]

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            value = b"%012d" % number
            try:
                self._producer.produce(self._topic, value, partition=number % PARTITIONS, on_delivery=self._delivered)
            except BufferError:
                self._producer.poll(0.1)
                continue
            number += 1
            self._producer.poll(0)
            # A steady load, not a full queue: what is acknowledged should be spread over the whole fault.
            if number % 200 == 0:
                self._producer.poll(0.01)
                while len(self._producer) > 5000 and not self._stop.is_set():
                    self._producer.poll(0.05)

    def _delivered(self, error: confluent_kafka.KafkaError | None, message: confluent_kafka.Message) -> None:
        if error is not None:
            self.failures.append(error)
        else:
            self.acknowledged[message.partition(), message.offset()] = message.value()


def _check_nothing_lost(broker: Broker, topic: str, load: Load) -> None:
    assert not load.failures, load.failures[:3]
    client = Confluent(broker.bootstrap_servers)
    ends = client.end_offsets(topic, PARTITIONS)
    found = client.consume(topic, dict.fromkeys(range(PARTITIONS), 0), sum(ends.values()))
    assert len(found) == sum(ends.values()), "the log has gaps"
    stored = {(record.partition, record.offset): record.value for record in found}
    lost = {place: value for place, value in load.acknowledged.items() if stored.get(place) != value}
    assert not lost, f"{len(lost)} acknowledged records are not where they should be: {sorted(lost.items())[:5]}"
    for partition in range(PARTITIONS):
        # Repeats left aside, the values of a partition grow.
        first_seen = list(dict.fromkeys(record.value for record in found if record.partition == partition))
        assert first_seen == sorted(first_seen), f"partition {partition} is out of order"


@pytest.mark.parametrize("worker", ["net-0", "io-0", "io-1", "cluster"])
def test_a_killed_worker_comes_back_and_nothing_acknowledged_is_lost(worker: str) -> None:
    with Broker(CONFIG) as broker:
        broker.create_topic("load", PARTITIONS)
        with Load(broker, "load") as load:
            load.wait_for_progress()
            for _ in range(2):
                broker.wait_worker_back(worker, broker.kill_worker(worker))
                load.wait_for_progress()
            load.stop()
        _check_nothing_lost(broker, "load", load)
        # What the worker does besides carrying records works, too.
        broker.create_topic("afterwards", PARTITIONS)
        client = Confluent(broker.bootstrap_servers)
        client.commit("readers", "afterwards", {0: 1})
        assert client.committed("readers", "afterwards", 1) == {0: 1}


def test_a_killed_broker_comes_back_and_nothing_acknowledged_is_lost() -> None:
    with Broker(CONFIG) as broker:
        broker.create_topic("load", PARTITIONS)
        with Load(broker, "load") as load:
            for _ in range(3):
                load.wait_for_progress()
                broker.restart(clean=False)
            load.wait_for_progress()
            load.stop()
        _check_nothing_lost(broker, "load", load)


def test_an_orderly_restart_under_load_loses_nothing() -> None:
    with Broker(CONFIG) as broker:
        broker.create_topic("load", PARTITIONS)
        with Load(broker, "load") as load:
            load.wait_for_progress()
            broker.restart()
            load.wait_for_progress()
            load.stop()
        _check_nothing_lost(broker, "load", load)


def test_the_others_serve_while_a_worker_is_away() -> None:
    """Each io worker has its own partitions: the load on the others does not stop when one dies again and again."""
    with Broker(CONFIG) as broker:
        broker.create_topic("load", PARTITIONS)
        with Load(broker, "load") as load:
            load.wait_for_progress()
            for _ in range(3):
                killed = broker.kill_worker("io-0")
                load.wait_for_progress(500)
                broker.wait_worker_back("io-0", killed)
            load.stop()
        _check_nothing_lost(broker, "load", load)


def test_a_worker_that_cannot_stay_up_stops_the_broker_with_a_reason() -> None:
    """Restarts are bounded: better a broker that has ended, and says why, than one that flaps."""
    with Broker(CONFIG) as broker:
        killed = 0
        with pytest.raises(StartupError, match="the broker has ended"):
            for _ in range(50):
                killed = broker.kill_worker("io-0")
                broker.wait_worker_back("io-0", killed)
        assert "worker io-0 was killed by SIGKILL and has failed too often" in broker.log_text()
