"""Fetch (1): read record batches, by consumers and by followers; sessions from version 7, topic ids from 13."""

from __future__ import annotations

from kbroker.protocol.schema import Message, Payload, array, int8, int16, int32, int64, records, string, struct, uuid
from kbroker.types import Uuid


class ReplicaState(Message):
    """The `replica_state` of FetchRequest."""

    replica_id: int = int32(since=15, default=-1)
    replica_epoch: int = int64(since=15, default=-1)


class FetchPartition(Message):
    """One entry of `partitions` in FetchRequest."""

    partition: int = int32()
    current_leader_epoch: int = int32(since=9, default=-1)
    fetch_offset: int = int64()
    last_fetched_epoch: int = int32(since=12, default=-1)
    log_start_offset: int = int64(since=5, default=-1)
    partition_max_bytes: int = int32()
    replica_directory_id: Uuid = uuid(since=17, tag=0)
    high_watermark: int = int64(since=18, tag=1, default=0x7FFFFFFFFFFFFFFF)


class FetchTopic(Message):
    """One entry of `topics` in FetchRequest."""

    topic: str = string(until=12)
    topic_id: Uuid = uuid(since=13)
    partitions: list[FetchPartition] = array(FetchPartition)


class ForgottenTopic(Message):
    """One entry of `forgotten_topics_data` in FetchRequest."""

    topic: str = string(since=7, until=12)
    topic_id: Uuid = uuid(since=13)
    partitions: list[int] = array(int32(), since=7)


class FetchRequest(Message, api_key=1, versions=(0, 18), flexible=12):
    """What a client asks with Fetch."""

    cluster_id: str | None = string(since=12, nullable_since=12, tag=0, default=None)
    replica_id: int = int32(until=14, default=-1)
    replica_state: ReplicaState | None = struct(ReplicaState, since=15, tag=1)
    max_wait_ms: int = int32()
    min_bytes: int = int32()
    max_bytes: int = int32(since=3, default=0x7FFFFFFF)
    isolation_level: int = int8(since=4)
    session_id: int = int32(since=7)
    session_epoch: int = int32(since=7, default=-1)
    topics: list[FetchTopic] = array(FetchTopic)
    forgotten_topics_data: list[ForgottenTopic] = array(ForgottenTopic, since=7)
    rack_id: str = string(since=11)


class EpochEndOffset(Message):
    """The `diverging_epoch` of FetchResponse."""

    epoch: int = int32(since=12, default=-1)
    end_offset: int = int64(since=12, default=-1)


class LeaderIdAndEpoch(Message):
    """The `current_leader` of FetchResponse."""

    leader_id: int = int32(since=12, default=-1)
    leader_epoch: int = int32(since=12, default=-1)


class SnapshotId(Message):
    """The `snapshot_id` of FetchResponse."""

    end_offset: int = int64(default=-1)
    epoch: int = int32(default=-1)


class AbortedTransaction(Message):
    """One entry of `aborted_transactions` in FetchResponse."""

    producer_id: int = int64(since=4)
    first_offset: int = int64(since=4)


class PartitionData(Message):
    """One entry of `partitions` in FetchResponse."""

    partition_index: int = int32()
    error_code: int = int16()
    high_watermark: int = int64()
    last_stable_offset: int = int64(since=4, default=-1)
    log_start_offset: int = int64(since=5, default=-1)
    diverging_epoch: EpochEndOffset | None = struct(EpochEndOffset, since=12, tag=0)
    current_leader: LeaderIdAndEpoch | None = struct(LeaderIdAndEpoch, since=12, tag=1)
    snapshot_id: SnapshotId | None = struct(SnapshotId, since=12, tag=2)
    aborted_transactions: list[AbortedTransaction] | None = array(AbortedTransaction, since=4, nullable_since=4)
    preferred_read_replica: int = int32(since=11, default=-1)
    records: Payload | None = records(nullable_since=0)


class FetchableTopicResponse(Message):
    """One entry of `responses` in FetchResponse."""

    topic: str = string(until=12)
    topic_id: Uuid = uuid(since=13)
    partitions: list[PartitionData] = array(PartitionData)


class NodeEndpoint(Message):
    """One entry of `node_endpoints` in FetchResponse."""

    node_id: int = int32(since=16)
    host: str = string(since=16)
    port: int = int32(since=16)
    rack: str | None = string(since=16, nullable_since=16, default=None)


class FetchResponse(Message, api_key=1, versions=(0, 18), flexible=12):
    """What the broker answers to Fetch."""

    throttle_time_ms: int = int32(since=1)
    error_code: int = int16(since=7)
    session_id: int = int32(since=7)
    responses: list[FetchableTopicResponse] = array(FetchableTopicResponse)
    node_endpoints: list[NodeEndpoint] = array(NodeEndpoint, since=16, tag=0)
