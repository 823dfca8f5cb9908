"""
A producer's next request is known by its beginning: it must be served exactly as if all of it had been read, and
whatever differs must be read in full.
"""

from __future__ import annotations

import gc
import types
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kbroker.api.produce import ProduceHandler, ProduceLimits
from kbroker.api.request import ConnectionInfo, RequestContext, Shortcut
from kbroker.clock import ManualClock
from kbroker.errors import MalformedMessage
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.headers import decode_request_header, encode_request_header
from kbroker.protocol.messages.produce import PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData
from kbroker.protocol.produce_layout import read_produce_layout
from kbroker.protocol.record_batch import BatchBuilder

VERSIONS = [3, 7, 8, 9, 11, 13]
NOW_MS = 1_700_000_000_000
LIMITS = ProduceLimits(100_000, 1 << 20, 1, None, 3_600_000, compacted=False, compacted_only=False)
BEFORE = b"something before the frame"
BEHIND = bytes(100)
"""The block goes on behind the frame."""


class Block:
    """A frame in the arena."""

    def __init__(self, frame: bytes) -> None:
        self.view = memoryview(bytearray(BEFORE + frame + BEHIND))
        self.position = 1 << 20
        self.references = 1

    def retain(self) -> None:
        self.references += 1

    def release(self) -> None:
        self.references -= 1


class Channel:
    """Keeps appends."""

    def __init__(self) -> None:
        self.appends: list[Any] = []

    def append(self, *append: Any) -> None:
        self.appends.append(append)


