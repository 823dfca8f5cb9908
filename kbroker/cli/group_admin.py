"""What `kbroker consumer-groups` asks of a cluster: groups, their members and their offsets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from kbroker.cli.broker_connection import error_text
from kbroker.cli.cluster_client import ClusterClient, first_error
from kbroker.cli.command_error import BrokerRefused, CommandError
from kbroker.errors import MalformedMessage
from kbroker.protocol.api_keys import ApiKey
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.consumer_group_describe import ConsumerGroupDescribeRequest
from kbroker.protocol.messages.consumer_protocol import ConsumerProtocolAssignment
from kbroker.protocol.messages.delete_groups import DeleteGroupsRequest
from kbroker.protocol.messages.describe_groups import DescribeGroupsRequest
from kbroker.protocol.messages.list_groups import ListGroupsRequest
from kbroker.protocol.messages.list_offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from kbroker.protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from kbroker.protocol.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
)
from kbroker.protocol.messages.offset_fetch import OffsetFetchRequest
from kbroker.types import Buffer

_EARLIEST, _LATEST = -2, -1
_CONSUMER = "consumer"
_DEAD = "Dead"


class Partition(NamedTuple):
    """A topic's name and a partition number."""

    topic: str
    partition: int


class UnknownTopic(CommandError):
    """There is no topic of that name."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"topic {topic} does not exist")
        self.topic = topic


@dataclass(frozen=True, slots=True)
class GroupListing:
    """A group as it is listed; state and type are Kafka's words, "Unknown" where the broker does not tell."""

    group_id: str
    state: str
    type: str


@dataclass(frozen=True, slots=True)
class GroupMember:
    """
    A member of a group.

    partitions  what it reads; None when what the leader assigned to it is not an assignment of consumers
    """

    member_id: str
    group_instance_id: str | None
    client_id: str
    host: str
    partitions: tuple[Partition, ...] | None


@dataclass(frozen=True, slots=True)
class GroupDescription:
    """
    A group with its members.

    coordinator  the broker (node_id, host, port), None for a group that does not exist
    """

    state: str
    partition_assignor: str
    coordinator: Any
    members: tuple[GroupMember, ...]


