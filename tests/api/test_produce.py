"""Each partition's batch is checked here, appended by its owner, answered in its place."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from kbroker.api.produce import ProduceHandler, ProduceLimits
from kbroker.api.request import ConnectionInfo, RequestContext
from kbroker.clock import ManualClock
from kbroker.errors import MalformedMessage
from kbroker.ipc.commands import MAX_APPEND_ENTRIES, AppendResult
from kbroker.metadata.image import PartitionState
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.produce import PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData
from kbroker.protocol.record_batch import BatchBuilder

VERSIONS = range(14)
ARENA_POSITION = 1 << 20
NOW_MS = 1_700_000_000_000
LOG_START = 700
HOUR_MS = 3_600_000


class Block:
    """A request in the arena, and who counts on it."""

    def __init__(self, data: bytes) -> None:
        self.view = memoryview(data)
        self.position = ARENA_POSITION
        self.references = 1

    def retain(self) -> None:
        self.references += 1

    def release(self) -> None:
        self.references -= 1


class Owners:
    """Keeps appends; the test answers."""

    def __init__(self) -> None:
        self.appends: list[tuple[int, int, int, list[tuple[int, int, int]], Callable[[Any], None]]] = []

    def append(self, io_index: int, acks: int, timeout_ms: int, entries: Any, done: Any) -> None:
        self.appends.append((io_index, acks, timeout_ms, entries, done))

    def answer(self, results: list[AppendResult] | None = None) -> None:
        for _, _, _, entries, done in self.appends:
            done(results or [AppendResult(0, row * 100, -1, row) for row, _, _ in entries])
        self.appends.clear()


class Asked:
    """A Produce request and what came of it."""

    def __init__(
        self, world: Any, partitions: list[tuple[str, int, bytes | None]], version: int, acks: int, **fields: Any
    ) -> None:
        topics: dict[str, list[PartitionProduceData]] = {}
        for name, index, records in partitions:
            data = PartitionProduceData(index=index, records=None if records is None else memoryview(records))
            topics.setdefault(name, []).append(data)
        known = world.view.image.topics
        body = ProduceRequest(
            acks=acks,
            timeout_ms=1500,
            topic_data=[
                TopicProduceData(
                    name=name, topic_id=known[name].topic_id if name in known else b"?" * 16, partition_data=data
                )
                for name, data in topics.items()
            ],
            **fields,
        ).encode(version)
        self.block = Block(b"head" + body)
        self.answers = 0
        self.context = RequestContext(0, version, 1, fields.get("client_id", "c"), self.block, 4, 4 + len(body))  # type: ignore[arg-type]
        self.context.bind(ConnectionInfo("PLAINTEXT", "h", 1, "/c"), self._answered)

    def _answered(self, _context: RequestContext) -> None:
        self.answers += 1

    def results(self) -> dict[tuple[str | bytes, int], Any]:
        """Return what each partition was answered."""
        assert self.answers == 1
        assert self.block.references == 1, "the memory is let go of"
        parts = self.context.parts
        assert parts is not None
        (data,) = parts
        response, end = ProduceResponse.decode(data, self.context.api_version)  # type: ignore[arg-type]
        assert end == len(data)  # type: ignore[arg-type]
        return {
            (topic.topic_id if self.context.api_version >= 13 else topic.name, part.index): part
            for topic in response.responses
            for part in topic.partition_responses
        }

    def code(self) -> int:
        """Return the only partition's error code."""
        (result,) = self.results().values()
        return int(result.error_code)


def batch(value: bytes = b"value", key: bytes | None = b"k", timestamp: int = NOW_MS, **fields: Any) -> bytes:
    builder = BatchBuilder(**fields)
    builder.append(key, value, timestamp)
    return builder.build()


LIMITS = ProduceLimits(
    max_message_bytes=1000,
    segment_bytes=1 << 20,
    min_insync_replicas=1,
    past_ms=None,
    future_ms=3_600_000,
    compacted=False,
    compacted_only=False,
)


