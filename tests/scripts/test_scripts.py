"""The scripts answer --help at once, and say in a sentence what a machine lacks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted(path.name for path in (PROJECT / "scripts").iterdir() if os.access(path, os.X_OK) and path.is_file())
SHELL_SCRIPTS = [
    name for name in SCRIPTS if (PROJECT / "scripts" / name).read_bytes().startswith(b"#!/usr/bin/env bash")
]

OPTIONS = {
    "bench": ["perf/compare.py", "perf/single_broker.py", "perf/instructions.py"],
    "load": ["perf/load.py"],
    "fuzz": ["tests/support/fuzzing/command.py"],
    "torture": ["perf/torture/__main__.py"],
    "differential": ["tests/support/differential/command.py"],
    "release": ["packaging/release.py"],
}
"""Script → files whose parsers read its options."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a directory with the scripts and nothing that was made or installed."""
    shutil.copytree(PROJECT / "scripts", tmp_path / "checkout/scripts")
    shutil.copy(PROJECT / "pyproject.toml", tmp_path / "checkout")
    return tmp_path / "checkout"


@pytest.fixture
def machine(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Return a function that makes a PATH with a few of this machine's tools and stand-ins for others."""

    def make(**stand_ins: str) -> dict[str, str]:
        directory = tmp_path / "bin"
        directory.mkdir()
        for tool in ("bash", "env", "dirname", "basename", "sed", "cat", "cksum", "rm", "id"):
            found = shutil.which(tool)
            assert found
            (directory / tool).symlink_to(found)
        for name, body in stand_ins.items():
            (directory / name).write_text(f"#!/bin/sh\n{body}\n")
            (directory / name).chmod(0o755)
        return {"PATH": str(directory)}

    return make


def run(checkout: Path, script: str, *arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/usr/bin/env", "bash", str(checkout / "scripts" / script), *arguments],
        cwd="/", env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("script", SHELL_SCRIPTS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_needs_nothing_and_makes_nothing(
    checkout: Path, machine: Callable[..., dict[str, str]], script: str, flag: str
) -> None:
    """No Python, no network: the machine has not even the tools to install something."""
    before = sorted(checkout.rglob("*"))
    done = run(checkout, script, flag, env=machine())
    assert (done.returncode, done.stderr) == (0, "")
    assert f"scripts/{script}" in done.stdout
    assert "#" not in done.stdout
    assert sorted(checkout.rglob("*")) == before


@pytest.mark.parametrize("script", OPTIONS)
def test_help_names_every_option(script: str) -> None:
    head = subprocess.run(
        [str(PROJECT / "scripts" / script), "--help"], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    flags = []
    for path in OPTIONS[script]:
        flags += re.findall(r'add_argument\(\s*"(--[\w-]+)"', (PROJECT / path).read_text())
    assert flags
    assert [flag for flag in flags if not re.search(rf"{flag}\b", head)] == []


PYTHON_39 = """case "$2" in *version_info\\[:3\\]*) echo 3.9.2 ;; *) exit 1 ;; esac"""


@pytest.mark.parametrize("script", ["run", "test", "load", "fuzz", "torture", "check", "fix", "compile", "bench"])
def test_a_python_that_is_too_old_gets_a_sentence(
    checkout: Path, machine: Callable[..., dict[str, str]], script: str
) -> None:
    done = run(checkout, script, env=machine(python3=PYTHON_39))
    assert done.returncode == 1
    assert done.stderr.strip() == (
        f"scripts/{script}: kbroker needs Python 3.11 or newer, and there is none here (python3 is 3.9.2). "
        "Install one, or name it with PYTHON=/path/to/python."
    )
    assert not (checkout / ".venv").exists()


def test_no_python_at_all(checkout: Path, machine: Callable[..., dict[str, str]]) -> None:
    done = run(checkout, "run", env={**machine(), "PYTHON": "/no/such/python"})
    assert done.returncode == 1
    assert "there is none here (no /no/such/python)" in done.stderr


def test_a_python_without_venv_names_what_to_install(checkout: Path, machine: Callable[..., dict[str, str]]) -> None:
    python = """case "$*" in *version_info\\[:3\\]*) echo 3.12.1 ;; *python3.%d-venv*) echo python3.12-venv ;;
        *-m\\ venv*) mkdir -p .venv; exit 1 ;; esac"""
    done = run(checkout, "run", env=machine(python3=python))
    assert done.returncode == 1
    assert "missing: python3.12-venv. There is no apt-get here" in done.stderr
    assert not (checkout / ".venv").exists()


def test_without_the_package_that_puts_pip_into_an_environment_the_machines_pip_does(
    checkout: Path, machine: Callable[..., dict[str, str]]
) -> None:
    """Nobody needs to be root for it, nor to have a sudo."""
    python = """case "$*" in *version_info\\[:3\\]*) echo 3.12.1 ;;
        *without-pip*) mkdir -p .venv/bin; cp "$0" .venv/bin/python ;; "-m venv"*) echo no ensurepip; exit 1 ;;
        "-m pip --python .venv install pip") echo pip of the machine >.venv/pip ;;
        *"-m pip install"*) cat .venv/pip; exit 7 ;; esac"""
    done = run(checkout, "run", env=machine(python3=python, mkdir='exec /bin/mkdir "$@"', cp='exec /bin/cp "$@"'))
    assert done.returncode == 7
    assert done.stdout.endswith("pip of the machine\n")
    assert "no ensurepip" not in done.stdout


def test_a_clone_that_was_moved_gets_a_new_environment(checkout: Path, machine: Callable[..., dict[str, str]]) -> None:
    """The commands of the old one would run what lies in the place where they were made."""
    (checkout / ".venv/bin").mkdir(parents=True)
    (checkout / ".venv/pyvenv.cfg").write_text("home = /usr/bin\ncommand = /usr/bin/python3 -m venv /elsewhere/.venv\n")
    done = run(checkout, "run", env={**machine(), "PYTHON": "/no/such/python"})
    assert "Removing .venv, which was made for another place" in done.stdout
    assert not (checkout / ".venv").exists()
    (checkout / ".venv").mkdir()
    (checkout / ".venv/pyvenv.cfg").write_text(f"command = /usr/bin/python3 -m venv {checkout.resolve()}/.venv\n")
    run(checkout, "run", env={"PATH": str(checkout.parent / "bin"), "PYTHON": "/no/such/python"})
    assert (checkout / ".venv").exists()


def test_the_command_works_in_a_directory_with_a_blank_in_its_name(tmp_path: Path) -> None:
    checkout = tmp_path / "my clone"
    shutil.copytree(PROJECT / "scripts", checkout / "scripts")
    command = checkout / ".venv/bin/kbroker"
    command.parent.mkdir(parents=True)
    (command.parent / "python").symlink_to(sys.executable)
    command.write_text(f"#!{command.parent}/python\n# A comment\nimport sys\nprint(sys.argv[1:])\n")
    command.chmod(0o755)
    (checkout / "scripts/mend").write_text('#!/usr/bin/env bash\n. "$(dirname "$0")/shared.sh"\nmend_command\n')
    run(checkout, "mend", env={"PATH": os.environ["PATH"]}).check_returncode()
    done = subprocess.run([str(command), "a b", "c"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("['a b', 'c']\n", "")


def test_a_virtual_environment_without_pip_is_told(checkout: Path, machine: Callable[..., dict[str, str]]) -> None:
    python = checkout / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\ncase "$*" in *-m\\ pip*|*ensurepip*) exit 1 ;; esac\n')
    python.chmod(0o755)
    done = run(checkout, "run", env=machine())
    assert done.returncode == 1
    assert done.stderr.strip() == ("scripts/run: .venv has no pip. Remove it and start this again: rm -r .venv")


def test_long_silent_commands_give_signs_of_life(checkout: Path, machine: Callable[..., dict[str, str]]) -> None:
    (checkout / "scripts/slow").write_text(
        '#!/usr/bin/env bash\n# Test: scripts/slow\n. "$(dirname "$0")/shared.sh"\n'
        'sleep() { /usr/bin/env sleep 0.1; }\nwith_signs_of_life "at work" nap || echo "ended with $?"\n'
    )
    done = run(checkout, "slow", env=machine(sleep='exec /bin/sleep "$@"', nap="/bin/sleep 0.6; exit 3"))
    # Whole seconds of the clock: one may begin meanwhile.
    assert len(re.findall(r"   at work: [0-9] s\n", done.stdout)) >= 2
    assert done.stdout.endswith("ended with 3\n")
