"""
The classic group protocol: JoinGroup, SyncGroup, Heartbeat, LeaveGroup, and what time does to members.

A rebalance. Somebody joins, leaves or changes what it supports: the group enters PreparingRebalance and every member
has to send JoinGroup again; heartbeats tell it so. The JoinGroups are parked. When all have joined, or after the
longest rebalance timeout of the members, those that did not join are dropped (static members are kept: they may be
restarting) and the parked requests are answered with the new generation. The leader is told all members, computes the
assignment and sends it with SyncGroup; the others' SyncGroups are parked until it is written. Then it is Stable.

A group that was empty waits group.initial.rebalance.delay.ms for more members, again for each delay in which somebody
new came, at most the rebalance timeout in all.

A request that takes the place of a parked one of the same member answers the older with REBALANCE_IN_PROGRESS, so that
no request stays unanswered whatever a client does.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

from kbroker.coordinator.group import (
    NO_GENERATION,
    ClientInfo,
    Group,
    GroupState,
    Member,
    ParkedRequest,
    copy_protocols,
    fill_assignment,
)
from kbroker.coordinator.records import CoordinatorRecord, GroupMetadataValue, MemberMetadata, group_key, group_value
from kbroker.errors import KafkaError
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.heartbeat import HeartbeatResponse
from kbroker.protocol.messages.join_group import JoinGroupResponse, JoinGroupResponseMember
from kbroker.protocol.messages.leave_group import LeaveGroupResponse, MemberIdentity, MemberResponse
from kbroker.protocol.messages.sync_group import SyncGroupResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from kbroker.coordinator.context import CoordinatorContext
    from kbroker.protocol.messages.heartbeat import HeartbeatRequest
    from kbroker.protocol.messages.join_group import JoinGroupRequest
    from kbroker.protocol.messages.leave_group import LeaveGroupRequest
    from kbroker.protocol.messages.sync_group import SyncGroupRequest

logger = logging.getLogger(__name__)

_MOST_OF_A_REASON = 200

NEW_MEMBER_JOIN_TIMEOUT_MS = 5 * 60 * 1000
"""A new member cannot heartbeat while its first JoinGroup is parked, nor is it seen to go away: it has this long."""

_MEMBER_ID_REQUIRED_SINCE = 4
_NULL_PROTOCOL_NAME_SINCE = 7
_SKIP_ASSIGNMENT_SINCE = 9
_BATCHED_LEAVE_SINCE = 3

_GROUP_WRITE_ERRORS = {
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.NOT_ENOUGH_REPLICAS: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.REQUEST_TIMED_OUT: ErrorCode.REBALANCE_IN_PROGRESS,
    ErrorCode.NOT_LEADER_OR_FOLLOWER: ErrorCode.NOT_COORDINATOR,
    ErrorCode.KAFKA_STORAGE_ERROR: ErrorCode.NOT_COORDINATOR,
    ErrorCode.MESSAGE_TOO_LARGE: ErrorCode.UNKNOWN_SERVER_ERROR,
    ErrorCode.RECORD_LIST_TOO_LARGE: ErrorCode.UNKNOWN_SERVER_ERROR,
    ErrorCode.INVALID_FETCH_SIZE: ErrorCode.UNKNOWN_SERVER_ERROR,
}
"""What a member is told when the group could not be written."""


class GroupCoordinator:
    """
    Membership of the groups in `context`.

    make_uuid  returns a new random text for member ids; tests give their own
    """

    __slots__ = ("_context", "_make_uuid")

    def __init__(self, context: CoordinatorContext, make_uuid: Callable[[], str] | None = None) -> None:
        self._context = context
        self._make_uuid = _random_text if make_uuid is None else make_uuid

    # -- JoinGroup

    def join(
        self, parked: ParkedRequest, request: JoinGroupRequest, client: ClientInfo, partition: int
    ) -> JoinGroupResponse | None:
        """Handle JoinGroup; returns None when the answer comes later, through the context's reply."""
        config = self._context.config
        member_id = request.member_id
        if not config.group_min_session_timeout_ms <= request.session_timeout_ms <= config.group_max_session_timeout_ms:
            return _join_error(parked, ErrorCode.INVALID_SESSION_TIMEOUT, member_id)
        group = self._context.groups.get(request.group_id)
        if group is None:
            if member_id:
                return _join_error(parked, ErrorCode.UNKNOWN_MEMBER_ID, member_id)
            group = self._context.new_group(request.group_id, partition)
        elif request.group_instance_id not in group.static_members and not group.may_join(
            member_id, config.group_max_size
        ):
            member = group.members.get(member_id)
            if member is not None:
                # It lost its place to others in this rebalance.
                self._remove_member(group, member, f"{member.in_words()} found no place (group.max.size)")
            elif member_id in group.pending_members:
                self._remove_pending_member(group, member_id)
            return _join_error(parked, ErrorCode.GROUP_MAX_SIZE_REACHED, "")
        if not group.supports_protocols(request.protocol_type, [protocol.name for protocol in request.protocols]):
            return _join_error(parked, ErrorCode.INCONSISTENT_GROUP_PROTOCOL, member_id)
        self._context.groups[request.group_id] = group
        try:
            if member_id:
                return self._join_known(group, parked, request, client)
            return self._join_unknown(group, parked, request, client)
        except KafkaError as error:
            return _join_error(parked, error.code, member_id)

    def _join_unknown(
        self, group: Group, parked: ParkedRequest, request: JoinGroupRequest, client: ClientInfo
    ) -> JoinGroupResponse | None:
        instance_id = request.group_instance_id
        prefix = client.client_id if instance_id is None else instance_id
        member_id = f"{prefix}-{self._make_uuid()}"
        if instance_id is not None and instance_id in group.static_members:
            return self._replace_static_member(group, parked, request, instance_id, member_id)
        if instance_id is None and parked.api_version >= _MEMBER_ID_REQUIRED_SINCE:
            # It has to come back with this id: a client that never saw its id would leave a ghost behind.
            self._add_pending_member(group, member_id, request.session_timeout_ms)
            return _join_error(parked, ErrorCode.MEMBER_ID_REQUIRED, member_id)
        self._add_member(group, parked, request, client, member_id)
        return None

    def _join_known(
        self, group: Group, parked: ParkedRequest, request: JoinGroupRequest, client: ClientInfo
    ) -> JoinGroupResponse | None:
        member_id = request.member_id
        if member_id in group.pending_members:
            if request.group_instance_id is not None:
                raise KafkaError(ErrorCode.UNKNOWN_MEMBER_ID)
            self._add_member(group, parked, request, client, member_id)
            return None
        member = group.check_member(member_id, request.group_instance_id)
        protocols = copy_protocols((protocol.name, protocol.metadata) for protocol in request.protocols)
        is_leader = group.leader_id == member_id
        if group.state is GroupState.COMPLETING_REBALANCE and member.protocols == protocols:
            # It did not get the answer to its JoinGroup; nothing has changed.
            return self._joined(group, parked, member, members=is_leader)
        if group.state is GroupState.STABLE and not is_leader and member.protocols == protocols:
            return self._joined(group, parked, member, members=False)
        # A leader that joins again wants a rebalance: it saw a change, of topics for example, that members do not show.
        self._update_member(group, member, request, protocols)
        self._park_join(group, member, parked)
        # During a rebalance everybody does.
        preparing = group.state is GroupState.PREPARING_REBALANCE
        self._rebalance(group, "" if preparing else f"{member.in_words()} joined again{_reason(request.reason)}")
        return None

    def _add_member(
        self, group: Group, parked: ParkedRequest, request: JoinGroupRequest, client: ClientInfo, member_id: str
    ) -> None:
        member = Member(
            member_id,
            request.group_instance_id,
            client,
            rebalance_timeout_ms=_rebalance_timeout(request),
            session_timeout_ms=request.session_timeout_ms,
            protocols=copy_protocols((protocol.name, protocol.metadata) for protocol in request.protocols),
        )
        member.is_new = True
        if group.state is GroupState.PREPARING_REBALANCE and group.initial_join:
            group.member_added = True
        group.add(member, request.protocol_type)
        timer = group.pending_members.pop(member_id, None)
        if timer is not None:
            timer.cancel()
        self._park_join(group, member, parked)
        self._schedule_heartbeat(group, member, NEW_MEMBER_JOIN_TIMEOUT_MS)
        self._rebalance(group, f"{member.in_words()} joined")

    def _update_member(
        self, group: Group, member: Member, request: JoinGroupRequest, protocols: tuple[tuple[str, bytes], ...]
    ) -> None:
        group.set_protocols(member, protocols)
        member.rebalance_timeout_ms = _rebalance_timeout(request)
        member.session_timeout_ms = request.session_timeout_ms

    def _park_join(self, group: Group, member: Member, parked: ParkedRequest) -> None:
        self._answer_join_with_error(group, member.member_id, ErrorCode.REBALANCE_IN_PROGRESS, member.member_id)
        group.awaiting_join[member.member_id] = parked

    def _replace_static_member(
        self, group: Group, parked: ParkedRequest, request: JoinGroupRequest, instance_id: str, member_id: str
    ) -> JoinGroupResponse | None:
        """Let a static member that lost its member id go on: it was restarted and keeps its place."""
        old_member_id = group.static_members[instance_id]
        old_leader_id = group.leader_id
        self._answer_join_with_error(group, old_member_id, ErrorCode.FENCED_INSTANCE_ID, old_member_id)
        self._answer_sync(group, old_member_id, ErrorCode.FENCED_INSTANCE_ID)
        member = group.replace_static_member(instance_id, member_id)
        before = (member.protocols, member.rebalance_timeout_ms, member.session_timeout_ms)
        protocols = copy_protocols((protocol.name, protocol.metadata) for protocol in request.protocols)
        self._update_member(group, member, request, protocols)
        self._schedule_heartbeat(group, member)
        if group.state is not GroupState.STABLE or group.select_protocol() != group.protocol_name:
            # In CompletingRebalance the leader may be assigning to the old id just now.
            self._park_join(group, member, parked)
            self._rebalance(group, f"static member {instance_id!r} is back")
            return None

        def written(error_code: int) -> None:
            if group.state is GroupState.DEAD:
                self._context.reply(parked.token, _join_error(parked, ErrorCode.NOT_COORDINATOR, member_id))
                return
            if error_code != ErrorCode.NONE:
                if group.members.get(member_id) is member:
                    group.replace_static_member(instance_id, old_member_id)
                    group.set_protocols(member, before[0])
                    _, member.rebalance_timeout_ms, member.session_timeout_ms = before
                    self._schedule_heartbeat(group, member)
                code = _GROUP_WRITE_ERRORS.get(ErrorCode(error_code), error_code)
                self._context.reply(parked.token, _join_error(parked, code, ""))
                return
            if group.members.get(member_id) is not member:
                self._context.reply(parked.token, _join_error(parked, ErrorCode.UNKNOWN_MEMBER_ID, member_id))
                return
            if group.state is not GroupState.STABLE:
                self._context.reply(parked.token, _join_error(parked, ErrorCode.REBALANCE_IN_PROGRESS, member_id))
                return
            response = self._joined(group, parked, member, members=False)
            if parked.api_version >= _SKIP_ASSIGNMENT_SINCE:
                if group.leader_id == member_id:
                    response.skip_assignment = True
                    response.members = _members_for_leader(group)
            elif old_leader_id is not None:
                # An older client that found itself leader would compute an assignment which a stable group ignores.
                response.leader = old_leader_id
            self._context.reply(parked.token, response)

        assignment = {known.member_id: known.assignment for known in group.members.values()}
        self._write_group(group, assignment, written)
        return None

    def _joined(self, group: Group, parked: ParkedRequest, member: Member, *, members: bool) -> JoinGroupResponse:
        name = group.protocol_name
        return JoinGroupResponse(
            generation_id=group.generation_id,
            protocol_type=group.protocol_type,
            protocol_name="" if name is None and parked.api_version < _NULL_PROTOCOL_NAME_SINCE else name,
            leader=group.leader_id or "",
            member_id=member.member_id,
            members=_members_for_leader(group) if members else [],
        )

    # -- the join phase

    def _rebalance(self, group: Group, cause: str) -> None:
        """
        Begin a rebalance, or let the one that is going on see whether it is complete now.

        cause  for the log; "" for none
        """
        if cause:
            group.note_cause(cause)
        if group.state is GroupState.PREPARING_REBALANCE:
            self._complete_join_if_ready(group)
            return
        if group.state is GroupState.COMPLETING_REBALANCE:
            self._reset_assignment(group, ErrorCode.REBALANCE_IN_PROGRESS)
        self._cancel_sync_timer(group)
        group.initial_join = group.state is GroupState.EMPTY
        group.member_added = False
        group.transition_to(GroupState.PREPARING_REBALANCE, self._context.wall_ms)
        if group.initial_join:
            delay_ms = self._context.config.group_initial_rebalance_delay_ms
            self._extend_initial_join(group, delay_ms, max(group.rebalance_timeout_ms() - delay_ms, 0))
        else:
            self._schedule_join_end(group)
            self._complete_join_if_ready(group)

    def _extend_initial_join(self, group: Group, delay_ms: int, remaining_ms: int) -> None:
        def delay_over() -> None:
            if group.member_added and remaining_ms > 0:
                group.member_added = False
                next_delay_ms = min(self._context.config.group_initial_rebalance_delay_ms, remaining_ms)
                self._extend_initial_join(group, next_delay_ms, remaining_ms - next_delay_ms)
            else:
                self._complete_join(group)

        self._set_join_timer(group, delay_ms, delay_over)

    def _schedule_join_end(self, group: Group) -> None:
        self._set_join_timer(group, group.rebalance_timeout_ms(), partial(self._complete_join, group))

    def _set_join_timer(self, group: Group, delay_ms: int, callback: Callable[[], object]) -> None:
        if group.join_timer is not None:
            group.join_timer.cancel()
        group.join_timer = self._context.wheel.add(self._context.now_ms + delay_ms, callback)

    def _complete_join_if_ready(self, group: Group) -> None:
        if group.state is GroupState.PREPARING_REBALANCE and not group.initial_join and group.all_members_joined():
            self._complete_join(group)

    def _complete_join(self, group: Group) -> None:
        if group.state is not GroupState.PREPARING_REBALANCE:
            return
        for member in list(group.members.values()):
            if member.group_instance_id is None and member.member_id not in group.awaiting_join:
                _cancel_heartbeat(member)
                group.remove(member)
                group.note_cause(f"{member.in_words()} did not join again in time")
        if group.members and not group.elect_joined_leader():
            # Only static members, none of which is back: wait for them until their sessions end.
            group.initial_join = False
            self._schedule_join_end(group)
            return
        if group.join_timer is not None:
            group.join_timer.cancel()
            group.join_timer = None
        group.begin_generation(self._context.wall_ms)
        logger.info("Group %.250r: %s", group.group_id, group.rebalance_in_words())
        if not group.members:
            self._write_group(group, {}, _ignore)
            return
        for member in group.members.values():
            member.is_new = False
            group.pending_sync.add(member.member_id)
            self._schedule_heartbeat(group, member)
            parked = group.awaiting_join.pop(member.member_id, None)
            if parked is not None:
                response = self._joined(group, parked, member, members=group.leader_id == member.member_id)
                self._context.reply(parked.token, response)
        # Whoever joined has the rebalance timeout again to sync; else its parked peers would wait for ever.
        generation_id = group.generation_id
        group.sync_timer = self._context.wheel.add(
            self._context.now_ms + group.rebalance_timeout_ms(), lambda: self._sync_time_over(group, generation_id)
        )

    def _sync_time_over(self, group: Group, generation_id: int) -> None:
        group.sync_timer = None
        if (
            group.generation_id != generation_id
            or group.state not in {GroupState.COMPLETING_REBALANCE, GroupState.STABLE}
            or not group.pending_sync
        ):
            return
        causes: list[str] = []
        for member_id in list(group.pending_sync):
            member = group.members[member_id]
            _cancel_heartbeat(member)
            self._answer_sync(group, member_id, ErrorCode.UNKNOWN_MEMBER_ID)
            group.remove(member)
            causes.append(f"{member.in_words()} sent no SyncGroup in time")
        for cause in causes[1:]:
            group.note_cause(cause)
        self._rebalance(group, causes[0])

    def _cancel_sync_timer(self, group: Group) -> None:
        if group.sync_timer is not None:
            group.sync_timer.cancel()
            group.sync_timer = None

    # -- SyncGroup

    def sync(self, parked: ParkedRequest, request: SyncGroupRequest) -> SyncGroupResponse | None:
        """Handle SyncGroup; returns None when the answer comes later."""
        group = self._context.groups.get(request.group_id)
        if group is None:
            return SyncGroupResponse(error_code=ErrorCode.UNKNOWN_MEMBER_ID)
        try:
            member = group.check_member(request.member_id, request.group_instance_id)
        except KafkaError as error:
            return SyncGroupResponse(error_code=error.code)
        if request.generation_id != group.generation_id:
            return SyncGroupResponse(error_code=ErrorCode.ILLEGAL_GENERATION)
        if (request.protocol_type is not None and request.protocol_type != group.protocol_type) or (
            request.protocol_name is not None and request.protocol_name != group.protocol_name
        ):
            return SyncGroupResponse(error_code=ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
        if group.state is GroupState.PREPARING_REBALANCE:
            return SyncGroupResponse(error_code=ErrorCode.REBALANCE_IN_PROGRESS)
        group.pending_sync.discard(request.member_id)
        if group.state is GroupState.STABLE:
            self._schedule_heartbeat(group, member)
            return _synced(group, member)
        self._answer_sync(group, request.member_id, ErrorCode.REBALANCE_IN_PROGRESS)
        group.awaiting_sync[request.member_id] = parked
        if group.leader_id == request.member_id:
            given = {part.member_id: bytes(part.assignment) for part in request.assignments}
            assignment = fill_assignment(group.members, given)
            generation_id = group.generation_id
            self._write_group(
                group,
                assignment,
                lambda error_code: self._assignment_written(group, generation_id, assignment, error_code),
            )
        return None

    def _assignment_written(
        self, group: Group, generation_id: int, assignment: dict[str, bytes], error_code: int
    ) -> None:
        # While the write was under way somebody may have joined or left; then another generation begins anyway.
        if group.state is not GroupState.COMPLETING_REBALANCE or group.generation_id != generation_id:
            return
        if error_code != ErrorCode.NONE:
            self._reset_assignment(group, _GROUP_WRITE_ERRORS.get(ErrorCode(error_code), error_code))
            self._rebalance(group, f"the assignment could not be written, {ErrorCode(error_code).name}")
            return
        group.transition_to(GroupState.STABLE, self._context.wall_ms)
        for member in group.members.values():
            member.assignment = assignment[member.member_id]
            parked = group.awaiting_sync.pop(member.member_id, None)
            if parked is not None:
                self._schedule_heartbeat(group, member)
                self._context.reply(parked.token, _synced(group, member))

    def _reset_assignment(self, group: Group, error_code: int) -> None:
        for member in group.members.values():
            member.assignment = b""
            if member.member_id in group.awaiting_sync:
                self._schedule_heartbeat(group, member)
                self._answer_sync(group, member.member_id, error_code)

    def _answer_sync(self, group: Group, member_id: str, error_code: int) -> None:
        parked = group.awaiting_sync.pop(member_id, None)
        if parked is not None:
            self._context.reply(parked.token, SyncGroupResponse(error_code=error_code))

    def _answer_join_with_error(self, group: Group, member_id: str, error_code: int, told_id: str) -> None:
        parked = group.awaiting_join.pop(member_id, None)
        if parked is not None:
            self._context.reply(parked.token, _join_error(parked, error_code, told_id))

    # -- Heartbeat

    def heartbeat(self, request: HeartbeatRequest) -> HeartbeatResponse:
        """Handle Heartbeat."""
        return HeartbeatResponse(error_code=self._heartbeat(request))

    def _heartbeat(self, request: HeartbeatRequest) -> int:
        group = self._context.groups.get(request.group_id)
        if group is None:
            return ErrorCode.UNKNOWN_MEMBER_ID
        try:
            member = group.check_member(request.member_id, request.group_instance_id)
        except KafkaError as error:
            return error.code
        if request.generation_id != group.generation_id:
            return ErrorCode.ILLEGAL_GENERATION
        self._schedule_heartbeat(group, member)
        return ErrorCode.REBALANCE_IN_PROGRESS if group.state is GroupState.PREPARING_REBALANCE else ErrorCode.NONE

    def keep_alive(self, group: Group, member: Member) -> None:
        """Count another request of the member as a sign of life."""
        self._schedule_heartbeat(group, member)

    def _schedule_heartbeat(self, group: Group, member: Member, timeout_ms: int | None = None) -> None:
        _cancel_heartbeat(member)
        deadline_ms = self._context.now_ms + (member.session_timeout_ms if timeout_ms is None else timeout_ms)
        member.heartbeat_timer = self._context.wheel.add(deadline_ms, lambda: self._session_over(group, member))

    def _session_over(self, group: Group, member: Member) -> None:
        member_id = member.member_id
        if group.members.get(member_id) is not member:
            return
        if not member.is_new and (member_id in group.awaiting_join or member_id in group.awaiting_sync):
            # It waits for us. Its session starts again with the answer.
            return
        self._remove_member(
            group, member, f"{member.in_words()} was silent for its session of {member.session_timeout_ms / 1000:g} s"
        )

    # -- LeaveGroup

    def leave(self, api_version: int, request: LeaveGroupRequest) -> LeaveGroupResponse:
        """Handle LeaveGroup: one member up to version 2, several after that."""
        group = self._context.groups.get(request.group_id)
        identities = (
            request.members
            if api_version >= _BATCHED_LEAVE_SINCE
            else [MemberIdentity(member_id=request.member_id, group_instance_id=None)]
        )
        results = []
        for identity in identities:
            code: int = ErrorCode.UNKNOWN_MEMBER_ID if group is None else self._leave(group, identity)
            results.append(
                MemberResponse(
                    member_id=identity.member_id, group_instance_id=identity.group_instance_id, error_code=code
                )
            )
        if api_version >= _BATCHED_LEAVE_SINCE:
            return LeaveGroupResponse(members=results)
        return LeaveGroupResponse(error_code=results[0].error_code)

    def _leave(self, group: Group, identity: MemberIdentity) -> int:
        member_id, instance_id = identity.member_id, identity.group_instance_id
        if instance_id is not None and not member_id:
            # An administrator removes a static member, whose member id only the member knows.
            member_id = group.static_members.get(instance_id, "")
        elif member_id in group.pending_members:
            if instance_id is not None:
                return ErrorCode.UNKNOWN_MEMBER_ID
            self._remove_pending_member(group, member_id)
            return ErrorCode.NONE
        try:
            member = group.check_member(member_id, instance_id)
        except KafkaError as error:
            return error.code
        self._remove_member(group, member, f"{member.in_words()} left{_reason(identity.reason)}")
        return ErrorCode.NONE

    def _remove_member(self, group: Group, member: Member, cause: str) -> None:
        logger.debug("Group %r: member %r is removed: %s", group.group_id, member.member_id, cause)
        _cancel_heartbeat(member)
        self._answer_join_with_error(group, member.member_id, ErrorCode.UNKNOWN_MEMBER_ID, "")
        self._answer_sync(group, member.member_id, ErrorCode.UNKNOWN_MEMBER_ID)
        group.remove(member)
        if group.state in {GroupState.STABLE, GroupState.COMPLETING_REBALANCE, GroupState.PREPARING_REBALANCE}:
            self._rebalance(group, cause)

    # -- members that have been given an id and have not used it yet

    def _add_pending_member(self, group: Group, member_id: str, timeout_ms: int) -> None:
        deadline_ms = self._context.now_ms + timeout_ms
        group.pending_members[member_id] = self._context.wheel.add(
            deadline_ms, lambda: self._remove_pending_member(group, member_id)
        )

    def _remove_pending_member(self, group: Group, member_id: str) -> None:
        timer = group.pending_members.pop(member_id, None)
        if timer is None:
            return
        timer.cancel()
        self._complete_join_if_ready(group)
        if not group.is_used and self._context.groups.get(group.group_id) is group:
            del self._context.groups[group.group_id]

    # -- coming and going of whole groups

    def group_loaded(self, group: Group) -> None:
        """Start the members' sessions of a group that was read from the log."""
        for member in group.members.values():
            self._schedule_heartbeat(group, member)
        if len(group.members) > self._context.config.group_max_size:
            self._rebalance(group, "the group is larger than group.max.size")

    def group_unloaded(self, group: Group, error_code: int) -> None:
        """Answer everything parked with `error_code` and stop all timers; the group is dead here."""
        for member_id in list(group.awaiting_join):
            self._answer_join_with_error(group, member_id, error_code, member_id)
        for member_id in list(group.awaiting_sync):
            self._answer_sync(group, member_id, error_code)
        for member in group.members.values():
            _cancel_heartbeat(member)
        for timer in group.pending_members.values():
            timer.cancel()
        group.pending_members.clear()
        if group.join_timer is not None:
            group.join_timer.cancel()
            group.join_timer = None
        self._cancel_sync_timer(group)
        group.transition_to(GroupState.DEAD, self._context.wall_ms)

    def _write_group(self, group: Group, assignment: dict[str, bytes], on_done: Callable[[int], None]) -> None:
        value = group_value(group_metadata_value(group, assignment))
        self._context.write(group.partition, [CoordinatorRecord(group_key(group.group_id), value)], on_done)


def group_metadata_value(group: Group, assignment: dict[str, bytes]) -> GroupMetadataValue:
    """Return the record of a group with `assignment`."""
    since = group.current_state_timestamp_ms
    return GroupMetadataValue(
        protocol_type=group.protocol_type or "",
        generation=group.generation_id,
        protocol=group.protocol_name,
        leader=group.leader_id,
        current_state_timestamp=-1 if since is None else since,
        members=[
            MemberMetadata(
                member_id=member.member_id,
                group_instance_id=member.group_instance_id,
                client_id=member.client_id,
                client_host=member.client_host,
                rebalance_timeout=member.rebalance_timeout_ms,
                session_timeout=member.session_timeout_ms,
                subscription=member.metadata(group.protocol_name),
                assignment=assignment[member.member_id],
            )
            for member in group.members.values()
        ],
    )


def _members_for_leader(group: Group) -> list[JoinGroupResponseMember]:
    return [
        JoinGroupResponseMember(
            member_id=member.member_id,
            group_instance_id=member.group_instance_id,
            metadata=member.metadata(group.protocol_name),
        )
        for member in group.members.values()
    ]


def _join_error(parked: ParkedRequest, error_code: int, member_id: str) -> JoinGroupResponse:
    return JoinGroupResponse(
        error_code=error_code,
        generation_id=NO_GENERATION,
        protocol_name=None if parked.api_version >= _NULL_PROTOCOL_NAME_SINCE else "",
        member_id=member_id,
    )


def _synced(group: Group, member: Member) -> SyncGroupResponse:
    return SyncGroupResponse(
        protocol_type=group.protocol_type, protocol_name=group.protocol_name, assignment=member.assignment
    )


def _rebalance_timeout(request: JoinGroupRequest) -> int:
    """Return the rebalance timeout; version 0 had none of its own."""
    return request.session_timeout_ms if request.rebalance_timeout_ms < 0 else request.rebalance_timeout_ms


def _cancel_heartbeat(member: Member) -> None:
    if member.heartbeat_timer is not None:
        member.heartbeat_timer.cancel()
        member.heartbeat_timer = None


def _random_text() -> str:
    return str(uuid4())


def _ignore(_error_code: int) -> None:
    """Take no note: if an empty generation could not be written, the one before comes back at a restart, and ends."""


def _reason(text: str | None) -> str:
    """Return what a client gives as its reason (KIP-800), quoted and not too long, as the end of a sentence."""
    return f": {text[:_MOST_OF_A_REASON]!r}" if text else ""
