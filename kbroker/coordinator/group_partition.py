"""Which partition of __consumer_offsets a group belongs to; its leader is the group's coordinator."""

from __future__ import annotations

GROUP_METADATA_TOPIC = "__consumer_offsets"


def java_string_hash(text: str) -> int:
    """Return what Java's String.hashCode returns for `text`, a signed 32-bit number."""
    encoded = text.encode("utf-16-be", "surrogatepass")
    value = 0
    for position in range(0, len(encoded), 2):
        value = (31 * value + (encoded[position] << 8 | encoded[position + 1])) & 0xFFFF_FFFF
    return value - (1 << 32) if value & 0x8000_0000 else value


def partition_for(group_id: str, partition_count: int) -> int:
    """
    Return the partition of __consumer_offsets that holds the group's records.

    partition_count  partitions the topic really has (offsets.topic.num.partitions when it is created)
    """
    value = java_string_hash(group_id)
    # Java's Math.abs has no answer for the smallest int; Kafka takes 0.
    return 0 if value == -(1 << 31) else abs(value) % partition_count
