"""Requests about groups reach the worker that coordinates them, and come back whole, whatever happens to it."""

from __future__ import annotations

import pytest

from kbroker.api.group_routing import GroupRouting
from kbroker.api.groups import GroupHandlers
from kbroker.errors import MalformedMessage
from kbroker.protocol.messages.delete_groups import DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse
from kbroker.protocol.messages.describe_groups import DescribedGroup, DescribeGroupsRequest, DescribeGroupsResponse
from kbroker.protocol.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from kbroker.protocol.messages.join_group import JoinGroupRequest, JoinGroupResponse
from kbroker.protocol.messages.leave_group import LeaveGroupRequest, LeaveGroupResponse
from kbroker.protocol.messages.list_groups import ListedGroup, ListGroupsRequest, ListGroupsResponse
from kbroker.protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)
from kbroker.protocol.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
    OffsetDeleteResponse,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
)
from kbroker.protocol.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopic,
    OffsetFetchRequestTopics,
    OffsetFetchResponse,
    OffsetFetchResponseGroup,
    OffsetFetchResponsePartitions,
    OffsetFetchResponseTopics,
)
from kbroker.protocol.messages.sync_group import SyncGroupRequest, SyncGroupResponse


def first_letter(group_id: str, count: int) -> int:
    """Let tests choose a group's partition: "0…" lies in partition 0."""
    return int(group_id[0]) % count


@pytest.fixture
def handlers(world) -> GroupHandlers:
    return GroupHandlers(world.view, world.channel, GroupRouting(world.view, world.workers, first_letter))


@pytest.fixture
def offsets_topic(world):
    return world.add_topic("__consumer_offsets", 2)


ONE_GROUP = [
    pytest.param(
        "handle_join_group", JoinGroupRequest(group_id="0g", member_id="m"), JoinGroupResponse, id="JoinGroup"
    ),
    pytest.param(
        "handle_sync_group",
        SyncGroupRequest(group_id="0g", protocol_type="consumer", protocol_name="range"),
        SyncGroupResponse,
        id="SyncGroup",
    ),
    pytest.param("handle_heartbeat", HeartbeatRequest(group_id="0g"), HeartbeatResponse, id="Heartbeat"),
    pytest.param("handle_leave_group", LeaveGroupRequest(group_id="0g"), LeaveGroupResponse, id="LeaveGroup"),
]


def versions_of(request) -> range:
    low, high = type(request).VERSIONS
    return range(low, high + 1)


@pytest.mark.parametrize(("method", "request_", "response_class"), ONE_GROUP)
def test_request_reaches_the_owner_and_the_answer_the_client(
    world, handlers, offsets_topic, method, request_, response_class
) -> None:
    owner = world.workers.io_worker(world.view.owner(offsets_topic, offsets_topic.partitions[0]))
    for version in versions_of(request_):
        exchange = world.send(getattr(handlers, method), request_, version)
        sent = world.channel.forwards[-1]
        assert (sent.peer, sent.request.api_version) == (owner, version)
        assert sent.request.body == request_.encode(version)
        sent.done(response_class(error_code=27).encode(version))
        assert exchange.response(response_class).error_code == 27


@pytest.mark.parametrize("missing", ["protocol_type", "protocol_name"])
def test_a_sync_that_names_no_protocol_is_refused_where_it_has_to(world, handlers, offsets_topic, missing) -> None:
    named = {"protocol_type": "consumer", "protocol_name": "range"} | {missing: None}
    exchange = world.send(handlers.handle_sync_group, SyncGroupRequest(group_id="0g", **named), 5)
    assert exchange.response(SyncGroupResponse).error_code == 23
    world.send(handlers.handle_sync_group, SyncGroupRequest(group_id="0g", **named), 4)
    assert world.channel.forwards


@pytest.mark.parametrize(("method", "request_", "response_class"), ONE_GROUP)
def test_coordinator_that_died(world, handlers, offsets_topic, method, request_, response_class) -> None:
    for version in versions_of(request_):
        exchange = world.send(getattr(handlers, method), request_, version)
        world.channel.forwards[-1].done(None)
        assert exchange.response(response_class).error_code == 15


