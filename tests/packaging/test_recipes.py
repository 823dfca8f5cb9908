"""What the Dockerfile, compose.yaml and the GitHub action run, runs; only their engines are not needed for it."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from told_addresses import told
from waiting import eventually

from kbroker.config.broker_config import load_config

yaml = pytest.importorskip("yaml", reason="needs PyYAML, which scripts/test installs")

PROJECT = Path(__file__).resolve().parents[2]
ACTION = PROJECT / "packaging" / "github-action"
DATA_DIR = "/var/lib/kbroker"


def dockerfile() -> dict[str, list[str]]:
    """Return the last arguments of each instruction of the Dockerfile, CMD in JSON as a list."""
    text = re.sub(r"\\\n", " ", (PROJECT / "Dockerfile").read_text())
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            instruction, _, rest = line.partition(" ")
            if instruction == "HEALTHCHECK":
                rest = rest[rest.index("CMD ") + 4 :]
            found[instruction] = json.loads(rest) if rest.startswith("[") else rest.split()
    return found


def compose_service() -> dict[str, Any]:
    service: dict[str, Any] = yaml.safe_load((PROJECT / "compose.yaml").read_text())["services"]["kbroker"]
    return service


def overrides_of(arguments: list[str]) -> list[str]:
    assert arguments[0] == "start"
    assert arguments[1::2] == ["--override"] * (len(arguments) // 2)
    return arguments[2::2]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def kbroker(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "kbroker", *arguments]


@contextmanager
def running(arguments: list[str], data_dir: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a container's command, with the data elsewhere."""
    with (data_dir.parent / "log").open("wb") as log:
        process = subprocess.Popen(
            kbroker(*(one.replace(DATA_DIR, str(data_dir)) for one in arguments)), stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def is_healthy(check: list[str], data_dir: Path) -> bool:
    """Run a health check as it stands."""
    assert check[0] == "kbroker"
    command = kbroker(*(one.replace(DATA_DIR, str(data_dir)) for one in check[1:]))
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_the_image_s_command_serves_is_healthy_and_stops_in_order(tmp_path: Path) -> None:
    found = dockerfile()
    assert found["ENTRYPOINT"] == ["kbroker"]
    assert found["VOLUME"] == [DATA_DIR]
    assert found["USER"] != ["root"]
    port = free_port()
    data_dir = tmp_path / "data"
    assert not is_healthy(found["HEALTHCHECK"], data_dir)
    with running([one.replace("9092", str(port)) for one in found["CMD"]], data_dir) as process:
        eventually(lambda: is_healthy(found["HEALTHCHECK"], data_dir), "the health check")
        assert told(f"127.0.0.1:{port}") == {f"localhost:{port}"}
        process.send_signal(getattr(signal, found["STOPSIGNAL"][0]))
        assert process.wait(30) == 0
    assert not is_healthy(found["HEALTHCHECK"], data_dir)


def test_an_image_is_built_of_what_the_build_needs() -> None:
    allowed = {line[1:] for line in (PROJECT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {"kbroker", "packaging", "pyproject.toml", "setup.py", "README.md", "LICENSE"} <= allowed
    assert all((PROJECT / name).exists() for name in allowed)


def test_compose_tells_each_side_the_address_that_is_right_for_it(tmp_path: Path) -> None:
    service = compose_service()
    check = service["healthcheck"]["test"]
    assert check[0] == "CMD"
    assert check[1:] == dockerfile()["HEALTHCHECK"]
    published = service["ports"][0].rpartition(":")[2]
    config = load_config(None, overrides_of(service["command"]), {"HOME": "/"})
    advertised = {listener.name: str(listener) for listener in config.listeners.advertised or ()}
    assert advertised == {"INSIDE": "INSIDE://kbroker:9092", "HOST": f"HOST://localhost:{published}"}
    inside, host = free_port(), free_port()
    arguments = [
        one.replace("://:9092", f"://:{inside}").replace(f"://:{published}", f"://:{host}")
        for one in service["command"]
    ]
    data_dir = tmp_path / "data"
    with running(arguments, data_dir):
        eventually(lambda: is_healthy(check[1:], data_dir), "the health check")
        assert told(f"127.0.0.1:{inside}") == {"kbroker:9092"}
        assert told(f"127.0.0.1:{host}") == {f"localhost:{published}"}


def start_step() -> str:
    (step,) = yaml.safe_load((ACTION / "action.yml").read_text())["runs"]["steps"]
    assert set(step["env"]) == {"KBROKER_VERSION", "KBROKER_PORT", "KBROKER_CONFIG"}
    script: str = step["run"]
    return script


def run_step(directory: Path, config: str, port: int) -> subprocess.CompletedProcess[str]:
    """Run the action's step as a runner does, with an environment that is there already in place of pip's."""
    tools = directory / "tools"
    tools.mkdir()
    pip = "#!/bin/sh\nexit 0\n"
    make = f'#!/bin/sh\nmkdir -p "$3/bin"\nprintf {shlex.quote(pip)} > "$3/bin/pip"\nchmod +x "$3/bin/pip"\n'
    command = f'#!/bin/sh\nexec {sys.executable} -m kbroker "$@"\n'
    make += f'printf %s {shlex.quote(command)} > "$3/bin/kbroker"\nchmod +x "$3/bin/kbroker"\n'
    (tools / "python3").write_text(make)
    (tools / "python3").chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tools}:{os.environ['PATH']}",
        "PYTHONPATH": str(PROJECT),
        "RUNNER_TEMP": str(directory),
        "KBROKER_VERSION": "kbroker",
        "KBROKER_PORT": str(port),
        "KBROKER_CONFIG": config,
        **{f"GITHUB_{name}": str(directory / name) for name in ("OUTPUT", "ENV", "PATH")},
    }
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", start_step()],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        timeout=90,
    )


