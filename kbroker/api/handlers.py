"""The table of served APIs: what is in here is what ApiVersions lists and what requests are dispatched by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kbroker.api import (
    acls,
    alter_replica_log_dirs,
    api_versions,
    client_quotas,
    configs,
    delegation_tokens,
    delete_records,
    describe_cluster,
    describe_log_dirs,
    describe_producers,
    fetch,
    find_coordinator,
    groups,
    init_producer_id,
    later_groups,
    list_offsets,
    metadata,
    offset_for_leader_epoch,
    produce,
    sasl,
    scram_credentials,
    topics,
)
from kbroker.api.alter_replica_log_dirs import AlterReplicaLogDirsHandler
from kbroker.api.api_versions import ApiVersionsHandler
from kbroker.api.cluster_view import ClusterView
from kbroker.api.configs import ConfigHandlers
from kbroker.api.delete_records import DeleteRecordsHandler
from kbroker.api.describe_cluster import DescribeClusterHandler
from kbroker.api.describe_log_dirs import DescribeLogDirsHandler
from kbroker.api.describe_producers import DescribeProducersHandler
from kbroker.api.fetch import FetchHandler
from kbroker.api.find_coordinator import FindCoordinatorHandler
from kbroker.api.group_routing import GroupRouting
from kbroker.api.groups import GroupHandlers
from kbroker.api.handler import Handler
from kbroker.api.init_producer_id import InitProducerIdHandler
from kbroker.api.kraft import KraftHandlers
from kbroker.api.list_offsets import ListOffsetsHandler
from kbroker.api.log_directories import LogDirectories
from kbroker.api.log_readers import LogReaders
from kbroker.api.metadata import MetadataHandlers
from kbroker.api.offset_for_leader_epoch import OffsetForLeaderEpochHandler
from kbroker.api.produce import ProduceHandler, ProduceLimits
from kbroker.api.reassignments import ReassignmentHandlers
from kbroker.api.topic_creation import TopicCreation
from kbroker.api.topics import TopicHandlers
from kbroker.api.transactions import TransactionHandlers
from kbroker.clock import Clock
from kbroker.config.broker_config import BrokerConfig
from kbroker.config.key import Value
from kbroker.config.live_config import LiveConfig
from kbroker.config.topic_config import TopicDefaults, usable_topic_config
from kbroker.ipc.event_loop import EventLoop
from kbroker.ipc.request_channel import RequestChannel
from kbroker.metadata.image import TopicState
from kbroker.protocol.api_keys import ApiKey
from kbroker.shared.layout import SharedState
from kbroker.shared.partition_table import PartitionRowState, PartitionTable

_FOREVER = 2**63 - 1
_CLOCK_INTERVAL_MS = 1_000


@dataclass(frozen=True, slots=True)
class HandlerParts:
    """
    What the handlers of one network worker are made of.

    config              what the start gave
    live                the configuration as it is in force
    failed_directories  log directories that could not be used at the start
    partition_for  (group id, partitions of __consumer_offsets) → the partition that holds the group
    """

    config: BrokerConfig
    live: LiveConfig
    view: ClusterView
    channel: RequestChannel
    loop: EventLoop
    shared: SharedState
    readers: LogReaders
    clock: Clock
    fetch: FetchHandler
    failed_directories: Sequence[str]
    partition_for: Callable[[str, int], int]


def _distance(milliseconds: Value) -> int | None:
    """Return None for "any distance", Kafka's largest number."""
    assert isinstance(milliseconds, int)
    return milliseconds if milliseconds < _FOREVER else None