@pytest.mark.parametrize(("method", "request_", "response_class"), ONE_GROUP)
def test_without_offsets_topic_or_leadership(world, handlers, method, request_, response_class) -> None:
    """Clients look for the coordinator again, and that question makes the topic."""
    exchange = world.send(getattr(handlers, method), request_, 0)
    assert exchange.response(response_class).error_code == 15
    world.add_topic("__consumer_offsets", leader=7)
    exchange = world.send(getattr(handlers, method), request_, 0)
    assert exchange.response(response_class).error_code == 16
    assert world.channel.forwards == []


def test_failed_join_keeps_the_member_id(world, handlers) -> None:
    request = JoinGroupRequest(group_id="0g", member_id="member-1")
    for version, protocol_name in ((6, ""), (7, None)):
        response = world.send(handlers.handle_join_group, request, version).response(JoinGroupResponse)
        assert (response.member_id, response.generation_id, response.protocol_name) == ("member-1", -1, protocol_name)


def test_malformed_body_never_reaches_a_coordinator(world, handlers, offsets_topic) -> None:
    exchange_of = world.send(lambda context: None, HeartbeatRequest(group_id="0g"), 0)
    context = exchange_of.context
    context.end -= 1
    with pytest.raises(MalformedMessage):
        handlers.handle_heartbeat(context)
    assert world.channel.forwards == []


# OffsetCommit


def commit(*topics: tuple[str, list[int]], ids: dict[str, bytes] | None = None) -> OffsetCommitRequest:
    return OffsetCommitRequest(
        group_id="0g",
        topics=[
            OffsetCommitRequestTopic(
                name=name,
                topic_id=(ids or {}).get(name, b"?" * 16),
                partitions=[
                    OffsetCommitRequestPartition(partition_index=partition, committed_offset=42, committed_metadata="m")
                    for partition in partitions
                ],
            )
            for name, partitions in topics
        ],
    )


def committed(*topics: tuple[str, list[tuple[int, int]]]) -> OffsetCommitResponse:
    return OffsetCommitResponse(
        topics=[
            OffsetCommitResponseTopic(
                name=name,
                partitions=[
                    OffsetCommitResponsePartition(partition_index=partition, error_code=error)
                    for partition, error in partitions
                ],
            )
            for name, partitions in topics
        ]
    )


def errors_of(response) -> list[list[tuple[int, int]]]:
    return [[(part.partition_index, part.error_code) for part in topic.partitions] for topic in response.topics]


@pytest.mark.parametrize("version", range(10))
def test_commit_of_known_partitions_passes_through(world, handlers, offsets_topic, version: int) -> None:
    world.add_topic("t", 2)
    request = commit(("t", [0, 1]))
    exchange = world.send(handlers.handle_offset_commit, request, version)
    (sent,) = world.channel.forwards
    assert sent.request.body == request.encode(version)
    answer = committed(("t", [(0, 0), (1, 12)]))
    sent.done(answer.encode(version))
    assert errors_of(exchange.response(OffsetCommitResponse)) == [[(0, 0), (1, 12)]]


@pytest.mark.parametrize("version", range(10))
def test_unknown_topics_and_partitions_are_taken_out_of_a_commit(world, handlers, offsets_topic, version: int) -> None:
    world.add_topic("t", 2)
    exchange = world.send(handlers.handle_offset_commit, commit(("gone", [0]), ("t", [1, 2])), version)
    (sent,) = world.channel.forwards
    inner, _ = OffsetCommitRequest.decode(sent.request.body, version)
    assert [(topic.name, [part.partition_index for part in topic.partitions]) for topic in inner.topics] == [("t", [1])]
    sent.done(committed(("t", [(1, 0)])).encode(version))
    assert errors_of(exchange.response(OffsetCommitResponse)) == [[(0, 3)], [(1, 0), (2, 3)]]


def test_commit_of_nothing_known_needs_no_coordinator(world, handlers) -> None:
    exchange = world.send(handlers.handle_offset_commit, commit(("gone", [0])), 9)
    assert errors_of(exchange.response(OffsetCommitResponse)) == [[(0, 3)]]


