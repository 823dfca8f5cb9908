"""StopReplica (5): the controller tells a broker to stop, and perhaps delete, replicas."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, boolean, int16, int32, int64, string


class StopReplicaPartitionV0(Message):
    """One entry of `ungrouped_partitions` in StopReplicaRequest."""

    topic_name: str = string(until=0)
    partition_index: int = int32(until=0)


class StopReplicaTopicV1(Message):
    """One entry of `topics` in StopReplicaRequest."""

    name: str = string(since=1, until=2)
    partition_indexes: list[int] = array(int32(), since=1, until=2)


class StopReplicaPartitionState(Message):
    """One entry of `partition_states` in StopReplicaRequest."""

    partition_index: int = int32(since=3)
    leader_epoch: int = int32(since=3, default=-1)
    delete_partition: bool = boolean(since=3)


class StopReplicaTopicState(Message):
    """One entry of `topic_states` in StopReplicaRequest."""

    topic_name: str = string(since=3)
    partition_states: list[StopReplicaPartitionState] = array(StopReplicaPartitionState, since=3)


class StopReplicaRequest(Message, api_key=5, versions=(0, 4), flexible=2):
    """What a client asks with StopReplica."""

    controller_id: int = int32()
    is_kraft_controller: bool = boolean(since=4)
    controller_epoch: int = int32()
    broker_epoch: int = int64(since=1, default=-1)
    delete_partitions: bool = boolean(until=2)
    ungrouped_partitions: list[StopReplicaPartitionV0] = array(StopReplicaPartitionV0, until=0)
    topics: list[StopReplicaTopicV1] = array(StopReplicaTopicV1, since=1, until=2)
    topic_states: list[StopReplicaTopicState] = array(StopReplicaTopicState, since=3)


class StopReplicaPartitionError(Message):
    """One entry of `partition_errors` in StopReplicaResponse."""

    topic_name: str = string()
    partition_index: int = int32()
    error_code: int = int16()


class StopReplicaResponse(Message, api_key=5, versions=(0, 4), flexible=2):
    """What the broker answers to StopReplica."""

    error_code: int = int16()
    partition_errors: list[StopReplicaPartitionError] = array(StopReplicaPartitionError)
