"""What the clients were promised, and whether the log keeps it."""

from __future__ import annotations

import time
from array import array
from collections import deque
from collections.abc import Callable

import confluent_kafka

UNSEEN = -1
_READ_RECORDS = 5000


def pack_value(producer: str, partition: int, sequence: int) -> bytes:
    """Return a record's value: who wrote it, where, and its number there; padded to 100 bytes."""
    return f"{producer}:{partition}:{sequence}:".encode().ljust(100, b".")


def unpack_value(value: bytes) -> tuple[str, int, int]:
    """Return producer, partition and number."""
    producer, partition, sequence, _ = value.decode().split(":", 3)
    return producer, int(partition), int(sequence)


class Ledger:
    """
    Every acknowledgement, and every record found in the log.

    exactly_once  names of the idempotent producers

    The log is read on from round to round, and now and then from its start: nothing may have changed meanwhile.
    Acknowledgements come from the producers' threads (deque.append is atomic); all else happens in one thread.
    """

    def __init__(self, topic: str, partitions: int, producers: list[str], exactly_once: set[str]) -> None:
        self.topic = topic
        self.partitions = partitions
        self.acknowledged: deque[tuple[int, int, int, int]] = deque()
        """(producer index, partition, sequence, offset) not checked yet."""
        self.checked = 0
        self.duplicates = 0
        self._names = producers
        self._index = {name: index for index, name in enumerate(producers)}
        self._exactly_once = {self._index[name] for name in exactly_once}
        self.log = [array("q") for _ in range(partitions)]
        """Per partition, by offset: producer << 40 | sequence."""
        # Per (producer, partition), by sequence: the offset of its first occurrence.
        self._first = {(index, part): array("q") for index in range(len(producers)) for part in range(partitions)}
        self._last = dict.fromkeys(self._first, -1)

    def records(self) -> int:
        """Return how many records the log was seen to hold."""
        return sum(map(len, self.log))

    def check(self, bootstrap_servers: str, *, from_start: bool, timeout_s: float) -> list[str]:
        """Read what is new (or everything), hold it against the acknowledgements so far; return the findings."""
        pending = [self.acknowledged.popleft() for _ in range(len(self.acknowledged))]
        known = [len(log) for log in self.log]
        starts = [0] * self.partitions if from_start else known
        findings: list[str] = []
        try:
            ends = read_partitions(
                bootstrap_servers, self.topic, starts, lambda *record: self._found(findings, *record), timeout_s
            )
        except (TimeoutError, confluent_kafka.KafkaException) as error:
            return [f"the log cannot be read: {error}", *findings]
        for partition, before in enumerate(known):
            if before > ends[partition]:
                findings.append(f"partition {partition} ended at {before} and ends at {ends[partition]} now")
        lost = []
        for index, partition, sequence, offset in pending:
            log = self.log[partition]
            first = self._first[index, partition]
            # The offset may be unknown: of a repeat that the broker recognised it is not told to every client.
            present = (
                sequence < len(first) and first[sequence] != UNSEEN
                if offset < 0
                else offset < len(log) and log[offset] == index << 40 | sequence
            )
            if not present:
                where = first[sequence] if sequence < len(first) else UNSEEN
                lost.append(
                    f"{self._names[index]} {partition}/{sequence} acknowledged at {offset}, first found at {where}"
                )
        if lost:
            findings.append(f"{len(lost)} acknowledged records are not where they were said to be: {lost[:5]}")
        self.checked += len(pending)
        return findings

    def _found(self, findings: list[str], partition: int, offset: int, value: bytes) -> None:
        if len(findings) > 20:
            return
        producer, wrote_to, sequence = unpack_value(value)
        index = self._index[producer]
        identity = index << 40 | sequence
        log = self.log[partition]
        if offset < len(log):
            if log[offset] != identity:
                findings.append(f"partition {partition}: offset {offset} has changed to {producer} {sequence}")
            return
        if offset > len(log):
            findings.append(f"partition {partition}: a gap between {len(log)} and {offset}")
        if wrote_to != partition:
            findings.append(f"partition {partition}: offset {offset} holds a record for {wrote_to}")
        log.extend([-1] * (offset - len(log)))
        log.append(identity)
        first = self._first[index, partition]
        if sequence >= len(first):
            first.extend([UNSEEN] * (sequence + 1 - len(first)))
        if first[sequence] != UNSEEN:
            self.duplicates += 1
            if index in self._exactly_once:
                findings.append(
                    f"partition {partition}: {producer} {sequence} is there twice, at {first[sequence]} and {offset}"
                )
            return
        first[sequence] = offset
        last = self._last[index, partition]
        # All are resent until they are written, so there are no gaps but those of a broken order.
        if sequence != last + 1:
            findings.append(f"partition {partition}: {producer} {sequence} at {offset} follows {last}")
        self._last[index, partition] = max(last, sequence)


def read_partitions(
    bootstrap_servers: str,
    topic: str,
    starts: list[int],
    found: Callable[[int, int, bytes], None],
    timeout_s: float,
) -> list[int]:
    """Hand every record from `starts` to the present ends to `found`; return the ends. Raises TimeoutError."""
    deadline = time.monotonic() + timeout_s
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "auditor",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "check.crcs": True,
            "fetch.wait.max.ms": 50,
            "reconnect.backoff.ms": 10,
            "reconnect.backoff.max.ms": 100,
            "log_level": 0,
        }
    )
    try:
        ends = [_end_offset(consumer, topic, part, deadline) for part in range(len(starts))]
        positions = list(starts)
        wanted = [part for part, start in enumerate(starts) if start < ends[part]]
        if not wanted:
            return ends
        consumer.assign([confluent_kafka.TopicPartition(topic, part, starts[part]) for part in wanted])
        while any(positions[part] < ends[part] for part in wanted):
            if time.monotonic() > deadline:
                raise TimeoutError(f"read up to {positions} of {ends} within {timeout_s} s")
            for message in consumer.consume(_READ_RECORDS, 0.1):
                if message.error() is not None:
                    # Anything but "the broker is away just now" means that offsets are not what they were.
                    if message.error().code() == confluent_kafka.KafkaError._AUTO_OFFSET_RESET:
                        raise TimeoutError(f"the log does not reach that far: {message.error()}")
                    continue
                found(message.partition(), message.offset(), message.value())
                positions[message.partition()] = message.offset() + 1
        return ends
    finally:
        consumer.close()


def _end_offset(consumer: confluent_kafka.Consumer, topic: str, partition: int, deadline: float) -> int:
    while True:
        try:
            end: int = consumer.get_watermark_offsets(confluent_kafka.TopicPartition(topic, partition), 5.0)[1]
            return end
        except confluent_kafka.KafkaException:
            # Connections break while workers die; what counts is that an answer comes in time.
            if time.monotonic() > deadline:
                raise
