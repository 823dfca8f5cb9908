"""A broker starts, says what is in its way in one line, and ends without leaving anything behind."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from clients import Confluent, Record
from command_line import kbroker, run_kbroker
from waiting import eventually

from kbroker.testing import Broker

ANY_PORT = "listeners=PLAINTEXT://127.0.0.1:0"


def _start(*overrides: str, properties: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Start a broker that cannot start; return how it ended."""
    arguments = ["start"] if properties is None else ["start", str(properties)]
    for override in overrides:
        arguments += ["--override", override]
    return run_kbroker(*arguments, timeout_s=30)


def _only_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one line by which a start was refused."""
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("kbroker: ")]
    assert len(lines) == 1, done.stderr
    return lines[0]


def _shared_memory_files() -> set[str]:
    return set(os.listdir("/dev/shm"))


def test_a_clean_stop_leaves_a_marker_and_no_process_and_no_shared_memory(tmp_path: Path) -> None:
    before = _shared_memory_files()
    with Broker(data_dir=tmp_path) as broker:
        marker = broker.data_dir / ".kafka_cleanshutdown"
        broker.create_topic("kept", 3)
        Confluent(broker.bootstrap_servers).produce("kept", [Record(0, -1, None, b"value")])
        assert not marker.exists()
        pids = [broker.pid, *broker.worker_pids().values()]
        assert broker.stop() == 0
        assert marker.exists()
        for pid in pids:
            assert not Path(f"/proc/{pid}").exists(), f"process {pid} is still there\n{broker.log_text()}"
        assert _shared_memory_files() <= before
        assert not (broker.data_dir / "kbroker-run.json").exists()
        # The log directory is Kafka's to the last checkpoint.
        for name in ("meta.properties", "recovery-point-offset-checkpoint"):
            assert (broker.data_dir / name).exists(), name


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_both_signals_stop_it_in_order(number: signal.Signals) -> None:
    with Broker() as broker:
        os.kill(broker.pid, number)
        eventually(lambda: "Stopped in order" in broker.log_text(), broker.log_text)


def test_a_killed_broker_leaves_no_process_and_no_shared_memory() -> None:
    """The supervisor alone is killed; the workers find out by themselves."""
    before = _shared_memory_files()
    with Broker() as broker:
        workers = broker.worker_pids()
        os.kill(broker.pid, signal.SIGKILL)
        for name, pid in workers.items():
            eventually(lambda: not Path(f"/proc/{pid}").exists(), f"worker {name} to end")  # noqa: B023
        assert _shared_memory_files() <= before
        broker.kill()
        broker.start()
        assert broker.admin().list_topics(timeout=30).brokers


def test_pools_have_the_sizes_that_were_asked_for() -> None:
    with Broker({"num.network.threads": "3", "num.io.threads": "2"}) as broker:
        assert sorted(broker.worker_pids()) == ["cluster", "io-0", "io-1", "net-0", "net-1", "net-2"]
        titles = {name: Path(f"/proc/{pid}/cmdline").read_text() for name, pid in broker.worker_pids().items()}
        assert all(name in title for name, title in titles.items()), titles


def test_status_and_stop_from_the_command_line(tmp_path: Path) -> None:
    with Broker(data_dir=tmp_path) as broker:
        broker.create_topic("counted", 5)
        status = json.loads(kbroker("status", "--data-dir", str(broker.data_dir), "--json"))
        assert status["running"]
        assert status["pid"] == broker.pid
        assert status["partitions"] >= 5
        assert status["connections"] >= 1
        workers = {worker["name"]: worker for worker in status["workers"]}
        assert workers.keys() >= broker.worker_pids().keys()
        assert all(worker["memory_bytes"] > 0 for worker in workers.values())
        assert "io-0" in kbroker("status", "--data-dir", str(broker.data_dir))

        # A supervisor that its parent does not reap looks alive to the one who waits for its end.
        stopper = subprocess.Popen(
            [sys.executable, "-m", "kbroker", "stop", "--data-dir", str(broker.data_dir)], stdout=subprocess.DEVNULL
        )
        eventually(lambda: "Stopped in order" in broker.log_text(), broker.log_text)
        broker.close()
        assert stopper.wait(30) == 0
        done = run_kbroker("status", "--data-dir", str(tmp_path / "data"))
        assert done.returncode == 3
        assert run_kbroker("stop", "--data-dir", str(tmp_path / "data")).returncode == 1


def test_a_second_broker_on_the_same_directory_is_told_who_holds_it(tmp_path: Path) -> None:
    with Broker(data_dir=tmp_path) as broker:
        line = _only_line(_start(ANY_PORT, f"log.dirs={broker.data_dir}"))
        assert str(broker.pid) in line
        assert str(broker.data_dir) in line
        # The first does not mind.
        assert broker.admin().list_topics(timeout=30).brokers


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = _only_line(_start(f"listeners=PLAINTEXT://127.0.0.1:{port}", f"log.dirs={tmp_path}"))
    assert f"127.0.0.1:{port}" in line
    assert "in use" in line


@pytest.mark.parametrize("kind", ["file", "below a file", "read-only"])
def test_a_directory_that_cannot_be_used_is_named(kind: str, tmp_path: Path) -> None:
    target = tmp_path / "data"
    if kind == "read-only":
        # Permissions do not stop root; a file system that nobody may write does.
        target = Path("/proc/kbroker-data")
    else:
        target.write_text("not a directory")
        if kind == "below a file":
            target /= "deeper"
    line = _only_line(_start(ANY_PORT, f"log.dirs={target}"))
    assert str(target) in line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("num.io.threads=many", ["num.io.threads", "many", "line 3"], id="not a number"),
        pytest.param("log.segment.bytes=3", ["log.segment.bytes", "3", "line 3"], id="below the range"),
        pytest.param(
            "listeners=PLAINTEXT//localhost", ["listeners", "PLAINTEXT//localhost", "line 3"], id="no listener"
        ),
        pytest.param("log.cleanup.policy=forget", ["log.cleanup.policy", "forget", "line 3"], id="no such policy"),
    ],
)
def test_a_bad_value_is_named_with_file_and_line(text: str, expected: list[str], tmp_path: Path) -> None:
    properties = tmp_path / "server.properties"
    properties.write_text(f"# a comment\nbroker.id=0\n{text}\nlog.dirs={tmp_path / 'data'}\n")
    line = _only_line(_start(properties=properties))
    assert str(properties) in line
    for part in expected:
        assert part in line, line


def test_an_unknown_key_is_no_error_but_told_with_the_nearest_known_one(tmp_path: Path) -> None:
    """What ends this start is the port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listeners = f"listeners=PLAINTEXT://127.0.0.1:{taken.getsockname()[1]}"
        done = _start("log.retention.hour=24", listeners, f"log.dirs={tmp_path}")
    assert re.search(r"WARN .*log\.retention\.hour\b.*log\.retention\.hours", done.stderr)
    assert "the port is in use" in _only_line(done)


def test_starting_again_finds_topics_records_and_the_cluster_id() -> None:
    with Broker() as broker:
        client = Confluent(broker.bootstrap_servers)
        broker.create_topic("kept", 2, {"retention.ms": "1234567"})
        client.produce("kept", [Record(1, -1, b"key", b"value", 1_700_000_000_000)])
        before = broker.admin().list_topics(timeout=30)
        for clean in (True, False):
            broker.restart(clean=clean)
            after = broker.admin().list_topics(timeout=30)
            assert after.cluster_id == before.cluster_id
            assert after.topics.keys() >= {"kept"}
            assert len(after.topics["kept"].partitions) == 2
            described = kbroker(
                "topics", "--describe", "--topic", "kept", "--bootstrap-server", broker.bootstrap_servers
            )
            assert "retention.ms=1234567" in described
            assert client.consume("kept", {0: 0, 1: 0}, 1) == [Record(1, 0, b"key", b"value", 1_700_000_000_000)]
