"""Requests from plain values, and the state that scenarios need before they ask anything."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastcrc import crc32

from differential.actions import Steps, Until
from differential.world import World
from kbroker.protocol.api_keys import ApiKey
from kbroker.protocol.field import Field
from kbroker.protocol.messages import registry
from kbroker.protocol.record_batch import BatchBuilder
from kbroker.protocol.schema import Message

UNKNOWN_ID: Final = bytes(range(16))
"""A topic id that nobody has."""

TIMEOUT_MS: Final = 30_000


def request(api: int, **values: Any) -> Message:
    """Return an API's request; structs are mappings. Raises KeyError for a field that the table lacks."""
    return _message(registry.request_class(api), values)


def _message(cls: Any, values: Mapping[str, Any]) -> Message:
    fields: dict[str, Field] = {field.name: field for field in cls.FIELDS}
    made: Message = cls(**{name: _value(fields[name], value) for name, value in values.items()})
    return made


def _value(field: Field, value: Any) -> Any:
    element = field.element
    if value is None or element is None or isinstance(element, Field):
        return value
    if field.kind == "struct":
        return _message(element, value)
    return [_message(element, one) for one in value]


# State


def create_topic(
    world: World, name: str, partitions: int = 1, configs: Mapping[str, str] | None = None, replication_factor: int = 1
) -> Steps:
    """Create a topic, wait until each partition answers, note its id; return the id."""
    yield Until(
        request(
            ApiKey.CREATE_TOPICS,
            topics=[
                {
                    "name": name,
                    "num_partitions": partitions,
                    "replication_factor": replication_factor,
                    "configs": [{"name": key, "value": value} for key, value in (configs or {}).items()],
                }
            ],
            timeout_ms=TIMEOUT_MS,
        ),
        4,
        lambda answer: answer.topics[0].error_code in {0, 36},
        f"creating {name}",
    )
    return (yield from wait_for_topic(world, name, partitions))


def wait_for_topic(world: World, name: str, partitions: int = 1) -> Steps:
    """Wait until each partition of a topic answers, note its id; return the id."""
    answer = yield Until(
        request(ApiKey.METADATA, topics=[{"name": name}], allow_auto_topic_creation=False),
        10,
        lambda answer: answer.topics[0].error_code == 0 and len(answer.topics[0].partitions) == partitions,
        f"metadata of {name}",
    )
    yield Until(
        request(
            ApiKey.LIST_OFFSETS,
            replica_id=-1,
            topics=[
                {
                    "name": name,
                    "partitions": [{"partition_index": index, "timestamp": -1} for index in range(partitions)],
                }
            ],
        ),
        4,
        lambda answer: all(row.error_code == 0 for row in answer.topics[0].partitions),
        f"leaders of {name}",
    )
    topic_id = bytes(answer.topics[0].topic_id)
    world.note(topic_id, f"<id of {name}>")
    return topic_id


def append(topic: str, records: bytes, partition: int = 0) -> Steps:
    """Append a batch to a partition."""
    yield Until(
        request(
            ApiKey.PRODUCE,
            acks=-1,
            timeout_ms=TIMEOUT_MS,
            topic_data=[{"name": topic, "partition_data": [{"index": partition, "records": records}]}],
        ),
        9,
        lambda answer: answer.responses[0].partition_responses[0].error_code == 0,
        f"records for {topic}",
    )


def await_coordinator(group: str) -> Steps:
    """Wait until the group's coordinator answers."""
    yield Until(
        request(ApiKey.FIND_COORDINATOR, key=group, key_type=0),
        2,
        lambda answer: answer.error_code == 0,
        f"coordinator of {group}",
    )
    yield Until(
        request(ApiKey.OFFSET_FETCH, group_id=group, topics=None),
        5,
        lambda answer: answer.error_code == 0,
        f"group {group}",
    )


def await_transactions() -> Steps:
    """Wait until transactions have a coordinator and producer ids can be had, where there are transactions."""
    yield Until(
        request(ApiKey.INIT_PRODUCER_ID, transactional_id=None, transaction_timeout_ms=60_000),
        0,
        lambda answer: answer.error_code == 0,
        "producer ids",
    )
    yield Until(
        request(ApiKey.FIND_COORDINATOR, key="never-seen", key_type=1),
        2,
        lambda answer: answer.error_code == 0,
        "a coordinator of transactions",
        gives_up=True,
    )
    yield Until(
        request(ApiKey.END_TXN, transactional_id="never-seen", producer_id=5, producer_epoch=1, committed=True),
        0,
        lambda answer: answer.error_code not in {14, 15, 16},
        "transactions",
        gives_up=True,
    )


# Batches

Row = tuple[bytes | None, bytes | None, int]
"""Key, value, timestamp."""

BASE_TIME: Final = 1_700_000_000_000


def rows(count: int, first_timestamp: int = BASE_TIME) -> list[Row]:
    """Return records with keys k0…, values v0… and timestamps a second apart."""
    return [(f"k{i}".encode(), f"v{i}".encode(), first_timestamp + 1000 * i) for i in range(count)]


def batch(records: Sequence[Row] | int = 3, **header: Any) -> bytes:
    """Return a batch of these records, or of so many; `header` as BatchBuilder takes it."""
    builder = BatchBuilder(**header)
    for key, value, timestamp in rows(records) if isinstance(records, int) else records:
        builder.append(key, value, timestamp)
    return builder.build()


_PLACES: Final = {
    "base_offset": (0, ">q"), "length": (8, ">i"), "leader_epoch": (12, ">i"), "magic": (16, ">b"), "crc": (17, ">I"),
    "attributes": (21, ">h"), "last_offset_delta": (23, ">i"), "base_timestamp": (27, ">q"),
    "max_timestamp": (35, ">q"),
    "producer_id": (43, ">q"), "producer_epoch": (51, ">h"), "base_sequence": (53, ">i"), "record_count": (57, ">i"),
}  # fmt: skip


def changed(data: bytes, *, fix_crc: bool = True, **values: int) -> bytes:
    """Return a batch with header fields overwritten; the checksum is made right again unless it is one of them."""
    result = bytearray(data)
    for name, value in values.items():
        place, kind = _PLACES[name]
        struct.pack_into(kind, result, place, value)
    if fix_crc and "crc" not in values:
        struct.pack_into(">I", result, 17, crc32.iscsi(bytes(result[21:])))
    return bytes(result)
