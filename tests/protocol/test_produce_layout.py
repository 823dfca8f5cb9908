"""The hot path's reader and writer agree with the general codec, and no request can confuse them."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kbroker.errors import MalformedMessage
from kbroker.protocol.messages.produce import (
    BatchIndexAndErrorMessage,
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
    TopicProduceResponse,
)
from kbroker.protocol.produce_layout import (
    ProduceResult,
    Refusal,
    encode_one,
    encode_one_head,
    encode_produce_response,
    read_produce_layout,
)

VERSIONS = range(14)
INT16 = st.integers(-(1 << 15), (1 << 15) - 1)
INT32 = st.integers(-(1 << 31), (1 << 31) - 1)
INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
NAMES = st.text(min_size=1, max_size=20)
IDS = st.binary(min_size=16, max_size=16)
RECORDS = st.one_of(st.none(), st.binary(max_size=300))
TOPICS = st.lists(st.tuples(NAMES, IDS, st.lists(st.tuples(INT32, RECORDS), max_size=4)), max_size=4)
REFUSALS = st.builds(
    Refusal, st.text(max_size=200), st.lists(st.tuples(INT32, st.text(max_size=200)), max_size=3).map(tuple)
)
RESULTS = st.lists(
    st.builds(ProduceResult, INT32, INT16, INT64, INT64, INT64, st.one_of(st.none(), REFUSALS)), max_size=4
)


def request(topics: list[tuple[str, bytes, list[tuple[int, bytes | None]]]], version: int, **fields: Any) -> bytes:
    data = [
        TopicProduceData(
            name=name,
            topic_id=topic_id,
            partition_data=[
                PartitionProduceData(index=index, records=None if records is None else memoryview(records))
                for index, records in partitions
            ],
        )
        for name, topic_id, partitions in topics
    ]
    return ProduceRequest(topic_data=data, **fields).encode(version)


SMALL = {
    version: request([("t1", bytes(range(16)), [(0, b"abc"), (1, None)]), ("t2", bytes(16), [(5, b"")])], version)
    for version in VERSIONS
}


@pytest.mark.parametrize("version", VERSIONS)
@given(topics=TOPICS, acks=INT16, timeout_ms=INT32, transactional_id=st.one_of(st.none(), st.text(max_size=20)))
def test_a_request_reads_as_the_general_codec_wrote_it(
    version: int, topics: Any, acks: int, timeout_ms: int, transactional_id: str | None
) -> None:
    body = request(topics, version, acks=acks, timeout_ms=timeout_ms, transactional_id=transactional_id)
    buffer = memoryview(b"before" + body + b"after")
    layout = read_produce_layout(buffer, version, 6, 6 + len(body))
    assert (layout.acks, layout.timeout_ms) == (acks, timeout_ms)
    assert layout.transactional_id == (transactional_id if version >= 3 else None)
    seen = [
        (
            name,
            [(p.partition, None if p.size_bytes < 0 else bytes(buffer[p.position :][: p.size_bytes])) for p in parts],
        )
        for name, parts in layout.topics
    ]
    assert seen == [
        (topic_id if version >= 13 else name, [(index, records) for index, records in partitions])
        for name, topic_id, partitions in topics
    ]


@pytest.mark.parametrize("version", VERSIONS)
@given(topics=st.lists(st.tuples(NAMES, IDS, RESULTS), max_size=3))
def test_a_response_is_byte_for_byte_what_the_general_codec_writes(version: int, topics: Any) -> None:
    expected = ProduceResponse(
        responses=[
            TopicProduceResponse(
                name=name,
                topic_id=topic_id,
                partition_responses=[
                    PartitionProduceResponse(
                        index=result.partition,
                        error_code=result.error_code,
                        base_offset=result.base_offset,
                        log_append_time_ms=result.log_append_time_ms,
                        log_start_offset=result.log_start_offset,
                        error_message=None if result.refusal is None else result.refusal.message or None,
                        record_errors=[
                            BatchIndexAndErrorMessage(batch_index=index, batch_index_error_message=reason)
                            for index, reason in ([] if result.refusal is None else result.refusal.records)
                        ],
                    )
                    for result in results
                ],
            )
            for name, topic_id, results in topics
        ]
    ).encode(version)
    own = [(topic_id if version >= 13 else name, results) for name, topic_id, results in topics]
    assert encode_produce_response(version, own) == expected


@pytest.mark.parametrize("version", VERSIONS)
def test_a_request_cut_off_anywhere_is_malformed(version: int) -> None:
    """Bytes behind the frame belong to somebody else: they must never be taken for its own."""
    whole = SMALL[version]
    buffer = memoryview(whole + bytes(100))
    for end in range(len(whole)):
        with pytest.raises(MalformedMessage):
            read_produce_layout(buffer, version, 0, end)


@pytest.mark.parametrize("version", VERSIONS)
@given(place=st.integers(0, 200), change=st.binary(min_size=1, max_size=6))
def test_no_change_of_bytes_does_more_than_make_it_malformed(version: int, place: int, change: bytes) -> None:
    body = bytearray(SMALL[version])
    place %= len(body)
    body[place : place + len(change)] = change
    try:
        layout = read_produce_layout(memoryview(body), version, 0, len(body))
    except MalformedMessage:
        with pytest.raises(MalformedMessage):
            ProduceRequest.decode(memoryview(body), version)
        return
    assert len(layout.topics) == len(ProduceRequest.decode(memoryview(body), version)[0].topic_data)
    for _, partitions in layout.topics:
        for partition in partitions:
            assert 0 <= partition.position <= len(body)
            assert partition.position + max(0, partition.size_bytes) <= len(body)


@pytest.mark.parametrize("count", [2**31 - 1, 1000])
@pytest.mark.parametrize("version", [0, 8])
def test_array_bombs_of_plain_versions_are_refused_at_once(version: int, count: int) -> None:
    head = (struct.pack(">h", -1) if version >= 3 else b"") + struct.pack(">hi", 1, 1000)
    bombs = [
        head + struct.pack(">i", count) + bytes(50),
        head + struct.pack(">ih", 1, 1) + b"t" + struct.pack(">i", count) + bytes(50),
        head + struct.pack(">ih", 1, 1) + b"t" + struct.pack(">iii", 1, 0, count) + bytes(50),
    ]
    for bomb in bombs:
        with pytest.raises(MalformedMessage):
            read_produce_layout(memoryview(bomb), version, 0, len(bomb))


@pytest.mark.parametrize("number", [b"\xff\xff\xff\xff\x0f", b"\xff\xff\xff\xff\xff\xff", b"\xe8\x07"])
@pytest.mark.parametrize("version", [9, 13])
def test_array_bombs_of_flexible_versions_are_refused_at_once(version: int, number: bytes) -> None:
    head = b"\0" + struct.pack(">hi", 1, 1000)
    topic = bytes(range(16)) if version >= 13 else b"\x02t"
    bombs = [
        head + number + bytes(50),
        head + b"\x02" + topic + number + bytes(50),
        head + b"\x02" + topic + b"\x02" + bytes(4) + number + bytes(50),
        head + b"\x02" + topic + b"\x02" + bytes(4) + b"\x01" + number + bytes(50),
        head + b"\x02" + topic + b"\x02" + bytes(4) + b"\x01\x01\x05" + number + bytes(50),
        number[:-1] + b"\x7f" + bytes(50),
    ]
    for bomb in bombs:
        with pytest.raises(MalformedMessage):
            read_produce_layout(memoryview(bomb), version, 0, len(bomb))


@pytest.mark.parametrize("version", [9, 12, 13])
def test_unknown_tagged_fields_are_skipped_at_every_level(version: int) -> None:
    tags = b"\x02\x05\x03abc\xff\x01\x00"
    topic = bytes(range(16)) if version >= 13 else b"\x02t"
    body = b"\0" + struct.pack(">hi", 1, 7) + b"\x02" + topic + b"\x02" + struct.pack(">i", 4) + b"\x04xyz"
    body += tags + tags + tags
    layout = read_produce_layout(memoryview(body), version, 0, len(body))
    ((_, (partition,)),) = layout.topics
    assert body[partition.position :][: partition.size_bytes] == b"xyz"
    assert partition.partition == 4


def test_a_topic_name_that_is_no_utf_8_reads_as_kafka_reads_it() -> None:
    for version in (3, 9):
        body = SMALL[version].replace(b"t1", b"\xff1")
        assert read_produce_layout(memoryview(body), version, 0, len(body)).topics[0][0] == "\ufffd1"


@pytest.mark.parametrize("version", range(3, 14))
@given(name=NAMES, topic_id=IDS, index=INT32, appended=st.tuples(INT16, INT64, INT64, INT64))
def test_the_short_way_to_answer_for_one_partition_writes_the_same_bytes(
    version: int, name: str, topic_id: bytes, index: int, appended: tuple[int, int, int, int]
) -> None:
    topic = topic_id if version >= 13 else name
    whole = encode_produce_response(version, [(topic, [ProduceResult(index, *appended)])])
    assert encode_one(version, encode_one_head(version, topic), index, appended) == whole
