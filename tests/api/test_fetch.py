"""A fetch gets what there is, within its limits, at once or as soon as there is enough; on a real log."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kbroker.api.fetch import FetchHandler
from kbroker.api.fetch_session import FetchSessionCache
from kbroker.api.log_readers import LogReaders
from kbroker.api.request import ConnectionInfo, RequestContext
from kbroker.clock import ManualClock
from kbroker.ipc.event_loop import Timer
from kbroker.metadata.image import MetadataImage, TopicState
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.fetch import (
    FetchPartition,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    PartitionData,
    ReplicaState,
)
from kbroker.protocol.record_batch import BatchBuilder, iterate_batch_headers
from kbroker.shared.partition_table import PartitionRow, PartitionRowState
from kbroker.storage.log import Log
from kbroker.storage.log_config import LogConfig
from kbroker.storage.log_reader import FileSlice, read_bytes
from kbroker.types import TopicPartition

VERSIONS = range(4, 19)
NOW_MS = 5_000


class Loop:
    """Time and timers that the test moves."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS
        self.timers: list[Timer] = []

    def call_at(self, deadline_ms: int, callback: Callable[[], None]) -> Timer:
        timer = Timer(deadline_ms, callback)
        self.timers.append(timer)
        return timer

    def advance(self, milliseconds: int) -> None:
        self.now_ms += milliseconds
        for timer in sorted(self.timers, key=lambda timer: timer.deadline_ms):
            callback = timer.callback
            if callback is not None and timer.deadline_ms <= self.now_ms:
                timer.callback = None
                callback()


class Block:
    def __init__(self, data: bytes) -> None:
        self.view = memoryview(data)
        self.position = 0


class Fetched:
    """A Fetch request and what came of it."""

    def __init__(self, request: FetchRequest, version: int) -> None:
        body = request.encode(version)
        self.answers = 0
        self.context = RequestContext(1, version, 1, "c", Block(body), 0, len(body))  # type: ignore[arg-type]
        self.context.bind(ConnectionInfo("PLAINTEXT", "h", 1, "/c"), self._answered)

    def _answered(self, _context: RequestContext) -> None:
        self.answers += 1

    @property
    def response(self) -> FetchResponse:
        assert self.answers == 1
        data = b"".join(
            read_bytes(part) if isinstance(part, FileSlice) else bytes(part)  # type: ignore[arg-type]
            for part in self.context.parts or ()
        )
        response, end = FetchResponse.decode(memoryview(data), self.context.api_version)
        assert end == len(data)
        return response

    @property
    def partitions(self) -> dict[int, PartitionData]:
        return {part.partition_index: part for topic in self.response.responses for part in topic.partitions}

    def offsets(self, index: int = 0) -> list[int]:
        """Return the base offsets of the whole batches a partition sent."""
        records = bytes(self.partitions[index].records or b"")
        offsets, end = [], 0
        for header in iterate_batch_headers(records):
            offsets.append(header.base_offset)
            end = header.position + header.size_bytes
        assert end <= len(records)
        return offsets


