"""Numbers that must not mix, and the few value types every layer shares."""

from __future__ import annotations

from typing import NamedTuple, NewType

Offset = NewType("Offset", int)
"""A record's place in its partition, counted from 0."""

BytePosition = NewType("BytePosition", int)
"""Bytes from the start of a file."""

LeaderEpoch = NewType("LeaderEpoch", int)
"""How many leaders a partition has had; -1 when unknown."""

TimestampMs = NewType("TimestampMs", int)
"""Milliseconds since 1970-01-01 UTC; -1 when a record carries none."""

Uuid = bytes
"""16 bytes, as on the wire. All zero means "none"."""

ZERO_UUID: Uuid = bytes(16)

NO_TIMESTAMP = -1
UNKNOWN_LEADER_EPOCH = -1

Buffer = bytes | bytearray | memoryview


class TopicPartition(NamedTuple):
    """A topic name and a partition index: the name of a log."""

    topic: str
    partition: int

    def __str__(self) -> str:
        """Return Kafka's usual form, which is also the directory's name."""
        return f"{self.topic}-{self.partition}"
