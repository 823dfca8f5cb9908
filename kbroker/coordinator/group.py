"""
One classic group: its members, what they support, which state it is in. Arithmetic only; who answers whom and when is
decided in group_coordinator.

    Empty                no members; offsets may be kept      first join → PreparingRebalance, deletion → Dead
    PreparingRebalance   waits for all members to join        all joined or time over → CompletingRebalance or Empty
    CompletingRebalance  waits for the leader's assignment    assignment → Stable, new members → PreparingRebalance
    Stable               everybody has an assignment          change of members → PreparingRebalance
    Dead                 deleted; whoever still holds it must not use it
"""

from __future__ import annotations

import logging
from enum import StrEnum
from struct import error as struct_error
from typing import TYPE_CHECKING, NamedTuple

from kbroker.errors import KafkaError, MalformedMessage
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.consumer_protocol import ConsumerProtocolSubscription

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kbroker.coordinator.group_offsets import GroupOffsets
    from kbroker.purgatory.timing_wheel import Timer
    from kbroker.types import Buffer

logger = logging.getLogger(__name__)

CONSUMER_PROTOCOL_TYPE = "consumer"
NO_GENERATION = -1
_MOST_CAUSES = 3
_LONGEST_NAME = 100


class GroupState(StrEnum):
    """The states, by the names clients are shown."""

    EMPTY = "Empty"
    PREPARING_REBALANCE = "PreparingRebalance"
    COMPLETING_REBALANCE = "CompletingRebalance"
    STABLE = "Stable"
    DEAD = "Dead"


class ClientInfo(NamedTuple):
    """Who sends a request: shown when a group is described."""

    client_id: str
    client_host: str
    """Kafka's form: a slash and the address."""


class ParkedRequest(NamedTuple):
    """A request that is answered later."""

    token: int
    api_version: int


class Member:
    """
    One member of a group.

    protocols   name and metadata of each assignor it supports, its favourite first
    assignment  what the leader gave it in the current generation
    is_new      joined for the first time and not yet part of a generation: it cannot heartbeat yet
    """

    __slots__ = (
        "assignment",
        "client_host",
        "client_id",
        "group_instance_id",
        "heartbeat_timer",
        "is_new",
        "member_id",
        "protocols",
        "rebalance_timeout_ms",
        "session_timeout_ms",
    )

    def __init__(
        self,
        member_id: str,
        group_instance_id: str | None,
        client: ClientInfo,
        *,
        rebalance_timeout_ms: int,
        session_timeout_ms: int,
        protocols: tuple[tuple[str, bytes], ...],
        assignment: bytes = b"",
    ) -> None:
        self.member_id = member_id
        self.group_instance_id = group_instance_id
        self.client_id = client.client_id
        self.client_host = client.client_host
        self.rebalance_timeout_ms = rebalance_timeout_ms
        self.session_timeout_ms = session_timeout_ms
        self.protocols = protocols
        self.assignment = assignment
        self.is_new = False
        self.heartbeat_timer: Timer | None = None

    def in_words(self) -> str:
        """Return who it is, for the log: quoted, since clients choose their names."""
        name = self.client_id if self.group_instance_id is None else self.group_instance_id
        if len(name) > _LONGEST_NAME:
            name = name[:_LONGEST_NAME] + "…"
        return f"{name!r} ({self.client_host.removeprefix('/')})"

    def metadata(self, protocol: str | None) -> bytes:
        """Return the member's metadata for an assignor; empty when it does not support it."""
        for name, content in self.protocols:
            if name == protocol:
                return content
        return b""