def produce_limits(defaults: Callable[[], TopicDefaults]) -> Callable[[TopicState], ProduceLimits]:
    """Return how a topic's ProduceLimits are found; `defaults` returns the broker's."""

    def limits(topic: TopicState) -> ProduceLimits:
        values, _ = usable_topic_config(defaults(), topic.config)
        own_time = values["message.timestamp.type"] == "LogAppendTime"
        return ProduceLimits(
            max_message_bytes=int(values["max.message.bytes"]),  # type: ignore[arg-type]
            segment_bytes=int(values["segment.bytes"]),  # type: ignore[arg-type]
            # More than there are replicas is never asked for.
            min_insync_replicas=min(
                int(values["min.insync.replicas"]),  # type: ignore[arg-type]
                min((len(partition.replicas) for partition in topic.partitions), default=1),
            ),
            past_ms=None if own_time else _distance(values["message.timestamp.before.max.ms"]),
            future_ms=None if own_time else _distance(values["message.timestamp.after.max.ms"]),
            compacted="compact" in values["cleanup.policy"],  # type: ignore[operator]
            compacted_only="delete" not in values["cleanup.policy"],  # type: ignore[operator]
            max_record_bytes=int(values["max.decompressed.message.bytes"]),  # type: ignore[arg-type]
        )

    return limits


def _log_start_offset(rows: PartitionTable, row: int) -> int:
    """Return where a partition's log starts; -1 while nobody serves it."""
    found = rows.read(row)
    return found.log_start_offset if found.state == PartitionRowState.ONLINE else -1


