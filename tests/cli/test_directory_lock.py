"""One broker per data directory, until the last of its processes has ended."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kbroker.cli import directory_lock
from kbroker.cli.directory_lock import LOCK_FILE, lock_directory
from kbroker.errors import StartupError


@contextmanager
def holder(directory: Path, kind: str) -> Iterator[int]:
    """Hold the lock in another process, all of it, or as what is left of a broker that was killed; yield its pid."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        fd = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT)
        if kind == "Kafka":
            fcntl.lockf(fd, fcntl.LOCK_EX)
        elif kind == "workers":
            fcntl.flock(fd, fcntl.LOCK_EX)
        else:
            lock_directory(str(directory))
        os.write(write, b"x")
        time.sleep(60)
        os._exit(0)
    os.read(read, 1)
    os.close(read)
    os.close(write)
    try:
        yield pid
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


@pytest.mark.parametrize("kind", ["kbroker", "Kafka"])
def test_a_directory_in_use_is_refused_naming_the_holder(tmp_path: Path, kind: str) -> None:
    with holder(tmp_path, kind) as pid, pytest.raises(StartupError) as caught:
        lock_directory(str(tmp_path))
    assert f"log.dirs={tmp_path}: in use by process {pid} (" in str(caught.value)
    assert "kbroker stop" in str(caught.value)
    os.close(lock_directory(str(tmp_path)))


def test_workers_of_a_killed_broker_are_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may still be writing; a new broker that met them would recover logs that change under it."""
    monkeypatch.setattr(directory_lock, "_PATIENCE_S", 0.05)
    with holder(tmp_path, "workers"), pytest.raises(StartupError, match="still running"):
        lock_directory(str(tmp_path))
    os.close(lock_directory(str(tmp_path)))


def test_the_lock_lives_as_long_as_the_last_forked_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory_lock, "_PATIENCE_S", 0.05)
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        lock_directory(str(tmp_path))
        worker = os.fork()
        if not worker:
            time.sleep(60)
        os.write(write, b"%d" % worker)
        os._exit(0)
    worker = int(os.read(read, 20))
    os.waitpid(pid, 0)
    with pytest.raises(StartupError, match="still running"):
        lock_directory(str(tmp_path))
    os.kill(worker, 9)
    monkeypatch.setattr(directory_lock, "_PATIENCE_S", 10)
    os.close(lock_directory(str(tmp_path)))
    os.close(read)
    os.close(write)


def test_a_directory_that_cannot_be_written_is_an_error_of_the_system(tmp_path: Path) -> None:
    """Not of the configuration: with others beside it, the broker starts without this one."""
    (tmp_path / LOCK_FILE).mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        lock_directory(str(tmp_path))
