"""What is handed out is whole: a wheel is built from the source distribution alone, and works away from the clone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import kbroker

PROJECT = Path(__file__).resolve().parents[2]
METADATA = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
NOT_HANDED_OUT = (".ci/", ".gitignore")
"""Only for those who have the clone."""
NOT_OF_THE_PROJECT = (".git", ".venv", ".java", ".fuzz", ".hypothesis", ".*_cache")
"""What lies about in a clone; copying it would take long."""


def _run(*command: str | Path, cwd: Path, **variables: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "KBROKER_"))}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env={**kept, **variables}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution of this clone, unpacked where there is no git."""
    room = tmp_path_factory.mktemp("distribution")
    copy = room / "clone"
    shutil.copytree(
        PROJECT,
        copy,
        ignore=shutil.ignore_patterns(*NOT_OF_THE_PROJECT, "build", "dist", "*.egg-info", "__pycache__", "*.so"),
    )
    _run(
        sys.executable,
        "-c",
        "import sys; sys.path.insert(0, 'packaging'); import backend; backend.build_sdist('..')",
        cwd=copy,
    )
    with tarfile.open(room / f"kbroker-{kbroker.__version__}.tar.gz") as archive:
        archive.extractall(room / "unpacked")  # Ours, and Debian 12's Python 3.11.2 knows no filters.
    return room / "unpacked" / f"kbroker-{kbroker.__version__}"


def test_the_source_distribution_has_every_file_of_the_clone(unpacked: Path) -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is no clone")
    files = [name for name in listed.stdout.splitlines() if not name.startswith(NOT_HANDED_OUT)]
    assert len(files) > 300
    assert [name for name in files if (PROJECT / name).exists() and not (unpacked / name).exists()] == []


def test_a_wheel_built_from_it_passes_a_message_through(unpacked: Path, tmp_path: Path) -> None:
    build = "import sys; sys.path.insert(0, 'packaging'); import backend; print(backend.build_wheel(sys.argv[1]))"
    name = _run(sys.executable, "-c", build, tmp_path, cwd=unpacked, KBROKER_COMPILE="0").splitlines()[-1]
    assert name == f"kbroker-{kbroker.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(tmp_path / name) as wheel:
        inside = set(wheel.namelist())
    modules = {str(path.relative_to(PROJECT)) for path in (PROJECT / "kbroker").rglob("*.py")}
    assert modules | {"kbroker/py.typed"} <= inside
    assert not [one for one in inside if not one.startswith(("kbroker/", "kbroker-"))]

    pip = (sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "--no-index")
    _run(*pip, "--target", tmp_path / "installed", tmp_path / name, cwd=tmp_path)
    program = (
        "import kbroker; from kbroker.testing import Broker\n"
        "with Broker() as broker:\n"
        "    broker.produce('t', 'through a wheel')\n"
        "    print(kbroker.__file__, broker.consume('t')[0].text)\n"
    )
    variables = {"PYTHONPATH": str(tmp_path / "installed"), "PYTHONSAFEPATH": "1"}
    told = _run(sys.executable, "-c", program, cwd=tmp_path, **variables)
    assert told.split(maxsplit=1) == [str(tmp_path / "installed/kbroker/__init__.py"), "through a wheel\n"]


def test_what_it_says_of_itself_is_one_thing_everywhere() -> None:
    assert METADATA["version"] == kbroker.__version__
    assert METADATA["requires-python"] == ">=3.11"
    assert "Operating System :: POSIX :: Linux" in METADATA["classifiers"]
    versions = {
        one.rsplit(" ", 1)[1]
        for one in METADATA["classifiers"]
        if one.startswith("Programming Language :: Python :: 3.")
    }
    assert versions == {"3.11", "3.12", "3.13"}


def _imported_by_an_old_python(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    program = f"import sys; sys.version_info = (3, 10, 13, 'final', 0); sys.argv = {arguments!r}; import kbroker"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def test_a_python_too_old_is_told_in_a_sentence() -> None:
    done = _imported_by_an_old_python(["-m"])
    assert done.returncode == 1
    assert done.stderr.startswith("kbroker needs Python 3.11 or newer; this is Python ")
    assert done.stderr.count("\n") == 1, "no traceback for who types python -m kbroker"
    imported = _imported_by_an_old_python(["something.py"]).stderr
    assert imported.splitlines()[-1].startswith("ImportError: kbroker needs Python 3.11 or newer")


def test_a_build_by_a_python_too_old_is_told_in_a_sentence() -> None:
    program = "import sys; sys.version_info = (3, 10, 13, 'final', 0); sys.path.insert(0, 'packaging'); import backend"
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("kbroker needs Python 3.11 or newer")


def test_a_broker_elsewhere_than_on_linux_is_told_in_a_sentence(tmp_path: Path) -> None:
    program = "import sys; sys.platform = 'darwin'; from kbroker.__main__ import main; main(['start'])"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("kbroker: a broker runs on Linux only, and this is darwin")
    assert "Traceback" not in done.stderr
