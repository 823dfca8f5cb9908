"""
Committed offsets: OffsetCommit, OffsetFetch, OffsetDelete, and when offsets and whole groups are forgotten.

An offset is forgotten when its topic is deleted, when an administrator says so, or when nobody needs it any more:

    groups that only store offsets   offsets.retention.minutes after the commit
    groups with members              never, but for topics no member subscribes to: after the commit, as above
    groups that became empty         the same time after they did

A group without members and offsets is forgotten with them. All of this is written as records without value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kbroker.coordinator.group import Group, GroupState
from kbroker.coordinator.group_offsets import INVALID_OFFSET, CommittedOffset, PartitionKey
from kbroker.coordinator.records import CoordinatorRecord, OffsetCommitValue, group_key, offset_key, offset_value
from kbroker.errors import KafkaError
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.offset_commit import (
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)
from kbroker.protocol.messages.offset_delete import (
    OffsetDeleteResponse,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
)
from kbroker.protocol.messages.offset_fetch import (
    OffsetFetchRequestTopics,
    OffsetFetchResponse,
    OffsetFetchResponseGroup,
    OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
)
from kbroker.types import ZERO_UUID, Uuid

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from kbroker.coordinator.context import CoordinatorContext
    from kbroker.coordinator.group import Member, ParkedRequest
    from kbroker.protocol.messages.offset_commit import OffsetCommitRequest, OffsetCommitRequestPartition
    from kbroker.protocol.messages.offset_delete import OffsetDeleteRequest
    from kbroker.protocol.messages.offset_fetch import OffsetFetchRequest

_TOPIC_IDS_SINCE = 10
_GROUPS_SINCE = 8
_TOP_LEVEL_ERROR_SINCE = 2
_GROUP_ID_NOT_FOUND_SINCE = 9
_LATEST_TIMESTAMP = 2**63 - 1
_MINUTE_MS = 60_000

_OFFSET_WRITE_ERRORS = {
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.NOT_ENOUGH_REPLICAS: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.REQUEST_TIMED_OUT: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.NOT_LEADER_OR_FOLLOWER: ErrorCode.NOT_COORDINATOR,
    ErrorCode.KAFKA_STORAGE_ERROR: ErrorCode.NOT_COORDINATOR,
    ErrorCode.MESSAGE_TOO_LARGE: ErrorCode.INVALID_COMMIT_OFFSET_SIZE,
    ErrorCode.RECORD_LIST_TOO_LARGE: ErrorCode.INVALID_COMMIT_OFFSET_SIZE,
    ErrorCode.INVALID_FETCH_SIZE: ErrorCode.INVALID_COMMIT_OFFSET_SIZE,
}
"""What a client is told when its offsets could not be written."""


def coordinator_error(error_code: int) -> int:
    """Return what to tell a client of the coordinator about an error of writing to the log."""
    return _OFFSET_WRITE_ERRORS.get(ErrorCode(error_code), error_code)


class TopicNames(NamedTuple):
    """How topics are looked up; both return None for a topic that does not exist."""

    name_of: Callable[[Uuid], str | None]
    id_of: Callable[[str], Uuid | None]


class OffsetStore:
    """
    The offsets of the groups in `context`.

    keep_alive  called with a member whose commit counts as a sign of life
    """

    __slots__ = ("_context", "_keep_alive", "_topics")

    def __init__(
        self, context: CoordinatorContext, topics: TopicNames, keep_alive: Callable[[Group, Member], None]
    ) -> None:
        self._context = context
        self._topics = topics
        self._keep_alive = keep_alive

    # -- OffsetCommit

    def commit(
        self, parked: ParkedRequest, request: OffsetCommitRequest, partition: int
    ) -> OffsetCommitResponse | None:
        """Handle OffsetCommit; returns None when the answer comes later, once the offsets are written."""
        try:
            group = self._committing_group(parked.api_version, request, partition)
        except KafkaError as error:
            return commit_error(request, error.code)
        response = OffsetCommitResponse()
        written: list[tuple[OffsetCommitResponsePartition, PartitionKey, CommittedOffset]] = []
        for topic in request.topics:
            name, topic_error = self._commit_topic(parked.api_version, topic.name, topic.topic_id)
            partitions: list[OffsetCommitResponsePartition] = []
            response.topics.append(
                OffsetCommitResponseTopic(name=topic.name, topic_id=topic.topic_id, partitions=partitions)
            )
            for asked in topic.partitions:
                answer = OffsetCommitResponsePartition(partition_index=asked.partition_index, error_code=topic_error)
                partitions.append(answer)
                if topic_error != ErrorCode.NONE:
                    continue
                if len(asked.committed_metadata or "") > self._context.config.offset_metadata_max_bytes:
                    answer.error_code = ErrorCode.OFFSET_METADATA_TOO_LARGE
                    continue
                committed = self._committed_offset(asked, request.retention_time_ms)
                written.append((answer, (name, asked.partition_index), committed))
        if not written:
            return response
        records = [
            CoordinatorRecord(offset_key(group.group_id, *key), offset_value(_to_record(committed)))
            for _, key, committed in written
        ]
        self._context.groups[group.group_id] = group
        keys = [key for _, key, _ in written]
        group.offsets.begin_write(keys)

        def on_done(error_code: int) -> None:
            group.offsets.end_write(keys)
            if error_code == ErrorCode.NONE:
                for _, key, committed in written:
                    group.offsets.put(key, committed)
            else:
                code = coordinator_error(error_code)
                for answer, _, _ in written:
                    answer.error_code = code
                self._drop_if_unused(group)
            self._context.reply(parked.token, response)

        self._context.write(group.partition, records, on_done)
        return None

    def _committing_group(self, api_version: int, request: OffsetCommitRequest, partition: int) -> Group:
        generation_id = request.generation_id_or_member_epoch
        group = self._context.groups.get(request.group_id)
        if group is None:
            if generation_id < 0:
                # The group keeps its members elsewhere and only stores offsets here.
                return self._context.new_group(request.group_id, partition)
            raise KafkaError(
                ErrorCode.GROUP_ID_NOT_FOUND
                if api_version >= _GROUP_ID_NOT_FOUND_SINCE
                else ErrorCode.ILLEGAL_GENERATION
            )
        if generation_id < 0 and group.state is GroupState.EMPTY:
            return group
        if generation_id < 0 and not request.member_id and request.group_instance_id is None:
            raise KafkaError(ErrorCode.UNKNOWN_MEMBER_ID)
        member = group.check_member(request.member_id, request.group_instance_id)
        if generation_id != group.generation_id:
            raise KafkaError(ErrorCode.ILLEGAL_GENERATION)
        if group.state is GroupState.COMPLETING_REBALANCE:
            raise KafkaError(ErrorCode.REBALANCE_IN_PROGRESS)
        self._keep_alive(group, member)
        return group

    def _commit_topic(self, api_version: int, name: str, topic_id: Uuid) -> tuple[str, int]:
        if api_version >= _TOPIC_IDS_SINCE:
            known = self._topics.name_of(topic_id)
            return ("", ErrorCode.UNKNOWN_TOPIC_ID) if known is None else (known, ErrorCode.NONE)
        if self._topics.id_of(name) is None:
            return name, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        return name, ErrorCode.NONE

    def _committed_offset(self, asked: OffsetCommitRequestPartition, retention_time_ms: int) -> CommittedOffset:
        now_ms = self._context.wall_ms
        commit_timestamp = now_ms if asked.commit_timestamp < 0 else asked.commit_timestamp
        return CommittedOffset(
            asked.committed_offset,
            asked.committed_leader_epoch,
            asked.committed_metadata or "",
            commit_timestamp,
            -1 if retention_time_ms < 0 else min(now_ms + retention_time_ms, _LATEST_TIMESTAMP),
        )

    # -- OffsetFetch

    def fetch(
        self, api_version: int, request: OffsetFetchRequest, group_error: Callable[[str], int]
    ) -> OffsetFetchResponse:
        """
        Handle OffsetFetch.

        group_error  returns why a group cannot be answered for here, or NONE
        """
        if api_version >= _GROUPS_SINCE:
            return OffsetFetchResponse(
                groups=[
                    self._fetch_group(
                        api_version, asked.group_id, asked.topics, request.require_stable, group_error(asked.group_id)
                    )
                    for asked in request.groups
                ]
            )
        asked_topics = (
            None
            if request.topics is None
            else [
                OffsetFetchRequestTopics(name=topic.name, partition_indexes=topic.partition_indexes)
                for topic in request.topics
            ]
        )
        error = group_error(request.group_id)
        found = self._fetch_group(api_version, request.group_id, asked_topics, request.require_stable, error)
        if error != ErrorCode.NONE and api_version < _TOP_LEVEL_ERROR_SINCE:
            # No field for the group's error yet: each partition carries it.
            found.topics = [_missing(asked, asked.name, error) for asked in asked_topics or []]
        return OffsetFetchResponse(
            error_code=error,
            topics=[
                OffsetFetchResponseTopic(
                    name=topic.name,
                    partitions=[
                        OffsetFetchResponsePartition(
                            partition_index=entry.partition_index,
                            committed_offset=entry.committed_offset,
                            committed_leader_epoch=entry.committed_leader_epoch,
                            metadata=entry.metadata,
                            error_code=entry.error_code,
                        )
                        for entry in topic.partitions
                    ],
                )
                for topic in found.topics
            ],
        )

    def _fetch_group(
        self,
        api_version: int,
        group_id: str,
        asked_topics: list[OffsetFetchRequestTopics] | None,
        require_stable: bool,
        error: int,
    ) -> OffsetFetchResponseGroup:
        if error != ErrorCode.NONE:
            return OffsetFetchResponseGroup(group_id=group_id, error_code=error)
        group = self._context.groups.get(group_id)
        by_id = api_version >= _TOPIC_IDS_SINCE
        topics: list[OffsetFetchResponseTopics] = []
        if asked_topics is None:
            by_topic: dict[str, list[OffsetFetchResponsePartitions]] = {}
            if group is not None:
                for (name, partition), committed in group.offsets:
                    unstable = require_stable and group.offsets.has_pending(name, partition)
                    by_topic.setdefault(name, []).append(_fetched(partition, committed, unstable))
            for name, partitions in by_topic.items():
                topic_id = self._topics.id_of(name) if by_id else ZERO_UUID
                if topic_id is not None:
                    topics.append(OffsetFetchResponseTopics(name=name, topic_id=topic_id, partitions=partitions))
            return OffsetFetchResponseGroup(group_id=group_id, topics=topics)
        for asked in asked_topics:
            name_or_none = self._topics.name_of(asked.topic_id) if by_id else asked.name
            if name_or_none is None:
                topics.append(_missing(asked, "", ErrorCode.UNKNOWN_TOPIC_ID))
                continue
            if group is None:
                topics.append(_missing(asked, name_or_none, ErrorCode.NONE))
                continue
            offsets = group.offsets
            topics.append(
                OffsetFetchResponseTopics(
                    name=name_or_none,
                    topic_id=asked.topic_id,
                    partitions=[
                        _fetched(
                            partition,
                            offsets.get(name_or_none, partition),
                            require_stable and offsets.has_pending(name_or_none, partition),
                        )
                        for partition in asked.partition_indexes
                    ],
                )
            )
        return OffsetFetchResponseGroup(group_id=group_id, topics=topics)

    # -- OffsetDelete

    def delete(self, parked: ParkedRequest, request: OffsetDeleteRequest) -> OffsetDeleteResponse | None:
        """Handle OffsetDelete; returns None when the answer comes later."""
        group = self._context.groups.get(request.group_id)
        if group is None:
            return OffsetDeleteResponse(error_code=ErrorCode.GROUP_ID_NOT_FOUND)
        if group.state is not GroupState.EMPTY and not group.is_consumer_group:
            return OffsetDeleteResponse(error_code=ErrorCode.NON_EMPTY_GROUP)
        response = OffsetDeleteResponse()
        known = group.offsets.all_keys()
        keys: list[PartitionKey] = []
        for topic in request.topics:
            subscribed = group.is_subscribed(topic.name)
            code = ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC if subscribed else ErrorCode.NONE
            response.topics.append(
                OffsetDeleteResponseTopic(
                    name=topic.name,
                    partitions=[
                        OffsetDeleteResponsePartition(partition_index=asked.partition_index, error_code=code)
                        for asked in topic.partitions
                    ],
                )
            )
            if not subscribed:
                asked_keys = ((topic.name, asked.partition_index) for asked in topic.partitions)
                keys += [key for key in asked_keys if key in known]

        def on_done(error_code: int) -> None:
            if error_code != ErrorCode.NONE:
                failed = OffsetDeleteResponse(error_code=coordinator_error(error_code))
                self._context.reply(parked.token, failed)
            else:
                self._context.reply(parked.token, response)

        self._forget(group, keys, on_done)
        return None

    # -- forgetting

    def delete_group(self, group: Group, on_done: Callable[[int], None]) -> None:
        """
        Delete a group that has no members, with all its offsets; `on_done` gets an ErrorCode.

        The group is gone at once, so that nobody joins what is being deleted; it comes back if that cannot be written.
        """
        groups = self._context.groups
        del groups[group.group_id]
        group.state = GroupState.DEAD
        for timer in group.pending_members.values():
            timer.cancel()
        group.pending_members.clear()
        records = [
            CoordinatorRecord(offset_key(group.group_id, *key), None) for key in sorted(group.offsets.all_keys())
        ]
        records.append(CoordinatorRecord(group_key(group.group_id), None))

        def written(error_code: int) -> None:
            may_return = group.partition in self._context.partitions and group.group_id not in groups
            if error_code != ErrorCode.NONE and may_return:
                group.state = GroupState.EMPTY
                groups[group.group_id] = group
            on_done(error_code)

        self._context.write(group.partition, records, written)

    def topics_deleted(self, names: Collection[str]) -> None:
        """Forget the offsets of topics that do not exist any more."""
        deleted = frozenset(names)
        for group in list(self._context.groups.values()):
            keys = [key for key in group.offsets.all_keys() if key[0] in deleted]
            if keys:
                self._forget(group, sorted(keys), lambda _error_code: None)

    def expire(self) -> None:
        """Forget offsets whose retention is over, and groups that have nothing left."""
        now_ms = self._context.wall_ms
        retention_ms = self._context.config.offsets_retention_minutes * _MINUTE_MS
        for group in list(self._context.groups.values()):
            expired = [
                (topic, partition)
                for (topic, partition), committed in group.offsets
                if not group.offsets.has_pending(topic, partition)
                and _is_expired(group, topic, committed, now_ms, retention_ms)
            ]
            is_left = group.state is not GroupState.EMPTY or group.pending_members
            if not is_left and group.offsets.all_keys() == set(expired):
                self.delete_group(group, lambda _error_code: None)
            elif expired:
                self._forget(group, expired, lambda _error_code: None)

    def _forget(self, group: Group, keys: Iterable[PartitionKey], on_done: Callable[[int], None]) -> None:
        forgotten = list(keys)

        def written(error_code: int) -> None:
            if error_code == ErrorCode.NONE:
                for key in forgotten:
                    group.offsets.remove(key)
            on_done(error_code)

        records = [CoordinatorRecord(offset_key(group.group_id, *key), None) for key in forgotten]
        self._context.write(group.partition, records, written)

    def _drop_if_unused(self, group: Group) -> None:
        if not group.is_used and self._context.groups.get(group.group_id) is group:
            del self._context.groups[group.group_id]


def commit_error(request: OffsetCommitRequest, error_code: int) -> OffsetCommitResponse:
    """Return the response that says `error_code` for each partition of `request`."""
    return OffsetCommitResponse(
        topics=[
            OffsetCommitResponseTopic(
                name=topic.name,
                topic_id=topic.topic_id,
                partitions=[
                    OffsetCommitResponsePartition(partition_index=asked.partition_index, error_code=error_code)
                    for asked in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )


def from_record(value: OffsetCommitValue) -> CommittedOffset:
    """Return the committed offset that a record of the log holds."""
    return CommittedOffset(
        value.offset, value.leader_epoch, value.metadata, value.commit_timestamp, value.expire_timestamp
    )


def _to_record(committed: CommittedOffset) -> OffsetCommitValue:
    return OffsetCommitValue(
        offset=committed.offset,
        leader_epoch=committed.leader_epoch,
        metadata=committed.metadata,
        commit_timestamp=committed.commit_timestamp,
        expire_timestamp=committed.expire_timestamp,
    )


def _fetched(partition: int, committed: CommittedOffset | None, unstable: bool) -> OffsetFetchResponsePartitions:
    if unstable or committed is None:
        return OffsetFetchResponsePartitions(
            partition_index=partition,
            committed_offset=INVALID_OFFSET,
            metadata="",
            error_code=ErrorCode.UNSTABLE_OFFSET_COMMIT if unstable else ErrorCode.NONE,
        )
    return OffsetFetchResponsePartitions(
        partition_index=partition,
        committed_offset=committed.offset,
        committed_leader_epoch=committed.leader_epoch,
        metadata=committed.metadata,
    )


def _missing(asked: OffsetFetchRequestTopics, name: str, error_code: int) -> OffsetFetchResponseTopics:
    return OffsetFetchResponseTopics(
        name=name,
        topic_id=asked.topic_id,
        partitions=[
            OffsetFetchResponsePartitions(
                partition_index=partition, committed_offset=INVALID_OFFSET, metadata="", error_code=error_code
            )
            for partition in asked.partition_indexes
        ],
    )


def _is_expired(group: Group, topic: str, committed: CommittedOffset, now_ms: int, retention_ms: int) -> bool:
    base_timestamp = group.offset_base_timestamp(topic, committed.commit_timestamp)
    if base_timestamp is None:
        return False
    if committed.expire_timestamp >= 0:
        return now_ms >= committed.expire_timestamp
    return now_ms - base_timestamp >= retention_ms
