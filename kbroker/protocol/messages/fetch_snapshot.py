"""FetchSnapshot (59): read a snapshot of the metadata log in pieces."""

from __future__ import annotations

from kbroker.protocol.schema import Message, Payload, array, int16, int32, int64, records, string, struct, uint16, uuid
from kbroker.types import Uuid


class SnapshotId(Message):
    """The `snapshot_id` of FetchSnapshotRequest."""

    end_offset: int = int64()
    epoch: int = int32()


class RequestPartitionSnapshot(Message):
    """One entry of `partitions` in FetchSnapshotRequest."""

    partition: int = int32()
    current_leader_epoch: int = int32()
    snapshot_id: SnapshotId = struct(SnapshotId)
    position: int = int64()
    replica_directory_id: Uuid = uuid(since=1, tag=0)


class RequestTopicSnapshot(Message):
    """One entry of `topics` in FetchSnapshotRequest."""

    name: str = string()
    partitions: list[RequestPartitionSnapshot] = array(RequestPartitionSnapshot)


class FetchSnapshotRequest(Message, api_key=59, versions=(0, 1), flexible=0):
    """What a client asks with FetchSnapshot."""

    cluster_id: str | None = string(nullable_since=0, tag=0, default=None)
    replica_id: int = int32(default=-1)
    max_bytes: int = int32(default=0x7FFFFFFF)
    topics: list[RequestTopicSnapshot] = array(RequestTopicSnapshot)


class LeaderIdAndEpoch(Message):
    """The `current_leader` of FetchSnapshotResponse."""

    leader_id: int = int32()
    leader_epoch: int = int32()


class ResponsePartitionSnapshot(Message):
    """One entry of `partitions` in FetchSnapshotResponse."""

    index: int = int32()
    error_code: int = int16()
    snapshot_id: SnapshotId = struct(SnapshotId)
    current_leader: LeaderIdAndEpoch | None = struct(LeaderIdAndEpoch, tag=0)
    size: int = int64()
    position: int = int64()
    unaligned_records: Payload = records(default=b"")


class ResponseTopicSnapshot(Message):
    """One entry of `topics` in FetchSnapshotResponse."""

    name: str = string()
    partitions: list[ResponsePartitionSnapshot] = array(ResponsePartitionSnapshot)


class NodeEndpoint(Message):
    """One entry of `node_endpoints` in FetchSnapshotResponse."""

    node_id: int = int32(since=1)
    host: str = string(since=1)
    port: int = uint16(since=1)


class FetchSnapshotResponse(Message, api_key=59, versions=(0, 1), flexible=0):
    """What the broker answers to FetchSnapshot."""

    throttle_time_ms: int = int32()
    error_code: int = int16()
    topics: list[ResponseTopicSnapshot] = array(ResponseTopicSnapshot)
    node_endpoints: list[NodeEndpoint] = array(NodeEndpoint, since=1, tag=0)
