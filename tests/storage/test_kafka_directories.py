"""Kafka's own tools read what the log writes; the log opens what Kafka wrote, whether it was stopped or killed."""

from __future__ import annotations

import re
import shutil
import signal

import confluent_kafka
import pytest
from apache_kafka import KafkaServer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from kafka_tools import KafkaTools

from kbroker.clock import SystemClock
from kbroker.protocol.record_batch import iterate_batch_headers, iterate_records
from kbroker.storage import checkpoints
from kbroker.storage.log_config import LogConfig
from kbroker.storage.log_manager import LogManager
from kbroker.storage.log_reader import LogReader, read_bytes
from kbroker.types import TopicPartition

pytestmark = [pytest.mark.java, pytest.mark.timeout(240)]
RECORDS = 3000


@pytest.mark.parametrize("version", ["3.9", "4.4"])
def test_kafkas_dump_finds_nothing_wrong(version, open_log, append, clock):
    log = open_log(LogConfig(segment_bytes=5000, index_interval_bytes=500), topic_id=b"i" * 16)
    for number in range(100):
        times = {"timestamp": clock.wall_ms() + number * 10, "base_sequence": number * 3}
        append(log, 3, **times, producer_id=9, producer_epoch=1, leader_epoch=number // 40)
    log.close()
    bases = log.segment_base_offsets
    assert len(bases) >= 3
    tools = KafkaTools(version)

    def dump(suffix, *options):
        files = ",".join(f"{log.directory}/{base_offset:020d}{suffix}" for base_offset in bases)
        return tools.run("dump-log", "--files", files, *options)

    assert len(re.findall(r"isvalid: true", dump(".log", "--deep-iteration"))) >= 100
    for suffix in (".index", ".timeindex"):
        report = dump(suffix, "--verify-index-only")
        assert not re.search(r"mismatch|not found|out of order|Found", report, re.IGNORECASE), report
        assert re.search(r"offset: \d+", dump(suffix))
    report = tools.run("dump-log", "--files", f"{log.directory}/{300:020d}.snapshot")
    assert "producerId: 9 producerEpoch: 1" in report
    assert "firstSequence: 297 lastSequence: 299 lastOffset: 299" in report


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_what_kafka_wrote_is_all_there(end, tmp_path):
    start_ms = SystemClock().wall_ms()
    server = KafkaServer(KafkaTools("3.9").version, tmp_path)
    server.start()
    try:
        admin = AdminClient({"bootstrap.servers": server.bootstrap_servers})
        config = {"segment.bytes": "1048576", "index.interval.bytes": "1000"}
        admin.create_topics([NewTopic("orders", 1, 1, config=config)])["orders"].result(30)
        producer = confluent_kafka.Producer(
            {
                "bootstrap.servers": server.bootstrap_servers,
                "enable.idempotence": True,
                "compression.type": "lz4",
                "batch.num.messages": 20,
            }
        )
        for number in range(RECORDS):
            producer.produce("orders", f"{number:01000d}", partition=0, timestamp=start_ms + number)
            producer.poll(0)
        assert producer.flush(30) == 0
        del admin, producer
    finally:
        server.end(end)

    log_dir = str(server.log_dir)
    shutil.rmtree(f"{log_dir}/__cluster_metadata-0")
    properties = checkpoints.read_meta_properties(log_dir)
    assert (properties.version, properties.node_id) == (1, 1)
    was_clean = checkpoints.begin_run(log_dir)
    assert was_clean is (end == signal.SIGTERM)
    manager = LogManager([log_dir], lambda _: LogConfig(), SystemClock())
    manager.open_all(lambda _: True, [was_clean])
    log = manager.logs[TopicPartition("orders", 0)]
    assert log.log_end_offset == RECORDS
    assert log.topic_id != bytes(16)
    assert log.epochs.entries == [(0, 0)]
    (producer_entry,) = log.producers.entries.values()
    assert producer_entry.batches[-1].last_sequence == RECORDS - 1

    reader, row, values, offset = LogReader(log.directory), log.row(), [], 0
    while offset < RECORDS:
        content = read_bytes(reader.read(row, offset, 50_000, row.log_end_offset))
        for header in iterate_batch_headers(content):
            values += [int(bytes(record.value)) for record in iterate_records(content, header)]
            offset = header.last_offset + 1
    assert values == list(range(RECORDS))
    assert reader.offset_for_timestamp(row, start_ms + 1234).offset == 1234
    assert reader.max_timestamp(row).offset == RECORDS - 1
    assert manager.close()
