"""kbroker.testing.Broker: quickly there, and gone without a trace, however the tests end."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from waiting import eventually

from kbroker.errors import StartupError
from kbroker.testing import Broker


def _gone(pid: int) -> bool:
    """Whether a process has ended, though perhaps nobody has asked for its exit code."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True


def test_it_lives_in_a_temporary_directory_that_is_removed() -> None:
    with Broker() as broker:
        directory = broker.directory
        assert broker.data_dir == directory / "data"
        assert (broker.data_dir / "meta.properties").exists()
        assert broker.bootstrap_servers == f"127.0.0.1:{broker.port}"
        assert "Started in" in broker.log_text()
    assert not directory.exists()


def test_a_given_directory_is_kept_and_found_again(tmp_path: Path) -> None:
    with Broker(data_dir=tmp_path) as broker:
        broker.create_topic("kept", 2)
    with Broker(data_dir=tmp_path) as broker:
        assert "kept" in broker.admin().list_topics(timeout=30).topics


def test_a_restart_keeps_the_port(tmp_path: Path) -> None:
    with Broker(data_dir=tmp_path) as broker:
        address, pid = broker.bootstrap_servers, broker.pid
        for clean in (True, False):
            broker.restart(clean=clean)
            assert broker.bootstrap_servers == address
            assert broker.pid != pid


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "", "[::]", "0.0.0.0"])
def test_nobody_gets_its_port_while_it_is_down(host: str) -> None:
    with Broker({"listeners": f"PLAINTEXT://{host}:0"}) as broker:
        port = broker.port
        broker.kill()
        assert not broker.is_running
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)
        broker.start()
        assert broker.port == port
        broker.produce("t", "x")


def test_a_broker_that_has_ended_is_told_at_once() -> None:
    with Broker() as broker:
        os.kill(broker.pid, signal.SIGKILL)
        eventually(lambda: not broker.is_running, "its end")
        for ask in (broker.admin, lambda: broker.produce("t", "x"), lambda: broker.consume("t")):
            with pytest.raises(StartupError, match=r"the broker has ended with code -9\n.*Started in"):
                ask()


def test_a_start_that_fails_tells_what_the_broker_said() -> None:
    broker = Broker({"num.io.threads": "many"})
    with pytest.raises(StartupError, match=r"num\.io\.threads"):
        broker.start()


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("num.io.thread", "did you mean num.io.threads?"),
        ("log.retention.hour", "did you mean log.retention.hours?"),
        ("bootstrap.servers", "producer or consumer"),
        ("retention.ms", "log.retention.ms"),
        ("no.such.thing.at.all", "unknown key"),
    ],
)
def test_a_key_that_no_broker_has_fails_and_leaves_nothing(key: str, hint: str) -> None:
    broker = Broker({key: "1"})
    with pytest.raises(StartupError, match=re.escape(hint)) as failure:
        broker.start()
    assert key in str(failure.value)
    with pytest.raises(RuntimeError, match="not started"):
        _ = broker.directory


def test_values_may_be_numbers_truth_values_and_nothing() -> None:
    config = {"num.partitions": 3, "auto.create.topics.enable": True, "group.initial.rebalance.delay.ms": None}
    with Broker(config, log_level="ERROR") as broker:
        broker.produce("made-by-use", "x", partition=2)
        assert broker.log_text() == ""


def test_its_log_can_be_read_after_its_end(tmp_path: Path) -> None:
    with Broker() as broker:
        pass
    assert "Started in" in broker.log_text()
    (tmp_path / "broker.log").write_text("of an earlier one\n")
    with Broker(data_dir=tmp_path) as broker:
        assert "of an earlier one" not in broker.log_text()
        assert "Started in" in broker.log_text()
    assert "of an earlier one" in (tmp_path / "broker.log").read_text()


def test_an_asynchronous_test_goes_on_while_it_starts_and_stops() -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    async def use() -> Path:
        ticking = asyncio.create_task(tick())
        async with Broker() as broker:
            assert ticks > 1
            await asyncio.to_thread(broker.produce, "t", "x")
        ticking.cancel()
        return broker.directory if broker._directory else Path("/nonexistent")

    assert not asyncio.run(use()).exists()