class GroupAdmin:
    """Groups of a cluster, through the brokers that coordinate them; raises CommandError with the broker's words."""

    def __init__(self, cluster: ClusterClient) -> None:
        self._cluster = cluster

    def groups(self) -> list[GroupListing]:
        """Return all groups of consumers, sorted by id; groups of other protocols, such as Connect's, are left out."""
        found = {}
        for node in self._cluster.metadata(()).brokers:
            answer = self._cluster.call_node(node, ListGroupsRequest())
            _raise_for(answer.error_code)
            for one in answer.groups:
                if one.protocol_type in {"", _CONSUMER}:
                    kind = one.group_type.capitalize() or "Unknown"
                    found[one.group_id] = GroupListing(one.group_id, one.group_state or "Unknown", kind)
        return [found[group] for group in sorted(found)]

    def describe(self, groups: Sequence[str]) -> dict[str, GroupDescription]:
        """Return each group's description; a group that does not exist is described as dead."""
        return {group: self._describe(group) for group in groups}

    def _describe(self, group: str) -> GroupDescription:
        coordinator = self._cluster.coordinator(group)
        if self._cluster.speaks(ApiKey.CONSUMER_GROUP_DESCRIBE):
            found = self._cluster.call_coordinator(
                group, ConsumerGroupDescribeRequest(group_ids=[group]), lambda answer: answer.groups[0].error_code
            ).groups[0]
            if not found.error_code:
                members = tuple(_new_member(one) for one in found.members)
                return GroupDescription(found.group_state, found.assignor_name, coordinator, members)
        found = self._cluster.call_coordinator(
            group, DescribeGroupsRequest(groups=[group]), lambda answer: answer.groups[0].error_code
        ).groups[0]
        if found.error_code == ErrorCode.GROUP_ID_NOT_FOUND:
            return GroupDescription(_DEAD, "", coordinator, ())
        _raise_for(found.error_code, found.error_message)
        if found.protocol_type not in {"", _CONSUMER}:
            raise CommandError(f"GroupId {group} is not a consumer group ({found.protocol_type}).")
        members = tuple(
            GroupMember(
                one.member_id,
                one.group_instance_id,
                one.client_id,
                one.client_host,
                _assigned(one.member_assignment),
            )
            for one in found.members
        )
        return GroupDescription(found.group_state, found.protocol_data, coordinator, members)

    def committed(self, group: str) -> dict[Partition, tuple[int, int | None]]:
        """Return (offset, leader epoch or None) of every partition the group has an offset of."""
        # Version 8 asks for several groups.
        answer = self._cluster.call_coordinator(
            group, OffsetFetchRequest(group_id=group, topics=None), lambda answer: answer.error_code, highest=7
        )
        if answer.error_code == ErrorCode.GROUP_ID_NOT_FOUND:
            return {}
        _raise_for(answer.error_code)
        return {
            Partition(topic.name, one.partition_index): (
                one.committed_offset,
                one.committed_leader_epoch if one.committed_leader_epoch >= 0 else None,
            )
            for topic in answer.topics
            for one in topic.partitions
            if one.committed_offset >= 0
        }

    def commit(self, group: str, offsets: Mapping[Partition, int]) -> None:
        """Set offsets of a group without members; raises CommandError naming what was refused."""
        topics = [
            OffsetCommitRequestTopic(
                name=name,
                partitions=[
                    OffsetCommitRequestPartition(
                        partition_index=one.partition, committed_offset=offsets[one], committed_metadata=""
                    )
                    for one in partitions
                ],
            )
            for name, partitions in _by_topic(offsets).items()
        ]
        # Version 10 names topics by id.
        answer = self._cluster.call_coordinator(
            group,
            OffsetCommitRequest(group_id=group, topics=topics),
            lambda answer: first_error([one.error_code for topic in answer.topics for one in topic.partitions]),
            highest=9,
        )
        for topic in answer.topics:
            for one in topic.partitions:
                if one.error_code:
                    raise CommandError(f"{topic.name}-{one.partition_index}: {error_text(one.error_code)}")

    def delete_offsets(self, group: str, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Delete offsets of a group; return the error code of each partition, 0 where it is done."""
        topics = [
            OffsetDeleteRequestTopic(
                name=name, partitions=[OffsetDeleteRequestPartition(partition_index=one.partition) for one in wanted]
            )
            for name, wanted in _by_topic(partitions).items()
        ]
        answer = self._cluster.call_coordinator(
            group, OffsetDeleteRequest(group_id=group, topics=topics), lambda answer: answer.error_code
        )
        _raise_for(answer.error_code)
        return {
            Partition(topic.name, one.partition_index): one.error_code
            for topic in answer.topics
            for one in topic.partitions
        }

    def end_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Return the log end offsets, of those partitions that have a leader."""
        return self._offsets(partitions, _LATEST)

    def start_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Return the log start offsets, of those partitions that have a leader."""
        return self._offsets(partitions, _EARLIEST)

    def offsets_at(self, partitions: Iterable[Partition], timestamp_ms: int) -> dict[Partition, int]:
        """Return the offset of the first record at or after a time; the end where there is none."""
        wanted = list(partitions)
        found = self._offsets(wanted, timestamp_ms)
        later = {one: offset for one, offset in found.items() if offset >= 0}
        return {**self.end_offsets(one for one in wanted if one not in later), **later}

    def _offsets(self, partitions: Iterable[Partition], timestamp: int) -> dict[Partition, int]:
        wanted = _by_topic(partitions)
        if not wanted:
            return {}
        metadata = self._cluster.metadata(wanted)
        nodes = {node.node_id: node for node in metadata.brokers}
        leaders = {
            Partition(topic.name, one.partition_index): one.leader_id
            for topic in metadata.topics
            for one in topic.partitions
        }
        by_leader: dict[int, list[Partition]] = {}
        for partition in (one for of_topic in wanted.values() for one in of_topic):
            by_leader.setdefault(leaders.get(partition, -1), []).append(partition)
        found = {}
        for leader, led in by_leader.items():
            if leader not in nodes:
                continue  # nobody can tell; Kafka's tool prints "-"
            topics = [
                ListOffsetsTopic(
                    name=name,
                    partitions=[
                        ListOffsetsPartition(partition_index=one.partition, timestamp=timestamp) for one in of_topic
                    ],
                )
                for name, of_topic in _by_topic(led).items()
            ]
            request = ListOffsetsRequest(replica_id=-1, topics=topics)
            for topic in self._cluster.call_node(nodes[leader], request, highest=7).topics:
                for answer in topic.partitions:
                    if not answer.error_code:
                        found[Partition(topic.name, answer.partition_index)] = answer.offset
        return found

    def partitions_of(self, topic: str) -> list[Partition]:
        """Return all partitions of a topic; raises UnknownTopic when there is no such topic."""
        (known,) = self._cluster.metadata([topic]).topics
        if known.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION:
            raise UnknownTopic(topic)
        _raise_for(known.error_code)
        return [Partition(topic, number) for number in sorted(one.partition_index for one in known.partitions)]

    def delete(self, groups: Sequence[str]) -> dict[str, str]:
        """Delete groups; return what went wrong by group."""
        failed = {}
        for group in groups:
            answer = self._cluster.call_coordinator(
                group,
                DeleteGroupsRequest(groups_names=[group]),
                lambda answer: first_error([one.error_code for one in answer.results]),
            )
            for one in answer.results:
                if one.error_code:
                    failed[one.group_id] = error_text(one.error_code)
        return failed


def _raise_for(code: int, message: str | None = None) -> None:
    if code:
        raise BrokerRefused(code, error_text(code, message))


def _by_topic(partitions: Iterable[Partition]) -> dict[str, list[Partition]]:
    result: dict[str, list[Partition]] = {}
    for one in partitions:
        result.setdefault(one.topic, []).append(one)
    return result


def _assigned(assignment: Buffer) -> tuple[Partition, ...] | None:
    """Return the partitions of a member's assignment, None when it is something else: the broker keeps any bytes."""
    if not len(assignment):
        return ()
    try:
        version = int.from_bytes(bytes(assignment[:2]), "big", signed=True)
        # Newer clients only append to it.
        known, _ = ConsumerProtocolAssignment.decode(assignment, min(max(version, 0), 3), 2)
    except MalformedMessage:
        return None
    return tuple(Partition(topic.topic, one) for topic in known.assigned_partitions for one in topic.partitions)


def _new_member(member: Any) -> GroupMember:
    """Return a member of a group of KIP-848."""
    partitions = tuple(
        Partition(topic.topic_name, one) for topic in member.assignment.topic_partitions for one in topic.partitions
    )
    return GroupMember(member.member_id, member.instance_id, member.client_id, member.client_host, partitions)
