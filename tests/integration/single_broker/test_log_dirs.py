"""Several log directories: filled evenly, and each fails alone."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from raw_connection import RawConnection
from waiting import eventually

from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.fetch import FetchPartition, FetchRequest, FetchResponse, FetchTopic
from kbroker.protocol.messages.produce import PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData
from kbroker.protocol.record_batch import BatchBuilder, iterate_batch_headers, iterate_records
from kbroker.testing import Broker

PRODUCE_VERSION, FETCH_VERSION = 8, 11


class Directories:
    """A broker over several log directories."""

    def __init__(self, base: Path, count: int) -> None:
        self.paths = [base / f"d{number}" for number in range(count)]
        self.broker = Broker(
            {"log.dirs": ",".join(map(str, self.paths)), "num.io.threads": "2", "num.network.threads": "1"},
            data_dir=base / "broker",
        )

    def partitions(self, number: int, topic: str) -> set[int]:
        """Return which partitions of a topic lie in a directory."""
        return {int(entry.name.rpartition("-")[2]) for entry in self.paths[number].glob(f"{topic}-*")}

    def produce(self, topic: str, partition: int, value: bytes) -> tuple[int, int]:
        """Produce one record; return the error code and the offset."""
        builder = BatchBuilder()
        builder.append(None, value, 1000)
        data = PartitionProduceData(index=partition, records=memoryview(builder.build()))
        request = ProduceRequest(
            acks=-1, timeout_ms=5000, topic_data=[TopicProduceData(name=topic, partition_data=[data])]
        )
        with RawConnection(self.broker.bootstrap_servers) as connection:
            connection.send(request, PRODUCE_VERSION)
            answer = connection.receive()
        response, _ = ProduceResponse.decode(memoryview(answer), PRODUCE_VERSION, 4)
        result = response.responses[0].partition_responses[0]
        return result.error_code, result.base_offset

    def fetch(self, topic: str, partition: int) -> tuple[int, list[bytes]]:
        """Fetch a partition from its start; return the error code and the values."""
        asked = FetchPartition(partition=partition, partition_max_bytes=1 << 20)
        request = FetchRequest(
            session_epoch=-1, min_bytes=0, max_bytes=1 << 20, topics=[FetchTopic(topic=topic, partitions=[asked])]
        )
        with RawConnection(self.broker.bootstrap_servers) as connection:
            connection.send(request, FETCH_VERSION)
            answer = connection.receive()
        response, _ = FetchResponse.decode(memoryview(answer), FETCH_VERSION, 4)
        data = response.responses[0].partitions[0]
        records = bytes(data.records or b"")
        return data.error_code, [
            bytes(record.value or b"")
            for header in iterate_batch_headers(records)
            for record in iterate_records(records, header)
        ]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[int], Directories]]:
    made: list[Directories] = []

    def make(count: int) -> Directories:
        made.append(Directories(tmp_path, count))
        return made[-1]

    yield make
    for directories in made:
        directories.broker.close()


def test_new_partitions_go_to_the_emptiest_directory(make: Callable[[int], Directories]) -> None:
    directories = make(3)
    broker = directories.broker
    broker.start()
    broker.create_topic("a", 4)
    broker.create_topic("b", 5)
    counts = [len(directories.partitions(n, "a")) + len(directories.partitions(n, "b")) for n in range(3)]
    assert counts == [3, 3, 3]
    for partition in range(5):
        assert directories.produce("b", partition, b"%d" % partition) == (0, 0)
    broker.restart()
    for partition in range(5):
        assert directories.fetch("b", partition) == (0, [b"%d" % partition])


def test_a_directory_that_cannot_be_used_at_the_start_is_left_out(make: Callable[[int], Directories]) -> None:
    """Its partitions say so, the others serve; once it is back, everything is there again."""
    directories = make(2)
    broker = directories.broker
    broker.start()
    broker.create_topic("t", 4)
    for partition in range(4):
        assert directories.produce("t", partition, b"before") == (0, 0)
    there, gone = directories.partitions(0, "t"), directories.partitions(1, "t")
    assert len(there) == len(gone) == 2
    broker.stop()
    away = directories.paths[1].rename(directories.paths[1].with_name("away"))
    directories.paths[1].write_bytes(b"no directory")
    broker.start()
    assert "going on without it" in broker.log_text()
    for partition in there:
        assert directories.produce("t", partition, b"meanwhile") == (0, 1)
    for partition in gone:
        assert directories.produce("t", partition, b"meanwhile")[0] == ErrorCode.KAFKA_STORAGE_ERROR
        assert directories.fetch("t", partition)[0] == ErrorCode.KAFKA_STORAGE_ERROR
    broker.create_topic("new", 2)
    assert directories.produce("new", 0, b"x") == (0, 0)
    assert broker.stop() == 0
    directories.paths[1].unlink()
    away.rename(directories.paths[1])
    broker.start()
    for partition in range(4):
        values = [b"before", b"meanwhile"] if partition in there else [b"before"]
        assert directories.fetch("t", partition) == (0, values)


def test_a_directory_that_fails_while_running_goes_offline_alone(make: Callable[[int], Directories]) -> None:
    directories = make(2)
    broker = directories.broker
    broker.start()
    broker.create_topic("t", 8, config={"flush.messages": "1"})
    acknowledged: dict[int, list[bytes]] = {partition: [] for partition in range(8)}
    for partition in range(8):
        assert directories.produce("t", partition, b"first") == (0, 0)
        acknowledged[partition].append(b"first")
    there, gone = directories.partitions(0, "t"), directories.partitions(1, "t")
    assert len(there) == len(gone) == 4
    away = directories.paths[1].rename(directories.paths[1].with_name("away"))
    directories.paths[1].write_bytes(b"no directory")

    def told(partition: int) -> bool:
        code, _ = directories.produce("t", partition, b"lost")
        if code == 0:
            acknowledged[partition].append(b"lost")
        return code == ErrorCode.KAFKA_STORAGE_ERROR

    for partition in gone:
        eventually(lambda partition=partition: told(partition))  # type: ignore[misc]
        assert directories.fetch("t", partition)[0] == ErrorCode.KAFKA_STORAGE_ERROR
    for partition in there:
        assert directories.produce("t", partition, b"second") == (0, 1)
        acknowledged[partition].append(b"second")
        assert directories.fetch("t", partition) == (0, acknowledged[partition])
    assert f"{directories.paths[1]} is offline" in broker.log_text()
    assert "Traceback" not in broker.log_text()
    workers = broker.worker_pids()
    broker.stop()
    assert "starting it again" not in broker.log_text(), workers
    directories.paths[1].unlink()
    away.rename(directories.paths[1])
    broker.start()
    for partition in range(8):
        code, values = directories.fetch("t", partition)
        assert code == 0
        assert values[: len(acknowledged[partition])] == acknowledged[partition]


def test_a_topic_deleted_while_a_directory_is_away_stays_deleted_when_it_is_back(
    make: Callable[[int], Directories],
) -> None:
    """Also when the broker has been restarted without that directory meanwhile."""
    directories = make(2)
    broker = directories.broker
    broker.start()
    broker.create_topic("gone", 4)
    broker.create_topic("kept", 4)
    for partition in range(4):
        for topic in ("gone", "kept"):
            assert directories.produce(topic, partition, b"x") == (0, 0)
    left = directories.partitions(1, "gone")
    assert left
    away = directories.paths[1].rename(directories.paths[1].with_name("away"))
    directories.paths[1].write_bytes(b"no directory")
    (lost, *_) = directories.partitions(0, "kept") ^ set(range(4))
    eventually(lambda: directories.produce("kept", lost, b"x")[0] == ErrorCode.KAFKA_STORAGE_ERROR)
    broker.admin().delete_topics(["gone"])["gone"].result(30)
    broker.restart()
    assert "gone" not in broker.admin().list_topics(timeout=30).topics
    broker.stop()
    directories.paths[1].unlink()
    away.rename(directories.paths[1])
    broker.start()
    assert "gone" not in broker.admin().list_topics(timeout=30).topics
    assert directories.partitions(1, "gone") == set()
    for partition in range(4):
        assert directories.fetch("kept", partition)[0] == 0
    broker.restart()
    assert "gone" not in broker.admin().list_topics(timeout=30).topics


def test_a_worker_is_started_anew_while_the_first_directory_takes_no_run_file(
    make: Callable[[int], Directories], tmp_path: Path
) -> None:
    """Only tools read the run file: that it cannot be written must not end the broker."""
    directories = make(1)
    broker = directories.broker
    broker.start()
    broker.create_topic("t")
    run_file = directories.paths[0] / "kbroker-run.json"
    content = json.loads(run_file.read_text())
    run_file.unlink()
    run_file.mkdir()
    (run_file / "in-the-way").touch()

    os.kill(content["workers"]["net-0"], signal.SIGKILL)
    eventually(lambda: "cannot be written" in broker.log_text())
    eventually(lambda: directories.produce("t", 0, b"x")[0] == 0)
    (run_file / "in-the-way").unlink()
    run_file.rmdir()
    run_file.write_text(json.dumps(content))
