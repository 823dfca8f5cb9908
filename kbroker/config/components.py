"""What each part of the broker is given: one frozen value per component, so that none sees another's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BrokerIdentity:
    """
    Who this broker is.

    broker_id  None: not set, the one kept in the data directory counts (0 in a new one)
    rack       None: not told
    """

    broker_id: int | None
    rack: str | None


@dataclass(frozen=True, slots=True)
class PoolConfig:
    """How many workers of each kind; at least 1."""

    num_network_threads: int
    num_io_threads: int


@dataclass(frozen=True, slots=True)
class SocketConfig:
    """
    Client connections and what they may ask for at once.

    socket_send_buffer_bytes, socket_receive_buffer_bytes  -1: left to the kernel
    connections_max_idle_ms                                -1: never closed
    max_connections_per_ip_overrides                       address → limit
    queued_max_request_bytes                               -1: as much as the arenas hold
    """

    socket_send_buffer_bytes: int
    socket_receive_buffer_bytes: int
    socket_request_max_bytes: int
    socket_listen_backlog_size: int
    connections_max_idle_ms: int
    max_connections: int
    max_connections_per_ip: int
    max_connections_per_ip_overrides: Mapping[str, int]
    queued_max_requests: int
    queued_max_request_bytes: int


@dataclass(frozen=True, slots=True)
class LogDirsConfig:
    """
    Where logs lie.

    directories  absolute paths, at least one
    is_default   nobody named one: the documented place
    """

    directories: tuple[str, ...]
    is_default: bool


@dataclass(frozen=True, slots=True)
class LogManagerConfig:
    """When the work on all logs is done; times in milliseconds."""

    log_retention_check_interval_ms: int
    log_flush_scheduler_interval_ms: int
    log_flush_offset_checkpoint_interval_ms: int
    log_flush_start_offset_checkpoint_interval_ms: int
    replica_high_watermark_checkpoint_interval_ms: int
    log_initial_task_delay_ms: int
    producer_id_expiration_ms: int
    producer_id_expiration_check_interval_ms: int


@dataclass(frozen=True, slots=True)
class FetchConfig:
    """Limits of fetches."""

    fetch_max_bytes: int
    max_incremental_fetch_session_cache_slots: int


@dataclass(frozen=True, slots=True)
class TopicConfig:
    """How topics come and go."""

    auto_create_topics_enable: bool
    delete_topic_enable: bool
    num_partitions: int
    default_replication_factor: int


@dataclass(frozen=True, slots=True)
class MetadataConfig:
    """
    Where the cluster's metadata is kept.

    directory  absolute path of the embedded store's directory
    """

    directory: str