def build_handlers(parts: HandlerParts) -> dict[int, Handler]:
    """Return the handlers of one network worker by API key."""
    config, view, channel, loop = parts.config, parts.view, parts.channel, parts.loop
    workers, rows = parts.shared.workers, parts.shared.partitions
    limits = produce_limits(lambda: parts.live.current.topic_defaults)
    creation = TopicCreation(channel, loop)
    routing = GroupRouting(view, workers, parts.partition_for)
    produced = ProduceHandler(view, channel, parts.clock, limits, lambda row: _log_start_offset(rows, row))
    loop.every(_CLOCK_INTERVAL_MS, produced.look_at_clock)
    meta = MetadataHandlers(view, rows, creation, auto_create_topics=config.topics.auto_create_topics_enable)
    offsets = ListOffsetsHandler(view, parts.readers)
    epochs = OffsetForLeaderEpochHandler(view, parts.readers)
    group = GroupHandlers(view, channel, routing)
    topic = TopicHandlers(channel, loop)
    settings = ConfigHandlers(view, channel, parts.live)
    deletion = DeleteRecordsHandler(
        view,
        channel,
        workers=workers,
        readers=parts.readers,
        may_delete=lambda state: not limits(state).compacted_only,
    )
    directories = LogDirectories(config.log_dirs.directories, parts.failed_directories, workers.offline_directories)
    log_dirs = DescribeLogDirsHandler(view, rows, directories)
    moves = AlterReplicaLogDirsHandler(view, parts.readers, directories)
    producers = DescribeProducersHandler(view, channel, workers)
    coordinators = FindCoordinatorHandler(view, routing, creation)
    cluster = DescribeClusterHandler(view)
    producer_ids = InitProducerIdHandler(channel)
    table: dict[int, Handler] = {
        ApiKey.PRODUCE: Handler(*produce.VERSIONS, produced.handle),
        ApiKey.FETCH: Handler(*fetch.VERSIONS, parts.fetch.handle),
        ApiKey.LIST_OFFSETS: Handler(*list_offsets.VERSIONS, offsets.handle_list_offsets),
        ApiKey.METADATA: Handler(*metadata.METADATA_VERSIONS, meta.handle_metadata),
        ApiKey.OFFSET_COMMIT: Handler(*groups.OFFSET_COMMIT_VERSIONS, group.handle_offset_commit),
        ApiKey.OFFSET_FETCH: Handler(*groups.OFFSET_FETCH_VERSIONS, group.handle_offset_fetch),
        ApiKey.FIND_COORDINATOR: Handler(*find_coordinator.VERSIONS, coordinators.handle_find_coordinator),
        ApiKey.JOIN_GROUP: Handler(*groups.JOIN_GROUP_VERSIONS, group.handle_join_group),
        ApiKey.HEARTBEAT: Handler(*groups.HEARTBEAT_VERSIONS, group.handle_heartbeat),
        ApiKey.LEAVE_GROUP: Handler(*groups.LEAVE_GROUP_VERSIONS, group.handle_leave_group),
        ApiKey.SYNC_GROUP: Handler(*groups.SYNC_GROUP_VERSIONS, group.handle_sync_group),
        ApiKey.DESCRIBE_GROUPS: Handler(*groups.DESCRIBE_GROUPS_VERSIONS, group.handle_describe_groups),
        ApiKey.LIST_GROUPS: Handler(*groups.LIST_GROUPS_VERSIONS, group.handle_list_groups),
        ApiKey.CREATE_TOPICS: Handler(*topics.CREATE_TOPICS_VERSIONS, topic.handle_create_topics),
        ApiKey.DELETE_TOPICS: Handler(*topics.DELETE_TOPICS_VERSIONS, topic.handle_delete_topics),
        ApiKey.DELETE_RECORDS: Handler(*delete_records.VERSIONS, deletion.handle_delete_records),
        ApiKey.INIT_PRODUCER_ID: Handler(*init_producer_id.VERSIONS, producer_ids.handle_init_producer_id),
        ApiKey.OFFSET_FOR_LEADER_EPOCH: Handler(
            *offset_for_leader_epoch.VERSIONS, epochs.handle_offset_for_leader_epoch
        ),
        ApiKey.DESCRIBE_CONFIGS: Handler(*configs.DESCRIBE_CONFIGS_VERSIONS, settings.handle_describe_configs),
        ApiKey.ALTER_CONFIGS: Handler(*configs.ALTER_CONFIGS_VERSIONS, settings.handle_alter_configs),
        ApiKey.DESCRIBE_LOG_DIRS: Handler(*describe_log_dirs.VERSIONS, log_dirs.handle_describe_log_dirs),
        ApiKey.ALTER_REPLICA_LOG_DIRS: Handler(*alter_replica_log_dirs.VERSIONS, moves.handle_alter_replica_log_dirs),
        ApiKey.DESCRIBE_PRODUCERS: Handler(*describe_producers.VERSIONS, producers.handle_describe_producers),
        ApiKey.CREATE_PARTITIONS: Handler(*topics.CREATE_PARTITIONS_VERSIONS, topic.handle_create_partitions),
        ApiKey.DELETE_GROUPS: Handler(*groups.DELETE_GROUPS_VERSIONS, group.handle_delete_groups),
        ApiKey.INCREMENTAL_ALTER_CONFIGS: Handler(
            *configs.INCREMENTAL_ALTER_CONFIGS_VERSIONS, settings.handle_incremental_alter_configs
        ),
        ApiKey.OFFSET_DELETE: Handler(*groups.OFFSET_DELETE_VERSIONS, group.handle_offset_delete),
        ApiKey.DESCRIBE_CLUSTER: Handler(*describe_cluster.VERSIONS, cluster.handle_describe_cluster),
        ApiKey.LIST_CONFIG_RESOURCES: Handler(
            *configs.LIST_CONFIG_RESOURCES_VERSIONS, settings.handle_list_config_resources
        ),
        ApiKey.DESCRIBE_TOPIC_PARTITIONS: Handler(
            *metadata.DESCRIBE_TOPIC_PARTITIONS_VERSIONS, meta.handle_describe_topic_partitions
        ),
    }
    for family in (
        acls.HANDLERS,
        client_quotas.HANDLERS,
        delegation_tokens.HANDLERS,
        later_groups.HANDLERS,
        sasl.HANDLERS,
        scram_credentials.HANDLERS,
        KraftHandlers(view, parts.clock).table(),
        ReassignmentHandlers(view).table(),
        TransactionHandlers(view).table(),
    ):
        table |= family
    served = {key: (handler.min_version, handler.max_version) for key, handler in table.items()}
    served[ApiKey.API_VERSIONS] = api_versions.VERSIONS
    table[ApiKey.API_VERSIONS] = Handler(*api_versions.VERSIONS, ApiVersionsHandler(served).handle_api_versions)
    return table
