"""The units are what systemd takes, for the configuration at hand, and land where it looks for them."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from kbroker.cli.systemd_unit import quoted

Run = Callable[..., Result]


def parsed(text: str) -> configparser.RawConfigParser:
    """Read a unit; of a key that stands several times, all values, one per line."""

    class Values(dict[str, list[str]]):
        def __setitem__(self, key: str, value: list[str]) -> None:
            super().__setitem__(key, [*self.get(key, []), *value] if isinstance(value, list) and key in self else value)

    parser = configparser.RawConfigParser(strict=False, dict_type=Values, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return parser


def test_the_service_of_the_system(run: Run) -> None:
    unit = parsed(run("systemd-unit", "--system").stdout)
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert service["WatchdogSec"] == "30s"
    assert service["ExecStart"].split()[0].startswith("/")
    assert service["ExecStart"].endswith(" start --override log.dirs=%S/kbroker")
    assert (service["StateDirectory"], service["DynamicUser"]) == ("kbroker", "yes")
    assert service["ProtectSystem"] == "strict"
    assert service["CapabilityBoundingSet"] == ""
    assert unit["Install"]["WantedBy"] == "multi-user.target"


def test_the_service_of_a_user_asks_for_nothing_that_only_root_can_do(run: Run) -> None:
    unit = parsed(run("systemd-unit", "--user").stdout)
    service = unit["Service"]
    assert service["ExecStart"].endswith(" start"), "the data lie where the tools look for them"
    assert not {"DynamicUser", "User", "ProtectSystem", "PrivateTmp", "PrivateDevices"} & set(service)
    assert service["NoNewPrivileges"] == "yes"
    assert unit["Install"]["WantedBy"] == "default.target"


def test_what_is_configured_is_in_the_unit(run: Run, tmp_path: Path) -> None:
    properties = tmp_path / "the server.properties"
    properties.write_text(f"log.dirs={tmp_path}/a,{tmp_path}/b\nlisteners=PLAINTEXT://:90\n")
    arguments = (
        "systemd-unit",
        "--system",
        str(properties),
        "--override",
        "broker.rack=100% $HOME",
        "--run-as",
        "kafka",
    )
    service = parsed(run(*arguments).stdout)["Service"]
    assert f'start "{properties}" --override "broker.rack=100%% $$HOME"' in service["ExecStart"]
    assert service["User"] == "kafka"
    assert service["ReadWritePaths"].split("\n") == [f"-{tmp_path}/a", f"-{tmp_path}/b"]
    assert not {"StateDirectory", "DynamicUser"} & set(service)
    assert service["AmbientCapabilities"] == "CAP_NET_BIND_SERVICE", "a port below 1024"


def test_data_that_are_there_are_served_by_their_owner(run: Run, tmp_path: Path) -> None:
    output = run("systemd-unit", "--system", "--override", f"log.dirs={tmp_path}").stdout
    assert parsed(output)["Service"]["User"] == tmp_path.owner()


def test_what_the_service_must_read_stays_readable(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter in somebody's home is not hidden from it, and one that only root can read is told."""
    elsewhere = ["/usr/bin/kbroker", "/usr/bin/python3", "/usr"]
    monkeypatch.setattr("kbroker.cli.systemd_unit.needed_paths", lambda _options: elsewhere)
    assert parsed(run("systemd-unit", "--system").stdout)["Service"]["ProtectHome"] == "yes"
    elsewhere.append("/home/me/.pyenv/versions/3.13/bin/python3")
    assert parsed(run("systemd-unit", "--system").stdout)["Service"]["ProtectHome"] == "read-only"
    elsewhere[0] = os.path.join("/root", ".local/bin/kbroker")
    told = run("systemd-unit", "--system")
    assert f"{elsewhere[0]} lies in /root, where the service cannot read" in told.stderr
    assert "/root" not in run("systemd-unit", "--system", "--run-as", "root").stderr
    assert "/root" not in run("systemd-unit", "--user").stderr


@pytest.mark.parametrize(
    ("listeners", "streams"),
    [
        ("PLAINTEXT://localhost:9092", ["127.0.0.1:9092", "[::1]:9092"]),
        ("PLAINTEXT://:9092", ["9092"]),
        ("PLAINTEXT://[::]:9092,B://127.0.0.1:9093", ["[::]:9092", "127.0.0.1:9093"]),
    ],
)
def test_the_sockets_are_the_listeners(run: Run, listeners: str, streams: list[str]) -> None:
    protocols = "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,B:PLAINTEXT"
    output = run("systemd-unit", "--socket", "--override", f"listeners={listeners}", "--override", protocols).stdout
    assert parsed(output)["Socket"]["ListenStream"].split("\n") == streams


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--user", "--run-as", "kafka"), "runs everything as yourself"),
        (("--socket", "--override", "listeners=PLAINTEXT://:0"), "needs to know the port"),
        (("--name", "../etc"), "expected letters"),
        (("--override", "log.dirs="), "log.dirs"),
    ],
)
def test_what_makes_no_unit_is_told(run: Run, arguments: tuple[str, ...], words: str) -> None:
    result = run("systemd-unit", *arguments)
    assert result.exit_code != 0
    assert words in str(result.exception)


def test_a_unit_is_installed_once_and_not_replaced_without_being_told(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = tmp_path / "systemd" / "user" / "events.service"
    first = run("systemd-unit", "--user", "--install", "--name", "events")
    assert first.exit_code == 0
    assert f"Wrote {path}" in first.stdout
    assert "systemctl --user enable --now events.service" in first.stdout
    written = path.read_text()
    assert written == run("systemd-unit", "--user", "--name", "events").stdout
    assert path.stat().st_mode & 0o777 == 0o644
    assert run("systemd-unit", "--user", "--install", "--name", "events").exit_code == 0, "it is the same"
    path.write_text("# mine\n")
    refused = run("systemd-unit", "--user", "--install", "--name", "events")
    assert "is there and differs" in str(refused.exception)
    assert path.read_text() == "# mine\n"
    assert run("systemd-unit", "--user", "--install", "--name", "events", "--force").exit_code == 0
    assert path.read_text() == written
    assert os.listdir(path.parent) == ["events.service"]


@pytest.mark.parametrize(
    ("argument", "unit"),
    [
        ("plain", "plain"),
        ("two words", '"two words"'),
        ('a"b\\c d', '"a\\"b\\\\c d"'),
        ("100%", "100%%"),
        ("$HOME", "$$HOME"),
        ("", '""'),
        ("it's", '"it\'s"'),
    ],
)
def test_quoting(argument: str, unit: str) -> None:
    assert quoted(argument) == unit


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@pytest.mark.parametrize("flavour", ["--user", "--system", "--socket"])
def test_systemd_finds_nothing_to_say_about_the_unit(run: Run, tmp_path: Path, flavour: str) -> None:
    unit = tmp_path / f"kbroker.{'socket' if flavour == '--socket' else 'service'}"
    (tmp_path / "kbroker.service").write_text(run("systemd-unit", "--system").stdout)
    unit.write_text(run("systemd-unit", flavour).stdout)
    manager = ["--user"] if flavour == "--user" else []
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    done = subprocess.run(
        ["systemd-analyze", *manager, "verify", str(unit)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(runtime)},
        timeout=60,
    )
    assert "Failed to initialize manager" not in done.stderr
    assert (done.returncode, done.stderr) == (0, "")