class Served:
    """Topic `t` of three partitions on disk, their owner, and the handler."""

    def __init__(self, world: Any, directory: str) -> None:
        self.world = world
        self.directory = directory
        self.topic: TopicState = world.add_topic("t", 3)
        self.logs = [
            Log.open(f"{directory}/t-{index}", TopicPartition("t", index), LogConfig(), clock=ManualClock())
            for index in range(3)
        ]
        self.loop = Loop()
        self.interest = memoryview(bytearray(64))
        self.readers = LogReaders(world.partitions, [directory], 16)
        self.sessions = FetchSessionCache(10)
        self.handler = FetchHandler(self.loop, world.view, self.readers, self.interest, self.sessions, 1 << 20)  # type: ignore[arg-type]
        for index in range(3):
            self.publish(index)

    def publish(self, index: int, **changes: Any) -> None:
        row = self.logs[index].row()._replace(leader_epoch=3, **changes)
        self.world.partitions.publish(self.topic.partitions[index].row, row)

    def write(self, index: int = 0, value: bytes = b"v" * 32, *, tell: bool = False) -> int:
        """Append a batch, publish, and tell who waits; return its size."""
        builder = BatchBuilder()
        builder.append(None, value, 1000)
        data = builder.build()
        log = self.logs[index]
        log.stage(memoryview(bytearray(data)), 3, 1000)
        log.write_staged()
        self.publish(index)
        if tell:
            self.handler.advanced([self.topic.partitions[index].row])
        return len(data)

    def ask(
        self, *indexes: int, version: int = 12, offset: int = 0, min_bytes: int = 1, max_wait_ms: int = 0, **fields: Any
    ) -> Fetched:
        limits = {name: fields.pop(name) for name in list(fields) if name in FetchPartition.__annotations__}
        limits.setdefault("partition_max_bytes", 1 << 20)
        fields.setdefault("max_bytes", 1 << 20)
        fields.setdefault("session_epoch", -1)
        request = FetchRequest(
            min_bytes=min_bytes,
            max_wait_ms=max_wait_ms,
            topics=[
                FetchTopic(
                    topic="t",
                    topic_id=self.topic.topic_id,
                    partitions=[FetchPartition(partition=i, fetch_offset=offset, **limits) for i in indexes],
                )
            ]
            if indexes
            else [],
            **fields,
        )
        fetched = Fetched(request, version)
        self.handler.handle(fetched.context)
        return fetched

    def close(self) -> None:
        for log in self.logs:
            log.close()


@pytest.fixture
def served(world: Any, tmp_path: Path) -> Any:
    served = Served(world, str(tmp_path))
    yield served
    served.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_records_come_as_slices_of_the_file(served: Served, version: int) -> None:
    for _ in range(3):
        served.write()
    fetched = served.ask(0, version=version, offset=1)
    assert fetched.offsets() == [1, 2]
    data = fetched.partitions[0]
    assert (data.error_code, data.high_watermark, data.last_stable_offset) == (0, 3, 3)
    assert data.log_start_offset == (0 if version >= 5 else -1)
    assert any(isinstance(part, FileSlice) for part in fetched.context.parts or ())
    if version >= 13:
        assert fetched.response.responses[0].topic_id == served.topic.topic_id


def test_the_first_batch_goes_out_whole_past_every_limit(served: Served) -> None:
    """KIP-74: a consumer whose limits are smaller than a batch makes progress; the others of the answer stay empty."""
    for index in (1, 2):
        served.write(index, b"x" * 5000)
        served.write(index)
    fetched = served.ask(0, 1, 2, max_bytes=100, partition_max_bytes=50)
    assert fetched.offsets(1) == [0]
    assert not fetched.partitions[0].records
    assert not fetched.partitions[2].records
    assert fetched.partitions[2].error_code == 0


@pytest.mark.parametrize("limits", [{"max_bytes": 0}, {"max_bytes": -1}, {"partition_max_bytes": 0}])
def test_limits_of_nothing_get_one_batch_all_the_same(served: Served, limits: dict[str, int]) -> None:
    served.write()
    served.write()
    assert served.ask(0, **limits).offsets() == [0]


def test_limits_hold_over_all_partitions(served: Served) -> None:
    sizes = {served.write(index) for index in range(3) for _ in range(3)}
    size = sizes.pop()
    fetched = served.ask(0, 1, 2, max_bytes=2 * size, partition_max_bytes=size)
    assert [len(fetched.partitions[index].records or b"") for index in range(3)] == [size, size, 0]


def test_the_brokers_own_limit_holds(served: Served) -> None:
    size = served.write()
    for _ in range(4):
        served.write()
    served.handler._max_bytes = 2 * size
    assert len(served.ask(0).partitions[0].records or b"") == 2 * size


