"""A few kilobytes that decompress to hundreds of megabytes hold up neither their topic nor anybody else."""

from __future__ import annotations

import time
from struct import pack

from raw_connection import RawConnection

from kbroker.protocol.compression import CompressionType, compress
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.list_offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from kbroker.protocol.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from kbroker.protocol.record_batch import BatchBuilder, join_batch
from kbroker.testing import Broker

HUGE = 250_000_000


def _bomb() -> bytes:
    """Return a batch whose first record is huge; only the second is of the batch's largest time, 5000."""
    size = HUGE + 16
    head = bytearray()
    value = size << 1
    while value > 0x7F:
        head.append(value & 0x7F | 0x80)
        value >>= 7
    head.append(value)
    records = bytes(head) + bytes(3) + b"\x01" + pack(">I", 0) + bytes(HUGE)
    return join_batch(
        compress(CompressionType.ZSTD, records),
        base_offset=0,
        partition_leader_epoch=0,
        attributes=int(CompressionType.ZSTD),
        last_offset_delta=1,
        base_timestamp=1000,
        max_timestamp=5000,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        record_count=2,
    )


def _produce(connection: RawConnection, topic: str, batch: bytes) -> int:
    data = PartitionProduceData(index=0, records=memoryview(batch))
    request = ProduceRequest(acks=-1, timeout_ms=5000, topic_data=[TopicProduceData(name=topic, partition_data=[data])])
    return int(connection.ask(request, 8).responses[0].partition_responses[0].error_code)


def _offset_at(connection: RawConnection, topic: str, timestamp: int) -> tuple[int, int]:
    asked = ListOffsetsPartition(partition_index=0, timestamp=timestamp)
    answer = connection.ask(
        ListOffsetsRequest(replica_id=-1, topics=[ListOffsetsTopic(name=topic, partitions=[asked])]), 7
    )
    found = answer.topics[0].partitions[0]
    return found.error_code, found.offset


def test_looking_into_a_batch_that_expands_is_bounded() -> None:
    with Broker({"num.network.threads": "1"}) as broker:
        broker.create_topic("t", 1, {"message.timestamp.after.max.ms": str(2**63 - 1)})
        broker.create_topic("compacted", 1, {"cleanup.policy": "compact"})
        broker.create_topic("bounded", 1, {"max.decompressed.message.bytes": "1000"})
        bomb = _bomb()
        assert len(bomb) < 10_000
        with RawConnection(broker.bootstrap_servers) as connection:
            assert _produce(connection, "t", bomb) == 0
            builder = BatchBuilder(compression=CompressionType.GZIP)
            builder.append(b"k", b"x" * 900, 9000)
            assert _produce(connection, "t", builder.build()) == 0

            begun = time.monotonic()
            for number in range(200):
                assert _offset_at(connection, "t", 1001 + number) == (0, 1)
            # With each look at the whole batch this would take minutes.
            assert time.monotonic() - begun < 30
            assert _offset_at(connection, "t", 1000) == (0, 0)
            assert _offset_at(connection, "t", 5001) == (0, 2)

            # Where each record is looked at before it is taken.
            assert _produce(connection, "compacted", bomb) == ErrorCode.MESSAGE_TOO_LARGE
            assert _produce(connection, "bounded", builder.build()) == 0
            large = BatchBuilder(compression=CompressionType.GZIP)
            large.append(b"k", b"x" * 1100, 9000)
            assert _produce(connection, "bounded", large.build()) == ErrorCode.INVALID_RECORD
            plain = BatchBuilder()
            plain.append(b"k", b"x" * 1100, 9000)
            assert _produce(connection, "bounded", plain.build()) == 0
