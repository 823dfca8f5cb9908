"""Who may read the broker's files, and bytes that are no UTF-8 wherever they can come from, in any locale."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions
from raw_connection import RawConnection
from waiting import eventually

from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.create_topics import CreatableTopic, CreateTopicsRequest
from kbroker.protocol.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from kbroker.protocol.messages.describe_log_dirs import DescribeLogDirsRequest
from kbroker.protocol.messages.find_coordinator import FindCoordinatorRequest
from kbroker.protocol.messages.metadata import MetadataResponse
from kbroker.protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from kbroker.protocol.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from kbroker.protocol.record_batch import BatchBuilder
from kbroker.testing import Broker


def _modes(directory: Path) -> dict[str, int]:
    return {
        os.path.join(where, name): os.lstat(os.path.join(where, name)).st_mode & 0o777
        for where, names, files in os.walk(directory)
        for name in (*names, *files)
    }


def _use(address: str) -> None:
    wanted = CreatableTopic(name="t", num_partitions=1, replication_factor=1, assignments=[], configs=[])
    builder = BatchBuilder(producer_id=-1)
    builder.append(None, b"secret", 1000)
    data = PartitionProduceData(index=0, records=memoryview(builder.build()))
    with RawConnection(address) as connection:
        connection.ask(CreateTopicsRequest(topics=[wanted], timeout_ms=10_000), 5)
        request = ProduceRequest(
            acks=-1, timeout_ms=5000, topic_data=[TopicProduceData(name="t", partition_data=[data])]
        )
        assert connection.ask(request, 8).responses[0].partition_responses[0].error_code == 0


@pytest.mark.parametrize(("mode", "hidden"), [(None, 0o077), (0o700, 0o077), (0o755, 0o027), (0o750, 0o027)])
def test_other_users_cannot_read_what_the_broker_writes(tmp_path: Path, mode: int | None, hidden: int) -> None:
    """The group can where the log directory lets it; a directory that exists keeps its mode."""
    log_dir = tmp_path / "logs"
    if mode is not None:
        log_dir.mkdir()
        log_dir.chmod(mode)
    umask = os.umask(0o022)
    try:
        with Broker({"log.dirs": str(log_dir)}, data_dir=tmp_path / "broker") as broker:
            _use(broker.bootstrap_servers)
            modes = _modes(log_dir)
            broker.stop()
            modes |= _modes(log_dir)
    finally:
        os.umask(umask)
    assert log_dir.stat().st_mode & 0o777 == (0o700 if mode is None else mode)
    assert any(path.endswith(".log") for path in modes)
    assert any("kbroker-run" in path for path in modes)
    assert any("metadata" in path for path in modes)
    assert {path: found for path, found in modes.items() if found & hidden} == {}
    if hidden == 0o027:
        assert all(found & 0o040 for found in modes.values())


# A locale that knows no UTF-8 turns up in cron jobs, minimal containers and old init scripts.
LOCALES = ({"LANG": "C"}, {"LC_ALL": "POSIX"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})


@pytest.mark.parametrize("locale", LOCALES, ids=["LANG=C", "POSIX", "ASCII only"])
@pytest.mark.parametrize("directory", [b"caf\xe9", "søk-日本".encode()], ids=["latin-1", "utf-8"])
def test_a_broker_in_a_directory_with_any_name_in_any_locale(
    tmp_path: Path, locale: dict[str, str], directory: bytes
) -> None:
    """From server.properties and from the command line; its lines, its run file, its status and its stop work."""
    base = os.fsencode(tmp_path) + b"/" + directory
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHONUTF8"))
    } | locale
    properties = tmp_path / "server.properties"
    properties.write_bytes(
        b"# caf\xe9 \xe6\x97\xa5\nlog.dirs=" + base + b"/data\nlisteners=PLAINTEXT://127.0.0.1:0\nnum.io.threads=1\n"
    )
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "kbroker", "start", str(properties)], stdout=log, stderr=log, env=environ
        )
        try:
            run_file = base + b"/data/kbroker-run.json"
            eventually(
                lambda: process.poll() is not None or b"Started in" in (tmp_path / "log").read_bytes(),
                lambda: (tmp_path / "log").read_text(errors="replace"),
            )
            content = (tmp_path / "log").read_bytes()
            assert process.poll() is None, content
            port = int(content.split(b"PLAINTEXT://127.0.0.1:")[1].split(b";")[0])
            assert os.path.exists(run_file)
            _use(f"127.0.0.1:{port}")
            with RawConnection(f"127.0.0.1:{port}") as connection:
                described = connection.ask(DescribeLogDirsRequest(topics=None), 1)
                assert described.results[0].log_dir.endswith("/data")
                asked = DescribeConfigsResource(resource_type=4, resource_name="0", configuration_keys=["log.dirs"])
                configs = connection.ask(DescribeConfigsRequest(resources=[asked]), 1)
                assert configs.results[0].configs[0].value.endswith("/data")
                # Client id and topic that are no UTF-8: the answer is that there can be no such topic.
                body = struct.pack(">hhih", 3, 1, 7, 4) + b"\xff\xfe\xe9x" + struct.pack(">ih", 1, 2) + b"\xff\xe9"
                connection.socket.sendall(struct.pack(">i", len(body)) + body)
                metadata = MetadataResponse.decode(connection.receive(), 1, 4)[0]
                (topic,) = metadata.topics
                assert (topic.error_code, topic.name) == (ErrorCode.INVALID_TOPIC_EXCEPTION, "\ufffd\ufffd")
            status = subprocess.run(
                [os.fsencode(sys.executable), b"-m", b"kbroker", b"status", b"--data-dir", base + b"/data"],
                env=environ,
                capture_output=True,
                check=False,
                timeout=60,
            )
            assert b"Traceback" not in status.stderr + status.stdout
            assert status.returncode == 0, status.stderr + status.stdout
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(60)
    assert code == 0, content
    assert b"Traceback" not in (tmp_path / "log").read_bytes()
    assert b"Logging error" not in (tmp_path / "log").read_bytes()


def test_a_group_whose_name_is_no_utf8_keeps_its_offsets() -> None:
    """A client of another encoding may name its group so; nothing but it tells such names apart."""
    with Broker() as broker:
        _use(broker.bootstrap_servers)
        foreign, told = "caf\ufffd", "caf\u00e9".encode("latin-1")
        partition = OffsetCommitRequestPartition(partition_index=0, committed_offset=1)
        topics = [OffsetCommitRequestTopic(name="t", partitions=[partition])]
        commit = OffsetCommitRequest(group_id="cafX", topics=topics).encode(2).replace(b"cafX", told)

        def committed() -> bool:
            with RawConnection(broker.bootstrap_servers) as connection:
                connection.ask(FindCoordinatorRequest(key=foreign), 1)
                body = struct.pack(">hhih", 8, 2, 7, -1) + commit
                connection.socket.sendall(struct.pack(">i", len(body)) + body)
                return connection.receive()[-2:] == bytes(2)

        eventually(committed, broker.log_text)
        assert broker.admin().list_consumer_groups().result(30).valid[0].group_id == foreign
        offsets = broker.admin().list_consumer_group_offsets([ConsumerGroupTopicPartitions(foreign)])
        assert offsets[foreign].result(30).topic_partitions[0].offset == 1


def test_property_values_that_are_no_utf8_are_named_in_one_line(tmp_path: Path) -> None:
    properties = tmp_path / "server.properties"
    for line in (b"num.io.threads=\xe9", b"log.retention.ms=\xff\xfe"):
        properties.write_bytes(b"listeners=PLAINTEXT://127.0.0.1:0\n" + line + b"\n")
        result = subprocess.run(
            [sys.executable, "-m", "kbroker", "start", str(properties), "--override", f"log.dirs={tmp_path}/data"],
            env={**os.environ, "LC_ALL": "C"},
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert b"Traceback" not in result.stderr
        assert result.returncode != 0
        assert b"server.properties" in result.stderr
        assert b"Traceback" not in result.stdout