@pytest.mark.parametrize(
    ("isolation_level", "offsets"), [(0, [0, 1, 2]), (1, [0, 1])], ids=["read_uncommitted", "read_committed"]
)
def test_nothing_beyond_what_the_reader_may_see(served: Served, isolation_level: int, offsets: list[int]) -> None:
    for _ in range(4):
        served.write()
    served.publish(0, high_watermark=3, last_stable_offset=2)
    fetched = served.ask(0, isolation_level=isolation_level)
    assert fetched.offsets() == offsets
    assert (fetched.partitions[0].aborted_transactions is None) == (isolation_level == 0)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        pytest.param({"offset": 5}, ErrorCode.OFFSET_OUT_OF_RANGE, id="past the end"),
        pytest.param({"offset": -1}, ErrorCode.OFFSET_OUT_OF_RANGE, id="below the start"),
        pytest.param({"current_leader_epoch": 2}, ErrorCode.FENCED_LEADER_EPOCH, id="the client's epoch is old"),
        pytest.param({"current_leader_epoch": 4}, ErrorCode.UNKNOWN_LEADER_EPOCH, id="ours is old"),
        pytest.param({"replica_id": 99}, ErrorCode.NOT_LEADER_OR_FOLLOWER, id="no replica of it"),
        pytest.param(
            {"replica_state": ReplicaState(replica_id=99, replica_epoch=1), "version": 15},
            ErrorCode.NOT_LEADER_OR_FOLLOWER,
            id="no replica of it, since version 15",
        ),
    ],
)
def test_errors_are_told_per_partition_and_at_once(served: Served, fields: dict[str, Any], code: int) -> None:
    served.write()
    fetched = served.ask(0, max_wait_ms=10_000, min_bytes=1 << 20, **fields)
    assert fetched.partitions[0].error_code == code
    assert fetched.partitions[0].high_watermark == -1


@pytest.mark.parametrize("version", [12, 13])
def test_unknown_topics_and_partitions(served: Served, version: int) -> None:
    assert served.ask(7, version=version).partitions[7].error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    request = FetchRequest(
        session_epoch=-1,
        topics=[FetchTopic(topic="nope", topic_id=b"?" * 16, partitions=[FetchPartition(partition=0)])],
    )
    fetched = Fetched(request, version)
    served.handler.handle(fetched.context)
    unknown = ErrorCode.UNKNOWN_TOPIC_ID if version >= 13 else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert fetched.partitions[0].error_code == unknown


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (PartitionRowState.OFFLINE, ErrorCode.KAFKA_STORAGE_ERROR),
        (PartitionRowState.UNKNOWN, ErrorCode.LEADER_NOT_AVAILABLE),
    ],
)
def test_a_log_that_cannot_be_used_fails_alone(served: Served, state: PartitionRowState, code: int) -> None:
    served.write(1)
    served.world.partitions.publish(served.topic.partitions[0].row, PartitionRow(state=state))
    fetched = served.ask(0, 1)
    assert fetched.partitions[0].error_code == code
    assert fetched.offsets(1) == [0]


def test_a_disk_that_cannot_be_read_is_a_storage_error(served: Served) -> None:
    """The process must live on, and the other partitions be served."""
    served.write(0)
    served.write(1)
    log = Path(served.directory, "t-0", "00000000000000000000.log")
    log.rename(log.with_suffix(".away"))
    os.symlink(log.name, log)
    fetched = served.ask(0, 1)
    assert fetched.partitions[0].error_code == ErrorCode.KAFKA_STORAGE_ERROR
    assert fetched.offsets(1) == [0]
    log.unlink()
    log.with_suffix(".away").rename(log)
    assert served.ask(0).offsets() == [0]


def test_files_that_are_gone_send_no_consumer_elsewhere(served: Served) -> None:
    """Out of range is only what retention took; this can be tried again."""
    served.write(0)
    shutil.rmtree(Path(served.directory, "t-0"))
    Path(served.directory, "t-0").mkdir()
    assert served.ask(0).partitions[0].error_code == ErrorCode.KAFKA_STORAGE_ERROR