@pytest.mark.parametrize("version", range(11))
def test_commit_when_the_coordinator_died(world, handlers, offsets_topic, version: int) -> None:
    topic = world.add_topic("t", 1)
    exchange = world.send(handlers.handle_offset_commit, commit(("t", [0, 7]), ids={"t": topic.topic_id}), version)
    world.channel.forwards[0].done(None)
    assert errors_of(exchange.response(OffsetCommitResponse)) == [[(0, 15), (7, 3)]]


def test_commit_by_topic_id_asks_the_coordinator_by_name(world, handlers, offsets_topic) -> None:
    topic = world.add_topic("t", 1)
    exchange = world.send(
        handlers.handle_offset_commit, commit(("t", [0]), ("gone", [3]), ids={"t": topic.topic_id}), 10
    )
    (sent,) = world.channel.forwards
    assert sent.request.api_version == 9
    inner, _ = OffsetCommitRequest.decode(sent.request.body, 9)
    assert [one.name for one in inner.topics] == ["t"]
    sent.done(committed(("t", [(0, 0)])).encode(9))
    response = exchange.response(OffsetCommitResponse)
    assert errors_of(response) == [[(0, 0)], [(3, 100)]]
    assert [one.topic_id for one in response.topics] == [topic.topic_id, b"?" * 16]


# OffsetFetch


@pytest.mark.parametrize("version", range(8))
def test_fetch_of_one_group(world, handlers, offsets_topic, version: int) -> None:
    request = OffsetFetchRequest(
        group_id="1g", topics=[OffsetFetchRequestTopic(name="t", partition_indexes=[0, 1])], require_stable=True
    )
    exchange = world.send(handlers.handle_offset_fetch, request, version)
    world.channel.forwards[-1].done(OffsetFetchResponse().encode(version))
    assert exchange.response(OffsetFetchResponse) == OffsetFetchResponse()
    exchange = world.send(handlers.handle_offset_fetch, request, version)
    world.channel.forwards[-1].done(None)
    response = exchange.response(OffsetFetchResponse)
    if version < 2:
        assert [(one.committed_offset, one.error_code) for one in response.topics[0].partitions] == [(-1, 15)] * 2
    else:
        assert (response.error_code, response.topics) == (15, [])


def fetched(group_id: str, *topics: str, error: int = 0) -> OffsetFetchResponseGroup:
    return OffsetFetchResponseGroup(
        group_id=group_id,
        topics=[
            OffsetFetchResponseTopics(
                name=name,
                partitions=[OffsetFetchResponsePartitions(partition_index=0, committed_offset=7, metadata="")],
            )
            for name in topics
        ],
        error_code=error,
    )


def fetch_groups(*groups: tuple[str, list[str] | None], ids: dict[str, bytes] | None = None) -> OffsetFetchRequest:
    return OffsetFetchRequest(
        groups=[
            OffsetFetchRequestGroup(
                group_id=group_id,
                topics=None
                if names is None
                else [
                    OffsetFetchRequestTopics(
                        name=name, topic_id=(ids or {}).get(name, b"?" * 16), partition_indexes=[0]
                    )
                    for name in names
                ],
            )
            for group_id, names in groups
        ],
        require_stable=True,
    )


@pytest.mark.parametrize("version", [8, 9])
def test_groups_of_one_coordinator_pass_through(world, handlers, offsets_topic, version: int) -> None:
    request = fetch_groups(("0a", ["t"]), ("0b", None))
    exchange = world.send(handlers.handle_offset_fetch, request, version)
    (sent,) = world.channel.forwards
    assert sent.request.body == request.encode(version)
    answer = OffsetFetchResponse(groups=[fetched("0a", "t"), fetched("0b")])
    sent.done(answer.encode(version))
    assert exchange.response(OffsetFetchResponse) == answer


