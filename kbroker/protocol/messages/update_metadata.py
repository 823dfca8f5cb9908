"""UpdateMetadata (6): the controller tells a broker the state of the cluster."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, boolean, int8, int16, int32, int64, string, uuid
from kbroker.types import Uuid


class UpdateMetadataPartitionState(Message):
    """One entry of `ungrouped_partition_states` in UpdateMetadataRequest."""

    topic_name: str = string(until=4)
    partition_index: int = int32()
    controller_epoch: int = int32()
    leader: int = int32()
    leader_epoch: int = int32()
    isr: list[int] = array(int32())
    zk_version: int = int32()
    replicas: list[int] = array(int32())
    offline_replicas: list[int] = array(int32(), since=4)


class UpdateMetadataTopicState(Message):
    """One entry of `topic_states` in UpdateMetadataRequest."""

    topic_name: str = string(since=5)
    topic_id: Uuid = uuid(since=7)
    partition_states: list[UpdateMetadataPartitionState] = array(UpdateMetadataPartitionState, since=5)


class UpdateMetadataEndpoint(Message):
    """One entry of `endpoints` in UpdateMetadataRequest."""

    port: int = int32(since=1)
    host: str = string(since=1)
    listener: str = string(since=3)
    security_protocol: int = int16(since=1)


class UpdateMetadataBroker(Message):
    """One entry of `live_brokers` in UpdateMetadataRequest."""

    id: int = int32()
    v0_host: str = string(until=0)
    v0_port: int = int32(until=0)
    endpoints: list[UpdateMetadataEndpoint] = array(UpdateMetadataEndpoint, since=1)
    rack: str | None = string(since=2, nullable_since=0)


class UpdateMetadataRequest(Message, api_key=6, versions=(0, 8), flexible=6):
    """What a client asks with UpdateMetadata."""

    controller_id: int = int32()
    is_kraft_controller: bool = boolean(since=8)
    type: int = int8(since=8, tag=0)
    controller_epoch: int = int32()
    broker_epoch: int = int64(since=5, default=-1)
    ungrouped_partition_states: list[UpdateMetadataPartitionState] = array(UpdateMetadataPartitionState, until=4)
    topic_states: list[UpdateMetadataTopicState] = array(UpdateMetadataTopicState, since=5)
    live_brokers: list[UpdateMetadataBroker] = array(UpdateMetadataBroker)


class UpdateMetadataResponse(Message, api_key=6, versions=(0, 8), flexible=6):
    """What the broker answers to UpdateMetadata."""

    error_code: int = int16()
