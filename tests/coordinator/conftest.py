"""A coordinator with a log in memory, a clock that is moved by hand, and clients that speak the real wire format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kbroker.clock import ManualClock
from kbroker.coordinator.group import ClientInfo
from kbroker.coordinator.group_config import GroupConfig
from kbroker.coordinator.offset_store import TopicNames
from kbroker.coordinator.runtime import CoordinatorRuntime
from kbroker.protocol.messages.consumer_protocol import ConsumerProtocolSubscription
from kbroker.protocol.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from kbroker.protocol.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse
from kbroker.protocol.messages.leave_group import LeaveGroupRequest, LeaveGroupResponse, MemberIdentity
from kbroker.protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
)
from kbroker.protocol.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
)
from kbroker.protocol.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from kbroker.protocol.schema import Message

TOPICS = {"orders": b"o" * 16, "payments": b"p" * 16, "audit": b"a" * 16}


def subscription(*topics: str) -> bytes:
    """Return what a consumer sends as metadata of an assignor."""
    return b"\x00\x01" + ConsumerProtocolSubscription(topics=list(topics)).encode(1)


class Coordinator:
    """
    One runtime with partition 0 loaded.

    log          the batches that are in the log
    error        what every append fails with from now on; 0: it succeeds
    hold         appends are in the log but not committed until `commit_held` is called
    """

    def __init__(self, log: list[bytes] | None = None, clock: ManualClock | None = None, **settings: Any) -> None:
        settings = {"offsets_topic_num_partitions": 1, "group_initial_rebalance_delay_ms": 0, **settings}
        self.settings = settings
        self.clock = ManualClock() if clock is None else clock
        self.log: list[bytes] = [] if log is None else log
        self.topics = dict(TOPICS)
        self.error = 0
        self.hold = False
        self.held: list[tuple[bytes, Callable[[int], None]]] = []
        self.replies: dict[int, Message] = {}
        self.sent: dict[int, int] = {}
        self._ids = 0
        names = {topic_id: name for name, topic_id in TOPICS.items()}
        self.runtime = CoordinatorRuntime(
            GroupConfig(**settings),
            append=self._append,
            reply=self._reply,
            topics=TopicNames(lambda topic_id: names.get(bytes(topic_id)), self.topics.get),
            make_uuid=self._new_id,
        )
        self.runtime.load(0, [memoryview(batch) for batch in self.log], self.clock.now_ms)

    def _new_id(self) -> str:
        self._ids += 1
        return f"{id(self):x}-{self._ids}"

    def _append(self, partition: int, batch: bytes, on_committed: Callable[[int], None]) -> None:
        assert partition == 0
        if self.hold:
            self.held.append((batch, on_committed))
            return
        if not self.error:
            self.log.append(batch)
        on_committed(self.error)

    def commit_held(self, error: int = 0) -> None:
        """Complete everything that was appended while `hold` was set."""
        held, self.held = self.held, []
        for batch, on_committed in held:
            if not error:
                self.log.append(batch)
            on_committed(error)

    def _reply(self, token: int, response: Message) -> None:
        assert token not in self.replies, "answered twice"
        version = self.sent[token]
        # What cannot be put on the wire in this version is no answer.
        self.replies[token] = type(response).decode(response.encode(version), version)[0]

    def send(self, request: Message, version: int, client_id: str = "client") -> int:
        """Hand a request in as it would come from the wire; returns its token."""
        token = len(self.sent)
        self.sent[token] = version
        decoded = type(request).decode(request.encode(version), version)[0]
        assert request.API_KEY is not None
        client = ClientInfo(client_id, "/127.0.0.1")
        self.runtime.handle(token, request.API_KEY, version, decoded, client, self.clock.now_ms)
        return token

    def ask(self, request: Message, version: int) -> Any:
        """Hand in a request that is answered at once; returns the answer."""
        return self.replies[self.send(request, version)]

    def advance(self, milliseconds: int) -> None:
        """Let time pass as an event loop would: woken at each deadline."""
        end = self.clock.now_ms + milliseconds
        while (deadline := self.runtime.next_deadline_ms()) is not None and deadline <= end:
            self.clock.now_ms = max(deadline, self.clock.now_ms)
            self.runtime.tick(self.clock.now_ms)
        self.clock.now_ms = end
        self.runtime.tick(end)

    def send_join(
        self,
        member_id: str = "",
        *,
        group: str = "group",
        version: int = 9,
        instance: str | None = None,
        protocols: dict[str, bytes] | None = None,
        session: int = 10_000,
        rebalance: int = 30_000,
        protocol_type: str = "consumer",
        client_id: str = "client",
        reason: str | None = None,
    ) -> int:
        """Send JoinGroup; returns its token."""
        protocols = {"range": subscription("orders")} if protocols is None else protocols
        request = JoinGroupRequest(
            group_id=group,
            session_timeout_ms=session,
            rebalance_timeout_ms=rebalance,
            member_id=member_id,
            group_instance_id=instance,
            protocol_type=protocol_type,
            reason=reason,
            protocols=[JoinGroupRequestProtocol(name=name, metadata=data) for name, data in protocols.items()],
        )
        return self.send(request, version, client_id)

    def join(self, member_id: str = "", **options: Any) -> int:
        """Send JoinGroup, the second one with the id given too when that is asked for; returns the last token."""
        token = self.send_join(member_id, **options)
        response = self.replies.get(token)
        if isinstance(response, JoinGroupResponse) and response.error_code == 79:
            token = self.send_join(response.member_id, **options)
        return token

    def joined(self, token: int) -> JoinGroupResponse:
        """Return the answer to a JoinGroup, which must have come."""
        response = self.replies[token]
        assert isinstance(response, JoinGroupResponse)
        return response

    def send_sync(
        self,
        joined: JoinGroupResponse,
        assignment: dict[str, bytes] | None = None,
        *,
        group: str = "group",
        version: int = 5,
        instance: str | None = None,
        **changes: Any,
    ) -> int:
        """Send the SyncGroup that follows a JoinGroup; the leader assigns each member its own name by default."""
        if assignment is None:
            assignment = {member.member_id: b"for " + member.member_id.encode() for member in joined.members}
        request = SyncGroupRequest(
            group_id=group,
            generation_id=joined.generation_id,
            member_id=joined.member_id,
            group_instance_id=instance,
            protocol_type=joined.protocol_type,
            protocol_name=joined.protocol_name,
            assignments=[
                SyncGroupRequestAssignment(member_id=key, assignment=part) for key, part in assignment.items()
            ],
        )
        for name, value in changes.items():
            setattr(request, name, value)
        return self.send(request, version)

    def synced(self, token: int) -> SyncGroupResponse:
        """Return the answer to a SyncGroup, which must have come."""
        response = self.replies[token]
        assert isinstance(response, SyncGroupResponse)
        return response

    def heartbeat(
        self, member_id: str, generation: int, instance: str | None = None, group: str = "group", version: int = 4
    ) -> int:
        """Send Heartbeat; returns the error code."""
        request = HeartbeatRequest(
            group_id=group, generation_id=generation, member_id=member_id, group_instance_id=instance
        )
        response = self.ask(request, version)
        assert isinstance(response, HeartbeatResponse)
        return response.error_code

    def leave(self, *members: tuple[str, str | None], group: str = "group", version: int = 5) -> LeaveGroupResponse:
        """Send LeaveGroup for (member id, instance id) pairs."""
        request = LeaveGroupRequest(
            group_id=group,
            member_id=members[0][0],
            members=[MemberIdentity(member_id=member, group_instance_id=instance) for member, instance in members],
        )
        response = self.ask(request, version)
        assert isinstance(response, LeaveGroupResponse)
        return response

    def stable_group(self, size: int = 1, **options: Any) -> list[JoinGroupResponse]:
        """Bring `size` members together; returns their last JoinGroup answers, the leader's first."""
        group = options.get("group", "group")
        tokens = [self.join(**options)]
        self.advance(self.settings["group_initial_rebalance_delay_ms"])
        while len(tokens) < size:
            known = [self.joined(token) for token in tokens]
            new = self.join(**options)
            tokens = [self.send_join(answer.member_id, **options) for answer in known] + [new]
        answers = [self.joined(token) for token in tokens]
        answers.sort(key=lambda answer: answer.member_id != answer.leader)
        for answer in answers:
            self.send_sync(answer, group=group)
        assert {group.state for group in self.runtime.groups if group.group_id == options.get("group", "group")} == {
            "Stable"
        }
        return answers

    def send_commit(
        self,
        offsets: dict[tuple[str, int], int],
        *,
        group: str = "group",
        member_id: str = "",
        generation: int = -1,
        instance: str | None = None,
        version: int = 9,
        metadata: str | None = "note",
        retention: int = -1,
    ) -> int:
        """Send OffsetCommit; returns its token."""
        request = OffsetCommitRequest(
            group_id=group,
            generation_id_or_member_epoch=generation,
            member_id=member_id,
            group_instance_id=instance,
            retention_time_ms=retention,
            topics=[
                OffsetCommitRequestTopic(
                    name=topic,
                    topic_id=TOPICS.get(topic, b"?" * 16),
                    partitions=[
                        OffsetCommitRequestPartition(
                            partition_index=partition,
                            committed_offset=offset,
                            committed_leader_epoch=7,
                            committed_metadata=metadata,
                        )
                    ],
                )
                for (topic, partition), offset in offsets.items()
            ],
        )
        return self.send(request, version)

    def committed(self, token: int) -> list[int]:
        """Return the error codes of an OffsetCommit, in the order of its partitions."""
        response = self.replies[token]
        assert isinstance(response, OffsetCommitResponse)
        return [partition.error_code for topic in response.topics for partition in topic.partitions]

    def fetch(
        self, *keys: tuple[str, int], group: str = "group", version: int = 9, require_stable: bool = False
    ) -> list[tuple[int, int]]:
        """Return (offset, error code) of each partition asked for."""
        request = OffsetFetchRequest(
            require_stable=require_stable,
            groups=[
                OffsetFetchRequestGroup(
                    group_id=group,
                    topics=[
                        OffsetFetchRequestTopics(
                            name=topic, topic_id=TOPICS.get(topic, b"?" * 16), partition_indexes=[partition]
                        )
                        for topic, partition in keys
                    ],
                )
            ],
        )
        answer = self.ask(request, version).groups[0]
        assert answer.error_code == 0
        return [(entry.committed_offset, entry.error_code) for topic in answer.topics for entry in topic.partitions]

    def state(self, group: str = "group") -> str:
        """Return the state of a group; "" when there is no such group."""
        return next((str(found.state) for found in self.runtime.groups if found.group_id == group), "")

    def restarted(self) -> Coordinator:
        """Return a coordinator that has read this one's log."""
        return Coordinator(list(self.log), ManualClock(self.clock.now_ms), **self.settings)

    def snapshot(self) -> dict[str, Any]:
        """Return what a restart must bring back."""
        return {
            group.group_id: (
                str(group.state),
                group.generation_id,
                group.protocol_type,
                group.protocol_name,
                group.leader_id,
                group.subscribed_topics,
                dict(group.static_members),
                {
                    member.member_id: (
                        member.group_instance_id,
                        member.client_id,
                        member.client_host,
                        member.session_timeout_ms,
                        member.rebalance_timeout_ms,
                        member.metadata(group.protocol_name),
                        member.assignment,
                    )
                    for member in group.members.values()
                },
                dict(group.offsets),
            )
            for group in self.runtime.groups
        }


@pytest.fixture(scope="session")
def coordinator_class() -> type[Coordinator]:
    """Return the class, for tests that make several or want settings."""
    return Coordinator


@pytest.fixture
def coordinator() -> Coordinator:
    """Return a coordinator without initial rebalance delay."""
    return Coordinator()


@pytest.fixture(scope="session")
def subscribe() -> Callable[..., bytes]:
    """Return the maker of consumers' metadata."""
    return subscription
