"""Tables become messages that can be built, compared, shown, encoded and decoded, and that trust no length."""

from __future__ import annotations

import time
import tracemalloc
from typing import NamedTuple

import pytest

from kbroker.errors import KafkaError, MalformedMessage
from kbroker.protocol.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from kbroker.protocol.messages.fetch import (
    EpochEndOffset,
    FetchableTopicResponse,
    FetchRequest,
    FetchResponse,
    PartitionData,
    ReplicaState,
)
from kbroker.protocol.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from kbroker.protocol.messages.metadata import MetadataRequest, MetadataRequestTopic, MetadataResponse
from kbroker.protocol.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from kbroker.protocol.primitives import unsigned_varint
from kbroker.protocol.schema import (
    Message,
    array,
    boolean,
    bytes_,
    float64,
    int8,
    int16,
    int32,
    int64,
    string,
    struct,
    uint16,
    uint32,
    uuid,
)
from kbroker.types import Buffer, Uuid


class Point(Message):
    """A part of Everything."""

    x: int = int32()
    y: int = int32(since=2, default=-1)


class Everything(Message, versions=(0, 3), flexible=2):
    """One field of each kind, as records inside partitions have them: without an API."""

    flag: bool = boolean()
    tiny: int = int8()
    small: int = int16()
    unsigned: int = uint16()
    medium: int = int32(default=7)
    wide: int = uint32()
    large: int = int64()
    ratio: float = float64()
    identity: Uuid = uuid()
    name: str = string()
    note: str | None = string(nullable_since=1, default=None)
    payload: Buffer = bytes_()
    numbers: list[int] | None = array(int64(), nullable_since=1)
    names: list[str] = array(string())
    points: list[Point] = array(Point)
    point: Point = struct(Point)
    other_point: Point | None = struct(Point, nullable_since=0)
    gone: int = int32(until=1, default=5)
    rack: str | None = string(since=2, nullable_since=2, tag=0, default=None)
    racks: list[str] = array(string(), since=2, tag=1)
    tagged_point: Point | None = struct(Point, since=2, tag=2)
    level: int = int16(since=1, tag=3, tagged_since=3, default=9)


def everything() -> Everything:
    return Everything(
        flag=True,
        tiny=-1,
        small=-2,
        unsigned=65535,
        medium=-3,
        wide=2**32 - 1,
        large=-4,
        ratio=0.5,
        identity=bytes(range(16)),
        name="größer",
        note="n",
        payload=b"abc",
        numbers=[1, -1],
        names=["", "b"],
        points=[Point(x=1), Point(x=2)],
        point=Point(x=3),
        other_point=Point(x=4),
    )


def test_fields_not_named_have_their_defaults() -> None:
    message = Everything()
    assert (message.medium, message.name, message.note, message.numbers, message.gone) == (7, "", None, [], 5)
    assert message.point == Point(x=0, y=-1)
    assert message.other_point is None
    assert message.tagged_point is None


def test_lists_and_structs_of_two_messages_are_not_shared() -> None:
    first, second = Everything(), Everything()
    first.points.append(Point())
    first.point.x = 9
    assert second.points == []
    assert second.point.x == 0


def test_a_name_that_is_no_field_is_refused() -> None:
    for _ in range(2):  # the first construction compiles the constructor
        with pytest.raises(TypeError, match="acks_"):
            ProduceRequest(acks_=1)  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        Everything().nope = 1  # type: ignore[attr-defined]


def test_messages_are_equal_by_class_and_value_and_show_their_fields() -> None:
    assert Point(x=1) == Point(x=1)
    assert Point(x=1) != Point(x=2)
    assert Point(x=1) != (1, -1)
    assert repr(Point(x=1)) == "Point(x=1, y=-1)"
    assert "payload=<5000 bytes>" in repr(Everything(payload=bytes(5000)))


@pytest.mark.parametrize("version", range(4))
def test_every_kind_of_field_comes_back(version: int) -> None:
    message = everything()
    if version < 2:
        for point in (*message.points, message.point, message.other_point):
            assert point is not None
            point.y = -1
    encoded = message.encode(version)
    assert Everything.decode(encoded, version) == (message, len(encoded))


def test_nulls_come_back() -> None:
    for version in (1, 2, 3):
        message = Everything(note=None, numbers=None, other_point=None)
        assert Everything.decode(message.encode(version), version)[0] == message


def test_a_value_for_a_field_the_version_lacks_is_dropped() -> None:
    message = Everything(note="", rack="r", level=3, gone=4)
    assert Everything.decode(message.encode(0), 0)[0] == Everything(note="", gone=4)
    assert Everything.decode(message.encode(1), 1)[0] == Everything(note="", gone=4, level=3)
    assert Everything.decode(message.encode(3), 3)[0] == Everything(note="", rack="r", level=3)