def test_the_action_starts_a_broker_that_serves_and_tells_where(tmp_path: Path) -> None:
    port = free_port()
    done = run_step(tmp_path, "num.partitions=3\nbroker.id=7\n", port)
    try:
        assert done.returncode == 0, done.stdout
        assert told(f"localhost:{port}") <= {f"localhost:{port}", f"127.0.0.1:{port}"}
        assert (tmp_path / "ENV").read_text() == f"KAFKA_BOOTSTRAP_SERVERS=localhost:{port}\n"
        outputs = dict(line.split("=", 1) for line in (tmp_path / "OUTPUT").read_text().splitlines())
        assert outputs["bootstrap-servers"] == f"localhost:{port}"
        assert "broker id 7" in Path(outputs["log"]).read_text()
        assert (Path((tmp_path / "PATH").read_text().strip()) / "kbroker").exists()
    finally:
        subprocess.run(kbroker("stop", "--data-dir", str(tmp_path / "kbroker-data")), check=False, capture_output=True)


def test_the_action_fails_with_the_broker_s_own_words(tmp_path: Path) -> None:
    done = run_step(tmp_path, "num.partitions=many\n", free_port())
    assert done.returncode == 1
    assert "::error::kbroker did not start" in done.stdout
    assert "num.partitions=many" in done.stdout


def test_the_example_workflow_uses_what_the_action_offers() -> None:
    action = yaml.safe_load((ACTION / "action.yml").read_text())
    workflow = yaml.safe_load((ACTION / "example-workflow.yml").read_text())
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    (used,) = [step for step in steps if step.get("uses", "").endswith("/kbroker")]
    assert set(used["with"]) <= set(action["inputs"])
    overrides = [line for line in used["with"]["config"].splitlines() if line]
    assert load_config(None, overrides, {"HOME": "/"}).topics.num_partitions == 3
    mentioned = set(re.findall(r"steps\.kafka\.outputs\.([\w-]+)", (ACTION / "example-workflow.yml").read_text()))
    assert mentioned <= set(action["outputs"])