class Producer:
    """Sends requests over one connection; the first is read in full and leaves a shortcut."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.limits = LIMITS
        self.channel = Channel()
        self.handler = ProduceHandler(
            world.view, self.channel, ManualClock(NOW_MS), lambda _topic: self.limits, lambda _row: 7
        )  # type: ignore[arg-type]

    def read(self, frame: bytes) -> RequestContext:
        """Read a frame in full."""
        block = Block(frame)
        end = len(BEFORE) + len(frame)
        header = decode_request_header(block.view[:end], len(BEFORE))
        context = RequestContext(
            header.api_key,
            header.api_version,
            header.correlation_id,
            header.client_id,
            block,  # type: ignore[arg-type]
            header.body_position,
            end,
        )
        context.header_position = len(BEFORE)
        context.bind(ConnectionInfo("PLAINTEXT", "h", 1, "/c"), lambda _context: None)
        return context

    def shortcut(self, frame: bytes) -> Shortcut:
        """Have a frame served and return the shortcut it leaves."""
        context = self.read(frame)
        self.handler.handle(context)
        assert context.shortcut is not None
        return context.shortcut

    def recognise(self, shortcut: Shortcut, frame: bytes) -> RequestContext | None:
        context = shortcut.recognise(Block(frame), len(BEFORE), len(BEFORE) + len(frame))  # type: ignore[arg-type]
        if context is not None:
            context.bind(ConnectionInfo("PLAINTEXT", "h", 1, "/c"), lambda _context: None)
        return context


@pytest.fixture
def producer(world: Any) -> Producer:
    world.add_topic("t", 3)
    world.add_topic("u", 3)
    return Producer(world)


def batch(values: int = 1, timestamp: int = NOW_MS) -> bytes:
    builder = BatchBuilder()
    for number in range(values):
        builder.append(b"k", b"value %d" % number, timestamp)
    return builder.build()


def frame(
    world: Any,
    version: int,
    *,
    correlation_id: int = 1,
    client_id: str | None = "client",
    topic: str = "t",
    partition: int = 0,
    acks: int = 1,
    timeout_ms: int = 1500,
    records: bytes | None = None,
) -> bytes:
    data = PartitionProduceData(index=partition, records=memoryview(batch() if records is None else records))
    body = ProduceRequest(
        acks=acks,
        timeout_ms=timeout_ms,
        topic_data=[
            TopicProduceData(name=topic, topic_id=world.view.image.topics[topic].topic_id, partition_data=[data])
        ],
    ).encode(version)
    return encode_request_header(0, version, correlation_id, client_id) + body


def appended(producer: Producer, context: RequestContext) -> Any:
    """Return the one append as it was asked for, without the callback, its position relative to the frame."""
    (append,) = producer.channel.appends
    producer.channel.appends.clear()
    assert context.block.references == 2, "the records must stay where they are until they are written"
    return append[:4]


def error_code(context: RequestContext) -> int:
    """Return what the only partition was answered."""
    assert context.parts is not None
    response, _ = ProduceResponse.decode(context.parts[0], context.api_version)  # type: ignore[arg-type]
    (result,) = response.responses[0].partition_responses
    return int(result.error_code)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("values", [1, 2, 20, 2000])
def test_the_next_request_of_a_producer_is_recognised_and_served_alike(
    producer: Producer, version: int, values: int
) -> None:
    """Whatever its correlation id and its records, and however long they are."""
    shortcut = producer.shortcut(frame(producer.world, version, acks=-1))
    producer.channel.appends.clear()
    following = frame(producer.world, version, correlation_id=99, acks=-1, records=batch(values))
    known = producer.recognise(shortcut, following)
    assert known is not None
    shortcut.handle(known)
    in_short = appended(producer, known)
    read = producer.read(following)
    producer.handler.handle(read)
    assert in_short == appended(producer, read)
    for name in ("api_key", "api_version", "correlation_id", "client_id", "end"):
        assert getattr(known, name) == getattr(read, name), name


@pytest.mark.parametrize("version", [3, 9])
@pytest.mark.parametrize(
    "other",
    [{"client_id": "cliens"}, {"client_id": None}, {"acks": 0}, {"timeout_ms": 1501}, {"topic": "u"}, {"partition": 1}],
    ids=str,
)
def test_one_that_begins_otherwise_is_read_in_full_and_known_from_then_on(
    producer: Producer, version: int, other: dict[str, Any]
) -> None:
    shortcut = producer.shortcut(frame(producer.world, version))
    different = frame(producer.world, version, **other)
    assert producer.recognise(shortcut, different) is None
    its_own = producer.shortcut(different)
    producer.channel.appends.clear()
    known = producer.recognise(its_own, different)
    assert known is not None
    its_own.handle(known)
    partition = producer.world.view.image.topics[other.get("topic", "t")].partitions[other.get("partition", 0)]
    ((_, acks, timeout_ms, ((row, _, _),), _),) = producer.channel.appends
    assert (acks, timeout_ms, row) == (other.get("acks", 1), other.get("timeout_ms", 1500), partition.row)


def test_another_version_is_read_in_full(producer: Producer) -> None:
    shortcut = producer.shortcut(frame(producer.world, 9))
    assert producer.recognise(shortcut, frame(producer.world, 10)) is None


@pytest.mark.parametrize("version", VERSIONS)
def test_what_holds_more_than_records_behind_its_beginning_is_read_in_full(producer: Producer, version: int) -> None:
    usual = frame(producer.world, version)
    shortcut = producer.shortcut(usual)
    assert producer.recognise(shortcut, usual) is not None
    assert producer.recognise(shortcut, usual + b"\0") is None
    for cut in range(1, 100):
        assert producer.recognise(shortcut, usual[:-cut]) is None
    if version >= 9:
        for tags in range(1, 4):
            tagged = bytearray(usual)
            tagged[-tags] = 1
            assert producer.recognise(shortcut, bytes(tagged)) is None


def test_what_was_known_under_an_earlier_image_is_looked_up_again(producer: Producer) -> None:
    shortcut = producer.shortcut(frame(producer.world, 9))
    producer.limits = ProduceLimits(10, 1 << 20, 1, None, None, compacted=False, compacted_only=False)
    producer.world.add_topic("another")
    context = producer.recognise(shortcut, frame(producer.world, 9))
    assert context is not None
    shortcut.handle(context)
    assert error_code(context) == ErrorCode.MESSAGE_TOO_LARGE


def test_what_is_known_keeps_no_earlier_image_alive(producer: Producer) -> None:
    """Thousands of producers, each remembered under another image, must not keep thousands of images."""
    shortcut = producer.shortcut(frame(producer.world, 9))
    context = producer.recognise(shortcut, frame(producer.world, 9))
    assert context is not None
    shortcut.handle(context)
    earlier = producer.world.view.image
    producer.world.add_topic("another")
    other = producer.shortcut(frame(producer.world, 9, client_id="other"))
    assert other is not None
    assert not [held for held in gc.get_referrers(earlier) if not isinstance(held, types.FrameType)]


def test_a_batch_that_is_damaged_is_refused_in_a_request_that_was_recognised(producer: Producer) -> None:
    shortcut = producer.shortcut(frame(producer.world, 13))
    producer.channel.appends.clear()
    damaged = bytearray(batch())
    damaged[-1] ^= 1
    context = producer.recognise(shortcut, frame(producer.world, 13, records=bytes(damaged)))
    assert context is not None
    shortcut.handle(context)
    assert error_code(context) == ErrorCode.CORRUPT_MESSAGE
    assert not producer.channel.appends


def test_what_is_remembered_is_bounded(producer: Producer) -> None:
    for number in range(5_000):
        producer.shortcut(frame(producer.world, 9, client_id=f"client {number:9}"))
        producer.channel.appends.clear()
    assert len(producer.handler._known) <= 4_096
    long = producer.read(frame(producer.world, 9, client_id="c" * 1000))
    producer.handler.handle(long)
    assert long.shortcut is None


@settings(max_examples=600, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    version=st.sampled_from(VERSIONS),
    changes=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=3),
    extra=st.binary(max_size=4),
    cut=st.integers(0, 8),
)
def test_who_is_recognised_would_have_been_read_alike(
    producer: Producer, version: int, changes: list[tuple[int, int]], extra: bytes, cut: int
) -> None:
    usual = frame(producer.world, version)
    shortcut = producer.shortcut(usual)
    producer.channel.appends.clear()
    changed = bytearray(usual[: len(usual) - cut] + extra)
    for position, value in changes:
        if position < len(changed):
            changed[position] = value
    known = producer.recognise(shortcut, bytes(changed))
    if known is None:
        return
    try:
        read = producer.read(bytes(changed))
        layout = read_produce_layout(read.buffer, version, read.position, read.end)
    except MalformedMessage as error:
        pytest.fail(f"recognised, but malformed: {error}")
    ((_, ((_, position, size),)),) = layout.topics
    assert (known.position, known.size_bytes) == (position, size)  # type: ignore[attr-defined]
    assert known.correlation_id == read.correlation_id
    assert (layout.acks, layout.timeout_ms) == (1, 1500)
