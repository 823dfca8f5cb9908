"""ElectLeaders (43): elect preferred leaders, or unclean ones."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int8, int16, int32, string


class TopicPartitions(Message):
    """One entry of `topic_partitions` in ElectLeadersRequest."""

    topic: str = string()
    partitions: list[int] = array(int32())


class ElectLeadersRequest(Message, api_key=43, versions=(0, 2), flexible=2):
    """What a client asks with ElectLeaders."""

    election_type: int = int8(since=1)
    topic_partitions: list[TopicPartitions] | None = array(TopicPartitions, nullable_since=0)
    timeout_ms: int = int32(default=60000)


class PartitionResult(Message):
    """One entry of `partition_result` in ElectLeadersResponse."""

    partition_id: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable_since=0)


class ReplicaElectionResult(Message):
    """One entry of `replica_election_results` in ElectLeadersResponse."""

    topic: str = string()
    partition_result: list[PartitionResult] = array(PartitionResult)


class ElectLeadersResponse(Message, api_key=43, versions=(0, 2), flexible=2):
    """What the broker answers to ElectLeaders."""

    throttle_time_ms: int = int32()
    error_code: int = int16(since=1)
    replica_election_results: list[ReplicaElectionResult] = array(ReplicaElectionResult)
