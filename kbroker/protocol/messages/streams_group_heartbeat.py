"""StreamsGroupHeartbeat (88): a member of a streams group joins, lives, reports its tasks and leaves."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, boolean, int8, int16, int32, int64, string, struct, uint16


class KeyValue(Message):
    """One entry of `topic_configs` in StreamsGroupHeartbeatRequest."""

    key: str = string()
    value: str = string()


class TopicInfo(Message):
    """One entry of `state_changelog_topics` in StreamsGroupHeartbeatRequest."""

    name: str = string()
    partitions: int = int32()
    replication_factor: int = int16()
    topic_configs: list[KeyValue] = array(KeyValue)


class CopartitionGroup(Message):
    """One entry of `copartition_groups` in StreamsGroupHeartbeatRequest."""

    source_topics: list[int] = array(int16())
    source_topic_regex: list[int] = array(int16())
    repartition_source_topics: list[int] = array(int16())


class Subtopology(Message):
    """One entry of `subtopologies` in StreamsGroupHeartbeatRequest."""

    subtopology_id: str = string()
    source_topics: list[str] = array(string())
    source_topic_regex: list[str] = array(string())
    state_changelog_topics: list[TopicInfo] = array(TopicInfo)
    repartition_sink_topics: list[str] = array(string())
    repartition_source_topics: list[TopicInfo] = array(TopicInfo)
    copartition_groups: list[CopartitionGroup] = array(CopartitionGroup)


class Topology(Message):
    """The `topology` of StreamsGroupHeartbeatRequest."""

    epoch: int = int32()
    subtopologies: list[Subtopology] = array(Subtopology)


class TaskIds(Message):
    """One entry of `active_tasks` in StreamsGroupHeartbeatRequest."""

    subtopology_id: str = string()
    partitions: list[int] = array(int32())


class Endpoint(Message):
    """The `user_endpoint` of StreamsGroupHeartbeatRequest."""

    host: str = string()
    port: int = uint16()


class TaskOffset(Message):
    """One entry of `task_offsets` in StreamsGroupHeartbeatRequest."""

    subtopology_id: str = string()
    partition: int = int32()
    offset: int = int64()


class StreamsGroupHeartbeatRequest(Message, api_key=88, versions=(0, 0), flexible=0):
    """What a client asks with StreamsGroupHeartbeat."""

    group_id: str = string()
    member_id: str = string()
    member_epoch: int = int32()
    endpoint_information_epoch: int = int32()
    instance_id: str | None = string(nullable_since=0, default=None)
    rack_id: str | None = string(nullable_since=0, default=None)
    rebalance_timeout_ms: int = int32(default=-1)
    topology: Topology | None = struct(Topology, nullable_since=0)
    active_tasks: list[TaskIds] | None = array(TaskIds, nullable_since=0)
    standby_tasks: list[TaskIds] | None = array(TaskIds, nullable_since=0)
    warmup_tasks: list[TaskIds] | None = array(TaskIds, nullable_since=0)
    process_id: str | None = string(nullable_since=0, default=None)
    user_endpoint: Endpoint | None = struct(Endpoint, nullable_since=0)
    client_tags: list[KeyValue] | None = array(KeyValue, nullable_since=0)
    task_offsets: list[TaskOffset] | None = array(TaskOffset, nullable_since=0)
    task_end_offsets: list[TaskOffset] | None = array(TaskOffset, nullable_since=0)
    shutdown_application: bool = boolean()


class Status(Message):
    """One entry of `status` in StreamsGroupHeartbeatResponse."""

    status_code: int = int8()
    status_detail: str = string()


class TopicPartition(Message):
    """One entry of `active_partitions` in StreamsGroupHeartbeatResponse."""

    topic: str = string()
    partitions: list[int] = array(int32())


class EndpointToPartitions(Message):
    """One entry of `partitions_by_user_endpoint` in StreamsGroupHeartbeatResponse."""

    user_endpoint: Endpoint = struct(Endpoint)
    active_partitions: list[TopicPartition] = array(TopicPartition)
    standby_partitions: list[TopicPartition] = array(TopicPartition)


class StreamsGroupHeartbeatResponse(Message, api_key=88, versions=(0, 0), flexible=0):
    """What the broker answers to StreamsGroupHeartbeat."""

    throttle_time_ms: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable_since=0, default=None)
    member_id: str = string()
    member_epoch: int = int32()
    heartbeat_interval_ms: int = int32()
    acceptable_recovery_lag: int = int32()
    task_offset_interval_ms: int = int32()
    status: list[Status] | None = array(Status, nullable_since=0)
    active_tasks: list[TaskIds] | None = array(TaskIds, nullable_since=0)
    standby_tasks: list[TaskIds] | None = array(TaskIds, nullable_since=0)
    warmup_tasks: list[TaskIds] | None = array(TaskIds, nullable_since=0)
    endpoint_information_epoch: int = int32()
    partitions_by_user_endpoint: list[EndpointToPartitions] | None = array(EndpointToPartitions, nullable_since=0)
