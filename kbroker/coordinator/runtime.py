"""
What an IO worker holds of the group coordinator: the groups of those __consumer_offsets partitions that it leads.

    begin_load → load → handle, tick … → unload      per partition

Requests, records and time come in; replies and batches to append go out through two callables. What happens
between an append and its completion is described in context.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from kbroker.coordinator.context import CoordinatorContext
from kbroker.coordinator.error_responses import error_response
from kbroker.coordinator.group import ClientInfo, Group, GroupState, ParkedRequest
from kbroker.coordinator.group_coordinator import GroupCoordinator
from kbroker.coordinator.group_descriptions import describe_group, list_groups
from kbroker.coordinator.group_partition import partition_for
from kbroker.coordinator.offset_store import OffsetStore, TopicNames, coordinator_error
from kbroker.coordinator.replay import Replay
from kbroker.errors import KafkaError
from kbroker.protocol.api_keys import ApiKey
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.delete_groups import DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse
from kbroker.protocol.messages.describe_groups import DescribedGroup, DescribeGroupsRequest, DescribeGroupsResponse
from kbroker.protocol.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from kbroker.protocol.messages.join_group import JoinGroupRequest
from kbroker.protocol.messages.leave_group import LeaveGroupRequest
from kbroker.protocol.messages.list_groups import ListGroupsRequest, ListGroupsResponse
from kbroker.protocol.messages.offset_commit import OffsetCommitRequest
from kbroker.protocol.messages.offset_delete import OffsetDeleteRequest
from kbroker.protocol.messages.offset_fetch import OffsetFetchRequest
from kbroker.protocol.messages.sync_group import SyncGroupRequest
from kbroker.purgatory.timing_wheel import TimingWheel

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from kbroker.coordinator.context import Append, Reply
    from kbroker.coordinator.group_config import GroupConfig
    from kbroker.protocol.schema import Message
    from kbroker.purgatory.timing_wheel import Timer
    from kbroker.types import Buffer

_LONGEST_PREFIX = 32_767 - 64
"""What a member id may begin with, in bytes: there is more to come, and a string has 32,767 at most."""


class CoordinatorRuntime:
    """
    The coordinators of one worker.

    config     see GroupConfig
    append     append(partition, batch, on_committed): write the batch to the partition's log and call on_committed
               once with an ErrorCode, NONE when it is committed; at once or later, per partition in the order of the
               appends. It may raise KafkaError instead
    reply      reply(token, response): called once per handled request; at once or later
    topics     looks up topics by name and id
    wall_ms    returns milliseconds since 1970, for what is written; None: the `now_ms` of the calls is that
    make_uuid  returns random text for member ids; None: a random UUID

    `now_ms` of all calls only grows; sessions and rebalances are measured with it.
    """

    __slots__ = (
        "_context",
        "_coordinator",
        "_expiry_timer",
        "_handlers",
        "_loading",
        "_offsets",
        "_wall_ms",
        "partition_count",
    )

    def __init__(
        self,
        config: GroupConfig,
        *,
        append: Append,
        reply: Reply,
        topics: TopicNames,
        wall_ms: Callable[[], int] | None = None,
        make_uuid: Callable[[], str] | None = None,
    ) -> None:
        self._context = CoordinatorContext(config, TimingWheel(), append, reply)
        self._coordinator = GroupCoordinator(self._context, make_uuid)
        self._offsets = OffsetStore(self._context, topics, self._coordinator.keep_alive)
        self._wall_ms = wall_ms
        self._loading: set[int] = set()
        self._expiry_timer: Timer | None = None
        self.partition_count = config.offsets_topic_num_partitions
        """Partitions __consumer_offsets really has: to be set when the topic was made with another number."""
        self._handlers: dict[int, Callable[[ParkedRequest, Any, ClientInfo], Message | None]] = {
            ApiKey.OFFSET_COMMIT: self._commit,
            ApiKey.OFFSET_FETCH: self._fetch,
            ApiKey.JOIN_GROUP: self._join,
            ApiKey.HEARTBEAT: self._heartbeat,
            ApiKey.LEAVE_GROUP: self._leave,
            ApiKey.SYNC_GROUP: self._sync,
            ApiKey.DESCRIBE_GROUPS: self._describe_groups,
            ApiKey.LIST_GROUPS: self._list_groups,
            ApiKey.DELETE_GROUPS: self._delete_groups,
            ApiKey.OFFSET_DELETE: self._delete_offsets,
        }

    @property
    def groups(self) -> Collection[Group]:
        """Return the groups of all loaded partitions, to be looked at only."""
        return self._context.groups.values()

    @property
    def loaded_partitions(self) -> frozenset[int]:
        """Return the partitions that are loaded."""
        return frozenset(self._context.partitions)

    # -- partitions come and go

    def begin_load(self, partition: int) -> None:
        """Answer COORDINATOR_LOAD_IN_PROGRESS for the partition's groups until load or unload."""
        if partition not in self._context.partitions:
            self._loading.add(partition)

    def load(self, partition: int, batches: Iterable[Buffer], now_ms: int) -> None:
        """
        Take over a partition whose log holds `batches`, and serve its groups from now on.

        batches  the log from its start to the high watermark; each buffer holds whole batches, any number of them

        Raises KafkaError(CORRUPT_MESSAGE) when the log cannot be understood; the partition is not served then.
        """
        self._set_time(now_ms)
        self.unload(partition)
        self._loading.add(partition)
        replay = Replay()
        try:
            for batch in batches:
                replay.add(batch)
        finally:
            self._loading.discard(partition)
        self._context.partitions.add(partition)
        for group in replay.groups(partition):
            self._context.groups[group.group_id] = group
            self._coordinator.group_loaded(group)

    def unload(self, partition: int) -> None:
        """Give a partition up: what is parked is answered NOT_COORDINATOR, its groups are forgotten here."""
        self._loading.discard(partition)
        if partition not in self._context.partitions:
            return
        self._context.partitions.remove(partition)
        groups = self._context.groups
        for group in [group for group in groups.values() if group.partition == partition]:
            del groups[group.group_id]
            self._coordinator.group_unloaded(group, ErrorCode.NOT_COORDINATOR)

    def topics_deleted(self, names: Collection[str], now_ms: int) -> None:
        """Forget the offsets committed for topics that were deleted."""
        self._set_time(now_ms)
        self._offsets.topics_deleted(names)

    # -- time

    def tick(self, now_ms: int) -> int | None:
        """Let happen what is due at `now_ms`; returns when to call again at the latest, None: no need."""
        self._set_time(now_ms)
        self._context.wheel.advance(now_ms)
        return self._context.wheel.next_deadline_ms()

    def next_deadline_ms(self) -> int | None:
        """Return when tick has to be called at the latest; it changes with every call."""
        return self._context.wheel.next_deadline_ms()

    def _set_time(self, now_ms: int) -> None:
        context = self._context
        context.now_ms = now_ms
        context.wall_ms = now_ms if self._wall_ms is None else self._wall_ms()
        if self._expiry_timer is None:
            deadline_ms = now_ms + context.config.offsets_retention_check_interval_ms
            self._expiry_timer = context.wheel.add(deadline_ms, self._expire)

    def _expire(self) -> None:
        self._expiry_timer = None
        self._offsets.expire()
        self._set_time(self._context.now_ms)

    # -- requests

    def handle(
        self, token: int, api_key: int, api_version: int, request: Message, client: ClientInfo, now_ms: int
    ) -> None:
        """
        Handle a request; its answer goes to `reply` with `token`, now or later.

        Raises KafkaError(UNSUPPORTED_VERSION) for a request that is none of the coordinator's.
        """
        self._set_time(now_ms)
        handler = self._handlers.get(api_key)
        if handler is None:
            raise KafkaError(ErrorCode.UNSUPPORTED_VERSION, f"API {api_key} is not the coordinator's")
        response = handler(ParkedRequest(token, api_version), request, client)
        if response is not None:
            self._context.reply(token, response)

    def _join(self, parked: ParkedRequest, request: JoinGroupRequest, client: ClientInfo) -> Message | None:
        error = self._group_error(request.group_id)
        if error != ErrorCode.NONE:
            return error_response(request, parked.api_version, error)
        prefix = client.client_id if request.group_instance_id is None else request.group_instance_id
        if len(prefix.encode()) > _LONGEST_PREFIX:
            # The member's id would not fit a string.
            return error_response(request, parked.api_version, ErrorCode.INVALID_REQUEST)
        return self._coordinator.join(parked, request, client, self._partition_for(request.group_id))

    def _sync(self, parked: ParkedRequest, request: SyncGroupRequest, _client: ClientInfo) -> Message | None:
        error = self._group_error(request.group_id)
        if error == ErrorCode.COORDINATOR_LOAD_IN_PROGRESS:
            # Members do not expect this error here; the rebalance they are in is lost, so they begin anew.
            error = ErrorCode.REBALANCE_IN_PROGRESS
        if error != ErrorCode.NONE:
            return error_response(request, parked.api_version, error)
        return self._coordinator.sync(parked, request)

    def _heartbeat(self, _parked: ParkedRequest, request: HeartbeatRequest, _client: ClientInfo) -> Message:
        error = self._group_error(request.group_id)
        if error == ErrorCode.COORDINATOR_LOAD_IN_PROGRESS:
            # Whether the member is known is not known yet; its session begins when the group is loaded.
            return HeartbeatResponse()
        if error != ErrorCode.NONE:
            return HeartbeatResponse(error_code=error)
        return self._coordinator.heartbeat(request)

    def _leave(self, parked: ParkedRequest, request: LeaveGroupRequest, _client: ClientInfo) -> Message:
        error = self._group_error(request.group_id)
        if error != ErrorCode.NONE:
            return error_response(request, parked.api_version, error)
        return self._coordinator.leave(parked.api_version, request)

    def _commit(self, parked: ParkedRequest, request: OffsetCommitRequest, _client: ClientInfo) -> Message | None:
        # No check for an empty group id: offsets may be stored under it, as very old clients do.
        error = self._partition_error(request.group_id)
        if error != ErrorCode.NONE:
            return error_response(request, parked.api_version, error)
        return self._offsets.commit(parked, request, self._partition_for(request.group_id))

    def _fetch(self, parked: ParkedRequest, request: OffsetFetchRequest, _client: ClientInfo) -> Message:
        return self._offsets.fetch(parked.api_version, request, self._partition_error)

    def _delete_offsets(
        self, parked: ParkedRequest, request: OffsetDeleteRequest, _client: ClientInfo
    ) -> Message | None:
        error = self._group_error(request.group_id)
        if error != ErrorCode.NONE:
            return error_response(request, parked.api_version, error)
        return self._offsets.delete(parked, request)

    def _describe_groups(self, parked: ParkedRequest, request: DescribeGroupsRequest, _client: ClientInfo) -> Message:
        return DescribeGroupsResponse(
            groups=[self._describe(group_id, parked.api_version, request) for group_id in request.groups]
        )

    def _list_groups(self, _parked: ParkedRequest, request: ListGroupsRequest, _client: ClientInfo) -> Message:
        return ListGroupsResponse(
            error_code=ErrorCode.COORDINATOR_LOAD_IN_PROGRESS if self._loading else ErrorCode.NONE,
            groups=list_groups(self._context.groups.values(), request),
        )

    def _group_error(self, group_id: str) -> int:
        return self._partition_error(group_id) if group_id else ErrorCode.INVALID_GROUP_ID

    def _partition_for(self, group_id: str) -> int:
        return partition_for(group_id, self.partition_count)

    def _partition_error(self, group_id: str) -> int:
        partition = self._partition_for(group_id)
        if partition in self._context.partitions:
            return ErrorCode.NONE
        return ErrorCode.COORDINATOR_LOAD_IN_PROGRESS if partition in self._loading else ErrorCode.NOT_COORDINATOR

    def _describe(self, group_id: str, api_version: int, request: DescribeGroupsRequest) -> DescribedGroup:
        error = self._partition_error(group_id)
        if error != ErrorCode.NONE:
            return DescribedGroup(group_id=group_id, error_code=error)
        return describe_group(
            self._context.groups.get(group_id),
            group_id,
            api_version,
            authorized_operations=request.include_authorized_operations,
        )

    def _delete_groups(
        self, parked: ParkedRequest, request: DeleteGroupsRequest, _client: ClientInfo
    ) -> Message | None:
        results = [DeletableGroupResult(group_id=group_id) for group_id in dict.fromkeys(request.groups_names)]
        response = DeleteGroupsResponse(results=results)
        deletable: list[tuple[DeletableGroupResult, Group]] = []
        for result in results:
            result.error_code = self._partition_error(result.group_id)
            if result.error_code != ErrorCode.NONE:
                continue
            group = self._context.groups.get(result.group_id)
            if group is None:
                result.error_code = ErrorCode.GROUP_ID_NOT_FOUND
            elif group.state is not GroupState.EMPTY:
                result.error_code = ErrorCode.NON_EMPTY_GROUP
            else:
                deletable.append((result, group))
        if not deletable:
            return response
        remaining = len(deletable)

        def deleted(result: DeletableGroupResult, error_code: int) -> None:
            nonlocal remaining
            result.error_code = coordinator_error(error_code)
            remaining -= 1
            if remaining == 0:
                self._context.reply(parked.token, response)

        for result, group in deletable:
            self._offsets.delete_group(group, partial(deleted, result))
        return None
