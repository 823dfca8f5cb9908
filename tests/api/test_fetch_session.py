"""Fetch sessions (KIP-227): what a client names once is remembered until it says otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from kbroker.api.fetch_session import FetchSession, FetchSessionCache
from kbroker.errors import KafkaError
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.fetch import FetchPartition, FetchRequest, FetchTopic, ForgottenTopic

ID = bytes(range(16))


def request(
    session_id: int = 0, epoch: int = 0, asked: dict[int, int] | None = None, forgotten: tuple[int, ...] = ()
) -> FetchRequest:
    """Ask for partitions of topic `t`: index → offset."""
    partitions = [FetchPartition(partition=index, fetch_offset=offset) for index, offset in (asked or {}).items()]
    return FetchRequest(
        session_id=session_id,
        session_epoch=epoch,
        topics=[FetchTopic(topic="t", topic_id=ID, partitions=partitions)] if asked else [],
        forgotten_topics_data=[ForgottenTopic(topic="t", topic_id=ID, partitions=list(forgotten))] if forgotten else [],
    )


@pytest.fixture
def cache() -> FetchSessionCache:
    return FetchSessionCache(2)


def begin(cache: FetchSessionCache, asked: dict[int, int], version: int = 12, now_ms: int = 0) -> FetchSession:
    session, _, incremental = cache.partitions(request(asked=asked), version, now_ms)
    assert session is not None
    assert not incremental
    return session


def refused(cache: FetchSessionCache, asked: FetchRequest, version: int = 12) -> int:
    with pytest.raises(KafkaError) as caught:
        cache.partitions(asked, version, 0)
    return caught.value.code


def offsets(partitions: dict[Any, Any]) -> dict[int, int]:
    return {index: partition.fetch_offset for (_, index), partition in partitions.items()}


@pytest.mark.parametrize("version", [7, 12, 13, 18])
def test_only_changes_are_sent_after_the_first_request(cache: FetchSessionCache, version: int) -> None:
    session = begin(cache, {0: 10, 1: 20}, version)
    again, partitions, incremental = cache.partitions(request(session.session_id, 1, {1: 25, 2: 30}), version, 0)
    assert again is session
    assert incremental
    assert offsets(partitions) == {0: 10, 1: 25, 2: 30}
    _, partitions, _ = cache.partitions(request(session.session_id, 2, forgotten=(0, 9)), version, 0)
    assert offsets(partitions) == {1: 25, 2: 30}


@pytest.mark.parametrize("version", [4, 6])
def test_versions_before_sessions_get_none(cache: FetchSessionCache, version: int) -> None:
    session, partitions, incremental = cache.partitions(request(epoch=-1, asked={0: 1}), version, 0)
    assert session is None
    assert not incremental
    assert offsets(partitions) == {0: 1}
    assert len(cache) == 0


def test_the_final_epoch_ends_the_session_and_is_served_whole(cache: FetchSessionCache) -> None:
    session = begin(cache, {0: 10})
    none, partitions, incremental = cache.partitions(request(session.session_id, -1, {0: 11}), 12, 0)
    assert none is None
    assert not incremental
    assert offsets(partitions) == {0: 11}
    assert refused(cache, request(session.session_id, 1)) == ErrorCode.FETCH_SESSION_ID_NOT_FOUND


def test_a_full_request_replaces_the_clients_session(cache: FetchSessionCache) -> None:
    old = begin(cache, {0: 10})
    new, partitions, _ = cache.partitions(request(old.session_id, 0, {5: 50}), 12, 0)
    assert new is not None
    assert new.session_id != old.session_id
    assert offsets(partitions) == {5: 50}
    assert len(cache) == 1


def test_a_session_nobody_knows_or_an_epoch_out_of_turn_is_refused(cache: FetchSessionCache) -> None:
    assert refused(cache, request(77, 1)) == ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    assert refused(cache, request(0, 5)) == ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    session = begin(cache, {0: 10})
    assert refused(cache, request(session.session_id, 2)) == ErrorCode.INVALID_FETCH_SESSION_EPOCH
    cache.partitions(request(session.session_id, 1), 12, 0)
    assert refused(cache, request(session.session_id, 1)) == ErrorCode.INVALID_FETCH_SESSION_EPOCH
    cache.partitions(request(session.session_id, 2), 12, 0)


def test_a_session_of_names_cannot_be_used_with_ids_nor_the_other_way(cache: FetchSessionCache) -> None:
    names, ids = begin(cache, {0: 1}, 12), begin(cache, {0: 1}, 13)
    assert refused(cache, request(names.session_id, 1), 13) == ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR
    assert refused(cache, request(ids.session_id, 1), 12) == ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR


def test_a_session_without_partitions_is_over(cache: FetchSessionCache) -> None:
    session = begin(cache, {0: 10})
    none, partitions, incremental = cache.partitions(request(session.session_id, 1, forgotten=(0,)), 12, 0)
    assert none is None
    assert not partitions
    assert not incremental
    assert len(cache) == 0


def test_epochs_start_again_after_the_largest(cache: FetchSessionCache) -> None:
    session = begin(cache, {0: 10})
    session.epoch = 0x7FFFFFFF
    cache.partitions(request(session.session_id, 0x7FFFFFFF), 12, 0)
    assert session.epoch == 1


def test_a_full_cache_makes_room_only_of_who_has_been_silent_for_long(cache: FetchSessionCache) -> None:
    """Sessions in use are not thrown out for newcomers, who are served without one."""
    first, second = begin(cache, {0: 1}, now_ms=0), begin(cache, {0: 1}, now_ms=1)
    session, partitions, _ = cache.partitions(request(asked={0: 1}), 12, 119_999)
    assert session is None
    assert offsets(partitions) == {0: 1}
    cache.partitions(request(first.session_id, 1), 12, 100_000)
    third, _, _ = cache.partitions(request(asked={0: 1}), 12, 120_001)
    assert third is not None
    assert refused(cache, request(second.session_id, 1)) == ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    cache.partitions(request(first.session_id, 2), 12, 120_001)


def test_no_slots_mean_no_sessions() -> None:
    session, _, _ = FetchSessionCache(0).partitions(request(asked={0: 1}), 12, 0)
    assert session is None
