"""A broker among others on a machine: in a container, with a small /dev/shm, under a clock that is set."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from raw_connection import RawConnection
from waiting import eventually

from kbroker.cli.run_file import RUN_FILE_NAME
from kbroker.protocol.headers import encode_request_header
from kbroker.protocol.messages.create_topics import CreatableTopic, CreateTopicsRequest, CreateTopicsResponse
from kbroker.protocol.messages.produce import PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData
from kbroker.protocol.record_batch import BatchBuilder

KBROKER = [sys.executable, "-m", "kbroker"]
SO_SNDBUFFORCE = 32
"""As SO_SNDBUF, beyond what the system allows others than root; Python has no name for it."""
CONTAINER = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
PRODUCE_VERSION, CREATE_VERSION = 8, 6


@pytest.fixture(scope="module")
def namespaces() -> None:
    """Skip where namespaces and mounts cannot be made: not root, or root of a container that may not."""
    try:
        subprocess.run(["unshare", "--mount", "--pid", "--fork", "--mount-proc", "true"], check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("makes namespaces and mounts: needs root, and util-linux")


class Started:
    """A broker's process, or what it was wrapped in."""

    def __init__(self, directory: Path, *wrapper: str, **environment: str) -> None:
        self.directory = directory / "data"
        self.log = directory / "broker.log"
        seen = len(self.log_text())
        overrides = [f"log.dirs={self.directory}", "listeners=PLAINTEXT://127.0.0.1:0", "num.network.threads=2"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*wrapper, *KBROKER, "start", *(word for one in overrides for word in ("--override", one))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        eventually(
            lambda: self.process.poll() is not None or "Started in" in self.log_text()[seen:],
            lambda: self.log_text()[seen:],
        )
        assert self.process.poll() is None, self.log_text()[seen:]
        content = json.loads((self.directory / RUN_FILE_NAME).read_bytes())
        self.address = f"127.0.0.1:{content['listeners'][0]['port']}"

    def log_text(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def end(self) -> None:
        if self.process.poll() is None:
            for child in children(self.process.pid):
                os.kill(child, signal.SIGKILL)
            self.process.kill()
        self.process.wait()

    def produce(self, topic: str, size_bytes: int) -> int:
        """Append one record; return its offset."""
        with RawConnection(self.address) as connection:
            connection.socket.sendall(produce_frame(topic, size_bytes))
            return appended_at(connection.receive())

    def create(self, topic: str) -> None:
        request = CreateTopicsRequest(
            topics=[CreatableTopic(name=topic, num_partitions=1, replication_factor=1)], timeout_ms=20_000
        )
        with RawConnection(self.address) as connection:
            connection.send(request, CREATE_VERSION)
            answer = connection.receive()
        response, _ = CreateTopicsResponse.decode(memoryview(answer), CREATE_VERSION, 5)
        assert response.topics[0].error_code == 0


def produce_frame(topic: str, size_bytes: int) -> bytes:
    """Return a Produce request of one record, with its length."""
    builder = BatchBuilder()
    builder.append(None, os.urandom(size_bytes), int(time.time() * 1000))
    data = PartitionProduceData(index=0, records=memoryview(builder.build()))
    request = ProduceRequest(
        acks=-1, timeout_ms=20_000, topic_data=[TopicProduceData(name=topic, partition_data=[data])]
    )
    content = encode_request_header(0, PRODUCE_VERSION, 1, "neighbour") + request.encode(PRODUCE_VERSION)
    return len(content).to_bytes(4, "big") + content


def appended_at(answer: bytes) -> int:
    """Return the offset that the answer to a Produce request tells."""
    response, _ = ProduceResponse.decode(memoryview(answer), PRODUCE_VERSION, 4)
    result = response.responses[0].partition_responses[0]
    assert result.error_code == 0
    return result.base_offset


@contextmanager
def started(directory: Path, *wrapper: str, **environment: str) -> Iterator[Started]:
    broker = Started(directory, *wrapper, **environment)
    try:
        yield broker
    finally:
        broker.end()


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _bound(notified: socket.socket, address: str) -> str:
    notified.bind("\0" + address)
    notified.settimeout(30)
    return address


def kbroker(*arguments: str, wrapper: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*wrapper, *KBROKER, *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.usefixtures("namespaces")
def test_process_one_of_a_container_reaps_orphans_and_is_found_from_outside(tmp_path: Path) -> None:
    address = f"kbroker-test-{os.getpid()}"
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified,
        started(tmp_path, *CONTAINER, NOTIFY_SOCKET=f"@{_bound(notified, address)}") as broker,
    ):
        lines = notified.recv(4096).split(b"\n")
        assert b"READY=1" in lines
        assert b"MAINPID=1" not in lines, "outside that is another process"
        supervisor = children(broker.process.pid)[0]
        assert (tmp_path / "data" / RUN_FILE_NAME).read_text().count('"pid": 1,') == 1
        inside = ("nsenter", "--pid", "--mount", "-t", str(supervisor))
        # What health checks and `docker exec` leave behind.
        for _ in range(3):
            subprocess.run([*inside, "sh", "-c", "(sleep 0.2 &) ; exit 0"], check=True, timeout=20)
        workers = {
            child
            for child in children(supervisor)
            if b"kbroker" in Path(f"/proc/{child}/cmdline").read_bytes()  # no orphan, zombies have no command line
        }
        assert len(workers) >= 4
        eventually(lambda: set(children(supervisor)) == workers, lambda: f"{children(supervisor)} are not {workers}")

        status = json.loads(kbroker("status", "--json", "--data-dir", str(broker.directory)).stdout)
        assert status["pid"] == supervisor, "the machine's own process 1 is another"
        assert {one["pid"] for one in status["workers"]} == {supervisor, *workers}
        assert all(one["running"] for one in status["workers"])
        assert status["connections"] == 0
        within = kbroker("status", "--json", "--data-dir", str(broker.directory), wrapper=inside)
        assert json.loads(within.stdout)["pid"] == 1
        # In its pid namespace with the outer one's /proc, whose process 1 is another.
        mixed = kbroker(
            "status",
            "--json",
            "--data-dir",
            str(broker.directory),
            wrapper=("nsenter", "--pid", "-t", str(supervisor)),
        )
        assert [(one["pid"], one["memory_bytes"]) for one in json.loads(mixed.stdout)["workers"]] == [(1, 0)]
        beside = kbroker("status", "--data-dir", str(broker.directory), wrapper=tuple(CONTAINER))
        assert (beside.returncode, "in another container" in beside.stdout) == (3, True), beside.stdout
        stop = kbroker("stop", "--data-dir", str(broker.directory), wrapper=tuple(CONTAINER))
        assert (stop.returncode, broker.process.poll()) == (1, None), stop.stderr
        second = kbroker("start", "--override", f"log.dirs={broker.directory}", wrapper=tuple(CONTAINER))
        assert second.returncode == 1
        assert "in use by a process that cannot be seen from here" in second.stderr

        assert kbroker("stop", "--data-dir", str(broker.directory)).returncode == 0
        assert broker.process.wait(20) == 0
        assert "Stopped in order" in broker.log_text()


@pytest.mark.usefixtures("namespaces")
def test_a_tool_that_is_process_one_of_a_container_ends_when_it_is_told() -> None:
    """The system would ignore the signal for it."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(30)
        servers = f"127.0.0.1:{silent.getsockname()[1]}"
        tool = subprocess.Popen(
            [*CONTAINER, *KBROKER, "topics", "--list", "--bootstrap-server", servers],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            silent.accept()[0].close()
            os.kill(children(tool.pid)[0], signal.SIGTERM)
            assert tool.wait(3) == 128 + signal.SIGTERM
        finally:
            tool.kill()
            tool.wait()


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize(
    "mount",
    [
        pytest.param("mount -t tmpfs -o size=64k shm /dev/shm && ! cat /dev/zero 2>&- > /dev/shm/neighbour", id="full"),
        pytest.param("mount -t tmpfs -o ro shm /dev/shm", id="read-only"),
        pytest.param("mount -t tmpfs -o mode=0 dev /dev && mknod -m 666 /dev/null c 1 3", id="not there"),
    ],
)
def test_no_dev_shm_is_needed(tmp_path: Path, mount: str) -> None:
    """Whatever a neighbour does with it, at the start or later."""
    wrapper = ("unshare", "--mount", "sh", "-c", mount + ' && exec "$0" "$@"')
    with started(tmp_path, *wrapper) as broker:
        broker.create("t")
        assert [broker.produce("t", 900_000) for _ in range(12)] == list(range(12))
        broker.process.send_signal(signal.SIGTERM)
        assert broker.process.wait(30) == 0
        assert "WARN" not in broker.log_text()


@pytest.fixture
def memory_limit() -> Iterator[Path]:
    """A control group whose processes may use 100 MB together: the file that takes their numbers."""
    group = Path(f"/sys/fs/cgroup/memory/kbroker-test-{os.getpid()}")
    if os.geteuid() or not os.access(group.parent, os.W_OK):
        pytest.skip("needs root and control groups of version 1 that can be written")
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text("100000000")
        yield group / "cgroup.procs"
    finally:
        eventually(lambda: not (group / "cgroup.procs").read_text(), "its processes to end")
        group.rmdir()


def test_clients_that_send_more_than_a_memory_limit_allows_kill_no_worker(tmp_path: Path, memory_limit: Path) -> None:
    with started(tmp_path, "sh", "-c", f'echo $$ > {memory_limit} && exec "$0" "$@"') as broker:
        broker.create("t")
        frame = produce_frame("t", 900_000)
        clients = [RawConnection(broker.address) for _ in range(120)]
        for client in clients:
            # What the broker does not read waits here, so that nobody waits for his turn to send.
            client.socket.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 2 * len(frame))
            client.socket.sendall(frame[:-10])
        time.sleep(1)  # for a broker that reads more than it should
        for client in clients:
            client.socket.sendall(frame[-10:])
        assert sorted(appended_at(client.receive()) for client in clients) == list(range(len(clients)))
        for client in clients:
            client.socket.close()
        broker.process.send_signal(signal.SIGTERM)
        assert broker.process.wait(30) == 0
        assert "killed" not in broker.log_text()


@pytest.mark.parametrize("step", ["-3600", "+3600"], ids=["forward", "back"])
def test_a_clock_set_after_the_start_hides_no_broker(tmp_path: Path, step: str) -> None:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not found:
        pytest.skip("needs libfaketime")
    # The broker's clock is wrong; that of the tools is as it was set afterwards.
    clock = {"FAKETIME": step, "DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    with started(tmp_path, LD_PRELOAD=str(found[0]), **clock) as broker:
        status = kbroker("status", "--data-dir", str(broker.directory))
        assert status.returncode == 0, status.stdout
        assert ", up 0 min" in status.stdout or " s\n" in status.stdout.splitlines(keepends=True)[0], status.stdout
        assert kbroker("stop", "--data-dir", str(broker.directory)).returncode == 0
        assert broker.process.wait(20) == 0


def test_what_a_killed_broker_left_names_nobody(tmp_path: Path) -> None:
    with started(tmp_path) as broker:
        directory = str(broker.directory)
        broker.process.kill()
        broker.process.wait()
        with subprocess.Popen(["sleep", "60"]) as stranger:
            path = broker.directory / RUN_FILE_NAME
            path.write_text(json.dumps({**json.loads(path.read_bytes()), "pid": stranger.pid}))
            results = [kbroker("status", "--data-dir", directory), kbroker("stop", "--data-dir", directory)]
            assert stranger.poll() is None
            stranger.kill()
        assert [result.returncode for result in results] == [3, 1]
    with started(tmp_path) as broker:
        assert json.loads(path.read_bytes())["pid"] == broker.process.pid
        assert kbroker("stop", "--data-dir", directory).returncode == 0
        assert broker.process.wait(20) == 0
        assert not path.exists()


def test_a_lock_file_that_somebody_removes_is_there_again(tmp_path: Path) -> None:
    with started(tmp_path) as broker:
        (broker.directory / ".lock").unlink()
        eventually((broker.directory / ".lock").exists)
        second = kbroker("start", "--override", f"log.dirs={broker.directory}")
        assert f"in use by process {broker.process.pid} " in second.stderr
        assert kbroker("stop", "--data-dir", str(broker.directory)).returncode == 0
        assert broker.process.wait(20) == 0
        assert "Stopped in order" in broker.log_text()


def test_a_directory_named_twice_is_refused_with_the_reason(tmp_path: Path) -> None:
    """By a link it looks like two; locking it twice would let go of the lock."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").symlink_to("one")
    result = kbroker("start", "--override", f"log.dirs={tmp_path}/one,{tmp_path}/two")
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)
    assert f"log.dirs={tmp_path}/two: the same directory as {tmp_path}/one" in result.stderr