@pytest.mark.parametrize("version", [8, 9])
def test_groups_of_two_coordinators_are_split_and_merged(world, handlers, offsets_topic, version: int) -> None:
    exchange = world.send(
        handlers.handle_offset_fetch, fetch_groups(("0a", ["t"]), ("1b", None), ("0c", ["t"])), version
    )
    first, second = world.channel.forwards
    assert first.peer != second.peer
    inner, _ = OffsetFetchRequest.decode(first.request.body, version)
    assert [group.group_id for group in inner.groups] == ["0a", "0c"]
    assert inner.require_stable
    second.done(None)
    assert not exchange.answered
    first.done(OffsetFetchResponse(groups=[fetched("0a", "t"), fetched("0c", "t")]).encode(version))
    assert exchange.response(OffsetFetchResponse).groups == [
        fetched("0a", "t"),
        fetched("1b", error=15),
        fetched("0c", "t"),
    ]


def test_fetch_by_topic_id_asks_the_coordinator_by_name(world, handlers, offsets_topic) -> None:
    topic = world.add_topic("t")
    exchange = world.send(
        handlers.handle_offset_fetch, fetch_groups(("0a", ["t", "gone"]), ("0b", None), ids={"t": topic.topic_id}), 10
    )
    (sent,) = world.channel.forwards
    inner, _ = OffsetFetchRequest.decode(sent.request.body, 9)
    assert sent.request.api_version == 9
    assert [[one.name for one in group.topics or ()] for group in inner.groups] == [["t"], []]
    assert inner.groups[1].topics is None
    sent.done(OffsetFetchResponse(groups=[fetched("0a", "t"), fetched("0b", "t", "deleted")]).encode(9))
    first, second = exchange.response(OffsetFetchResponse).groups
    assert [
        (one.topic_id, one.partitions[0].committed_offset, one.partitions[0].error_code) for one in first.topics
    ] == [
        (topic.topic_id, 7, 0),
        (b"?" * 16, -1, 100),
    ]
    assert [one.topic_id for one in second.topics] == [topic.topic_id]


def test_fetch_without_offsets_topic(world, handlers) -> None:
    exchange = world.send(handlers.handle_offset_fetch, fetch_groups(("0a", None)), 9)
    assert exchange.response(OffsetFetchResponse).groups == [fetched("0a", error=15)]


# OffsetDelete


def delete(*names: str) -> OffsetDeleteRequest:
    return OffsetDeleteRequest(
        group_id="0g",
        topics=[
            OffsetDeleteRequestTopic(name=name, partitions=[OffsetDeleteRequestPartition(partition_index=0)])
            for name in names
        ],
    )


def deleted(name: str, error: int) -> OffsetDeleteResponseTopic:
    return OffsetDeleteResponseTopic(
        name=name, partitions=[OffsetDeleteResponsePartition(partition_index=0, error_code=error)]
    )


def test_offsets_of_topics_that_exist_are_deleted(world, handlers, offsets_topic) -> None:
    world.add_topic("t")
    exchange = world.send(handlers.handle_offset_delete, delete("gone", "t"), 0)
    (sent,) = world.channel.forwards
    inner, _ = OffsetDeleteRequest.decode(sent.request.body, 0)
    assert [topic.name for topic in inner.topics] == ["t"]
    sent.done(OffsetDeleteResponse(topics=[deleted("t", 0)]).encode(0))
    assert exchange.response(OffsetDeleteResponse).topics == [deleted("gone", 3), deleted("t", 0)]


def test_offsets_of_partitions_that_do_not_exist_are_not_deleted(world, handlers, offsets_topic) -> None:
    world.add_topic("t", 2)
    asked = [OffsetDeleteRequestPartition(partition_index=index) for index in (0, 7, 1, 0)]
    request = OffsetDeleteRequest(group_id="0g", topics=[OffsetDeleteRequestTopic(name="t", partitions=asked)])
    exchange = world.send(handlers.handle_offset_delete, request, 0)
    answered = [OffsetDeleteResponsePartition(partition_index=index, error_code=86) for index in (0, 1, 0)]
    topics = [OffsetDeleteResponseTopic(name="t", partitions=answered)]
    world.channel.forwards[0].done(OffsetDeleteResponse(topics=topics).encode(0))
    (topic,) = exchange.response(OffsetDeleteResponse).topics
    rows = [(partition.partition_index, partition.error_code) for partition in topic.partitions]
    assert rows == [(0, 86), (7, 3), (1, 86), (0, 86)]