class Group:
    """
    One group.

    partition                   the partition of __consumer_offsets it lives in
    awaiting_join               member id → JoinGroup not yet answered
    awaiting_sync               member id → SyncGroup not yet answered
    pending_members             ids given out with MEMBER_ID_REQUIRED, not yet used, and when they are forgotten
    pending_sync                members that have not sent SyncGroup since the last generation began
    initial_join                the join phase runs by time alone: the group was empty before
    member_added                somebody new came during the initial join phase, which is therefore extended
    current_state_timestamp_ms  when the state was entered; None: unknown
    causes                      why there is a rebalance, in words: the first few; more_causes: how many came after them
    """

    __slots__ = (
        "_protocol_counts",
        "awaiting_join",
        "awaiting_sync",
        "causes",
        "current_state_timestamp_ms",
        "generation_id",
        "group_id",
        "initial_join",
        "join_timer",
        "leader_id",
        "member_added",
        "members",
        "more_causes",
        "offsets",
        "partition",
        "pending_members",
        "pending_sync",
        "protocol_name",
        "protocol_type",
        "state",
        "static_members",
        "subscribed_topics",
        "sync_timer",
    )

    def __init__(self, group_id: str, partition: int, offsets: GroupOffsets) -> None:
        self.group_id = group_id
        self.partition = partition
        self.offsets = offsets
        self.state = GroupState.EMPTY
        self.current_state_timestamp_ms: int | None = None
        self.generation_id = 0
        self.protocol_type: str | None = None
        self.protocol_name: str | None = None
        self.leader_id: str | None = None
        self.members: dict[str, Member] = {}
        self.static_members: dict[str, str] = {}
        self.subscribed_topics: frozenset[str] | None = None
        self.awaiting_join: dict[str, ParkedRequest] = {}
        self.awaiting_sync: dict[str, ParkedRequest] = {}
        self.pending_members: dict[str, Timer] = {}
        self.pending_sync: set[str] = set()
        self.initial_join = False
        self.member_added = False
        self.join_timer: Timer | None = None
        self.sync_timer: Timer | None = None
        self.causes: list[str] = []
        self.more_causes = 0
        self._protocol_counts: dict[str, int] = {}

    @property
    def is_used(self) -> bool:
        """Return whether anything would be lost if the group were forgotten."""
        return bool(
            self.members
            or self.pending_members
            or self.generation_id
            or self.protocol_type
            or not self.offsets.is_empty
        )

    @property
    def is_consumer_group(self) -> bool:
        """Return whether the members follow the consumers' protocol, so that subscribed topics are known."""
        return self.protocol_type == CONSUMER_PROTOCOL_TYPE

    def transition_to(self, state: GroupState, now_ms: int) -> None:
        """Enter `state`."""
        logger.debug("Group %r: %s, was %s", self.group_id, state.value, self.state.value)
        self.state = state
        self.current_state_timestamp_ms = now_ms

    def note_cause(self, cause: str) -> None:
        """Keep why a rebalance begins, or what has come about while it goes on."""
        if len(self.causes) < _MOST_CAUSES:
            self.causes.append(cause)
        else:
            self.more_causes += 1

    def rebalance_in_words(self) -> str:
        """Return what the rebalance that is over has led to, and why there was one; the causes are forgotten."""
        count = len(self.members)
        members = "no members" if not count else "1 member" if count == 1 else f"{count} members"
        causes = ", ".join(self.causes)
        if self.more_causes:
            causes += f" and {self.more_causes} more change{'s' if self.more_causes > 1 else ''}"
        self.causes.clear()
        self.more_causes = 0
        return f"generation {self.generation_id} has {members}" + (f", because {causes}" if causes else "")

    def rebalance_timeout_ms(self) -> int:
        """Return how long the slowest member may take to join again; 0 without members."""
        return max((member.rebalance_timeout_ms for member in self.members.values()), default=0)

    def add(self, member: Member, protocol_type: str) -> None:
        """Take in a new member; the first one decides the protocol type and leads."""
        if not self.members:
            self.protocol_type = protocol_type
        if self.leader_id is None:
            self.leader_id = member.member_id
        self.members[member.member_id] = member
        if member.group_instance_id is not None:
            self.static_members[member.group_instance_id] = member.member_id
        self._count_protocols(member, 1)

    def remove(self, member: Member) -> None:
        """Drop a member; another one leads when it led. Its parked requests are the caller's to answer."""
        member_id = member.member_id
        del self.members[member_id]
        self._count_protocols(member, -1)
        instance_id = member.group_instance_id
        if instance_id is not None and self.static_members.get(instance_id) == member_id:
            del self.static_members[instance_id]
        if self.leader_id == member_id:
            self.leader_id = next(iter(self.members), None)
        self.pending_sync.discard(member_id)

    def set_protocols(self, member: Member, protocols: tuple[tuple[str, bytes], ...]) -> None:
        """Note what a member supports now."""
        self._count_protocols(member, -1)
        member.protocols = protocols
        self._count_protocols(member, 1)

    def replace_static_member(self, instance_id: str, new_member_id: str) -> Member:
        """Return the member of `instance_id` under its new member id; everything else about it stays."""
        old_member_id = self.static_members[instance_id]
        member = self.members.pop(old_member_id)
        member.member_id = new_member_id
        self.members[new_member_id] = member
        self.static_members[instance_id] = new_member_id
        if self.leader_id == old_member_id:
            self.leader_id = new_member_id
        if old_member_id in self.pending_sync:
            self.pending_sync.remove(old_member_id)
            self.pending_sync.add(new_member_id)
        return member

    def supports_protocols(self, protocol_type: str, names: Iterable[str]) -> bool:
        """Return whether a member with these protocols may join: it shares one that every member supports."""
        if not self.members:
            return bool(protocol_type) and any(True for _ in names)
        count = len(self.members)
        return self.protocol_type == protocol_type and any(self._protocol_counts.get(name) == count for name in names)

    def select_protocol(self) -> str:
        """Return the protocol with the most votes: each member votes for the first of its list that all support."""
        count = len(self.members)
        votes: dict[str, int] = {}
        for member in self.members.values():
            for name, _ in member.protocols:
                if self._protocol_counts[name] == count:
                    votes[name] = votes.get(name, 0) + 1
                    break
        return max(votes, key=votes.__getitem__)

    def all_members_joined(self) -> bool:
        """Return whether nobody is left to wait for."""
        return not self.pending_members and len(self.awaiting_join) == len(self.members)

    def elect_joined_leader(self) -> bool:
        """Make a member that has joined the leader, the old one if possible; returns whether there is one."""
        if self.leader_id in self.awaiting_join:
            return True
        for member_id in self.members:
            if member_id in self.awaiting_join:
                self.leader_id = member_id
                return True
        return False

    def begin_generation(self, now_ms: int) -> None:
        """End the join phase: count the generation, choose the protocol, enter CompletingRebalance or Empty."""
        self.generation_id += 1
        self.initial_join = False
        self.member_added = False
        self.pending_sync.clear()
        if self.members:
            self.protocol_name = self.select_protocol()
            self.subscribed_topics = self.compute_subscribed_topics()
            self.transition_to(GroupState.COMPLETING_REBALANCE, now_ms)
        else:
            self.protocol_name = None
            self.subscribed_topics = self.compute_subscribed_topics()
            self.transition_to(GroupState.EMPTY, now_ms)

    def compute_subscribed_topics(self) -> frozenset[str] | None:
        """Return the topics the members subscribe to; None when their metadata does not say."""
        if not self.is_consumer_group:
            return None
        if not self.members:
            return frozenset()
        topics: set[str] = set()
        for member in self.members.values():
            found = _subscribed_topics(member.metadata(self.protocol_name))
            if found is None:
                return None
            topics.update(found)
        return frozenset(topics)

    def is_subscribed(self, topic: str) -> bool:
        """Return whether a member subscribes to `topic`, or may: consumers whose subscriptions cannot be read."""
        if self.subscribed_topics is None:
            return self.is_consumer_group
        return topic in self.subscribed_topics

    def check_member(self, member_id: str, group_instance_id: str | None) -> Member:
        """Return a member; raises KafkaError(UNKNOWN_MEMBER_ID) or, for a static one, (FENCED_INSTANCE_ID)."""
        if group_instance_id is not None:
            known = self.static_members.get(group_instance_id)
            if known is None:
                raise KafkaError(ErrorCode.UNKNOWN_MEMBER_ID)
            if known != member_id:
                raise KafkaError(ErrorCode.FENCED_INSTANCE_ID)
        member = self.members.get(member_id)
        if member is None:
            raise KafkaError(ErrorCode.UNKNOWN_MEMBER_ID)
        return member

    def may_join(self, member_id: str, max_size: int) -> bool:
        """Return whether group.max.size leaves room for `member_id`, which may be a member already."""
        if self.state is GroupState.PREPARING_REBALANCE:
            # Those who have not joined again yet compete with newcomers for the places.
            return member_id in self.awaiting_join or len(self.awaiting_join) < max_size
        return not self.members or member_id in self.members or len(self.members) < max_size

    def offset_base_timestamp(self, topic: str, commit_timestamp: int) -> int | None:
        """Return from when on a committed offset's retention counts; None while it must be kept."""
        if self.protocol_type is None:
            return commit_timestamp
        if self.state is GroupState.EMPTY:
            since = self.current_state_timestamp_ms
            return commit_timestamp if since is None else since
        if (
            self.state is GroupState.STABLE
            and self.subscribed_topics is not None
            and topic not in self.subscribed_topics
        ):
            return commit_timestamp
        return None

    def _count_protocols(self, member: Member, difference: int) -> None:
        counts = self._protocol_counts
        for name in {name for name, _ in member.protocols}:
            count = counts.get(name, 0) + difference
            if count:
                counts[name] = count
            else:
                del counts[name]


def copy_protocols(protocols: Iterable[tuple[str, Buffer]]) -> tuple[tuple[str, bytes], ...]:
    """Return protocols that do not point into a request any more."""
    return tuple((name, bytes(content)) for name, content in protocols)


def fill_assignment(members: Iterable[str], assignment: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return an assignment for each of `members`; empty for those the leader left out."""
    return {member_id: assignment.get(member_id, b"") for member_id in members}


def _subscribed_topics(metadata: bytes) -> list[str] | None:
    try:
        version = int.from_bytes(metadata[:2], "big", signed=True)
        if version < 0:
            return None
        # Version 0 is the beginning of every later one, and the topics are all that is needed.
        return ConsumerProtocolSubscription.decode(metadata, 0, 2)[0].topics
    except (MalformedMessage, struct_error):
        return None