def test_an_asynchronous_start_that_is_cancelled_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    broker = Broker()

    async def use() -> None:
        async with broker:
            raise AssertionError("it was cancelled before")

    async def cancel() -> None:
        task = asyncio.create_task(use())
        await asyncio.to_thread(eventually, lambda: list(tmp_path.iterdir()), "the start to have begun")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RuntimeError, match="not running"):
        _ = broker.pid


def test_more_than_a_thousand_open_files_in_the_test_process_do_no_harm() -> None:
    program = (
        "import os, resource, sys\n"
        "from kbroker.testing import Broker\n"
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (4096 if hard == -1 else min(hard, 4096), hard))\n"
        "files = [open(os.devnull) for _ in range(1100)]\n"
        "with Broker() as broker:\n"
        "    broker.produce('t', 'x')\n"
        "    broker.restart(clean=False)\n"
        "    broker.wait_worker_back('io-0', broker.kill_worker('io-0'))\n"
        "    broker.restart()\n"
        "    assert broker.consume('t')[0].text == 'x'\n"
        "    assert 'Traceback' not in broker.log_text(), broker.log_text()\n"
        "broker.start()\n"
        "print(broker.directory, flush=True)\n"
        "os._exit(0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    directory = Path(done.stdout.strip())
    # Its lifeline had a number above 1,023, too.
    eventually(lambda: not directory.exists(), f"{directory} to be removed")


def test_a_start_on_a_directory_in_use_leaves_its_broker_alone(tmp_path: Path) -> None:
    """The run file there names that broker's processes, not ours."""
    data = {"log.dirs": str(tmp_path / "data")}
    with Broker(data) as first:
        workers = first.worker_pids()
        second = Broker(data)
        with pytest.raises(StartupError, match=f"in use by process {first.pid} "):
            second.start()
        assert first.worker_pids() == workers
        for name, pid in workers.items():
            assert name.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_a_killed_worker_is_reported_back() -> None:
    with Broker() as broker:
        for name, pid in broker.worker_pids().items():
            assert broker.kill_worker(name) == pid
            assert broker.wait_worker_back(name, pid) == broker.worker_pids()[name] != pid


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_test_session_that_dies_leaves_nothing_behind(number: signal.Signals) -> None:
    program = (
        "import sys\n"
        "from kbroker.testing import Broker\n"
        "broker = Broker()\n"
        "broker.start()\n"
        "broker.create_topic('left', 3)\n"
        "print(broker.directory, broker.pid, *broker.worker_pids().values(), flush=True)\n"
        "sys.stdin.read()\n"
    )
    before = set(os.listdir("/dev/shm"))
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as session:
        assert session.stdout
        directory, *pids = session.stdout.readline().split()
        assert Path(directory, "data", "left-2").exists()
        session.send_signal(number)
        session.wait(10)
    for pid in map(int, pids):
        eventually(lambda: _gone(pid), f"process {pid} to end")  # noqa: B023 - asked before the next one
    eventually(lambda: not Path(directory).exists(), f"{directory} to be removed")
    assert set(os.listdir("/dev/shm")) <= before


def test_a_session_that_forgets_to_close_leaves_no_directory_behind() -> None:
    program = (
        "from kbroker.testing import Broker\n"
        "stopped, running = Broker(), Broker()\n"
        "for broker in (stopped, running):\n"
        "    broker.start()\n"
        "    print(broker.directory)\n"
        "stopped.stop()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    for directory in done.stdout.split():
        eventually(lambda: not Path(directory).exists(), f"{directory} to be removed")  # noqa: B023


def test_it_is_ready_in_less_than_half_a_second() -> None:
    """The best of three: this machine may be busy."""
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        with Broker():
            times.append(time.perf_counter() - begun)
    # The budget is 0.4 s on an idle machine; the rest is for the neighbours.
    assert min(times) < 0.8, times