def test_tagged_fields_are_sent_only_when_they_say_something() -> None:
    plain = Everything().encode(3)
    assert plain.endswith(b"\0")
    for message, tagged in (
        (Everything(rack=""), "000101"),
        (Everything(racks=["a"]), "0103020261"),
        (Everything(level=8), "03020008"),
        (Everything(tagged_point=Point(x=1, y=2)), "0209000000010000000200"),
    ):
        assert message.encode(3) == plain[:-1] + b"\1" + bytes.fromhex(tagged)
        assert Everything.decode(message.encode(3), 3)[0] == message


def test_unknown_tagged_fields_are_skipped() -> None:
    unknown = unsigned_varint(77) + unsigned_varint(300) + bytes(300)
    encoded = ApiVersionsRequest(client_software_name="c", client_software_version="1").encode(3)
    message, end = ApiVersionsRequest.decode(encoded[:-1] + b"\1" + unknown, 3)
    assert message.client_software_name == "c"
    assert end == len(encoded) + len(unknown)

    encoded = Everything(rack="r").encode(3)
    with_both = encoded.removesuffix(b"\1\0\2\2r") + b"\2" + unknown + b"\0\2\2r"
    assert Everything.decode(with_both, 3) == (Everything(rack="r"), len(with_both))


def test_a_tagged_field_that_lies_about_its_size_is_malformed() -> None:
    encoded = Everything(rack="r").encode(3)
    with pytest.raises(MalformedMessage, match="rack"):
        Everything.decode(encoded.removesuffix(b"\1\0\2\2r") + b"\1\0\3\2r\0", 3)
    with pytest.raises(MalformedMessage, match="tagged"):
        Everything.decode(encoded.removesuffix(b"\1\0\2\2r") + b"\1\0\x7f\2r", 3)


def test_records_and_bytes_are_views_into_the_buffer() -> None:
    data = PartitionProduceData(index=0, records=memoryview(b"r" * 9000))
    request = ProduceRequest(topic_data=[TopicProduceData(name="t", partition_data=[data])])
    for version in (3, 9):
        buffer = bytearray(request.encode(version))
        decoded, _ = ProduceRequest.decode(memoryview(buffer), version)
        records = decoded.topic_data[0].partition_data[0].records
        assert records is not None
        assert records.obj is buffer
        buffer[buffer.index(b"rrrr")] = ord("R")
        assert records[0] == ord("R")


def test_large_payloads_are_parts_of_their_own_and_not_copied() -> None:
    payload = bytearray(b"r" * 9000)
    response = FetchResponse(
        responses=[
            FetchableTopicResponse(
                partitions=[
                    PartitionData(records=payload),
                    PartitionData(records=b"small"),
                    PartitionData(records=None),
                ]
            )
        ]
    )
    parts = response.encode_parts(12)
    assert parts[1] is payload
    assert len(parts) == 3


def test_a_payload_may_lie_elsewhere() -> None:
    class Slice(NamedTuple):
        fd: int
        size_bytes: int

    elsewhere = Slice(7, 100)
    response = FetchResponse(responses=[FetchableTopicResponse(partitions=[PartitionData(records=elsewhere)])])
    for version in (4, 12):
        parts = response.encode_parts(version)
        assert parts[1] is elsewhere
        parts[1] = bytes(100)
        decoded, _ = FetchResponse.decode(b"".join(parts), version)  # type: ignore[arg-type]
        assert decoded.responses[0].partitions[0].records == bytes(100)


def test_absent_tagged_structs_are_none() -> None:
    request, _ = FetchRequest.decode(FetchRequest(replica_state=ReplicaState(replica_id=3)).encode(15), 15)
    assert request.replica_state == ReplicaState(replica_id=3)
    assert FetchRequest.decode(FetchRequest().encode(15), 15)[0].replica_state is None
    partition = PartitionData(diverging_epoch=EpochEndOffset(epoch=2, end_offset=5))
    response = FetchResponse(responses=[FetchableTopicResponse(partitions=[partition])])
    decoded, _ = FetchResponse.decode(response.encode(12), 12)
    assert decoded.responses[0].partitions[0].diverging_epoch == EpochEndOffset(epoch=2, end_offset=5)
    assert decoded.responses[0].partitions[0].current_leader is None


