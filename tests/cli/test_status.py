"""`kbroker status` and `kbroker stop` find a broker by its run file, and never take another process for it."""

import json
import subprocess
import sys
import time

import pytest

from kbroker.cli.run_file import RUN_FILE_NAME, RunFileError, data_dir_of, read_run_file, running_process


@pytest.fixture
def process():
    """Yield a process that stands for a broker: it ends when told to."""
    code = "import time, sys; print('up', flush=True); time.sleep(60)"
    started = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert started.stdout is not None
    started.stdout.readline()
    yield started
    started.kill()
    started.wait()
    started.stdout.close()


@pytest.fixture
def data_dir(tmp_path, process):
    """Return a data directory whose run file names `process`."""
    content = {
        "pid": process.pid,
        "started_ms": int(time.time() * 1000),
        "listeners": [{"name": "PLAINTEXT", "host": "::1", "port": 9092}],
        "cluster_id": "abc",
        "broker_id": 0,
        "log_dirs": [str(tmp_path)],
        "workers": {"io-0": process.pid, "net-0": 2**22 + 1},
        "shared": {},
    }
    (tmp_path / RUN_FILE_NAME).write_text(json.dumps(content))
    return str(tmp_path)


def test_status(run, data_dir: str) -> None:
    result = run("status", "--data-dir", data_dir)
    assert result.exit_code == 0
    assert "Broker 0 of cluster abc, up " in result.output
    assert "PLAINTEXT://[::1]:9092" in result.output
    lines = {line.split()[0]: line for line in result.output.splitlines() if line.strip()}
    assert "MiB" in lines["io-0"]
    assert "not running" in lines["net-0"]


def test_status_as_json(run, data_dir: str, process) -> None:
    status = json.loads(run("status", "--json", "--data-dir", data_dir).output)
    assert (status["running"], status["pid"], status["cluster_id"]) == (True, process.pid, "abc")
    workers = {one["name"]: one for one in status["workers"]}
    assert workers["supervisor"]["memory_bytes"] > 0
    assert workers["net-0"]["running"] is False


def test_no_broker(run, tmp_path) -> None:
    result = run("status", "--data-dir", str(tmp_path))
    assert (result.exit_code, result.output) == (3, f"No broker is running on {tmp_path}.\n")
    assert json.loads(run("status", "--json", "--data-dir", str(tmp_path)).output)["running"] is False
    assert run("stop", "--data-dir", str(tmp_path)).exit_code == 1


def test_a_process_that_has_ended_is_no_broker(run, data_dir: str, process) -> None:
    process.kill()
    process.wait()
    assert run("status", "--data-dir", data_dir).exit_code == 3


def test_a_process_that_took_the_number_over_is_left_alone(run, tmp_path, data_dir: str, process) -> None:
    """The run file of a killed broker must not make `stop` kill a stranger."""
    path = tmp_path / RUN_FILE_NAME
    content = json.loads(path.read_text())
    content["started_ms"] -= 3_600_000
    path.write_text(json.dumps(content))
    info = read_run_file(data_dir)
    assert info is not None
    assert running_process(info) is None
    assert run("stop", "--data-dir", data_dir).exit_code == 1
    assert process.poll() is None


def test_stop(run, data_dir: str, process) -> None:
    result = run("stop", "--data-dir", data_dir)
    assert result.exit_code == 0
    assert result.output.endswith("stopped.\n")
    assert process.poll() is not None


def test_stop_gives_up_in_the_end(run, tmp_path, data_dir: str) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as stubborn:
        stubborn.stdout.readline()
        path = tmp_path / RUN_FILE_NAME
        content = json.loads(path.read_text())
        content |= {"pid": stubborn.pid, "started_ms": int(time.time() * 1000)}
        path.write_text(json.dumps(content))
        result = run("stop", "--timeout", "0.1", "--data-dir", data_dir)
        stubborn.kill()
    assert result.exit_code == 1
    assert "has not stopped after 0.1 s" in result.output


def test_a_damaged_run_file(tmp_path) -> None:
    (tmp_path / RUN_FILE_NAME).write_text("{")
    with pytest.raises(RunFileError, match="damaged"):
        read_run_file(str(tmp_path))


def test_the_data_dir_of_a_configuration(tmp_path) -> None:
    path = tmp_path / "server.properties"
    path.write_text("log.dirs=/a,/b\n")
    assert data_dir_of(None, str(path)) == "/a"
    assert data_dir_of("/c", str(path)) == "/c"
