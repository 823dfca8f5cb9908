"""What a topic's configuration says about its logs; names are Kafka's topic-level keys in snake case."""

from __future__ import annotations

from dataclasses import dataclass

FOREVER = 2**63 - 1
"""Kafka's "never" for intervals: the largest int64."""


@dataclass(frozen=True, slots=True)
class LogConfig:
    """One topic's log settings, with Kafka's defaults; times in milliseconds, -1 where Kafka says -1 for "no limit"."""

    segment_bytes: int = 1024 * 1024 * 1024
    segment_ms: int = 7 * 24 * 60 * 60 * 1000
    segment_jitter_ms: int = 0
    segment_index_bytes: int = 10 * 1024 * 1024
    index_interval_bytes: int = 4096
    retention_ms: int = 7 * 24 * 60 * 60 * 1000
    retention_bytes: int = -1
    flush_messages: int = FOREVER
    flush_ms: int = FOREVER
    file_delete_delay_ms: int = 60_000
    max_message_bytes: int = 1024 * 1024 + 12
    message_timestamp_type: str = "CreateTime"
    message_timestamp_before_max_ms: int = FOREVER
    message_timestamp_after_max_ms: int = FOREVER
    cleanup_policy: frozenset[str] = frozenset({"delete"})
    delete_retention_ms: int = 24 * 60 * 60 * 1000
    min_compaction_lag_ms: int = 0
    max_compaction_lag_ms: int = FOREVER
    min_cleanable_dirty_ratio: float = 0.5
    min_insync_replicas: int = 1
    unclean_leader_election_enable: bool = False
    preallocate: bool = False
    compression_type: str = "producer"
    producer_id_expiration_ms: int = 24 * 60 * 60 * 1000

    @property
    def log_append_time(self) -> bool:
        """Return whether the broker stamps batches itself."""
        return self.message_timestamp_type == "LogAppendTime"

    @property
    def deletes(self) -> bool:
        """Return whether old segments are deleted by age and size."""
        return "delete" in self.cleanup_policy

    @property
    def compacts(self) -> bool:
        """Return whether older records of a key make room for newer ones."""
        return "compact" in self.cleanup_policy
