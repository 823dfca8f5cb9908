"""
Every message in every version: against itself, cut off anywhere, damaged, and against kio's reading of Kafka's tables.

kio knows what Kafka 4.3 still speaks; older versions are held by round trips and by the golden bytes at the end.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import io
import random
import types
import typing
from typing import Any

import kio.index
import pytest
from kio.serial import entity_reader, entity_writer
from random_messages import random_message, versions_of

from kbroker.errors import MalformedMessage
from kbroker.protocol.api_keys import API_VERSIONS, ApiKey
from kbroker.protocol.messages.consumer_protocol import ConsumerProtocolAssignment, ConsumerProtocolSubscription
from kbroker.protocol.messages.fetch import FetchRequest, FetchTopic
from kbroker.protocol.messages.metadata import MetadataRequest, MetadataRequestTopic
from kbroker.protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from kbroker.protocol.messages.produce import PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData
from kbroker.protocol.messages.registry import api_name, request_class, response_class
from kbroker.protocol.schema import Field, Message

ALL = [cls for key in API_VERSIONS for cls in (request_class(key), response_class(key))]
ALL += [ConsumerProtocolSubscription, ConsumerProtocolAssignment]


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
def test_what_was_encoded_is_decoded_in_every_version(cls: type[Message]) -> None:
    chance = random.Random(cls.__name__)
    for version in versions_of(cls):
        for message in [cls(), *(random_message(cls, version, chance) for _ in range(4))]:
            encoded = message.encode(version)
            assert cls.decode(encoded, version) == (message, len(encoded))
            assert cls.decode(b"??" + encoded + b"!", version, 2) == (message, len(encoded) + 2)
            assert b"".join(message.encode_parts(version)) == encoded  # type: ignore[arg-type]


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
def test_a_message_cut_off_anywhere_is_malformed(cls: type[Message]) -> None:
    chance = random.Random(cls.__name__)
    for version in versions_of(cls):
        encoded = memoryview(random_message(cls, version, chance).encode(version))
        step = max(1, len(encoded) // 150)
        for end in range(0, len(encoded), step):
            with pytest.raises(MalformedMessage):
                cls.decode(encoded[:end], version)


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
def test_damage_is_at_worst_malformed(cls: type[Message]) -> None:
    chance = random.Random(cls.__name__)
    for version in versions_of(cls):
        encoded = random_message(cls, version, chance).encode(version)
        for _ in range(30):
            damaged = bytearray(encoded)
            for _ in range(chance.randint(1, 3)):
                if damaged:
                    damaged[chance.randrange(len(damaged))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
            try:
                _, end = cls.decode(damaged, version)
            except MalformedMessage:
                continue
            assert end <= len(damaged)


def test_header_table_and_message_tables_agree() -> None:
    assert set(API_VERSIONS) == set(ApiKey)
    for key, versions in API_VERSIONS.items():
        assert api_name(key).upper() == ApiKey(key).name.replace("_", "")
        for cls in (request_class(key), response_class(key)):
            assert (key, versions) == (cls.API_KEY, (*(cls.VERSIONS or ()), cls.FLEXIBLE_SINCE))


# What follows compares with kio.


def kio_classes(key: int, version: int) -> list[tuple[Any, type[Message]]]:
    try:
        return [
            (kio.index.load_request_schema(key, version), request_class(key)),
            (kio.index.load_response_schema(key, version), response_class(key)),
        ]
    except (kio.index.KioIndexError, KeyError):
        return []


def kio_layout(cls: Any) -> list[Any]:
    """Return what kio knows of the class's fields, in the terms of our tables."""
    layout = []
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        hint, nullable = without_none(hints[field.name])
        is_array = typing.get_origin(hint) is tuple
        if is_array:
            hint, _ = without_none(typing.get_args(hint)[0])
        kind = field.metadata.get("kafka_type")
        if kind == "datetime_i64" or (kind == "uuid" and not is_array):
            nullable = False  # kio's way to say -1 and "all zero"
        inner = kio_layout(hint) if dataclasses.is_dataclass(hint) else None
        kind = {"error_code": "int16", "timedelta_i32": "int32", "timedelta_i64": "int64", "datetime_i64": "int64"}.get(
            kind, kind
        )
        kind = {"bool": "boolean", "records": "bytes", None: "struct"}.get(kind, kind)
        layout.append((field.name, is_array, kind, nullable, field.metadata.get("tag", -1), inner))
    return layout


def without_none(hint: Any) -> tuple[Any, bool]:
    if typing.get_origin(hint) not in {types.UnionType, typing.Union}:
        return hint, False
    left = [part for part in typing.get_args(hint) if part is not type(None)]
    return (left[0] if len(left) == 1 else hint), len(left) < len(typing.get_args(hint))


def our_layout(cls: Any, version: int) -> list[Any]:
    layout = []
    for field in cls.FIELDS:
        if field.in_version(version):
            is_array = field.kind == "array"
            element = field.element if is_array or field.kind == "struct" else field
            is_struct = isinstance(element, type)
            layout.append(
                (
                    field.name,
                    is_array,
                    "struct" if is_struct else element.kind,
                    field.is_nullable(version),
                    field.tag if field.is_tagged(version) else -1,
                    our_layout(element, version) if is_struct else None,
                )
            )
    return layout


def same_names(ours: list[Any], theirs: list[Any]) -> list[Any]:
    """Return their layout with Kafka's names where kio has its own."""
    renamed = []
    for position, (name, *rest, inner) in enumerate(theirs):
        mine = ours[position] if position < len(ours) else ("", None)
        name = name.removesuffix("_").replace("k_raft", "kraft")
        if mine[0] == f"{name}_ms":
            name = mine[0]
        renamed.append((name, *rest, same_names(mine[-1] or [], inner) if inner is not None else None))
    return renamed


