"""A fault takes down what it concerns: a request, a partition, a log directory; without any, the broker ends."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from raw_connection import RawConnection
from waiting import eventually

from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.create_topics import CreatableTopic, CreateTopicsRequest
from kbroker.protocol.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from kbroker.protocol.messages.list_offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from kbroker.protocol.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from kbroker.protocol.record_batch import BatchBuilder
from kbroker.testing import Broker


def produce(address: str, topic: str, value: bytes = b"x", partition: int = 0) -> int:
    """Produce one record and return the error code; -1 when the connection is closed instead."""
    builder = BatchBuilder()
    builder.append(None, value, 1000)
    data = PartitionProduceData(index=partition, records=memoryview(builder.build()))
    request = ProduceRequest(acks=-1, timeout_ms=5000, topic_data=[TopicProduceData(name=topic, partition_data=[data])])
    try:
        with RawConnection(address) as connection:
            answer = connection.ask(request, 8)
    except (OSError, AssertionError):
        return -1
    return int(answer.responses[0].partition_responses[0].error_code)


def create(address: str, topic: str, partitions: int = 1) -> int:
    """Create a topic and return the error code."""
    wanted = CreatableTopic(name=topic, num_partitions=partitions, replication_factor=1, assignments=[], configs=[])
    with RawConnection(address) as connection:
        answer = connection.ask(CreateTopicsRequest(topics=[wanted], timeout_ms=10_000), 5)
    return int(answer.topics[0].error_code)


def fetch(address: str, topic: str) -> int:
    """Fetch a partition from its start and return the error code."""
    asked = FetchPartition(partition=0, partition_max_bytes=1 << 20)
    request = FetchRequest(
        session_epoch=-1, min_bytes=0, max_bytes=1 << 20, topics=[FetchTopic(topic=topic, partitions=[asked])]
    )
    with RawConnection(address) as connection:
        return int(connection.ask(request, 11).responses[0].partitions[0].error_code)


def end_offset(address: str, topic: str) -> int:
    asked = ListOffsetsPartition(partition_index=0, timestamp=-1)
    with RawConnection(address) as connection:
        answer = connection.ask(
            ListOffsetsRequest(replica_id=-1, topics=[ListOffsetsTopic(name=topic, partitions=[asked])]), 1
        )
    return int(answer.topics[0].partitions[0].offset)


def ended(process: subprocess.Popen[bytes]) -> int:
    """Return the exit code of a broker that ends by itself."""
    return process.wait(30)


def test_a_broker_whose_last_directory_was_removed_ends_with_an_exit_code(tmp_path: Path) -> None:
    """Nothing is acknowledged into a directory that is gone, and the directory is not made anew in secret."""
    with Broker({"num.io.threads": "2"}, data_dir=tmp_path) as broker:
        address = broker.bootstrap_servers
        assert create(address, "t") == 0
        assert produce(address, "t") == 0
        shutil.rmtree(broker.data_dir)
        with contextlib.suppress(OSError, AssertionError):
            create(address, "u")
        assert produce(address, "u") != 0
        assert not (broker.data_dir / "u-0").exists()
        assert broker._process is not None
        assert ended(broker._process) == 1
        log = broker.log_text()
        assert f"log directory {broker.data_dir} is offline" in log
        assert "the directories that its data lie in have failed" in log
        assert "Traceback" not in log
        broker.kill()
        broker.start()
        assert create(broker.bootstrap_servers, "t") == 0


def test_a_broker_whose_metadata_nobody_would_find_again_ends(tmp_path: Path) -> None:
    """Its topics are found again by their directories."""
    with Broker({"num.io.threads": "1"}, data_dir=tmp_path) as broker:
        assert create(broker.bootstrap_servers, "t", 2) == 0
        assert produce(broker.bootstrap_servers, "t") == 0
        for file in broker.data_dir.glob("*.sqlite*"):
            file.unlink()
        assert broker._process is not None
        assert ended(broker._process) == 1
        log = broker.log_text()
        assert "the metadata store is gone" in log
        assert "Traceback" not in log
        broker.kill()
        broker.start()
        assert end_offset(broker.bootstrap_servers, "t") == 1


def test_a_cluster_worker_born_anew_makes_no_empty_store_in_the_place_of_one_that_was_removed(tmp_path: Path) -> None:
    """In that there would be no topics: their logs would be deleted."""
    with Broker({"num.io.threads": "1"}, data_dir=tmp_path) as broker:
        assert create(broker.bootstrap_servers, "t") == 0
        assert produce(broker.bootstrap_servers, "t") == 0
        cluster_worker = broker.worker_pids()["cluster"]
        for file in broker.data_dir.glob("*.sqlite*"):
            file.unlink()
        os.kill(cluster_worker, signal.SIGKILL)
        assert broker._process is not None
        assert ended(broker._process) == 1
        assert "the metadata store is gone" in broker.log_text()
        broker.kill()
        broker.start()
        assert end_offset(broker.bootstrap_servers, "t") == 1


def test_a_broker_that_lost_its_permissions_ends_and_has_lost_nothing_else(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    as_user: list[str] = []
    if os.geteuid() == 0:
        as_user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
        base.chmod(0o777)
        for path in tmp_path, tmp_path.parent, tmp_path.parent.parent:
            path.chmod(path.stat().st_mode | 0o755)
        probe = [*as_user, sys.executable, "-c", f"import kbroker, os; os.mkdir({str(base / 'probe')!r})"]
        if shutil.which("setpriv") is None or subprocess.run(probe, check=False, capture_output=True).returncode:
            pytest.skip("root may do everything, and no other user can run this Python here")
    data, run_file = base / "data", base / "data/kbroker-run.json"

    def start() -> tuple[subprocess.Popen[bytes], str]:
        process = subprocess.Popen(
            [
                *as_user,
                *(sys.executable, "-m", "kbroker", "start", "--override", f"log.dirs={data}"),
                *("--override", "listeners=PLAINTEXT://127.0.0.1:0", "--override", "num.io.threads=1"),
            ],
            stdout=log,
            stderr=log,
        )
        eventually(lambda: run_file.exists() and b'"port": ' in run_file.read_bytes())
        port = run_file.read_text().split('"port": ')[1].split("}")[0].strip(" ,\n")
        return process, f"127.0.0.1:{port}"

    with (tmp_path / "log").open("wb") as log:
        process, address = start()
        try:
            assert create(address, "t") == 0
            assert produce(address, "t") == 0
            run_file.unlink()
            data.chmod(0)
            assert ended(process) == 1
            assert b"may not read and write the directory" in (tmp_path / "log").read_bytes()
            data.chmod(0o755)
            process, address = start()
            assert end_offset(address, "t") == 1
        finally:
            process.terminate()
            process.wait(30)
    assert b"Traceback" not in (tmp_path / "log").read_bytes()


def test_few_descriptors_refuse_no_partition_for_good(tmp_path: Path) -> None:
    with Broker({"num.io.threads": "1", "num.network.threads": "1"}, data_dir=tmp_path) as broker:
        address = broker.bootstrap_servers
        assert create(address, "t") == 0
        for pid in broker.worker_pids().values():
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (96, 96))
        for number in range(4):
            assert create(address, f"m{number}", 40) == 0
        with RawConnection(address) as connection:
            for partition in range(160):
                builder = BatchBuilder()
                builder.append(None, b"x" * 100, 1000)
                data = PartitionProduceData(index=partition % 40, records=memoryview(builder.build()))
                topic = TopicProduceData(name=f"m{partition // 40}", partition_data=[data])
                answer = connection.ask(ProduceRequest(acks=-1, timeout_ms=5000, topic_data=[topic]), 8)
                assert answer.responses[0].partition_responses[0].error_code == 0, partition
        assert produce(address, "t") == 0
        assert "is offline" not in broker.log_text()
        assert "Traceback" not in broker.log_text()


def test_a_fault_of_one_partitions_files_leaves_all_others_serving(tmp_path: Path) -> None:
    """A file that may grow no larger; and a partition's directory that somebody removes."""
    with Broker({"num.io.threads": "1"}, data_dir=tmp_path) as broker:
        address = broker.bootstrap_servers
        for topic in ("t", "large", "gone", "idle"):
            assert create(address, topic) == 0
            assert produce(address, topic) == 0
        resource.prlimit(broker.worker_pids()["io-0"], resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
        codes = [produce(address, "large", b"x" * 70_000) for _ in range(12)]
        assert ErrorCode.KAFKA_STORAGE_ERROR in codes
        # Refused once, then taken by a new segment.
        assert all(not code or not following for code, following in pairwise(codes))
        assert end_offset(address, "large") == 1 + codes.count(0)
        assert produce(address, "t") == 0

        shutil.rmtree(broker.data_dir / "idle-0")
        assert fetch(address, "idle") == ErrorCode.KAFKA_STORAGE_ERROR  # "out of range" would send consumers elsewhere

        shutil.rmtree(broker.data_dir / "gone-0")
        eventually(lambda: produce(address, "gone") == ErrorCode.KAFKA_STORAGE_ERROR)
        time.sleep(2.5)  # longer than it takes to try again
        assert produce(address, "gone") == ErrorCode.KAFKA_STORAGE_ERROR
        assert not (broker.data_dir / "gone-0").exists()
        assert produce(address, "t") == 0
        log = broker.log_text()
        assert "gone-0 is offline: its files were removed under the broker" in log
        assert log.count("restart it to begin with what is there") == 2
        assert "Traceback" not in log
        broker.restart()
        assert produce(broker.bootstrap_servers, "gone") == 0
        assert end_offset(broker.bootstrap_servers, "large") == 1 + codes.count(0)


def test_a_broker_without_any_usable_directory_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = subprocess.run(
        [sys.executable, "-m", "kbroker", "start", "--override", f"log.dirs={tmp_path}/file/data"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode != 0
    assert "cannot be made or written" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_directory_that_failed_stays_offline_for_a_worker_born_anew(tmp_path: Path) -> None:
    paths = [tmp_path / "one", tmp_path / "two"]
    with Broker({"log.dirs": ",".join(map(str, paths)), "num.io.threads": "2"}, data_dir=tmp_path / "b") as broker:
        address = broker.bootstrap_servers
        assert create(address, "t", 8) == 0
        failed = {int(path.name.rpartition("-")[2]) for path in paths[1].glob("t-*")}
        paths[1].rename(tmp_path / "away")
        eventually(lambda: all(produce(address, "t", partition=number) for number in failed))
        (tmp_path / "away").rename(paths[1])
        os.kill(broker.worker_pids()["io-0"], signal.SIGKILL)
        eventually(lambda: all(not produce(address, "t", partition=number) for number in set(range(8)) - failed))
        assert {produce(address, "t", partition=number) for number in failed} == {ErrorCode.KAFKA_STORAGE_ERROR}
        broker.restart()
        address = broker.bootstrap_servers
        assert {produce(address, "t", partition=number) for number in range(8)} == {0}
