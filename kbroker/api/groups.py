"""
The APIs of consumer groups: what a group's coordinator decides is forwarded to the IO worker it runs in.

    JoinGroup SyncGroup Heartbeat LeaveGroup     one group: the body travels as the client sent it
    OffsetCommit OffsetDelete                    likewise, once topics that do not exist are taken out and answered here
    OffsetFetch DescribeGroups DeleteGroups      split by coordinator where they name groups of several, answers merged
    ListGroups                                   all coordinators are asked, answers merged

Bodies are decoded here in any case: a malformed one must not reach a coordinator, and when the coordinator's process
dies its clients are told COORDINATOR_NOT_AVAILABLE in the place each API has for it, upon which they look for it again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from kbroker.api.channel import CommandChannel, forwarded
from kbroker.api.cluster_view import ClusterView
from kbroker.api.group_routing import GroupRouting
from kbroker.api.request import RequestContext
from kbroker.errors import KafkaError
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.delete_groups import DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse
from kbroker.protocol.messages.describe_groups import DescribedGroup, DescribeGroupsRequest, DescribeGroupsResponse
from kbroker.protocol.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from kbroker.protocol.messages.join_group import JoinGroupRequest, JoinGroupResponse
from kbroker.protocol.messages.leave_group import LeaveGroupRequest, LeaveGroupResponse
from kbroker.protocol.messages.list_groups import ListGroupsRequest, ListGroupsResponse
from kbroker.protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)
from kbroker.protocol.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestTopic,
    OffsetDeleteResponse,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
)
from kbroker.protocol.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
    OffsetFetchResponse,
    OffsetFetchResponseGroup,
    OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
)
from kbroker.protocol.messages.sync_group import SyncGroupRequest, SyncGroupResponse
from kbroker.protocol.schema import Message

JOIN_GROUP_VERSIONS = (0, 9)
SYNC_GROUP_VERSIONS = (0, 5)
_PROTOCOL_TOLD_SINCE = 5
HEARTBEAT_VERSIONS = (0, 4)
LEAVE_GROUP_VERSIONS = (0, 5)
OFFSET_COMMIT_VERSIONS = (0, 10)
OFFSET_FETCH_VERSIONS = (0, 10)
OFFSET_DELETE_VERSIONS = (0, 0)
DESCRIBE_GROUPS_VERSIONS = (0, 6)
DELETE_GROUPS_VERSIONS = (0, 2)
LIST_GROUPS_VERSIONS = (0, 5)

_TOPIC_IDS_SINCE = 10
"""From here on OffsetCommit and OffsetFetch name topics by id; coordinators know names, and get the version before."""

_FETCH_GROUPS_SINCE = 8
_FETCH_ERROR_SINCE = 2
_NULL_PROTOCOL_SINCE = 7

_NO_OFFSET = -1
_NOT_AVAILABLE = int(ErrorCode.COORDINATOR_NOT_AVAILABLE)


_Result = TypeVar("_Result")


class GroupHandlers:
    """Forwards the requests of groups for one network worker."""

    def __init__(self, view: ClusterView, channel: CommandChannel, routing: GroupRouting) -> None:
        self._view = view
        self._channel = channel
        self._routing = routing

    def handle_join_group(self, context: RequestContext) -> None:
        """Have a member join its group."""
        request = context.decode(JoinGroupRequest)
        member_id = request.member_id
        protocol_name = None if context.api_version >= _NULL_PROTOCOL_SINCE else ""
        self._forward(
            context,
            request.group_id,
            lambda error: JoinGroupResponse(error_code=error, member_id=member_id, protocol_name=protocol_name),
        )

    def handle_sync_group(self, context: RequestContext) -> None:
        """Have a member hand in, or get, its generation's assignment."""
        request = context.decode(SyncGroupRequest)
        if context.api_version >= _PROTOCOL_TOLD_SINCE and (
            request.protocol_type is None or request.protocol_name is None
        ):
            context.respond(SyncGroupResponse(error_code=ErrorCode.INCONSISTENT_GROUP_PROTOCOL))
            return
        self._forward(context, request.group_id, lambda error: SyncGroupResponse(error_code=error))

    def handle_heartbeat(self, context: RequestContext) -> None:
        """Have a member counted as alive."""
        request = context.decode(HeartbeatRequest)
        self._forward(context, request.group_id, lambda error: HeartbeatResponse(error_code=error))

    def handle_leave_group(self, context: RequestContext) -> None:
        """Have members leave their group."""
        request = context.decode(LeaveGroupRequest)
        self._forward(context, request.group_id, lambda error: LeaveGroupResponse(error_code=error))

    def _forward(
        self,
        context: RequestContext,
        group_id: str,
        refused: Callable[[int], Message],
        *,
        body: bytes | None = None,
        version: int | None = None,
        answered: Callable[[bytes], Message] | None = None,
    ) -> None:
        """
        Send a request to its group's coordinator and its answer to the client.

        refused   makes the answer when the coordinator cannot be asked, or died
        body      what to send in place of the client's own body, in `version`
        answered  makes the client's answer of the coordinator's, where they differ
        """
        try:
            peer = self._routing.peer(group_id)
        except KafkaError as error:
            context.respond(refused(error.code))
            return

        def done(answer: bytes | None) -> None:
            if answer is None:
                context.respond(refused(_NOT_AVAILABLE))
            elif answered is None:
                context.respond_parts([answer])
            else:
                context.respond(answered(answer))

        request = forwarded(context, body)
        if version is not None:
            request = request._replace(api_version=version)
        self._channel.forward(peer, request, done)

    # Offsets

    def handle_offset_commit(self, context: RequestContext) -> None:
        """Have offsets stored, of the partitions that exist."""
        request = context.decode(OffsetCommitRequest)
        by_id = context.api_version >= _TOPIC_IDS_SINCE
        results: list[OffsetCommitResponseTopic] = []
        places: dict[tuple[str, int], OffsetCommitResponsePartition] = {}
        kept: list[OffsetCommitRequestTopic] = []
        dropped = False
        for asked in request.topics:
            topic = self._view.topic_by_id(asked.topic_id) if by_id else self._view.topic(asked.name)
            result = OffsetCommitResponseTopic(name=asked.name, topic_id=asked.topic_id)
            results.append(result)
            known = []
            for partition in asked.partitions:
                place = OffsetCommitResponsePartition(partition_index=partition.partition_index)
                result.partitions.append(place)
                if topic is not None and 0 <= partition.partition_index < len(topic.partitions):
                    known.append(partition)
                    places[topic.name, partition.partition_index] = place
                elif topic is None and by_id:
                    place.error_code = ErrorCode.UNKNOWN_TOPIC_ID
                else:
                    place.error_code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            dropped = dropped or len(known) != len(asked.partitions)
            if topic is not None and known:
                kept.append(OffsetCommitRequestTopic(name=topic.name, partitions=known))
        response = OffsetCommitResponse(topics=results)
        if not places:
            context.respond(response)
            return

        def refused(error: int) -> Message:
            for place in places.values():
                place.error_code = error
            return response

        if not by_id and not dropped:
            self._forward(context, request.group_id, refused)
            return
        version = min(context.api_version, _TOPIC_IDS_SINCE - 1)
        request.topics = kept

        def answered(answer: bytes) -> Message:
            part, _ = OffsetCommitResponse.decode(answer, version)
            for topic in part.topics:
                for partition in topic.partitions:
                    places[topic.name, partition.partition_index].error_code = partition.error_code
            response.throttle_time_ms = part.throttle_time_ms
            return response

        self._forward(
            context, request.group_id, refused, body=request.encode(version), version=version, answered=answered
        )

    def handle_offset_delete(self, context: RequestContext) -> None:
        """Have offsets forgotten, of the partitions that exist."""
        request = context.decode(OffsetDeleteRequest)
        results: list[OffsetDeleteResponseTopic] = []
        places: dict[tuple[str, int], list[OffsetDeleteResponsePartition]] = {}
        kept: list[OffsetDeleteRequestTopic] = []
        dropped = False
        for asked in request.topics:
            topic = self._view.topic(asked.name)
            result = OffsetDeleteResponseTopic(name=asked.name)
            results.append(result)
            known = []
            for partition in asked.partitions:
                index = partition.partition_index
                place = OffsetDeleteResponsePartition(partition_index=index)
                result.partitions.append(place)
                if topic is not None and 0 <= index < len(topic.partitions):
                    known.append(partition)
                    places.setdefault((asked.name, index), []).append(place)
                else:
                    place.error_code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            dropped = dropped or len(known) != len(asked.partitions)
            if known:
                kept.append(OffsetDeleteRequestTopic(name=asked.name, partitions=known))

        def refused(error: int) -> Message:
            return OffsetDeleteResponse(error_code=error)

        if not dropped:
            self._forward(context, request.group_id, refused)
            return
        request.topics = kept
        version = context.api_version

        def answered(answer: bytes) -> Message:
            response, _ = OffsetDeleteResponse.decode(answer, version)
            if response.error_code == ErrorCode.NONE:
                for topic in response.topics:
                    for partition in topic.partitions:
                        for place in places[topic.name, partition.partition_index]:
                            place.error_code = partition.error_code
                response.topics = results
            return response

        self._forward(context, request.group_id, refused, body=request.encode(version), answered=answered)

    def handle_offset_fetch(self, context: RequestContext) -> None:
        """Answer committed offsets."""
        request = context.decode(OffsetFetchRequest)
        version = context.api_version
        if version < _FETCH_GROUPS_SINCE:

            def refused(error: int) -> Message:
                if version >= _FETCH_ERROR_SINCE:
                    return OffsetFetchResponse(error_code=error)
                return OffsetFetchResponse(
                    topics=[
                        OffsetFetchResponseTopic(
                            name=topic.name,
                            partitions=[
                                OffsetFetchResponsePartition(
                                    partition_index=partition,
                                    committed_offset=_NO_OFFSET,
                                    metadata="",
                                    error_code=error,
                                )
                                for partition in topic.partition_indexes
                            ],
                        )
                        for topic in request.topics or ()
                    ]
                )

            self._forward(context, request.group_id, refused)
            return
        groups = {group.group_id: group for group in request.groups}
        unknown: dict[str, list[OffsetFetchResponseTopics]] = {}
        if version >= _TOPIC_IDS_SINCE:
            for group in groups.values():
                if group.topics is not None:
                    unknown[group.group_id] = self._name_topics(group)

        def part_of(group_ids: list[str], sent_version: int) -> bytes:
            return OffsetFetchRequest(
                groups=[groups[group_id] for group_id in group_ids], require_stable=request.require_stable
            ).encode(sent_version)

        def read(answer: bytes, sent_version: int) -> list[tuple[str, OffsetFetchResponseGroup]]:
            response, _ = OffsetFetchResponse.decode(answer, sent_version)
            if version >= _TOPIC_IDS_SINCE:
                for group in response.groups:
                    self._identify_topics(group, unknown.get(group.group_id, []))
            return [(group.group_id, group) for group in response.groups]

        _Split(
            context,
            list(groups),
            part_of,
            read,
            refused=lambda group_id, error: OffsetFetchResponseGroup(group_id=group_id, error_code=error),
            merge=lambda results: OffsetFetchResponse(groups=results),
            highest_version=_TOPIC_IDS_SINCE - 1,
        ).send(self._channel, self._routing)

    def _name_topics(self, group: OffsetFetchRequestGroup) -> list[OffsetFetchResponseTopics]:
        """Put names in the place of topic ids; return the answer for the ids that no topic has."""
        known = []
        unknown = []
        for asked in group.topics or ():
            topic = self._view.topic_by_id(asked.topic_id)
            if topic is not None:
                known.append(OffsetFetchRequestTopics(name=topic.name, partition_indexes=asked.partition_indexes))
                continue
            unknown.append(
                OffsetFetchResponseTopics(
                    topic_id=asked.topic_id,
                    partitions=[
                        OffsetFetchResponsePartitions(
                            partition_index=partition,
                            committed_offset=_NO_OFFSET,
                            metadata="",
                            error_code=ErrorCode.UNKNOWN_TOPIC_ID,
                        )
                        for partition in asked.partition_indexes
                    ],
                )
            )
        group.topics = known
        return unknown

    def _identify_topics(
        self,
        group: OffsetFetchResponseGroup,
        unknown: list[OffsetFetchResponseTopics],
    ) -> None:
        """Put topic ids in the place of names; offsets of topics deleted meanwhile have no id and are left out."""
        if group.error_code != ErrorCode.NONE:
            return
        identified = []
        for part in group.topics:
            topic = self._view.topic(part.name)
            if topic is not None:
                part.topic_id = topic.topic_id
                identified.append(part)
        group.topics = identified + unknown

    # Several groups

    def handle_describe_groups(self, context: RequestContext) -> None:
        """Answer state and members of groups."""
        request = context.decode(DescribeGroupsRequest)

        def part_of(group_ids: list[str], version: int) -> bytes:
            return DescribeGroupsRequest(
                groups=group_ids, include_authorized_operations=request.include_authorized_operations
            ).encode(version)

        def read(answer: bytes, version: int) -> list[tuple[str, DescribedGroup]]:
            response, _ = DescribeGroupsResponse.decode(answer, version)
            return [(group.group_id, group) for group in response.groups]

        _Split(
            context,
            list(dict.fromkeys(request.groups)),
            part_of,
            read,
            refused=lambda group_id, error: DescribedGroup(group_id=group_id, error_code=error),
            merge=lambda results: DescribeGroupsResponse(groups=results),
        ).send(self._channel, self._routing)

    def handle_delete_groups(self, context: RequestContext) -> None:
        """Have empty groups deleted with their offsets."""
        request = context.decode(DeleteGroupsRequest)

        def part_of(group_ids: list[str], version: int) -> bytes:
            return DeleteGroupsRequest(groups_names=group_ids).encode(version)

        def read(answer: bytes, version: int) -> list[tuple[str, DeletableGroupResult]]:
            response, _ = DeleteGroupsResponse.decode(answer, version)
            return [(result.group_id, result) for result in response.results]

        _Split(
            context,
            list(dict.fromkeys(request.groups_names)),
            part_of,
            read,
            refused=lambda group_id, error: DeletableGroupResult(group_id=group_id, error_code=error),
            merge=lambda results: DeleteGroupsResponse(results=results),
        ).send(self._channel, self._routing)

    def handle_list_groups(self, context: RequestContext) -> None:
        """Answer the groups of all coordinators on this broker; with an error, those that could be asked."""
        context.decode(ListGroupsRequest)
        peers = self._routing.all_peers()
        merged = ListGroupsResponse()
        if not peers:
            context.respond(merged)
            return
        waiting = len(peers)

        def done(answer: bytes | None) -> None:
            nonlocal waiting
            if answer is None:
                merged.error_code = _NOT_AVAILABLE
            else:
                part, _ = ListGroupsResponse.decode(answer, context.api_version)
                merged.groups += part.groups
                merged.error_code = merged.error_code or part.error_code
            waiting -= 1
            if not waiting:
                context.respond(merged)

        request = forwarded(context)
        for peer in peers:
            self._channel.forward(peer, request, done)


