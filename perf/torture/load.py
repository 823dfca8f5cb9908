"""The load: producers of each kind of acknowledgement, a group of consumers that commits, topics that come and go."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future

import confluent_kafka
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from ledger import Ledger, pack_value

PRODUCERS: Mapping[str, Mapping[str, object]] = {
    # One request in flight: a repeat may write a record twice, but never out of order.
    "acks-1": {"acks": 1, "max.in.flight": 1},
    "acks-all": {"acks": "all", "max.in.flight": 1},
    "idempotent": {"enable.idempotence": True, "max.in.flight": 5},
}
EXACTLY_ONCE = {"idempotent"}
GROUP = "readers"

_RECONNECT: Mapping[str, object] = {
    "reconnect.backoff.ms": 10,
    "reconnect.backoff.max.ms": 200,
    "log_level": 0,
}
_CHURN_PARTITIONS = 3
_CHURN_PAUSE_S = 0.2
_CHURN_TIMEOUT_S = 5.0
_MOST_TOPICS = 4
_REMEMBERED_TOPICS = 100
_BURST_S = 0.005
_MAX_WAITING = 3000


class Producer:
    """
    A producer in a thread of its own: numbered records per partition, every one repeated until it is acknowledged.

    rate      records per second while the broker answers; less while acknowledgements are missing
    failures  what delivery reports refused; none is expected
    """

    def __init__(self, name: str, bootstrap_servers: str, ledger: Ledger, index: int, rate: int) -> None:
        self.name = name
        self.failures: list[str] = []
        self.acknowledged = [0] * ledger.partitions
        self._ledger = ledger
        self._index = index
        self._rate = rate
        self._stop = threading.Event()
        self._producer = confluent_kafka.Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "linger.ms": 0.5,
                "batch.num.messages": 100,
                "message.timeout.ms": 300_000,
                "retry.backoff.ms": 20,
                "retry.backoff.max.ms": 200,
                **PRODUCERS[name],
                **_RECONNECT,
            }
        )
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout_s: float) -> list[str]:
        """Produce no more; wait for what is under way; return what is wrong."""
        self._stop.set()
        self._thread.join()
        left = self._producer.flush(timeout_s)
        if left:
            return [f"{self.name}: {left} records were neither acknowledged nor refused within {timeout_s} s"]
        return []

    def _run(self) -> None:
        try:
            self._produce()
        except confluent_kafka.KafkaException as error:
            self.failures.append(f"{self.name} cannot go on: {error}")

    def _produce(self) -> None:
        ledger = self._ledger
        producer = self._producer
        sequences = [0] * ledger.partitions
        burst = max(1, int(self._rate * _BURST_S))
        turn = 0
        due = time.monotonic()
        while not self._stop.is_set():
            due = max(due + _BURST_S, time.monotonic() - 1)
            # A steady load, not a full queue: what is acknowledged should be spread over the whole fault.
            if len(producer) < _MAX_WAITING:
                partition = turn % ledger.partitions
                turn += 1
                for _ in range(burst):
                    self._send(partition, sequences[partition])
                    sequences[partition] += 1
            while (left := due - time.monotonic()) > 0:
                producer.poll(left)
            producer.poll(0)

    def _send(self, partition: int, sequence: int) -> None:
        def delivered(error: confluent_kafka.KafkaError | None, message: confluent_kafka.Message) -> None:
            if error is not None:
                self.failures.append(f"{self.name} {partition}/{sequence} was refused: {error}")
                return
            self.acknowledged[partition] += 1
            self._ledger.acknowledged.append((self._index, partition, sequence, message.offset()))

        self._producer.produce(
            self._ledger.topic,
            pack_value(self.name, partition, sequence),
            f"{self.name}-{sequence}",
            partition=partition,
            on_delivery=delivered,
        )


class Group:
    """
    Consumers of a group, each in a thread, that commit what they have read.

    committed  per partition the highest offset whose commit was acknowledged
    """

    def __init__(self, bootstrap_servers: str, topic: str, partitions: int, members: int) -> None:
        self.committed = [-1] * partitions
        self.consumed = 0
        self.failures: list[str] = []
        self._bootstrap_servers = bootstrap_servers
        self._topic = topic
        self._lock = threading.Lock()
        self._members: list[_Member] = [_Member(self, bootstrap_servers, topic) for _ in range(members)]

    def replace_member(self, index: int) -> None:
        """Have one member leave and another one join."""
        self._members[index].stop()
        self._members[index] = _Member(self, self._bootstrap_servers, self._topic)

    def stop(self) -> None:
        """Have all members leave."""
        for member in self._members:
            member.stop()

    def note_commit(self, partition: int, offset: int) -> None:
        """Keep what a member was told to be committed."""
        with self._lock:
            self.committed[partition] = max(self.committed[partition], offset)

    def check(self, timeout_s: float) -> list[str]:
        """Compare what the broker says is committed with what it acknowledged; return the findings."""
        findings, self.failures = self.failures, []
        expected = list(self.committed)
        client = confluent_kafka.Consumer(
            {"bootstrap.servers": self._bootstrap_servers, "group.id": GROUP, "enable.auto.commit": False, **_RECONNECT}
        )
        try:
            wanted = [confluent_kafka.TopicPartition(self._topic, part) for part in range(len(expected))]
            for found in client.committed(wanted, timeout_s):
                if found.error is not None:
                    findings.append(f"committed offset of partition {found.partition}: {found.error}")
                elif max(found.offset, -1) < expected[found.partition]:
                    findings.append(
                        f"partition {found.partition}: offset {expected[found.partition]} was committed by the group, "
                        f"{found.offset} is what the broker tells now"
                    )
        except confluent_kafka.KafkaException as error:
            findings.append(f"committed offsets cannot be read: {error}")
        finally:
            client.close()
        return findings


class TopicChurn:
    """
    Creates and deletes topics, one after the other: work for the cluster worker, and new logs for the others.

    An operation that was not acknowledged may have happened or not; nothing is expected of its topic any more.
    """

    def __init__(self, bootstrap_servers: str) -> None:
        self.acknowledged = 0
        self._existing: list[str] = []
        self._deleted: deque[str] = deque(maxlen=_REMEMBERED_TOPICS)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._admin = AdminClient({"bootstrap.servers": bootstrap_servers, **_RECONNECT})
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Leave things as they are."""
        self._stop.set()
        self._thread.join()

    def check(self, timeout_s: float) -> list[str]:
        """Compare the topics there are with what was acknowledged; return the findings."""
        deadline = time.monotonic() + timeout_s
        with self._lock:
            while True:
                try:
                    found = self._admin.list_topics(timeout=timeout_s).topics
                except confluent_kafka.KafkaException as error:
                    findings = [f"topics cannot be listed: {error}"]
                else:
                    findings = [
                        f"topic {name} was created and is not there" for name in self._existing if name not in found
                    ]
                    findings += [f"topic {name} was deleted and is there" for name in self._deleted if name in found]
                    findings += [
                        f"topic {name} has {len(found[name].partitions)} partitions, error {found[name].error}"
                        for name in self._existing
                        if name in found and (found[name].error or len(found[name].partitions) != _CHURN_PARTITIONS)
                    ]
                # A worker that was stopped hears of changes when it moves again.
                if not findings or time.monotonic() > deadline:
                    return findings
                time.sleep(0.05)

    def _run(self) -> None:
        number = 0
        while not self._stop.wait(_CHURN_PAUSE_S):
            with self._lock:
                number += 1
                name = f"churn-{number}"
                topic = NewTopic(name, num_partitions=_CHURN_PARTITIONS, replication_factor=1)
                if _succeeds(self._admin.create_topics([topic], request_timeout=_CHURN_TIMEOUT_S)[name]):
                    self.acknowledged += 1
                    self._existing.append(name)
                if len(self._existing) > _MOST_TOPICS:
                    old = self._existing.pop(0)
                    if _succeeds(self._admin.delete_topics([old], request_timeout=_CHURN_TIMEOUT_S)[old]):
                        self.acknowledged += 1
                        self._deleted.append(old)


