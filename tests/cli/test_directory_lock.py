"""One broker per data directory, until the last of its processes has ended; and who holds it can be told."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kbroker.cli import directory_lock
from kbroker.cli.directory_lock import (
    LOCK_FILE,
    DirectoryLocks,
    LockHolder,
    lock_directory,
    lock_holder,
    workers_are_left,
)
from kbroker.errors import StartupError


@contextmanager
def holder(directory: Path, kind: str) -> Iterator[int]:
    """Hold the lock in another process: a broker's, Kafka's, or what is left of a broker killed; yield its pid."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        if kind == "Kafka":
            fcntl.lockf(os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT), fcntl.LOCK_EX)
        else:
            lock_directory(str(directory))
        worker = os.fork() if kind == "workers" else 0
        if not worker:
            if kind != "workers":
                os.write(write, b"%d" % os.getpid())
            time.sleep(60)
        os.write(write, b"%d" % worker)
        os._exit(0)
    held_by = int(os.read(read, 20))
    os.close(read)
    os.close(write)
    if kind == "workers":
        os.waitpid(pid, 0)
    try:
        yield held_by
    finally:
        os.kill(held_by, 9)
        if kind != "workers":
            os.waitpid(pid, 0)


@pytest.mark.parametrize("kind", ["kbroker", "Kafka"])
def test_a_directory_in_use_is_refused_naming_the_holder(tmp_path: Path, kind: str) -> None:
    with holder(tmp_path, kind) as pid:
        with pytest.raises(StartupError) as caught:
            lock_directory(str(tmp_path))
        assert lock_holder(str(tmp_path)) == LockHolder(pid, kind == "kbroker")
    assert f"log.dirs={tmp_path}: in use by process {pid} (" in str(caught.value)
    assert ("kbroker stop --data-dir" in str(caught.value)) == (kind == "kbroker"), "it stops brokers of its own kind"
    assert lock_holder(str(tmp_path)) is None
    os.close(lock_directory(str(tmp_path)))


def test_kafka_is_kept_out_until_the_last_worker_has_ended(tmp_path: Path) -> None:
    for kind in ("kbroker", "workers"):
        with holder(tmp_path, kind):
            fd = os.open(tmp_path / LOCK_FILE, os.O_RDWR)
            with pytest.raises(BlockingIOError):
                fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.close(fd)


def test_workers_of_a_killed_broker_are_waited_for_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may still be writing; a new broker that met them would recover logs that change under it."""
    monkeypatch.setattr(directory_lock, "_PATIENCE_S", 0.05)
    with holder(tmp_path, "workers") as worker:
        with pytest.raises(StartupError, match=rf"still running \({worker}\)"):
            lock_directory(str(tmp_path))
        assert workers_are_left(str(tmp_path))
        assert lock_holder(str(tmp_path)) is None, "the broker itself has ended"
    monkeypatch.setattr(directory_lock, "_PATIENCE_S", 10)
    os.close(lock_directory(str(tmp_path)))
    assert not workers_are_left(str(tmp_path))


def test_a_holder_of_another_pid_namespace_is_no_process_here(tmp_path: Path) -> None:
    """Its number would be somebody else's."""
    if os.geteuid():
        pytest.skip("makes a pid namespace: needs root")
    look = (
        f"from kbroker.cli.directory_lock import *; holder = lock_holder({str(tmp_path)!r}); print(holder.pid, holder)"
    )
    with holder(tmp_path, "kbroker"):
        seen = subprocess.run(
            ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", look],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    assert seen.startswith("0 a process that cannot be seen from here")


def test_a_lock_file_that_was_removed_lets_nobody_else_in(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As start scripts do that mean to clear away what a killed broker left."""
    directory = tmp_path / "data"
    directory.mkdir()
    locks = DirectoryLocks()
    locks.take(str(directory))
    assert locks.look_after() is None
    assert not caplog.text
    (directory / LOCK_FILE).unlink()
    assert locks.held() == []
    assert locks.look_after() is None
    assert "was removed" in caplog.text
    assert locks.held() == [str(directory)]
    pid = os.fork()
    if not pid:
        try:
            lock_directory(str(directory))
        except StartupError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7

    (directory / LOCK_FILE).unlink()
    with holder(directory, "kbroker") as other:
        reason = locks.look_after()
    assert reason is not None
    assert f"in use by process {other} " in reason

    (directory / LOCK_FILE).unlink()
    directory.rmdir()
    directory.mkdir()
    assert locks.look_after() is None
    assert not (directory / LOCK_FILE).exists(), "what lies there now is not the broker's"


def test_a_directory_that_cannot_be_written_is_an_error_of_the_system(tmp_path: Path) -> None:
    """Not of the configuration: with others beside it, the broker starts without this one."""
    (tmp_path / LOCK_FILE).mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        lock_directory(str(tmp_path))


def test_a_pipe_in_the_place_of_the_lock_does_not_hold_a_tool_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / LOCK_FILE)
    assert lock_holder(str(tmp_path)) is None
    assert lock_holder(str(tmp_path / "nowhere")) is None


def test_a_system_without_locks_of_open_files_has_brokers_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fcntl.fcntl

    def old(fd: int, command: int, argument: bytes) -> bytes:
        if command == fcntl.F_OFD_SETLK:
            raise OSError(22, "Invalid argument")
        answer = whole(fd, command, argument)
        assert isinstance(answer, bytes)
        return answer

    monkeypatch.setattr(directory_lock.fcntl, "fcntl", old)
    with holder(tmp_path, "kbroker") as pid:
        assert lock_holder(str(tmp_path)) == LockHolder(pid, True)
        with pytest.raises(StartupError, match="kbroker stop"):
            lock_directory(str(tmp_path))