@pytest.mark.parametrize("key", API_VERSIONS, ids=lambda key: key.name)
def test_tables_say_what_kio_says(key: int) -> None:
    for version in range(API_VERSIONS[key].lowest, API_VERSIONS[key].highest + 1):
        for theirs, cls in kio_classes(key, version):
            ours = our_layout(cls, version)
            assert ours == same_names(ours, kio_layout(theirs)), (cls, version)


def test_no_version_that_kio_knows_is_missing() -> None:
    for key in kio.index.api_key_map:
        for version in range(30):
            if kio_classes(key, version):
                assert API_VERSIONS[key].lowest <= version <= API_VERSIONS[key].highest


@pytest.mark.parametrize("key", API_VERSIONS, ids=lambda key: key.name)
def test_kio_reads_and_writes_the_same_bytes(key: int) -> None:
    chance = random.Random(int(key))
    for version in range(API_VERSIONS[key].lowest, API_VERSIONS[key].highest + 1):
        for theirs, cls in kio_classes(key, version):
            for _ in range(3):
                message = random_message(cls, version, chance, tame=True)
                encoded = message.encode(version)
                read, size = entity_reader(theirs)(encoded, 0)
                assert size == len(encoded)
                assert_same_values(message, read, version)
                written = io.BytesIO()
                entity_writer(theirs)(written, read)
                assert same_values_sent(cls, written.getvalue(), message, version)


def assert_same_values(ours: Any, theirs: Any, version: int) -> None:
    present = [field for field in ours.FIELDS if field.in_version(version)]
    for field, their_field in zip(present, dataclasses.fields(theirs), strict=True):
        mine, value = getattr(ours, field.name), getattr(theirs, their_field.name)
        if mine is not None or not dataclasses.is_dataclass(value):  # kio makes up a struct that was not sent
            assert_same(mine, value, version)


def assert_same(mine: Any, value: Any, version: int) -> None:
    if isinstance(mine, Message):
        assert_same_values(mine, value, version)
    elif isinstance(mine, list):
        for one, other in zip(mine, value, strict=True):
            assert_same(one, other, version)
    elif isinstance(value, dt.timedelta):
        assert value == dt.timedelta(milliseconds=mine)
    elif isinstance(value, dt.datetime):
        assert value.timestamp() * 1000 == mine
    elif isinstance(mine, bytes) and value is not None and not isinstance(value, bytes):
        assert value.bytes == mine
    elif isinstance(mine, bytes) and len(mine) == 16 and value is None:
        assert mine == bytes(16)
    else:
        assert value == mine


def same_values_sent(cls: type[Message], written: bytes, message: Message, version: int) -> bool:
    """Return whether kio's bytes mean our message; only a struct equal to its defaults may be left out by kio."""
    decoded, end = cls.decode(written, version)
    assert end == len(written)
    return decoded.encode(version) == message.encode(version) or any(
        field.is_tagged(version) for field in all_fields(cls) if field.kind == "struct"
    )


def all_fields(cls: Any) -> list[Field]:
    fields = list(cls.FIELDS)
    for field in cls.FIELDS:
        if isinstance(field.element, type):
            fields += all_fields(field.element)
    return fields


# Golden bytes of versions that kio lacks.


def test_produce_version_0_has_neither_transactional_id_nor_throttle_time() -> None:
    wire = bytes.fromhex("0001 000005dc 00000001 0001 74 00000001 00000003 00000002 abcd")
    request = ProduceRequest(
        acks=1,
        timeout_ms=1500,
        topic_data=[
            TopicProduceData(name="t", partition_data=[PartitionProduceData(index=3, records=memoryview(b"\xab\xcd"))])
        ],
    )
    assert ProduceRequest.decode(wire, 0) == (request, len(wire))
    assert request.encode(0) == wire
    assert ProduceResponse(throttle_time_ms=5).encode(0) == bytes(4)


def test_fetch_version_0_ends_after_the_topics() -> None:
    wire = bytes.fromhex("ffffffff 00000064 00000001 00000001 0001 74 00000001 00000000 0000000000000007 00001000")
    request, end = FetchRequest.decode(wire, 0)
    assert end == len(wire)
    assert (request.replica_id, request.max_wait_ms, request.min_bytes) == (-1, 100, 1)
    assert request.max_bytes == 0x7FFFFFFF
    assert isinstance(request.topics[0], FetchTopic)
    assert request.topics[0].partitions[0].fetch_offset == 7
    assert request.topics[0].partitions[0].partition_max_bytes == 4096
    assert request.encode(0) == wire


def test_metadata_version_0_asks_for_all_topics_with_an_empty_list_and_version_1_with_null() -> None:
    assert MetadataRequest.decode(bytes(4), 0)[0].topics == []
    assert MetadataRequest.decode(b"\xff\xff\xff\xff", 1)[0].topics is None
    assert MetadataRequest(topics=[MetadataRequestTopic(name="t")]).encode(1) == bytes.fromhex("00000001 0001 74")


def test_offset_commit_version_1_has_a_timestamp_per_partition() -> None:
    wire = bytes.fromhex(
        "0001 67 00000002 0001 6d 00000001 0001 74 00000001 00000000 0000000000000009 00000000000003e8 ffff"
    )
    partition = OffsetCommitRequestPartition(
        partition_index=0, committed_offset=9, commit_timestamp=1000, committed_metadata=None
    )
    request = OffsetCommitRequest(
        group_id="g",
        generation_id_or_member_epoch=2,
        member_id="m",
        topics=[OffsetCommitRequestTopic(name="t", partitions=[partition])],
    )
    assert OffsetCommitRequest.decode(wire, 1) == (request, len(wire))
    assert request.encode(1) == wire