class Produced:
    """The handler, its surroundings, and the limits every topic has."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.owners = Owners()
        self.limits = LIMITS
        self.clock = ManualClock(NOW_MS)
        self.handler = ProduceHandler(
            world.view,
            self.owners,  # type: ignore[arg-type]
            self.clock,
            lambda _topic: self.limits,
            lambda _row: LOG_START,
        )

    def ask(self, *partitions: tuple[str, int, bytes | None], version: int = 9, acks: int = 1, **fields: Any) -> Asked:
        asked = Asked(self.world, list(partitions), version, acks, **fields)
        self.handler.handle(asked.context)
        return asked


@pytest.fixture
def produced(world: Any) -> Produced:
    return Produced(world)


@pytest.mark.parametrize("version", [v for v in VERSIONS if v >= 3])
def test_records_are_named_to_their_owner_where_they_lie(produced: Produced, version: int) -> None:
    topic = produced.world.add_topic("t")
    records = batch()
    asked = produced.ask(("t", 0, records), version=version, acks=-1)
    ((io_index, acks, timeout_ms, entries, _),) = produced.owners.appends
    assert (acks, timeout_ms) == (-1, 1500)
    assert io_index == produced.world.view.owner(topic, topic.partitions[0])
    ((row, position, size),) = entries
    assert row == topic.partitions[0].row
    start = position - ARENA_POSITION
    assert bytes(asked.block.view[start : start + size]) == records
    assert asked.answers == 0
    assert asked.block.references == 2, "the records must stay where they are until they are written"
    produced.owners.answer([AppendResult(0, 42, 43, 7)])
    (result,) = asked.results().values()
    assert (result.error_code, result.base_offset) == (0, 42)
    assert result.log_append_time_ms == 43
    assert result.log_start_offset == (7 if version >= 5 else -1)


@pytest.mark.parametrize("version", [0, 1, 2])
def test_old_formats_are_listed_and_refused(produced: Produced, version: int) -> None:
    produced.world.add_topic("t")
    assert produced.ask(("t", 0, batch()), version=version).code() == ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT


@pytest.mark.parametrize("version", [9, 13])
def test_each_partition_gets_its_own_answer_in_its_own_place(produced: Produced, version: int) -> None:
    """Two owners, an unknown topic, an unknown partition and a bad batch in one request."""
    topic = produced.world.add_topic("t", 8)
    broken = bytearray(batch())
    broken[-1] ^= 1
    asked = produced.ask(
        *[("t", index, batch()) for index in range(8)],
        ("t", 8, batch()),
        ("t", -1, batch()),
        ("nowhere", 0, batch()),
        ("t", 5, bytes(broken)),
        version=version,
    )
    assert len(produced.owners.appends) == 2, "one command per owner"
    for io_index, _, _, entries, done in reversed(produced.owners.appends):
        assert all(produced.world.view.owner(topic, topic.partitions[row]) == io_index for row, _, _ in entries)
        done([AppendResult(0, row * 100, -1, 0) for row, _, _ in entries])
    parts = asked.context.parts
    assert parts is not None
    response, _ = ProduceResponse.decode(parts[0], version)  # type: ignore[arg-type]
    first, second = response.responses
    assert [(part.index, part.error_code) for part in first.partition_responses] == [
        *[(index, 0) for index in range(8)],
        (8, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (-1, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (5, ErrorCode.CORRUPT_MESSAGE),
    ]
    assert [part.base_offset for part in first.partition_responses[:8]] == [
        topic.partitions[index].row * 100 for index in range(8)
    ]
    unknown = ErrorCode.UNKNOWN_TOPIC_ID if version >= 13 else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert [part.error_code for part in second.partition_responses] == [unknown]
    assert asked.block.references == 1


@pytest.mark.parametrize("acks", [0, 1, -1])
def test_when_an_owner_dies_the_client_is_hung_up_on_once_all_have_answered(produced: Produced, acks: int) -> None:
    """Whether the batches were written is not known; a client that loses its connection sends all anew, in order."""
    produced.world.add_topic("t", 8)
    asked = produced.ask(*[("t", index, batch()) for index in range(8)], acks=acks)
    (_, _, _, _, first_done), (_, _, _, entries, second_done) = produced.owners.appends
    first_done(None)
    assert asked.answers == 0
    second_done([AppendResult(0, 1, 1, 1)] * len(entries))
    assert asked.answers == 1
    assert asked.context.closes is not None
    assert asked.block.references == 1


def test_what_the_owner_says_is_passed_on(produced: Produced) -> None:
    produced.world.add_topic("t")
    asked = produced.ask(("t", 0, batch()))
    produced.owners.answer([AppendResult(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, -1, -1, -1)])
    assert asked.code() == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER


@pytest.mark.parametrize(
    ("records", "fields", "limits", "code"),
    [
        pytest.param(None, {}, {}, ErrorCode.INVALID_RECORD, id="null records"),
        pytest.param(b"", {}, {}, ErrorCode.INVALID_RECORD, id="no batch"),
        pytest.param(batch()[:-1], {}, {}, ErrorCode.INVALID_RECORD, id="cut off"),
        pytest.param(batch() + batch(), {}, {}, ErrorCode.INVALID_RECORD, id="two batches"),
        pytest.param(batch(b"x" * 2000), {}, {}, ErrorCode.MESSAGE_TOO_LARGE, id="too large"),
        pytest.param(batch(), {"acks": 2}, {}, ErrorCode.INVALID_REQUIRED_ACKS, id="acks"),
        pytest.param(batch(), {"transactional_id": "x"}, {}, ErrorCode.INVALID_TXN_STATE, id="transactional id"),
        pytest.param(
            batch(is_transactional=True, producer_id=1, producer_epoch=0, base_sequence=0),
            {},
            {},
            ErrorCode.INVALID_TXN_STATE,
            id="transactional batch",
        ),
        pytest.param(batch(timestamp=NOW_MS + 3_700_000), {}, {}, ErrorCode.INVALID_TIMESTAMP, id="from the future"),
        pytest.param(batch(timestamp=NOW_MS - 10), {}, {"past_ms": 5}, ErrorCode.INVALID_TIMESTAMP, id="from the past"),
        pytest.param(
            batch(key=None), {}, {"compacted": True}, ErrorCode.INVALID_RECORD, id="no key in a compacted topic"
        ),
        pytest.param(
            batch(), {"acks": -1}, {"min_insync_replicas": 2}, ErrorCode.NOT_ENOUGH_REPLICAS, id="too few replicas"
        ),
    ],
)
def test_what_is_refused_here(
    produced: Produced, records: bytes | None, fields: dict[str, Any], limits: dict[str, Any], code: int
) -> None:
    produced.world.add_topic("t")
    produced.limits = ProduceLimits(
        **{name: limits.get(name, getattr(LIMITS, name)) for name in ProduceLimits.__dataclass_fields__}
    )
    asked = produced.ask(("t", 0, records), **fields)
    assert asked.code() == code
    assert not produced.owners.appends


def test_a_partition_led_elsewhere_is_refused(produced: Produced) -> None:
    produced.world.add_topic("t", leader=6)
    assert produced.ask(("t", 0, batch())).code() == ErrorCode.NOT_LEADER_OR_FOLLOWER


def test_a_new_image_counts_at_once(produced: Produced) -> None:
    """What was found under the old image may not outlive it."""
    topic = produced.world.add_topic("t")
    produced.ask(("t", 0, batch()))
    produced.owners.answer()
    moved = PartitionState(0, topic.partitions[0].row, 6, 4, 0, (6,), (6,))
    produced.world.put(type(topic)("t", topic.topic_id, (moved,), {}, internal=False))
    assert produced.ask(("t", 0, batch())).code() == ErrorCode.NOT_LEADER_OR_FOLLOWER


def test_clients_do_not_write_to_internal_topics(produced: Produced) -> None:
    produced.world.add_topic("__consumer_offsets")
    assert produced.ask(("__consumer_offsets", 0, batch())).code() == ErrorCode.INVALID_TOPIC_EXCEPTION


@pytest.mark.parametrize("failed", [False, True], ids=["written", "failed"])
def test_without_acks_nothing_is_answered_but_an_error_hangs_up(produced: Produced, failed: bool) -> None:
    produced.world.add_topic("t")
    asked = produced.ask(("t", 0, batch()), acks=0)
    assert asked.answers == 0
    produced.owners.answer([AppendResult(ErrorCode.KAFKA_STORAGE_ERROR if failed else 0, 1, 1, 1)])
    assert asked.answers == 1
    assert asked.context.parts == []
    assert asked.block.references == 1
    assert (asked.context.closes is not None) == failed
    if failed:
        assert "KAFKA_STORAGE_ERROR" in str(asked.context.closes)


def test_a_request_without_partitions_is_answered_at_once(produced: Produced) -> None:
    assert produced.ask().results() == {}


def test_a_request_with_more_partitions_than_a_command_holds_is_sent_in_several(produced: Produced) -> None:
    """One completion must fit into a record of the ring, or no answer of that owner would ever come through again."""
    produced.world.io_workers = produced.world.view.io_workers = 1
    produced.world.add_topic("t")
    count = 2 * MAX_APPEND_ENTRIES + 1
    records = batch()
    asked = produced.ask(*[("t", 0, records)] * count)
    assert [len(append[3]) for append in produced.owners.appends] == [MAX_APPEND_ENTRIES, MAX_APPEND_ENTRIES, 1]
    for number, (_, _, _, entries, done) in enumerate(produced.owners.appends):
        assert asked.answers == 0
        done([AppendResult(0, number, -1, 0)] * len(entries))
    response, _ = ProduceResponse.decode(asked.context.parts[0], 9)  # type: ignore[index,arg-type]
    offsets = [part.base_offset for part in response.responses[0].partition_responses]
    assert offsets == [0] * MAX_APPEND_ENTRIES + [1] * MAX_APPEND_ENTRIES + [2]


def test_a_malformed_request_leaves_nothing_behind(produced: Produced) -> None:
    produced.world.add_topic("t")
    asked = Asked(produced.world, [("t", 0, batch())], 9, 1)
    asked.context.end -= 3
    with pytest.raises(MalformedMessage):
        produced.handler.handle(asked.context)
    assert asked.block.references == 1
    assert not produced.owners.appends


def several(*records: tuple[bytes | None, int], **fields: Any) -> bytes:
    builder = BatchBuilder(**fields)
    for key, timestamp in records:
        builder.append(key, b"value", timestamp)
    return builder.build()


@pytest.mark.parametrize("version", [8, 9, 12])
@pytest.mark.parametrize("compression", [0, 1])
def test_every_bad_record_of_a_refused_batch_is_named(produced: Produced, version: int, compression: int) -> None:
    """The producer fails those records and can send the others again (KIP-467)."""
    produced.world.add_topic("t")
    produced.limits = dataclasses.replace(LIMITS, compacted=True, past_ms=HOUR_MS)
    late, early = NOW_MS + HOUR_MS + 1, NOW_MS - HOUR_MS - 1
    records = several(
        (b"k", NOW_MS),
        (None, NOW_MS),
        (b"k", late),
        (b"", NOW_MS),
        (None, late),
        (b"k", early),
        compression=compression,
    )
    (result,) = produced.ask(("t", 0, records), version=version).results().values()
    named = {bad.batch_index: bad.batch_index_error_message for bad in result.record_errors}
    assert list(named) == [1, 2, 4, 5]
    assert "no key" in named[1]
    assert str(late) in named[2]
    assert "no key" in named[4]
    assert str(early) in named[5]
    assert result.error_code == ErrorCode.INVALID_TIMESTAMP, "which outweighs a missing key"
    assert "record 1: it has no key" in result.error_message
    assert "and 1 more" in result.error_message


def test_missing_keys_alone_make_a_batch_invalid(produced: Produced) -> None:
    produced.world.add_topic("t")
    produced.limits = dataclasses.replace(LIMITS, compacted=True)
    (result,) = produced.ask(("t", 0, several((None, NOW_MS), (b"k", NOW_MS)))).results().values()
    assert result.error_code == ErrorCode.INVALID_RECORD
    assert [bad.batch_index for bad in result.record_errors] == [0]


def test_what_is_wrong_with_a_batch_as_a_whole_names_no_record(produced: Produced) -> None:
    produced.world.add_topic("t")
    (result,) = produced.ask(("t", 0, batch(base_offset=3, timestamp=NOW_MS + 2 * HOUR_MS))).results().values()
    assert result.error_code == ErrorCode.INVALID_RECORD
    assert result.record_errors == []


@pytest.mark.parametrize(
    ("records", "limits", "log_start"),
    [
        pytest.param(batch(key=None), {"compacted": True}, LOG_START, id="no key"),
        pytest.param(batch(timestamp=NOW_MS + 2 * HOUR_MS), {}, LOG_START, id="timestamp"),
        pytest.param(batch(base_offset=3), {}, LOG_START, id="base offset"),
        pytest.param(batch(), {"min_insync_replicas": 2}, LOG_START, id="replicas"),
        pytest.param(batch()[:-1], {}, -1, id="torn"),
        pytest.param(batch()[:-1] + b"?", {}, -1, id="checksum"),
        pytest.param(batch(b"x" * 2000), {}, -1, id="too large"),
    ],
)
def test_a_refusal_tells_where_the_log_starts_where_kafka_does(
    produced: Produced, records: bytes, limits: dict[str, Any], log_start: int
) -> None:
    produced.world.add_topic("t")
    produced.limits = dataclasses.replace(LIMITS, **limits)
    (result,) = produced.ask(("t", 0, records), acks=-1).results().values()
    assert result.error_code
    assert (result.base_offset, result.log_start_offset) == (-1, log_start)


def test_timestamps_are_held_against_the_time_it_is(produced: Produced) -> None:
    """The handler notes the time now and then only; that must neither refuse nor let through what it should not."""
    produced.world.add_topic("t")
    produced.ask(("t", 0, batch()))
    produced.clock.advance(10 * HOUR_MS)
    produced.handler.look_at_clock()
    produced.ask(("t", 0, batch(timestamp=NOW_MS + 11 * HOUR_MS)))
    assert len(produced.owners.appends) == 2
    refused = produced.ask(("t", 0, batch(timestamp=NOW_MS + 11 * HOUR_MS + 1)))
    assert refused.code() == ErrorCode.INVALID_TIMESTAMP
    produced.clock.advance(-10 * HOUR_MS)
    produced.handler.look_at_clock()
    refused = produced.ask(("t", 0, batch(timestamp=NOW_MS + HOUR_MS + 1)))
    assert refused.code() == ErrorCode.INVALID_TIMESTAMP
