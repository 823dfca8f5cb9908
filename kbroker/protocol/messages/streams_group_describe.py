"""StreamsGroupDescribe (89): state, topology and members of streams groups."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, boolean, int16, int32, int64, string, struct, uint16


class StreamsGroupDescribeRequest(Message, api_key=89, versions=(0, 0), flexible=0):
    """What a client asks with StreamsGroupDescribe."""

    group_ids: list[str] = array(string())
    include_authorized_operations: bool = boolean()


class KeyValue(Message):
    """One entry of `topic_configs` in StreamsGroupDescribeResponse."""

    key: str = string()
    value: str = string()


class TopicInfo(Message):
    """One entry of `state_changelog_topics` in StreamsGroupDescribeResponse."""

    name: str = string()
    partitions: int = int32()
    replication_factor: int = int16()
    topic_configs: list[KeyValue] = array(KeyValue)


class Subtopology(Message):
    """One entry of `subtopologies` in StreamsGroupDescribeResponse."""

    subtopology_id: str = string()
    source_topics: list[str] = array(string())
    repartition_sink_topics: list[str] = array(string())
    state_changelog_topics: list[TopicInfo] = array(TopicInfo)
    repartition_source_topics: list[TopicInfo] = array(TopicInfo)


class Topology(Message):
    """The `topology` of StreamsGroupDescribeResponse."""

    epoch: int = int32()
    subtopologies: list[Subtopology] | None = array(Subtopology, nullable_since=0)


class Endpoint(Message):
    """The `user_endpoint` of StreamsGroupDescribeResponse."""

    host: str = string()
    port: int = uint16()


class TaskOffset(Message):
    """One entry of `task_offsets` in StreamsGroupDescribeResponse."""

    subtopology_id: str = string()
    partition: int = int32()
    offset: int = int64()


class TaskIds(Message):
    """One entry of `active_tasks` in StreamsGroupDescribeResponse."""

    subtopology_id: str = string()
    partitions: list[int] = array(int32())


class Assignment(Message):
    """The `assignment` of StreamsGroupDescribeResponse."""

    active_tasks: list[TaskIds] = array(TaskIds)
    standby_tasks: list[TaskIds] = array(TaskIds)
    warmup_tasks: list[TaskIds] = array(TaskIds)


class Member(Message):
    """One entry of `members` in StreamsGroupDescribeResponse."""

    member_id: str = string()
    member_epoch: int = int32()
    instance_id: str | None = string(nullable_since=0, default=None)
    rack_id: str | None = string(nullable_since=0, default=None)
    client_id: str = string()
    client_host: str = string()
    topology_epoch: int = int32()
    process_id: str = string()
    user_endpoint: Endpoint | None = struct(Endpoint, nullable_since=0)
    client_tags: list[KeyValue] = array(KeyValue)
    task_offsets: list[TaskOffset] = array(TaskOffset)
    task_end_offsets: list[TaskOffset] = array(TaskOffset)
    assignment: Assignment = struct(Assignment)
    target_assignment: Assignment = struct(Assignment)
    is_classic: bool = boolean()


class DescribedGroup(Message):
    """One entry of `groups` in StreamsGroupDescribeResponse."""

    error_code: int = int16()
    error_message: str | None = string(nullable_since=0, default=None)
    group_id: str = string()
    group_state: str = string()
    group_epoch: int = int32()
    assignment_epoch: int = int32()
    topology: Topology | None = struct(Topology, nullable_since=0)
    members: list[Member] = array(Member)
    authorized_operations: int = int32(default=-2147483648)


class StreamsGroupDescribeResponse(Message, api_key=89, versions=(0, 0), flexible=0):
    """What the broker answers to StreamsGroupDescribe."""

    throttle_time_ms: int = int32()
    groups: list[DescribedGroup] = array(DescribedGroup)