def test_the_cluster_id_of_a_fetch_means_something_between_controllers_only(served: Served) -> None:
    assert served.ask(0, cluster_id="another").response.error_code == 0


def test_a_diverging_follower_is_told_where(served: Served) -> None:
    for _ in range(3):
        served.write()
    fetched = served.ask(0, offset=3, last_fetched_epoch=2, max_wait_ms=1000)
    assert fetched.partitions[0].diverging_epoch is not None
    assert fetched.partitions[0].diverging_epoch.epoch == 2
    assert fetched.partitions[0].diverging_epoch.end_offset == 0
    assert not fetched.partitions[0].records
    assert served.ask(0, offset=3, last_fetched_epoch=3, max_wait_ms=1000).answers == 0
    assert served.ask(0, offset=3, last_fetched_epoch=9).partitions[0].error_code == ErrorCode.OFFSET_OUT_OF_RANGE


# --- waiting --------------------------------------------------------------------------------------------------------


def test_a_fetch_waits_until_there_is_enough(served: Served) -> None:
    size = served.write()
    fetched = served.ask(0, 1, min_bytes=3 * size, max_wait_ms=1000)
    rows = [state.row for state in served.topic.partitions]
    assert fetched.answers == 0
    assert [served.interest[row] for row in rows] == [1, 1, 0]
    served.write(1, tell=True)
    assert fetched.answers == 0
    served.write(0, tell=True)
    assert fetched.offsets(0) == [0, 1]
    assert fetched.offsets(1) == [0]
    served.write(0, tell=True)
    served.write(1, tell=True)
    assert fetched.answers == 1
    assert not any(served.interest), "nobody waits for anything any more"


def test_a_fetch_gives_what_there_is_when_its_time_is_up(served: Served) -> None:
    fetched = served.ask(0, min_bytes=1 << 20, max_wait_ms=500)
    served.write(0, tell=True)
    served.loop.advance(499)
    assert fetched.answers == 0
    served.loop.advance(1)
    assert fetched.offsets() == [0]


def test_many_fetches_with_different_patience(served: Served) -> None:
    fetches = {wait: served.ask(0, max_wait_ms=wait) for wait in (500, 100, 300, 10_000)}
    for passed in (100, 200, 200, 9_500):
        served.loop.advance(passed)
        elapsed = served.loop.now_ms - NOW_MS
        assert {wait for wait, fetched in fetches.items() if fetched.answers} == {w for w in fetches if w <= elapsed}