class _Split(Generic[_Result]):
    """
    A request about several groups: one part per coordinator, one answer with the groups in the order asked.

    group_ids        each once
    part_of          (group ids, version) → body of a request about these groups
    read             (answer, version) → (group id, result) pairs
    refused          (group id, error code) → result of a group whose coordinator cannot be asked
    merge            results → response
    highest_version  the newest version coordinators are asked in
    """

    def __init__(
        self,
        context: RequestContext,
        group_ids: list[str],
        part_of: Callable[[list[str], int], bytes],
        read: Callable[[bytes, int], list[tuple[str, _Result]]],
        *,
        refused: Callable[[str, int], _Result],
        merge: Callable[[list[_Result]], Message],
        highest_version: int | None = None,
    ) -> None:
        self._context = context
        self._group_ids = group_ids
        self._part_of = part_of
        self._read = read
        self._refused = refused
        self._merge = merge
        version = context.api_version
        self._version = version if highest_version is None else min(version, highest_version)
        self._results: dict[str, _Result] = {}
        self._waiting = 0

    def send(self, channel: CommandChannel, routing: GroupRouting) -> None:
        """Ask the coordinators and answer the client when all have answered."""
        context = self._context
        parts: dict[int, list[str]] = {}
        for group_id in self._group_ids:
            try:
                parts.setdefault(routing.peer(group_id), []).append(group_id)
            except KafkaError as error:
                self._results[group_id] = self._refused(group_id, error.code)
        if not parts:
            self._respond()
            return
        self._waiting = len(parts)
        for peer, group_ids in parts.items():
            # The usual case, all groups at one coordinator, passes through as it came.
            whole = len(group_ids) == len(self._group_ids) and self._version == context.api_version
            body = None if whole else self._part_of(group_ids, self._version)
            request = forwarded(context, body)._replace(api_version=self._version)
            channel.forward(peer, request, self._receiver(group_ids, whole=whole))

    def _receiver(self, group_ids: list[str], *, whole: bool) -> Callable[[bytes | None], None]:
        def done(answer: bytes | None) -> None:
            if answer is None:
                for group_id in group_ids:
                    self._results[group_id] = self._refused(group_id, _NOT_AVAILABLE)
            elif whole:
                self._context.respond_parts([answer])
                return
            else:
                self._results.update(self._read(answer, self._version))
            self._waiting -= 1
            if not self._waiting:
                self._respond()

        return done

    def _respond(self) -> None:
        self._context.respond(self._merge([self._results[group_id] for group_id in self._group_ids]))
