"""A stop that meets a worker down, or clients in the middle of things, is quick and leaves the truth on the disk."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from raw_connection import RawConnection

from kbroker.protocol.messages.fetch import FetchPartition, FetchRequest, FetchResponse, FetchTopic
from kbroker.protocol.messages.produce import PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData
from kbroker.protocol.record_batch import BatchBuilder
from kbroker.testing import Broker

MARKER = ".kafka_cleanshutdown"


def batch() -> memoryview:
    builder = BatchBuilder()
    builder.append(None, b"value" * 20, 1000)
    return memoryview(builder.build())


def produce(topic: str) -> ProduceRequest:
    data = PartitionProduceData(index=0, records=batch())
    return ProduceRequest(acks=1, timeout_ms=5000, topic_data=[TopicProduceData(name=topic, partition_data=[data])])


def test_a_stop_while_an_io_worker_is_down_leaves_no_marker_and_loses_nothing(tmp_path: Path) -> None:
    """The killed worker's logs were never closed: the next start has to look at them."""
    with Broker({"num.io.threads": "1"}, data_dir=tmp_path) as broker:
        broker.create_topic("t")
        with RawConnection(broker.bootstrap_servers) as connection:
            connection.send(produce("t"), 8)
            connection.receive()
        pid = broker.pid
        os.kill(pid, signal.SIGSTOP)
        os.kill(broker.worker_pids()["io-0"], signal.SIGKILL)
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGCONT)
        assert broker.stop() == 0
        assert not (broker.data_dir / MARKER).exists()
        assert "the next start checks them" in broker.log_text()
        broker.start()
        with RawConnection(broker.bootstrap_servers) as connection:
            asked = FetchTopic(topic="t", partitions=[FetchPartition(partition=0, partition_max_bytes=1 << 20)])
            connection.send(FetchRequest(session_epoch=-1, min_bytes=0, max_bytes=1 << 20, topics=[asked]), 11)
            response, _ = FetchResponse.decode(memoryview(connection.receive()), 11, 4)
        assert response.responses[0].partitions[0].high_watermark == 1
        assert broker.stop() == 0
        assert (broker.data_dir / MARKER).exists()
        broker.start()


def test_a_stop_answers_what_is_under_way_and_who_waits(tmp_path: Path) -> None:
    """Busy producers cannot put it off, and a consumer's long poll is answered instead of torn."""
    with Broker(data_dir=tmp_path) as broker:
        broker.create_topic("t")
        broker.create_topic("quiet")
        sent = acknowledged = 0
        stopping = threading.Event()

        def send_for_ever(connection: RawConnection) -> None:
            nonlocal sent
            try:
                while not stopping.is_set():
                    connection.send(produce("t"), 8)
                    sent += 1
            except OSError:
                return

        with RawConnection(broker.bootstrap_servers) as poller, RawConnection(broker.bootstrap_servers) as producer:
            asked = FetchTopic(topic="quiet", partitions=[FetchPartition(partition=0, partition_max_bytes=1 << 20)])
            request = FetchRequest(session_epoch=-1, max_wait_ms=30_000, min_bytes=1, max_bytes=1 << 20, topics=[asked])
            poller.send(request, 11)
            thread = threading.Thread(target=send_for_ever, args=(producer,))
            thread.start()
            for _ in range(200):
                assert producer.receive()
                acknowledged += 1
            begin = time.monotonic()
            os.kill(broker.pid, signal.SIGTERM)
            try:
                while answer := producer.receive():
                    response, _ = ProduceResponse.decode(memoryview(answer), 8, 4)
                    assert response.responses[0].partition_responses[0].error_code == 0
                    acknowledged += 1
            except ConnectionError:
                pass
            stopping.set()
            assert broker.stop() == 0
            assert time.monotonic() - begin < 4
            thread.join()
            assert poller.receive(), "the long poll was not answered"
        assert (broker.data_dir / MARKER).exists()
        broker.start()
        with RawConnection(broker.bootstrap_servers) as connection:
            asked = FetchTopic(topic="t", partitions=[FetchPartition(partition=0, partition_max_bytes=1 << 20)])
            connection.send(FetchRequest(session_epoch=-1, min_bytes=0, max_bytes=1 << 20, topics=[asked]), 11)
            fetched, _ = FetchResponse.decode(memoryview(connection.receive()), 11, 4)
        assert acknowledged <= fetched.responses[0].partitions[0].high_watermark <= sent + 1


@pytest.mark.parametrize("name", ["net-0", "io-0", "cluster"])
def test_a_stop_right_after_a_worker_was_killed(tmp_path: Path, name: str) -> None:
    """Whether it has been started again or not, everything ends, and the next start serves."""
    with Broker(data_dir=tmp_path) as broker:
        broker.create_topic("t")
        for delay_s in (0.0, 0.02, 0.05, 0.1):
            broker.kill_worker(name)
            time.sleep(delay_s)
            assert broker.stop() == 0
            broker.start()
        host, _, port = broker.bootstrap_servers.rpartition(":")
        with socket.create_connection((host, int(port)), 5):
            pass


def test_an_idle_broker_uses_next_to_no_cpu(tmp_path: Path) -> None:
    """Less than half a percent of a core for all its processes together; measured over two seconds."""
    with Broker(data_dir=tmp_path) as broker:
        broker.create_topic("t", 3)
        pids = [broker.pid, *broker.worker_pids().values()]

        def used_ns() -> int:
            total = 0
            for pid in pids:
                for task in Path(f"/proc/{pid}/task").iterdir():
                    total += int((task / "schedstat").read_text().split()[0])
            return total

        time.sleep(0.5)
        before = used_ns()
        time.sleep(2)
        assert (used_ns() - before) / 2e9 < 0.005
