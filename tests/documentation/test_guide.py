"""Every command that the guide shows is run as it stands, in a home of its own, and prints what the page says."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from guide_pages import ShownCommand, ShownFile, steps
from waiting import eventually

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = [DOCS.parent / "README.md", DOCS / "index.md", *sorted((DOCS / "guide").glob("*.md"))]
SHOWN_PORT = "9092"

INTERRUPTED = 130
NOT_RUN = {
    "pip install": "scripts/release does, for every wheel",
    "scripts/run": "it would make an environment",
    "scripts/test": "it is what runs this",
}
"""Beginnings of commands that are not run here, and why."""


class Reader:
    """Somebody who follows a page: types each command, in a directory of their own, on a port that is free here."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = str(probe.getsockname()[1])
        self._brokers: list[subprocess.Popen[bytes]] = []
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "XDG_"))},
            "HOME": str(directory),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "COLUMNS": "120",
        }

    def write(self, file: ShownFile) -> None:
        """Write a file of the page."""
        (self._directory / file.name).write_text(file.text.replace(f":{SHOWN_PORT}", f":{self._port}"))

    def type(self, command: ShownCommand) -> str:
        """Return what a command prints on both streams; a broker is left running once it has started."""
        line = self._here(command.line)
        if line.startswith("kbroker start") and not command.output:
            return self._start(line)
        # A consumer without an end is ended as the reader does it.
        patient = line.startswith("kbroker console-consumer") and "--max-messages" not in line
        done = subprocess.run(
            ["bash", "-c", f"exec timeout --preserve-status -s INT 5 {line}" if patient else line],
            cwd=self._directory,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=90,
            check=False,
        )
        printed = done.stdout.replace(self._port, SHOWN_PORT)
        expected = {0, 1} if printed.startswith("kbroker: ") else {0, INTERRUPTED} if patient else {0}
        assert done.returncode in expected, f"{line} ended with {done.returncode}: {printed}"
        return printed

    def leave(self) -> None:
        """Stop what still runs."""
        for broker in self._brokers:
            broker.terminate()
        for broker in self._brokers:
            broker.wait(60)

    def _here(self, line: str) -> str:
        """Return a command with this reader's port where the page's is meant."""
        line = line.replace(f":{SHOWN_PORT}", f":{self._port}")
        if re.match(r"kbroker start\b", line) and "server.properties" not in line:
            return line.replace("start", f"start --override listeners=PLAINTEXT://localhost:{self._port}", 1)
        if "--bootstrap-server" in line:
            return line
        return re.sub(
            r"kbroker (topics|console-producer|console-consumer|consumer-groups)\b",
            rf"\g<0> --bootstrap-server localhost:{self._port}",
            line,
        )

    def _start(self, line: str) -> str:
        log = self._directory / f"log-{len(self._brokers)}"
        with log.open("wb") as file:
            broker = subprocess.Popen(
                ["bash", "-c", f"exec {line}"], cwd=self._directory, env=self._environment, stdout=file, stderr=file
            )
        self._brokers.append(broker)
        eventually(lambda: "Started in" in log.read_text() or broker.poll() is not None, log.read_text)
        assert broker.poll() is None, log.read_text()
        return ""


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """Somebody with an empty directory."""
    one = Reader(tmp_path)
    yield one
    one.leave()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_can_be_followed_to_the_letter(page: Path, reader: Reader) -> None:
    for step in steps(page):
        if isinstance(step, ShownFile):
            reader.write(step)
        elif not step.line.startswith(tuple(NOT_RUN)):
            printed = reader.type(step)
            if step.output:
                assert step.matches(printed), f"{step.line}\nprints:\n{printed}\nthe page says:\n" + "\n".join(
                    step.output
                )


def test_pages_have_commands_to_follow() -> None:
    assert len(PAGES) >= 6
    assert sum(isinstance(step, ShownCommand) for page in PAGES for step in steps(page)) > 20
