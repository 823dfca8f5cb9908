"""Answers to raw requests are those that Apache Kafka gives, down to codes, offsets and times."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from raw_connection import RawConnection
from waiting import eventually

from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
)
from kbroker.protocol.messages.describe_groups import DescribeGroupsRequest
from kbroker.protocol.messages.find_coordinator import FindCoordinatorRequest
from kbroker.protocol.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from kbroker.protocol.messages.leave_group import LeaveGroupRequest, MemberIdentity
from kbroker.protocol.messages.list_offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from kbroker.protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from kbroker.protocol.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
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


EARLIEST = -2


def list_offsets(client: RawConnection, topic: str, *timestamps: int) -> Any:
    asked = [ListOffsetsPartition(partition_index=0, timestamp=timestamp) for timestamp in timestamps]
    request = ListOffsetsRequest(replica_id=-1, topics=[ListOffsetsTopic(name=topic, partitions=asked)])
    return client.ask(request, 9).topics[0].partitions


@pytest.mark.parametrize("timeout_ms", [-1, 0, 1])
def test_records_are_deleted_however_little_time_there_is(
    broker: Broker, client: RawConnection, timeout_ms: int
) -> None:
    """The one replica does it at once; the time is for others to follow."""
    topic = f"hasty-{timeout_ms}"
    broker.create_topic(topic)
    produce(client, topic, batch(wall_ms(), wall_ms()))
    result = delete_records(client, topic, 2, timeout_ms)
    assert (result.error_code, result.low_watermark) == (ErrorCode.NONE, 2)


def test_the_start_of_an_empty_log_has_a_leader_epoch(broker: Broker, client: RawConnection) -> None:
    """A consumer that begins there can tell whether the log was cut under it."""
    broker.create_topic("emptied")
    (never_written,) = list_offsets(client, "emptied", EARLIEST)
    assert (never_written.offset, never_written.leader_epoch) == (0, 0)
    produce(client, "emptied", batch(wall_ms(), wall_ms()))
    assert delete_records(client, "emptied", -1).low_watermark == 2
    (emptied,) = list_offsets(client, "emptied", EARLIEST)
    assert (emptied.offset, emptied.leader_epoch) == (2, 0)
    (twice,) = list_offsets(client, "emptied", EARLIEST, EARLIEST)
    assert twice.error_code == ErrorCode.INVALID_REQUEST


def test_offsets_of_a_consumer_whose_subscription_cannot_be_read_are_kept(
    broker: Broker, client: RawConnection
) -> None:
    """And groups are described with what a client may do with them, when it asks."""
    broker.create_topic("kept")
    group = {"group_id": "readers"}
    eventually(
        lambda: client.ask(FindCoordinatorRequest(key="readers"), 3).error_code == ErrorCode.NONE, "a coordinator"
    )
    commit = OffsetCommitRequestPartition(partition_index=0, committed_offset=7)
    commits = [OffsetCommitRequestTopic(name="kept", partitions=[commit])]
    eventually(
        lambda: client.ask(OffsetCommitRequest(topics=commits, **group), 7).topics[0].partitions[0].error_code == 0,
        "a commit",
    )
    protocols = [JoinGroupRequestProtocol(name="range", metadata=b"\xff\x00?")]
    join = JoinGroupRequest(
        session_timeout_ms=30_000, rebalance_timeout_ms=30_000, protocol_type="consumer", protocols=protocols, **group
    )
    member_id = client.ask(join, 3).member_id
    asked = [OffsetDeleteRequestPartition(partition_index=0), OffsetDeleteRequestPartition(partition_index=9)]
    delete = OffsetDeleteRequest(topics=[OffsetDeleteRequestTopic(name="kept", partitions=asked)], **group)

    def codes() -> list[int]:
        return [partition.error_code for partition in client.ask(delete, 0).topics[0].partitions]

    assert codes() == [ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]
    described = client.ask(DescribeGroupsRequest(groups=["readers", "none"], include_authorized_operations=True), 6)
    # READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS
    allowed = [1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11, -(2**31)]
    assert [found.authorized_operations for found in described.groups] == allowed
    unasked = client.ask(DescribeGroupsRequest(groups=["readers"]), 6)
    assert unasked.groups[0].authorized_operations == -(2**31)
    client.ask(LeaveGroupRequest(members=[MemberIdentity(member_id=member_id)], **group), 3)
    assert codes() == [ErrorCode.NONE, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]
