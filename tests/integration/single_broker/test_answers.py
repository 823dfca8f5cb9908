"""Answers to raw requests are those that Apache Kafka gives, down to codes, offsets and times."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from raw_connection import RawConnection

from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
)
from kbroker.protocol.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from kbroker.protocol.record_batch import BatchBuilder
from kbroker.testing import Broker

HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker({"num.network.threads": "1", "num.io.threads": "1"}) as running:
        yield running


@pytest.fixture
def client(broker: Broker) -> Iterator[RawConnection]:
    with RawConnection(broker.bootstrap_servers) as connection:
        yield connection


def batch(*timestamps: int, key: bytes | None = b"k", **fields: Any) -> bytes:
    builder = BatchBuilder(**fields)
    for timestamp in timestamps or (wall_ms(),):
        builder.append(key, b"value", timestamp)
    return builder.build()


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


def produce(client: RawConnection, topic: str, records: bytes, version: int = 9) -> Any:
    data = PartitionProduceData(index=0, records=memoryview(records))
    topic_data = [TopicProduceData(name=topic, partition_data=[data])]
    response = client.ask(ProduceRequest(acks=-1, timeout_ms=30_000, topic_data=topic_data), version)
    return response.responses[0].partition_responses[0]


def delete_records(client: RawConnection, topic: str, offset: int, timeout_ms: int = 30_000) -> Any:
    asked = DeleteRecordsTopic(name=topic, partitions=[DeleteRecordsPartition(partition_index=0, offset=offset)])
    response = client.ask(DeleteRecordsRequest(topics=[asked], timeout_ms=timeout_ms), 2)
    return response.topics[0].partitions[0]


def test_a_torn_batch_is_invalid_and_a_damaged_one_is_corrupt(broker: Broker, client: RawConnection) -> None:
    """Producers give the one up and send the other again."""
    broker.create_topic("torn")
    records = batch()
    for size in (1, 12, 17, 30, 61, len(records) - 1):
        assert produce(client, "torn", records[:size]).error_code == ErrorCode.INVALID_RECORD, f"{size} bytes"
    assert produce(client, "torn", records[:-1] + b"?").error_code == ErrorCode.CORRUPT_MESSAGE
    assert produce(client, "torn", records).error_code == ErrorCode.NONE


def test_refusals_name_the_records_and_the_start_of_the_log(broker: Broker, client: RawConnection) -> None:
    """With the defaults: records may be an hour ahead, as in Kafka 4."""
    broker.create_topic("bounded")
    for _ in range(3):
        assert produce(client, "bounded", batch()).error_code == ErrorCode.NONE
    assert delete_records(client, "bounded", 2).low_watermark == 2
    now = wall_ms()
    soon = produce(client, "bounded", batch(now, now + HOUR_MS - 60_000))
    assert (soon.error_code, soon.base_offset) == (ErrorCode.NONE, 3)
    late = produce(client, "bounded", batch(now, now + HOUR_MS + 60_000, now, now + 2 * HOUR_MS, compression=1))
    assert (late.error_code, late.base_offset, late.log_start_offset) == (ErrorCode.INVALID_TIMESTAMP, -1, 2)
    assert [bad.batch_index for bad in late.record_errors] == [1, 3]
    broker.create_topic("keyed", config={"cleanup.policy": "compact"})
    keyless = produce(client, "keyed", batch(now, now, key=None), version=8)
    assert keyless.error_code == ErrorCode.INVALID_RECORD
    assert [bad.batch_index for bad in keyless.record_errors] == [0, 1]
    gap = {"producer_id": 4, "producer_epoch": 0}
    produce(client, "bounded", batch(base_sequence=0, **gap))
    refused = produce(client, "bounded", batch(base_sequence=5, **gap))
    assert (refused.error_code, refused.log_start_offset) == (ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, 2)


@pytest.mark.parametrize("timestamp_type", ["CreateTime", "LogAppendTime"])
def test_a_duplicate_is_answered_with_the_time_of_its_first_append(
    broker: Broker, client: RawConnection, timestamp_type: str
) -> None:
    topic = f"duplicates-{timestamp_type}"
    broker.create_topic(topic, config={"message.timestamp.type": timestamp_type})
    now = wall_ms()
    producer = {"producer_id": 8, "producer_epoch": 0, "base_sequence": 0}
    first = produce(client, topic, batch(now - 9, now - 5, **producer))
    produce(client, topic, batch())
    again = produce(client, topic, batch(now - 9, now - 5, **producer))
    assert (again.error_code, again.base_offset) == (ErrorCode.NONE, first.base_offset)
    assert again.log_append_time_ms == (now - 5 if timestamp_type == "CreateTime" else first.log_append_time_ms)