@pytest.mark.parametrize(("answer", "error"), [(None, 15), (OffsetDeleteResponse(error_code=69), 69)])
def test_error_about_the_group_stands_alone(world, handlers, offsets_topic, answer, error: int) -> None:
    world.add_topic("t")
    exchange = world.send(handlers.handle_offset_delete, delete("gone", "t"), 0)
    world.channel.forwards[0].done(None if answer is None else answer.encode(0))
    assert exchange.response(OffsetDeleteResponse) == OffsetDeleteResponse(error_code=error)


# Several groups


@pytest.mark.parametrize("version", range(7))
def test_described_groups_are_merged_in_the_order_asked(world, handlers, offsets_topic, version: int) -> None:
    request = DescribeGroupsRequest(groups=["1b", "0a", "1c"], include_authorized_operations=True)
    exchange = world.send(handlers.handle_describe_groups, request, version)
    answers = {}
    for sent in world.channel.forwards:
        inner, _ = DescribeGroupsRequest.decode(sent.request.body, version)
        assert inner.include_authorized_operations == (version >= 3)
        answers[tuple(inner.groups)] = sent
    answers["0a",].done(None)
    answers["1b", "1c"].done(
        DescribeGroupsResponse(
            groups=[DescribedGroup(group_id="1b", group_state="Stable"), DescribedGroup(group_id="1c")]
        ).encode(version)
    )
    groups = exchange.response(DescribeGroupsResponse).groups
    assert [(group.group_id, group.error_code, group.group_state) for group in groups] == [
        ("1b", 0, "Stable"),
        ("0a", 15, ""),
        ("1c", 0, ""),
    ]


@pytest.mark.parametrize("version", range(3))
def test_deleted_groups_are_merged(world, handlers, offsets_topic, version: int) -> None:
    exchange = world.send(handlers.handle_delete_groups, DeleteGroupsRequest(groups_names=["1b", "0a"]), version)
    first, second = world.channel.forwards
    first.done(DeleteGroupsResponse(results=[DeletableGroupResult(group_id="1b", error_code=68)]).encode(version))
    second.done(DeleteGroupsResponse(results=[DeletableGroupResult(group_id="0a")]).encode(version))
    results = exchange.response(DeleteGroupsResponse).results
    assert [(result.group_id, result.error_code) for result in results] == [("1b", 68), ("0a", 0)]


def test_no_groups_at_all(world, handlers) -> None:
    exchange = world.send(handlers.handle_describe_groups, DescribeGroupsRequest(), 5)
    assert exchange.response(DescribeGroupsResponse).groups == []


@pytest.mark.parametrize("version", range(6))
def test_groups_of_all_coordinators_are_listed(world, handlers, offsets_topic, version: int) -> None:
    request = ListGroupsRequest(states_filter=["Stable"], types_filter=["classic"])
    exchange = world.send(handlers.handle_list_groups, request, version)
    assert {sent.request.body for sent in world.channel.forwards} == {request.encode(version)}
    for name, sent in zip("ab", world.channel.forwards, strict=True):
        assert not exchange.answered
        sent.done(ListGroupsResponse(groups=[ListedGroup(group_id=name)]).encode(version))
    response = exchange.response(ListGroupsResponse)
    assert ([group.group_id for group in response.groups], response.error_code) == (["a", "b"], 0)


def test_list_tells_that_it_is_not_complete(world, handlers, offsets_topic) -> None:
    exchange = world.send(handlers.handle_list_groups, ListGroupsRequest(), 4)
    first, second = world.channel.forwards
    first.done(None)
    second.done(ListGroupsResponse(groups=[ListedGroup(group_id="b")]).encode(4))
    response = exchange.response(ListGroupsResponse)
    assert ([group.group_id for group in response.groups], response.error_code) == (["b"], 15)


def test_nothing_to_list_before_the_first_group(world, handlers) -> None:
    assert world.send(handlers.handle_list_groups, ListGroupsRequest(), 4).response(ListGroupsResponse).groups == []
