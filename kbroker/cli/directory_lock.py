"""
One broker per data directory: the lock on `.lock`, which Apache Kafka takes too.

Two locks on the same file. The record lock (fcntl) is Kafka's own, so that a Kafka and a kbroker keep each other out;
the supervisor holds it. The whole-file lock (flock) goes over to the forked workers: when a supervisor is killed it
stays until the last of its workers has ended, so that a new broker never meets an old one still writing.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time

from kbroker.errors import StartupError

LOCK_FILE = ".lock"
_PATIENCE_S = 10.0
# struct flock: type, whence, start, length, pid.
_FLOCK = struct.Struct("hhqqi4x")


def lock_directory(directory: str) -> int:
    """
    Lock `directory` for this process and the workers it forks; return the descriptor that holds the lock.

    Raises StartupError naming the holder; OSError when the directory cannot be written.
    """
    path = os.path.join(directory, LOCK_FILE)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = _holder(fd)
        os.close(fd)
        if error.errno in (errno.EACCES, errno.EAGAIN):
            raise StartupError(
                f"log.dirs={directory}: in use by {holder}; "
                f"stop it (kbroker stop --data-dir {directory}) or start this broker with another directory"
            ) from error
        raise StartupError(f"log.dirs={directory}: cannot be locked ({error.strerror})") from error
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(fd)
                raise StartupError(
                    f"log.dirs={directory}: workers of a broker that was killed are still running; end them first"
                ) from None
            time.sleep(0.005)


def _holder(fd: int) -> str:
    """Say which process holds the record lock."""
    try:
        answer = fcntl.fcntl(fd, fcntl.F_GETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        pid = _FLOCK.unpack(answer)[4]
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            command = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
        return f"process {pid} ({command[:120]})"
    except (OSError, struct.error):
        return "another process"