def _succeeds(operation: Future[None]) -> bool:
    try:
        operation.result(2 * _CHURN_TIMEOUT_S)
    except (confluent_kafka.KafkaException, TimeoutError):
        return False
    return True


class _Member:
    def __init__(self, group: Group, bootstrap_servers: str, topic: str) -> None:
        self._group = group
        self._stop = threading.Event()
        self._consumer = confluent_kafka.Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "group.id": GROUP,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "session.timeout.ms": 6000,
                "heartbeat.interval.ms": 500,
                "fetch.wait.max.ms": 100,
                **_RECONNECT,
            }
        )
        self._consumer.subscribe([topic])
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._poll()
                time.sleep(0.02)
        finally:
            self._consumer.close()

    def _poll(self) -> None:
        offsets: dict[tuple[str, int], int] = {}
        count = 0
        for message in self._consumer.consume(2000, 0.1):
            error = message.error()
            if error is None:
                offsets[message.topic(), message.partition()] = message.offset() + 1
                count += 1
            elif error.code() in {
                confluent_kafka.KafkaError.OFFSET_OUT_OF_RANGE,
                confluent_kafka.KafkaError._AUTO_OFFSET_RESET,
            }:
                self._group.failures.append(f"a member of the group was told {error}")
        if not offsets:
            return
        try:
            told = self._consumer.commit(
                offsets=[confluent_kafka.TopicPartition(*where, offset) for where, offset in offsets.items()],
                asynchronous=False,
            )
        except confluent_kafka.KafkaException:
            # A rebalance or a broker that is away: what was not committed is read again.
            return
        for one in told or []:
            if one.error is None:
                self._group.note_commit(one.partition, one.offset)
        self._group.consumed += count
