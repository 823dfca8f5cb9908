"""`kbroker status` and `kbroker stop` find a broker by its lock, and never take another process for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kbroker.cli.run_file import RUN_FILE_NAME, RunFileError, read_run_file, remove_run_files
from kbroker.cli.running_broker import Stopper, find_running_broker, named_directories

HOLD = """
import signal, sys, time
from kbroker.cli.directory_lock import lock_directory
for directory in sys.argv[2:]:
    lock_directory(directory)
if sys.argv[1] == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
time.sleep(60)
"""
CONTENT: dict[str, Any] = {
    "started_ms": 1_700_000_000_000,
    "started_boottime_ms": 1000,
    "listeners": [{"name": "PLAINTEXT", "host": "::1", "port": 9092}],
    "cluster_id": "abc",
    "broker_id": 0,
    "shared": {},
}


@pytest.fixture
def hold() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Return a function that has a process hold directories as a broker does, and write the first one's run file."""
    started: list[subprocess.Popen[bytes]] = []

    def hold(*directories: Path, how: str = "") -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", HOLD, how, *map(str, directories)], stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        write(directories[0], process.pid)
        return process

    yield hold
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def write(directory: Path, pid: int) -> None:
    content = {**CONTENT, "pid": pid, "log_dirs": [str(directory)], "workers": {"io-0": 2**22 + 1}}
    (directory / RUN_FILE_NAME).write_text(json.dumps(content))


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """Yield a process that has nothing to do with brokers."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def test_status(run, tmp_path: Path, hold) -> None:
    process = hold(tmp_path)
    result = run("status", "--data-dir", str(tmp_path))
    assert result.exit_code == 0
    assert "Broker 0 of cluster abc, up " in result.output
    assert "PLAINTEXT://[::1]:9092" in result.output
    lines = {line.split()[0]: line for line in result.output.splitlines() if line.strip()}
    assert "MiB" in lines["supervisor"]
    assert "not running" in lines["io-0"], "it is no child of the broker"
    status = json.loads(run("status", "--json", "--data-dir", str(tmp_path)).output)
    assert (status["running"], status["pid"], status["cluster_id"]) == (True, process.pid, "abc")
    workers = {one["name"]: one for one in status["workers"]}
    assert workers["supervisor"]["memory_bytes"] > 0
    assert workers["io-0"]["running"] is False


def test_waiting_for_a_broker_that_starts(run, tmp_path: Path, hold) -> None:
    """A health check asks for a broker that serves; one that recovers its logs runs, but does not yet."""
    process = hold(tmp_path)
    (tmp_path / RUN_FILE_NAME).unlink()
    starting = run("status", "--wait", "0", "--data-dir", str(tmp_path))
    assert (starting.exit_code, "it is starting or stopping" in starting.output) == (5, True)
    assert run("status", "--data-dir", str(tmp_path)).exit_code == 0
    timer = threading.Timer(0.3, write, (tmp_path, process.pid))
    timer.start()
    assert run("status", "--wait", "20", "--data-dir", str(tmp_path)).exit_code == 0
    timer.join()
    assert run("status", "--wait", "0", "--data-dir", str(tmp_path)).exit_code == 0
    assert run("status", "--wait", "0.1", "--data-dir", str(tmp_path / "other")).exit_code == 3


def test_no_broker(run, tmp_path: Path) -> None:
    result = run("status", "--data-dir", str(tmp_path))
    assert (result.exit_code, result.output) == (3, f"No broker is running on {tmp_path}.\n")
    assert json.loads(run("status", "--json", "--data-dir", str(tmp_path)).output)["running"] is False
    assert run("stop", "--data-dir", str(tmp_path)).exit_code == 1


def test_a_process_that_a_file_names_is_left_alone_while_nobody_holds_the_lock(run, tmp_path: Path, stranger) -> None:
    """The run file of a killed broker must not make `stop` kill a stranger, however young or old that is."""
    write(tmp_path, stranger.pid)
    assert run("status", "--data-dir", str(tmp_path)).exit_code == 3
    assert run("stop", "--data-dir", str(tmp_path)).exit_code == 1
    assert stranger.poll() is None


def test_the_holder_of_the_lock_is_the_broker_whatever_number_the_file_names(
    run, tmp_path: Path, hold, stranger
) -> None:
    process = hold(tmp_path)
    write(tmp_path, stranger.pid)
    assert json.loads(run("status", "--json", "--data-dir", str(tmp_path)).output)["pid"] == process.pid
    assert run("stop", "--data-dir", str(tmp_path)).exit_code == 0
    assert process.wait(10) == -signal.SIGTERM
    assert stranger.poll() is None


def test_a_kafka_on_the_directory_is_named_and_left_alone(run, tmp_path: Path) -> None:
    code = (
        "import fcntl, sys, time; file = open(sys.argv[1], 'w'); fcntl.lockf(file, fcntl.LOCK_EX); "
        "print('up', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, tmp_path / ".lock"], stdout=subprocess.PIPE) as kafka:
        assert kafka.stdout is not None
        kafka.stdout.readline()
        write(tmp_path, kafka.pid)
        results = {command: run(command, "--data-dir", str(tmp_path)) for command in ("status", "stop")}
        alive = kafka.poll() is None
        kafka.kill()
    assert alive
    assert {command: result.exit_code for command, result in results.items()} == {"status": 3, "stop": 1}
    assert f"in use by process {kafka.pid} (" in results["status"].output
    assert f"in use by process {kafka.pid} (" in str(results["stop"].exception)


@pytest.mark.parametrize("content", [None, "", '{"pid": 12', "[]", '{"pid": 1, "workers": 3}', "\xff", "[" * 5000])
def test_a_damaged_or_missing_run_file_hides_no_broker(run, tmp_path: Path, hold, content: str | None) -> None:
    process = hold(tmp_path)
    path = tmp_path / RUN_FILE_NAME
    path.unlink()
    if content is not None:
        path.write_bytes(content.encode("latin-1"))
        with pytest.raises(RunFileError, match="damaged"):
            read_run_file(str(tmp_path))
    result = run("status", "--data-dir", str(tmp_path))
    assert (result.exit_code, f"A broker runs on {tmp_path}" in result.output) == (0, True)
    assert f"{process.pid}" in result.output
    assert json.loads(run("status", "--json", "--data-dir", str(tmp_path)).output)["pid"] == process.pid
    assert run("stop", "--data-dir", str(tmp_path)).exit_code == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 99, "kbroker": "9.8.7"}, "of format 99, .* ask the kbroker that runs there \\(9\\.8\\.7\\)"),
        ({"version": 99}, "of format 99, .* ask the kbroker that runs there \\(a newer one\\)"),
        ({"started_boottime_ms": None}, "of format 1, .* ask the kbroker that runs there \\(0\\.1\\.0\\)"),
    ],
    ids=["newer", "newer, unnamed", "0.1.0"],
)
def test_a_run_file_of_another_kbroker_is_told_and_hides_no_broker(
    run, tmp_path: Path, hold, changes: dict, words: str
) -> None:
    process = hold(tmp_path)
    path = tmp_path / RUN_FILE_NAME
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
    with pytest.raises(RunFileError, match=words):
        read_run_file(str(tmp_path))
    result = run("status", "--data-dir", str(tmp_path))
    assert (result.exit_code, f"{process.pid}" in result.output) == (0, True)
    assert "of format" in result.output
    assert run("stop", "--data-dir", str(tmp_path)).exit_code == 0


def test_each_log_directory_leads_to_the_broker(run, tmp_path: Path, hold) -> None:
    directories = [tmp_path / name for name in ("a", "b", "c")]
    for directory in directories:
        directory.mkdir()
    # The first could not be used when it started.
    process = hold(*directories[1:])
    properties = tmp_path / "server.properties"
    properties.write_text(f"log.dirs={','.join(map(str, directories))}\n")
    assert run("status", "--config", str(properties)).exit_code == 0
    assert run("status", "--data-dir", str(directories[0])).exit_code == 3
    assert run("stop", "--data-dir", str(directories[2])).exit_code == 0
    assert process.wait(10) == -signal.SIGTERM


def test_stop(run, tmp_path: Path, hold) -> None:
    process = hold(tmp_path)
    result = run("stop", "--data-dir", str(tmp_path))
    assert result.exit_code == 0
    assert result.output.endswith("stopped.\n")
    assert process.wait(10) == -signal.SIGTERM


def test_stop_gives_up_in_the_end(run, tmp_path: Path, hold) -> None:
    hold(tmp_path, how="stubborn")
    result = run("stop", "--timeout", "0.1", "--data-dir", str(tmp_path))
    assert result.exit_code == 1
    assert "has not stopped after 0.1 s" in result.output


def test_stop_where_the_system_has_no_handles_on_processes(run, tmp_path: Path, hold, monkeypatch) -> None:
    def refused(_pid: int) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "pidfd_open", refused)
    hold(tmp_path)
    assert run("stop", "--data-dir", str(tmp_path)).exit_code == 0


def test_a_broker_that_ends_before_it_is_asked_costs_nobody_a_signal(tmp_path: Path, hold) -> None:
    process = hold(tmp_path)
    broker = find_running_broker([str(tmp_path)])
    process.kill()
    process.wait()
    with pytest.raises(ProcessLookupError), Stopper(broker):
        pass


def test_a_lock_that_this_user_may_not_look_at_is_told(run, tmp_path: Path, monkeypatch) -> None:
    def refused(path: str, *_args: object) -> int:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("kbroker.cli.directory_lock.os.open", refused)
    result = run("status", "--data-dir", str(tmp_path))
    assert (result.exit_code, "Permission denied" in result.output) == (4, True)
    assert run("stop", "--data-dir", str(tmp_path)).exit_code == 1


def test_a_start_removes_what_an_earlier_broker_left(tmp_path: Path) -> None:
    write(tmp_path, 1)
    remove_run_files([str(tmp_path), str(tmp_path / "nowhere")])
    assert read_run_file(str(tmp_path)) is None


def test_the_data_dir_of_a_configuration(tmp_path: Path) -> None:
    path = tmp_path / "server.properties"
    path.write_text("log.dirs=/a,/b\n")
    assert named_directories(None, str(path)) == ("/a", "/b")
    assert named_directories("/c", str(path)) == ("/c",)
