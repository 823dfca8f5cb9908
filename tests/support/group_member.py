"""
One consumer of a group, as a process that can be stopped or killed; writes what happens to it as JSON lines.

    python group_member.py <library> <strategy> <bootstrap servers> <group> <topic>...

    {"assignment": [["topic", 0], ...]}   whenever it changes
    {"records": [["topic", 0, 17, "value"], ...]}

SIGTERM: it leaves the group and ends. Processed offsets are committed after every poll.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Iterable

SESSION_TIMEOUT_MS = 4000
HEARTBEAT_INTERVAL_MS = 500

stopped = False


def _stop(_number: int, _frame: object) -> None:
    global stopped
    stopped = True


class _Output:
    """Writes the lines; says an assignment only when it is another than before."""

    def __init__(self) -> None:
        self._assignment: list[list[object]] | None = None

    def assignment(self, partitions: Iterable[tuple[str, int]]) -> None:
        found = sorted([topic, partition] for topic, partition in partitions)
        if found != self._assignment:
            self._assignment = found
            _say(assignment=found)

    def records(self, records: list[tuple[str, int, int, bytes]]) -> None:
        if records:
            _say(records=[[topic, partition, offset, value.decode()] for topic, partition, offset, value in records])


def _say(**event: object) -> None:
    print(json.dumps(event), flush=True)


def _confluent(strategy: str, servers: str, group: str, topics: list[str]) -> None:
    import confluent_kafka

    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "partition.assignment.strategy": strategy,
            "session.timeout.ms": SESSION_TIMEOUT_MS,
            "heartbeat.interval.ms": HEARTBEAT_INTERVAL_MS,
            "topic.metadata.refresh.interval.ms": 1000,
        }
    )
    consumer.subscribe(topics)
    output = _Output()
    while not stopped:
        messages = [message for message in consumer.consume(500, 0.1) if message.error() is None]
        output.assignment((part.topic, part.partition) for part in consumer.assignment())
        output.records([(one.topic(), one.partition(), one.offset(), one.value()) for one in messages])
        if messages:
            try:
                consumer.commit(asynchronous=False)
            except confluent_kafka.KafkaException as error:
                # A rebalance or a broker that is away: what was not committed is read again.
                print(error, file=sys.stderr)
    consumer.close()


def _kafka_python(strategy: str, servers: str, group: str, topics: list[str]) -> None:
    import kafka
    from kafka.coordinator.assignors.range import RangePartitionAssignor
    from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
    from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

    consumer = kafka.KafkaConsumer(
        *topics,
        bootstrap_servers=servers,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        partition_assignment_strategy=[
            {
                "range": RangePartitionAssignor,
                "roundrobin": RoundRobinPartitionAssignor,
                "sticky": StickyPartitionAssignor,
            }[strategy]
        ],
        session_timeout_ms=SESSION_TIMEOUT_MS,
        heartbeat_interval_ms=HEARTBEAT_INTERVAL_MS,
        metadata_max_age_ms=1000,
    )
    output = _Output()
    while not stopped:
        messages = [message for batch in consumer.poll(timeout_ms=100).values() for message in batch]
        output.assignment((part.topic, part.partition) for part in consumer.assignment())
        output.records([(one.topic, one.partition, one.offset, one.value) for one in messages])
        if messages:
            try:
                consumer.commit()
            except kafka.errors.KafkaError as error:
                print(repr(error), file=sys.stderr)
    consumer.close()


def _aiokafka(strategy: str, servers: str, group: str, topics: list[str]) -> None:
    import aiokafka
    from aiokafka.coordinator.assignors.range import RangePartitionAssignor
    from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
    from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

    assignor = {
        "range": RangePartitionAssignor,
        "roundrobin": RoundRobinPartitionAssignor,
        "sticky": StickyPartitionAssignor,
    }

    async def run() -> None:
        consumer = aiokafka.AIOKafkaConsumer(
            *topics,
            bootstrap_servers=servers,
            group_id=group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            partition_assignment_strategy=[assignor[strategy]],
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=HEARTBEAT_INTERVAL_MS,
            metadata_max_age_ms=1000,
        )
        await consumer.start()
        output = _Output()
        while not stopped:
            found = await consumer.getmany(timeout_ms=100)
            output.assignment((part.topic, part.partition) for part in consumer.assignment())
            output.records(
                [(one.topic, one.partition, one.offset, one.value) for batch in found.values() for one in batch]
            )
            if found:
                try:
                    await consumer.commit()
                except aiokafka.errors.KafkaError as error:
                    print(repr(error), file=sys.stderr)
        await consumer.stop()

    asyncio.run(run())


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    _, library, strategy, servers, group, *topics = sys.argv
    {"confluent-kafka": _confluent, "kafka-python": _kafka_python, "aiokafka": _aiokafka}[library](
        strategy, servers, group, topics
    )
