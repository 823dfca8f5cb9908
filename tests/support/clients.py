"""
Today's Python clients behind one face, so that one test asks the same of each.

Each call opens a client, does one thing and closes it: what a test sees is what the broker kept.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import aiokafka
import confluent_kafka
import kafka
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin import NewTopic as AioNewTopic
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

TIMEOUT_S = 30.0
BEGINNING = 0


class Record(NamedTuple):
    """A record as a client got it; before it was produced, `offset` is -1."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int = -1


class Client(Protocol):
    """What a test asks of a client library."""

    def __init__(self, bootstrap_servers: str) -> None:
        """Know where the broker is; connects to nothing yet."""

    def create_topic(self, name: str, partitions: int, config: Mapping[str, str]) -> None:
        """Create a topic."""

    def produce(
        self, topic: str, records: Sequence[Record], *, compression: str = "none", idempotent: bool = False
    ) -> list[int]:
        """Produce to each record's partition, in batches, acks=all; return the offsets."""

    def consume(self, topic: str, positions: Mapping[int, int], count: int) -> list[Record]:
        """Return `count` records, read from the given offset of each partition; sorted by partition and offset."""

    def offsets_for_time(self, topic: str, partition: int, timestamp_ms: int) -> int | None:
        """Return the first offset at or after a time; None when there is none."""

    def end_offsets(self, topic: str, partitions: int) -> dict[int, int]:
        """Return the next offset of each partition."""

    def commit(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        """Commit offsets of a group without members."""

    def committed(self, group: str, topic: str, partitions: int) -> dict[int, int]:
        """Return a group's committed offset of each partition that has one."""


class Confluent:
    """confluent-kafka, which is librdkafka."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._config = {"bootstrap.servers": bootstrap_servers, "log_level": 2}

    def create_topic(self, name: str, partitions: int, config: Mapping[str, str]) -> None:
        admin = AdminClient(self._config)
        admin.create_topics([NewTopic(name, partitions, 1, config=dict(config))])[name].result(TIMEOUT_S)

    def produce(
        self, topic: str, records: Sequence[Record], *, compression: str = "none", idempotent: bool = False
    ) -> list[int]:
        producer = confluent_kafka.Producer(
            {**self._config, "compression.type": compression, "enable.idempotence": idempotent, "linger.ms": 5}
        )
        offsets = [-1] * len(records)

        def delivered(number: int):
            def note(error: confluent_kafka.KafkaError | None, message: confluent_kafka.Message) -> None:
                assert error is None, error
                offsets[number] = message.offset()

            return note

        for number, record in enumerate(records):
            optional = {"timestamp": record.timestamp_ms} if record.timestamp_ms >= 0 else {}
            producer.produce(
                topic, record.value, record.key, record.partition, on_delivery=delivered(number), **optional
            )
        assert producer.flush(TIMEOUT_S) == 0, "not all records were delivered in time"
        return offsets

    def consume(self, topic: str, positions: Mapping[int, int], count: int) -> list[Record]:
        consumer = self._consumer("reader")
        try:
            consumer.assign([confluent_kafka.TopicPartition(topic, part, offset) for part, offset in positions.items()])
            found: list[Record] = []
            deadline = time.monotonic() + TIMEOUT_S
            while len(found) < count and time.monotonic() < deadline:
                for message in consumer.consume(1000, 0.2):
                    assert message.error() is None, message.error()
                    found.append(
                        Record(
                            message.partition(),
                            message.offset(),
                            message.key(),
                            message.value(),
                            message.timestamp()[1],
                        )
                    )
            return sorted(found)
        finally:
            consumer.close()

    def offsets_for_time(self, topic: str, partition: int, timestamp_ms: int) -> int | None:
        consumer = self._consumer("reader")
        try:
            asked = confluent_kafka.TopicPartition(topic, partition, timestamp_ms)
            (found,) = consumer.offsets_for_times([asked], timeout=TIMEOUT_S)
            return found.offset if found.offset >= 0 else None
        finally:
            consumer.close()

    def end_offsets(self, topic: str, partitions: int) -> dict[int, int]:
        consumer = self._consumer("reader")
        try:
            return {
                part: consumer.get_watermark_offsets(confluent_kafka.TopicPartition(topic, part), timeout=TIMEOUT_S)[1]
                for part in range(partitions)
            }
        finally:
            consumer.close()

    def commit(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        consumer = self._consumer(group)
        try:
            wanted = [confluent_kafka.TopicPartition(topic, part, offset) for part, offset in offsets.items()]
            for done in consumer.commit(offsets=wanted, asynchronous=False):
                assert done.error is None, done.error
        finally:
            consumer.close()

    def committed(self, group: str, topic: str, partitions: int) -> dict[int, int]:
        consumer = self._consumer(group)
        try:
            asked = [confluent_kafka.TopicPartition(topic, part) for part in range(partitions)]
            return {
                found.partition: found.offset for found in consumer.committed(asked, TIMEOUT_S) if found.offset >= 0
            }
        finally:
            consumer.close()

    def _consumer(self, group: str) -> confluent_kafka.Consumer:
        return confluent_kafka.Consumer({**self._config, "group.id": group, "enable.auto.commit": False})


class KafkaPython:
    """kafka-python 3."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers

    def create_topic(self, name: str, partitions: int, config: Mapping[str, str]) -> None:
        admin = kafka.KafkaAdminClient(bootstrap_servers=self._bootstrap_servers)
        try:
            admin.create_topics(
                {name: {"num_partitions": partitions, "replication_factor": 1, "configs": dict(config)}},
                wait_for_metadata=True,
            )
        finally:
            admin.close()

    def produce(
        self, topic: str, records: Sequence[Record], *, compression: str = "none", idempotent: bool = False
    ) -> list[int]:
        producer = kafka.KafkaProducer(
            bootstrap_servers=self._bootstrap_servers,
            compression_type=None if compression == "none" else compression,
            enable_idempotence=idempotent,
            acks="all",
            linger_ms=5,
        )
        try:
            futures = [
                producer.send(
                    topic,
                    record.value,
                    record.key,
                    partition=record.partition,
                    timestamp_ms=record.timestamp_ms if record.timestamp_ms >= 0 else None,
                )
                for record in records
            ]
            return [future.get(TIMEOUT_S).offset for future in futures]
        finally:
            producer.close()

    def consume(self, topic: str, positions: Mapping[int, int], count: int) -> list[Record]:
        consumer = self._consumer(None)
        try:
            consumer.assign([kafka.TopicPartition(topic, part) for part in positions])
            for part, offset in positions.items():
                consumer.seek(kafka.TopicPartition(topic, part), offset)
            found: list[Record] = []
            deadline = time.monotonic() + TIMEOUT_S
            while len(found) < count and time.monotonic() < deadline:
                for batch in consumer.poll(timeout_ms=200).values():
                    found += [Record(one.partition, one.offset, one.key, one.value, one.timestamp) for one in batch]
            return sorted(found)
        finally:
            consumer.close()

    def offsets_for_time(self, topic: str, partition: int, timestamp_ms: int) -> int | None:
        consumer = self._consumer(None)
        try:
            key = kafka.TopicPartition(topic, partition)
            found = consumer.offsets_for_times({key: timestamp_ms})[key]
            return None if found is None else found.offset
        finally:
            consumer.close()

    def end_offsets(self, topic: str, partitions: int) -> dict[int, int]:
        consumer = self._consumer(None)
        try:
            found = consumer.end_offsets([kafka.TopicPartition(topic, part) for part in range(partitions)])
            return {key.partition: offset for key, offset in found.items()}
        finally:
            consumer.close()

    def commit(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        consumer = self._consumer(group)
        try:
            consumer.assign([kafka.TopicPartition(topic, part) for part in offsets])
            consumer.commit(
                {
                    kafka.TopicPartition(topic, part): kafka.OffsetAndMetadata(offset, "", -1)
                    for part, offset in offsets.items()
                }
            )
        finally:
            consumer.close()

    def committed(self, group: str, topic: str, partitions: int) -> dict[int, int]:
        consumer = self._consumer(group)
        try:
            found = {part: consumer.committed(kafka.TopicPartition(topic, part)) for part in range(partitions)}
            return {part: offset for part, offset in found.items() if offset is not None}
        finally:
            consumer.close()

    def _consumer(self, group: str | None) -> kafka.KafkaConsumer:
        return kafka.KafkaConsumer(
            bootstrap_servers=self._bootstrap_servers,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )


class AioKafka:
    """aiokafka."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers

    def create_topic(self, name: str, partitions: int, config: Mapping[str, str]) -> None:
        async def run() -> None:
            admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap_servers)
            await admin.start()
            try:
                await admin.create_topics([AioNewTopic(name, partitions, 1, topic_configs=dict(config))])
            finally:
                await admin.close()

        asyncio.run(run())

    def produce(
        self, topic: str, records: Sequence[Record], *, compression: str = "none", idempotent: bool = False
    ) -> list[int]:
        async def run() -> list[int]:
            producer = aiokafka.AIOKafkaProducer(
                bootstrap_servers=self._bootstrap_servers,
                compression_type=None if compression == "none" else compression,
                enable_idempotence=idempotent,
                acks="all",
                linger_ms=5,
            )
            await producer.start()
            try:
                futures = [
                    await producer.send(
                        topic,
                        record.value,
                        record.key,
                        partition=record.partition,
                        timestamp_ms=record.timestamp_ms if record.timestamp_ms >= 0 else None,
                    )
                    for record in records
                ]
                return [(await asyncio.wait_for(future, TIMEOUT_S)).offset for future in futures]
            finally:
                await producer.stop()

        return asyncio.run(run())

    def consume(self, topic: str, positions: Mapping[int, int], count: int) -> list[Record]:
        async def run(consumer: aiokafka.AIOKafkaConsumer) -> list[Record]:
            consumer.assign([aiokafka.TopicPartition(topic, part) for part in positions])
            for part, offset in positions.items():
                consumer.seek(aiokafka.TopicPartition(topic, part), offset)
            found: list[Record] = []
            deadline = time.monotonic() + TIMEOUT_S
            while len(found) < count and time.monotonic() < deadline:
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    found += [Record(one.partition, one.offset, one.key, one.value, one.timestamp) for one in batch]
            return sorted(found)

        return self._with_consumer(None, run)

    def offsets_for_time(self, topic: str, partition: int, timestamp_ms: int) -> int | None:
        async def run(consumer: aiokafka.AIOKafkaConsumer) -> int | None:
            key = aiokafka.TopicPartition(topic, partition)
            found = (await consumer.offsets_for_times({key: timestamp_ms}))[key]
            return None if found is None else found.offset

        return self._with_consumer(None, run)

    def end_offsets(self, topic: str, partitions: int) -> dict[int, int]:
        async def run(consumer: aiokafka.AIOKafkaConsumer) -> dict[int, int]:
            found = await consumer.end_offsets([aiokafka.TopicPartition(topic, part) for part in range(partitions)])
            return {key.partition: offset for key, offset in found.items()}

        return self._with_consumer(None, run)

    def commit(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        async def run(consumer: aiokafka.AIOKafkaConsumer) -> None:
            wanted = {aiokafka.TopicPartition(topic, part): offset for part, offset in offsets.items()}
            consumer.assign(list(wanted))
            await consumer.commit(wanted)

        self._with_consumer(group, run)

    def committed(self, group: str, topic: str, partitions: int) -> dict[int, int]:
        async def run(consumer: aiokafka.AIOKafkaConsumer) -> dict[int, int]:
            keys = [aiokafka.TopicPartition(topic, part) for part in range(partitions)]
            consumer.assign(keys)
            found = {key.partition: await consumer.committed(key) for key in keys}
            return {part: offset for part, offset in found.items() if offset is not None}

        return self._with_consumer(group, run)

    def _with_consumer(self, group: str | None, run):
        async def main():
            consumer = aiokafka.AIOKafkaConsumer(
                bootstrap_servers=self._bootstrap_servers,
                group_id=group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
            )
            await consumer.start()
            try:
                return await asyncio.wait_for(run(consumer), 2 * TIMEOUT_S)
            finally:
                await consumer.stop()

        return asyncio.run(main())


CLIENTS: Mapping[str, type[Client]] = {"confluent-kafka": Confluent, "kafka-python": KafkaPython, "aiokafka": AioKafka}
