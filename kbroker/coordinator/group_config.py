"""What the group coordinator may be told: Kafka's keys in snake case, with Kafka's defaults."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GroupConfig:
    """Settings of the group coordinator; times in the unit their names say, sizes in bytes."""

    group_min_session_timeout_ms: int = 6_000
    group_max_session_timeout_ms: int = 1_800_000
    group_initial_rebalance_delay_ms: int = 3_000
    group_max_size: int = 2**31 - 1
    offset_metadata_max_bytes: int = 4_096
    offsets_retention_minutes: int = 10_080
    offsets_retention_check_interval_ms: int = 600_000
    offsets_topic_num_partitions: int = 50
    offsets_topic_compression_codec: int = 0
    """A CompressionType for the records of __consumer_offsets."""
    offsets_max_batch_bytes: int = 512 * 1024
    """Records of one decision are written as several batches when they need more; well below max.message.bytes."""
