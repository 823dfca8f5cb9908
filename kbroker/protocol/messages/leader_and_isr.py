"""LeaderAndIsr (4): the controller tells a broker which partitions it leads or follows."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, boolean, int8, int16, int32, int64, string, uuid
from kbroker.types import Uuid


class LeaderAndIsrPartitionState(Message):
    """One entry of `ungrouped_partition_states` in LeaderAndIsrRequest."""

    topic_name: str = string(until=1)
    partition_index: int = int32()
    controller_epoch: int = int32()
    leader: int = int32()
    leader_epoch: int = int32()
    isr: list[int] = array(int32())
    partition_epoch: int = int32()
    replicas: list[int] = array(int32())
    adding_replicas: list[int] = array(int32(), since=3)
    removing_replicas: list[int] = array(int32(), since=3)
    is_new: bool = boolean(since=1)
    leader_recovery_state: int = int8(since=6)


class LeaderAndIsrTopicState(Message):
    """One entry of `topic_states` in LeaderAndIsrRequest."""

    topic_name: str = string(since=2)
    topic_id: Uuid = uuid(since=5)
    partition_states: list[LeaderAndIsrPartitionState] = array(LeaderAndIsrPartitionState, since=2)


class LeaderAndIsrLiveLeader(Message):
    """One entry of `live_leaders` in LeaderAndIsrRequest."""

    broker_id: int = int32()
    host_name: str = string()
    port: int = int32()


class LeaderAndIsrRequest(Message, api_key=4, versions=(0, 7), flexible=4):
    """What a client asks with LeaderAndIsr."""

    controller_id: int = int32()
    is_kraft_controller: bool = boolean(since=7)
    controller_epoch: int = int32()
    broker_epoch: int = int64(since=2, default=-1)
    type: int = int8(since=5)
    ungrouped_partition_states: list[LeaderAndIsrPartitionState] = array(LeaderAndIsrPartitionState, until=1)
    topic_states: list[LeaderAndIsrTopicState] = array(LeaderAndIsrTopicState, since=2)
    live_leaders: list[LeaderAndIsrLiveLeader] = array(LeaderAndIsrLiveLeader)


class LeaderAndIsrPartitionError(Message):
    """One entry of `partition_errors` in LeaderAndIsrResponse."""

    topic_name: str = string(until=4)
    partition_index: int = int32()
    error_code: int = int16()


class LeaderAndIsrTopicError(Message):
    """One entry of `topics` in LeaderAndIsrResponse."""

    topic_id: Uuid = uuid(since=5)
    partition_errors: list[LeaderAndIsrPartitionError] = array(LeaderAndIsrPartitionError, since=5)


class LeaderAndIsrResponse(Message, api_key=4, versions=(0, 7), flexible=4):
    """What the broker answers to LeaderAndIsr."""

    error_code: int = int16()
    partition_errors: list[LeaderAndIsrPartitionError] = array(LeaderAndIsrPartitionError, until=4)
    topics: list[LeaderAndIsrTopicError] = array(LeaderAndIsrTopicError, since=5)