@pytest.mark.parametrize(
    ("wire", "version"),
    [
        ("7fffffff", 1),  # topics
        ("80000000", 0),
        ("00000002 00", 1),
        ("ffffffff0f", 9),
        ("ffffffff0f" + "00" * 40, 9),
        ("fe01" + "00" * 40, 9),
        ("0100ffffffff0f", 0),
    ],
)
def test_a_count_beyond_the_bytes_left_fails_at_once(wire: str, version: int) -> None:
    MetadataRequest.prepare(version)
    buffer = bytes.fromhex(wire)
    tracemalloc.start()
    start = time.perf_counter()
    try:
        with pytest.raises(MalformedMessage):
            MetadataRequest.decode(buffer, version)
        assert time.perf_counter() - start < 0.5
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_count_of_tagged_fields_beyond_the_bytes_left_fails_at_once() -> None:
    for wire in ("0101ffffffff0f", "0101ffffffff0f00ffffffff0f"):
        with pytest.raises(MalformedMessage):
            ApiVersionsRequest.decode(bytes.fromhex(wire), 3)


@pytest.mark.parametrize(
    ("wire", "version", "message"),
    [
        ("", 0, r"ProduceRequest.acks to .* at byte 0 is cut off"),
        ("0001 00000001 00000001 ffff 00000000", 0, r"ProduceRequest.topic_data.name at byte 12 may not be null"),
        ("0001 00000001 00000001 0005 61 000000", 0, r"ProduceRequest.topic_data.name at byte 12 is cut off"),
        ("0001 00000001 00000001 2ee0" + "ff" * 12_000, 0, r"ProduceRequest.topic_data.name .* is no UTF-8 and longer"),
        ("0001 00000001 fffffffe", 0, r"ProduceRequest.topic_data at byte 10 may not be null"),
        ("00 0001 00000001 ffffffffff01", 9, r"ProduceRequest.topic_data .* varint longer than 5 bytes"),
        ("00 0001 00000001 ffffffff7f", 9, r"ProduceRequest.topic_data .* varint does not fit 32 bits"),
        ("00 0001 00000001 02 00", 9, r"ProduceRequest.topic_data.name .* may not be null|cut off"),
        ("00 0001 00000001 01 01 05", 9, r"ProduceRequest tagged fields .* is cut off"),
    ],
)
def test_malformed_messages_name_field_and_place(wire: str, version: int, message: str) -> None:
    with pytest.raises(MalformedMessage, match=message):
        ProduceRequest.decode(bytes.fromhex(wire), version)


@pytest.mark.parametrize("version", [1, 12], ids=["plain", "flexible"])
def test_strings_that_are_no_utf_8_are_read_as_kafka_reads_them(version: int) -> None:
    """Old clients send what their locale makes of a name; a second message with good names is read as ever."""
    good = MetadataRequest(topics=[MetadataRequestTopic(name="aXb"), MetadataRequestTopic(name="näme")])
    wire = good.encode(version)
    read, end = MetadataRequest.decode(wire.replace(b"aXb", b"a\xe9b"), version)
    assert [topic.name for topic in read.topics] == ["a\ufffdb", "näme"]
    assert end == len(wire)
    assert MetadataRequest.decode(wire, version)[0] == good


def test_versions_outside_the_table_are_refused_with_kafkas_code() -> None:
    for version in (-1, 99):
        with pytest.raises(KafkaError) as caught:
            ApiVersionsResponse().encode(version)
        assert caught.value.code == 35
        with pytest.raises(KafkaError):
            ApiVersionsRequest.decode(b"", version)


def test_a_part_of_a_message_has_no_encoding_of_its_own() -> None:
    with pytest.raises(TypeError, match="part"):
        Point().encode(0)


def test_values_a_field_cannot_hold_are_named() -> None:
    with pytest.raises(ValueError, match=r"Everything.name cannot be encoded"):
        Everything(name=None).encode(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"Everything.flag to Everything.name cannot be encoded"):
        Everything(tiny=1000, note="").encode(0)
    for version in (0, 3):
        with pytest.raises(ValueError, match=r"Everything.name|flag to Everything"):
            Everything(name="x" * 40000, note="").encode(version)
    with pytest.raises(ValueError, match=r"numbers"):
        Everything(numbers=None, note="").encode(0)


def test_strings_of_the_greatest_length_pass() -> None:
    for version in (0, 3):
        message = Everything(name="x" * 32767, note="", names=["y"] * 200)
        assert Everything.decode(message.encode(version), version)[0] == message


def test_any_buffer_can_be_decoded() -> None:
    protocol = JoinGroupRequestProtocol(name="range", metadata=b"\0\1")
    request = JoinGroupRequest(group_id="g", protocol_type="consumer", protocols=[protocol])
    encoded = request.encode(9)
    for buffer in (encoded, bytearray(encoded), memoryview(encoded), memoryview(bytearray(encoded))):
        assert JoinGroupRequest.decode(buffer, 9) == (request, len(encoded))


def test_prepare_compiles_ahead() -> None:
    MetadataResponse.prepare(12)
    assert MetadataResponse.decode(MetadataResponse(cluster_id="c").encode(12), 12)[0].cluster_id == "c"