def test_what_is_published_between_the_look_and_the_watch_is_not_missed(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner looked at the interest bytes before they were set: nobody will say "advanced" for this append."""
    original = served.handler._purgatory.try_complete_else_watch

    def publish_first(operation: Any, keys: Any) -> bool:
        served.write(0)
        return original(operation, keys)

    monkeypatch.setattr(
        type(served.handler._purgatory), "try_complete_else_watch", lambda _s, o, k: publish_first(o, k)
    )
    fetched = served.ask(0, max_wait_ms=10_000)
    assert fetched.offsets() == [0]
    assert not any(served.interest)


def test_a_hint_without_news_changes_nothing(served: Served) -> None:
    fetched = served.ask(0, max_wait_ms=1000)
    row = served.topic.partitions[0].row
    served.handler.advanced([row, row, 63])
    assert fetched.answers == 0
    assert served.interest[row] == 1


def test_a_client_that_went_away_is_forgotten(served: Served) -> None:
    fetched = served.ask(0, max_wait_ms=1000)
    other = served.ask(0, max_wait_ms=1000)
    row = served.topic.partitions[0].row
    for context in (fetched.context, other.context):
        assert context.abandoned is not None
    fetched.context.abandoned()  # type: ignore[misc]
    assert served.interest[row] == 1, "somebody else still waits"
    other.context.abandoned()  # type: ignore[misc]
    assert served.interest[row] == 0
    served.write(0, tell=True)
    served.loop.advance(2000)
    assert fetched.answers == other.answers == 0


def test_a_deleted_topic_ends_the_wait_with_an_error(served: Served) -> None:
    fetched = served.ask(0, max_wait_ms=10_000)
    image = served.world.view.image
    served.world.view.image = MetadataImage(image.version + 1, image.cluster_id, image.controller_id, image.brokers)
    served.handler.image_changed()
    assert fetched.partitions[0].error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_an_unrelated_change_of_the_image_does_not_end_the_wait(served: Served) -> None:
    fetched = served.ask(0, max_wait_ms=10_000)
    served.world.add_topic("another")
    served.handler.image_changed()
    assert fetched.answers == 0


def test_a_log_that_goes_offline_ends_the_wait(served: Served) -> None:
    fetched = served.ask(0, max_wait_ms=10_000)
    row = served.topic.partitions[0].row
    served.world.partitions.publish(row, PartitionRow(state=PartitionRowState.OFFLINE))
    served.handler.advanced([row])
    assert fetched.partitions[0].error_code == ErrorCode.KAFKA_STORAGE_ERROR


def test_a_stopping_broker_answers_all_who_wait(served: Served) -> None:
    fetches = [served.ask(index, max_wait_ms=10_000) for index in range(3)]
    served.handler.complete_all()
    assert [fetched.answers for fetched in fetches] == [1, 1, 1]
    served.loop.advance(20_000)


@pytest.mark.parametrize(("min_bytes", "max_wait_ms"), [(0, 1000), (1, 0), (1, -1)])
def test_who_does_not_want_to_wait_is_answered_at_once(served: Served, min_bytes: int, max_wait_ms: int) -> None:
    assert not served.ask(0, min_bytes=min_bytes, max_wait_ms=max_wait_ms).partitions[0].records


# --- sessions -------------------------------------------------------------------------------------------------------


def test_a_session_sends_only_what_changed(served: Served) -> None:
    first = served.ask(0, 1, session_epoch=0)
    session_id = first.response.session_id
    assert session_id
    assert set(first.partitions) == {0, 1}
    served.write(1)
    second = served.ask(session_id=session_id, session_epoch=1)
    assert second.response.session_id == session_id
    assert set(second.partitions) == {1}
    third = served.ask(session_id=session_id, session_epoch=2, max_wait_ms=100)
    assert third.offsets(1) == [0], "the client has not said that it wants to go on from elsewhere"
    fourth = served.ask(1, offset=1, session_id=session_id, session_epoch=3, max_wait_ms=100)
    assert fourth.answers == 0
    served.loop.advance(100)
    assert fourth.partitions == {}
    assert fourth.response.session_id == session_id


def test_an_error_and_its_end_are_both_told_within_a_session(served: Served) -> None:
    served.write(0)
    session_id = served.ask(0, offset=1, session_epoch=0).response.session_id
    row = served.topic.partitions[0].row
    served.world.partitions.publish(row, PartitionRow(state=PartitionRowState.OFFLINE))
    failed = served.ask(session_id=session_id, session_epoch=1)
    assert failed.partitions[0].error_code == ErrorCode.KAFKA_STORAGE_ERROR
    served.publish(0)
    back = served.ask(session_id=session_id, session_epoch=2)
    assert back.partitions[0].error_code == 0


def test_who_got_data_is_served_last_the_next_time(served: Served) -> None:
    """Otherwise a busy first partition would starve the others of a small response."""
    sizes = {served.write(index) for index in (0, 1, 2)}
    size = sizes.pop()
    first = served.ask(0, 1, 2, session_epoch=0, max_bytes=size)
    assert first.offsets(0) == [0]
    orders = []
    for epoch in (1, 2, 3):
        fetched = served.ask(session_id=first.response.session_id, session_epoch=epoch, max_bytes=size)
        orders.append(next(index for index, part in fetched.partitions.items() if part.records))
    assert orders == [1, 2, 0]


def test_a_session_error_is_told_for_the_whole_request(served: Served) -> None:
    fetched = served.ask(0, session_id=5, session_epoch=1)
    assert fetched.response.error_code == ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    assert not fetched.response.responses
