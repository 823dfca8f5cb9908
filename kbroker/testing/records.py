"""Write records to a topic and read them back, for tests that want neither a client's settings nor its callbacks."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message, Producer

Data: TypeAlias = bytes | str | None
"""What a key, a value or a header's value may be given as; text is sent as UTF-8, None as Kafka's null."""

Headers: TypeAlias = Mapping[str, Data] | Sequence[tuple[str, Data]]
"""Headers of a record; a sequence keeps names that come twice."""

_POLL_INTERVAL_S = 0.02


@dataclass(frozen=True, slots=True)
class Record:
    """
    One record of a topic.

    offset        its number within the partition, from 0
    timestamp_ms  milliseconds since 1970, set by the producer unless the topic says LogAppendTime
    key, value    bytes as stored; None is Kafka's null
    headers       name and value, in order
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()

    @property
    def text(self) -> str:
        """The value as text (UTF-8); empty when it is null."""
        return (self.value or b"").decode()


def new_producer(bootstrap_servers: str) -> Producer:
    """Return a producer that waits for nothing and puts keys where Kafka's own clients put them."""
    from confluent_kafka import Producer  # noqa: PLC0415 - the plugin is loaded in sessions that need no broker

    return Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "linger.ms": 0,
            "partitioner": "murmur2_random",
            "topic.metadata.propagation.max.ms": 3000,  # how late a topic that does not exist is told
            "log_level": 2,
        }
    )


def produce_records(
    producer: Producer,
    topic: str,
    values: Iterable[Data],
    *,
    key: Data,
    headers: Headers,
    partition: int | None,
    timestamp_ms: int | None,
    timeout_s: float,
) -> list[Record]:
    """Send one record per value, wait for the acknowledgements, return the records; see Broker.produce."""
    from confluent_kafka import KafkaException  # noqa: PLC0415 - as above

    pairs = header_pairs(headers)
    more: dict[str, Any] = {"headers": pairs} if pairs else {}
    if partition is not None:
        more["partition"] = partition
    if timestamp_ms is not None:
        more["timestamp"] = timestamp_ms
    answers: list[tuple[Any, Message]] = []
    sent = 0
    for value in values:
        producer.produce(
            topic,
            as_bytes(value),
            as_bytes(key),
            on_delivery=lambda error, message: answers.append((error, message)),
            **more,
        )
        sent += 1
    producer.flush(timeout_s)
    for error, _ in answers:
        if error is not None:
            raise KafkaException(error)
    if (acknowledged := len(answers)) < sent:
        producer.purge()
        producer.flush(0)
        raise TimeoutError(f"{acknowledged} of {sent} records were acknowledged in topic {topic} after {timeout_s} s")
    # What the library tells of a delivery has no headers.
    written = [replace(as_record(message), headers=tuple(pairs)) for _, message in answers]
    return sorted(written, key=lambda record: (record.partition, record.offset))


def consume_records(
    bootstrap_servers: str, topic: str, count: int, *, group_id: str | None, timeout_s: float
) -> list[Record]:
    """Read so many records; see Broker.consume."""
    deadline = time.monotonic() + timeout_s
    consumer = _new_consumer(bootstrap_servers, group_id)
    found: list[Record] = []
    try:
        partitions = _wait_for_topic(consumer, topic, deadline)
        if partitions is None:
            raise TimeoutError(f"topic {topic} does not exist after {timeout_s} s")
        if group_id is None:
            _assign_all(consumer, topic, partitions)
        else:
            consumer.subscribe([topic])
        for message in _messages(consumer, deadline):
            if message is not None:
                found.append(as_record(message))
            if len(found) >= count:
                break
        else:
            _too_few(topic, found, count, timeout_s)
        if group_id is not None:
            consumer.commit(asynchronous=False)
    finally:
        consumer.close()
    return found


def read_records(bootstrap_servers: str, topic: str, *, timeout_s: float) -> list[Record]:
    """Read what the topic holds now; see Broker.records."""
    deadline = time.monotonic() + timeout_s
    consumer = _new_consumer(bootstrap_servers, None)
    found: list[Record] = []
    try:
        partitions = _wait_for_topic(consumer, topic, time.monotonic())
        if partitions is None:
            raise LookupError(f"there is no topic {topic}")
        _assign_all(consumer, topic, partitions)
        unread = set(partitions)
        for message in _messages(consumer, deadline, unread):
            if message is not None:
                found.append(as_record(message))
            if not unread:
                break
        else:
            raise TimeoutError(f"topic {topic} was not read to its end in {timeout_s} s; {len(found)} records so far")
    finally:
        consumer.close()
    return sorted(found, key=lambda record: (record.partition, record.offset))


def _new_consumer(bootstrap_servers: str, group_id: str | None) -> Consumer:
    from confluent_kafka import Consumer  # noqa: PLC0415 - as above

    return Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            # Never joined without a name: librdkafka wants one all the same.
            "group.id": group_id or f"kbroker-testing-{secrets.token_hex(4)}",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,  # how late the end of a partition is told
            "log_level": 2,
        }
    )


def _wait_for_topic(consumer: Consumer, topic: str, deadline: float) -> list[int] | None:
    """Return the topic's partitions once it is there; None when it is not at the deadline. Asked for at least once."""
    while True:
        # All topics: to ask for one by name may create it.
        found = consumer.list_topics(timeout=max(1.0, deadline - time.monotonic())).topics.get(topic)
        if found is not None and found.partitions:
            return sorted(found.partitions)
        if time.monotonic() >= deadline:
            return None
        time.sleep(_POLL_INTERVAL_S)


def _assign_all(consumer: Consumer, topic: str, partitions: Iterable[int]) -> None:
    from confluent_kafka import OFFSET_BEGINNING, TopicPartition  # noqa: PLC0415 - as above

    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])


def _messages(consumer: Consumer, deadline: float, unread: set[int] | None = None) -> Iterator[Message | None]:
    """Yield messages until the deadline, None for a partition's end, whose number leaves `unread`."""
    from confluent_kafka import KafkaError, KafkaException  # noqa: PLC0415 - as above

    while (left := deadline - time.monotonic()) > 0:
        message = consumer.poll(left)
        if message is None:
            continue
        error = message.error()
        if error is None:
            yield message
        elif error.code() == KafkaError._PARTITION_EOF:
            if unread is not None:
                unread.discard(message.partition())
            yield None
        elif not error.retriable():
            raise KafkaException(error)


def _too_few(topic: str, found: Sequence[Record], count: int, timeout_s: float) -> NoReturn:
    seen = ", ".join(repr(record.value) for record in found[-5:])
    raise TimeoutError(
        f"{len(found)} of {count} records came from topic {topic} in {timeout_s} s"
        + (f"; the last: {seen}" if seen else "")
    )


def as_bytes(data: Data) -> bytes | None:
    """Return what is sent for a value given as text, bytes or None."""
    return data.encode() if isinstance(data, str) else data


def header_pairs(headers: Headers) -> list[tuple[str, bytes | None]]:
    """Return headers as the client library wants them."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return [(name, as_bytes(value)) for name, value in pairs]


def as_record(message: Message) -> Record:
    """Return the client library's message as a Record."""
    headers: Any = message.headers() or ()
    fields: tuple[Any, ...] = (
        message.topic(),
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value(),
        tuple((name, value) for name, value in headers),
    )
    return Record(*fields)
