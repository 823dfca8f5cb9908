"""
One broker per data directory: the locks on `.lock`, which Apache Kafka takes too.

    bytes 1..  a record lock of the supervisor alone: the kernel says which process holds it, and drops it with that one
    byte 0     a lock of the open file, which goes over to the forked workers: when a supervisor is killed it stays
               until the last of its workers has ended, so that a new broker never meets an old one still writing

Both are record locks (fcntl), so they hold over NFS. Kafka locks the whole file as one record: a Kafka and a kbroker
keep each other out, and who looks can tell them apart (docs/decisions/0016-who-holds-the-lock.md).

A process that closes any descriptor of `.lock` loses its record lock on it: the supervisor opens it once.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass

from kbroker.errors import StartupError

logger = logging.getLogger(__name__)

LOCK_FILE = ".lock"
_PATIENCE_S = 10.0
# struct flock: type, whence, start, length, pid.
_FLOCK = struct.Struct("hhqqi4x")
_WORKERS = (0, 1)
_SUPERVISOR = (1, 0)


@dataclass(frozen=True, slots=True)
class LockHolder:
    """
    Who holds a directory.

    pid         in this process's pid namespace; 0: it cannot be seen from here (another container, another machine)
    is_kbroker  whether a kbroker holds it; meaningful when it can be seen
    """

    pid: int
    is_kbroker: bool

    def __str__(self) -> str:
        """Return how to name it in a sentence."""
        if not self.pid:
            return "a process that cannot be seen from here: in another container, or on another machine"
        command = _command_of(self.pid)
        return f"process {self.pid} ({command})" if command else f"process {self.pid}"


def lock_directory(directory: str, patience_s: float | None = None) -> int:
    """
    Lock `directory` for this process and the workers it forks; return the descriptor that holds the lock.

    patience_s  how long to wait for workers of a broker that was killed; None: as a start does

    Raises StartupError naming the holder; OSError when the directory cannot be written, or its file system cannot lock.
    """
    path = os.path.join(directory, LOCK_FILE)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if not _try_lock(fd, fcntl.F_SETLK, _SUPERVISOR):
            holder = _holder(fd)
            stop = f"stop it (kbroker stop --data-dir {directory})" if holder and holder.is_kbroker else "stop it"
            raise StartupError(
                f"log.dirs={directory}: in use by {holder or 'another process'}; "
                f"{stop} or start this broker with another directory"
            )
        deadline = time.monotonic() + (_PATIENCE_S if patience_s is None else patience_s)
        while not _try_lock(fd, fcntl.F_OFD_SETLK, _WORKERS):
            if time.monotonic() > deadline:
                left = ", ".join(map(str, _processes_with_open(fd))) or "not visible here"
                raise StartupError(
                    f"log.dirs={directory}: workers of a broker that was killed are still running ({left}); "
                    "end them first"
                )
            time.sleep(0.005)
    except BaseException:
        os.close(fd)
        raise
    return fd


class DirectoryLocks:
    """The locks of a running broker's log directories; who removes a lock file must not let a second broker in."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: dict[str, tuple[int, os.stat_result]] = {}

    def take(self, directory: str) -> None:
        """Lock a directory; raises what lock_directory raises."""
        fd = lock_directory(directory)
        self._held[directory] = (fd, os.stat(directory))

    def held(self) -> list[str]:
        """Return the directories that nobody else can have taken."""
        return [
            directory for directory, (fd, _) in self._held.items() if _is_at(fd, os.path.join(directory, LOCK_FILE))
        ]

    def look_after(self) -> str | None:
        """
        Lock each directory anew whose lock file was removed; return why the broker must end when another came first.

        Costs a call of the system per directory.
        """
        for directory, (fd, place) in self._held.items():
            if _is_at(fd, os.path.join(directory, LOCK_FILE)):
                continue
            try:
                # One that was itself removed or unmounted is not ours to make anything in.
                if not os.path.samestat(os.stat(directory), place):
                    continue
                self._held[directory] = (lock_directory(directory, patience_s=0), place)
            except OSError:
                continue
            except StartupError as error:
                return f"{error}. The lock file of this broker was removed there; it ends before both write"
            os.close(fd)
            logger.warning("%s was removed and is there again; nobody but the broker may", f"{directory}/{LOCK_FILE}")
        return None


def _is_at(fd: int, path: str) -> bool:
    """Return whether an open file is still what lies at a path; when that cannot be told, it is."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


def lock_holder(directory: str) -> LockHolder | None:
    """
    Return who holds `directory`; None when nobody does.

    Raises OSError when that cannot be told.
    """
    with _opened(directory) as fd:
        return None if fd is None else _holder(fd)


def workers_are_left(directory: str) -> bool:
    """Return whether workers of a broker that was killed have not ended yet. Raises OSError."""
    with _opened(directory) as fd:
        return fd is not None and _locked_by(fd, _SUPERVISOR) is None and _locked_by(fd, _WORKERS) is not None


@contextlib.contextmanager
def _opened(directory: str) -> Iterator[int | None]:
    """Open the lock file to look at it; None when there is none."""
    try:
        # Not to wait where somebody has put a pipe.
        fd = os.open(os.path.join(directory, LOCK_FILE), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        yield None
        return
    try:
        yield fd
    finally:
        os.close(fd)


def _holder(fd: int) -> LockHolder | None:
    pid = _locked_by(fd, _SUPERVISOR)
    if pid is None:
        return None
    # A process of another pid namespace is shown as 0, one of another machine as a number that is not positive.
    # Kafka's one record covers the workers' place, too; there ours shows no process.
    return LockHolder(max(0, pid), pid > 0 and _locked_by(fd, _WORKERS) != pid)


def _try_lock(fd: int, command: int, place: tuple[int, int]) -> bool:
    """Take a lock; return False when somebody else holds it."""
    try:
        fcntl.fcntl(fd, command, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, *place, 0))
    except OSError as error:
        # Both mean "held by another" (POSIX); a file without write permission would not have been opened.
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        # A system without locks of open files: workers that outlive their supervisor are not waited for.
        if error.errno != errno.EINVAL or command != fcntl.F_OFD_SETLK:
            raise
    return True


def _locked_by(fd: int, place: tuple[int, int]) -> int | None:
    """Return the process that keeps others from a place, as the kernel shows it to this process; None: nobody."""
    answer = fcntl.fcntl(fd, fcntl.F_GETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, *place, 0))
    kind, _, _, _, pid = _FLOCK.unpack(answer)
    return None if kind == fcntl.F_UNLCK else int(pid)


def proc_is_of_here() -> bool:
    """Return whether /proc shows the processes of this pid namespace; it may be missing, or that of the one outside."""
    try:
        return os.readlink("/proc/self") == str(os.getpid())
    except OSError:
        return False


def _command_of(pid: int) -> str:
    """Return the beginning of a process's command line; empty when it cannot be read."""
    if not proc_is_of_here():
        return ""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read(4096).replace(b"\0", b" ").decode(errors="replace").strip()[:120]
    return ""


def _processes_with_open(fd: int) -> list[int]:
    """Return the other processes that have the same file open, as far as this user may look."""
    wanted = os.fstat(fd)
    found: list[int] = []
    if not proc_is_of_here():
        return found
    with contextlib.suppress(OSError):
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                for number in os.listdir(f"/proc/{entry}/fd"):
                    if os.path.samestat(os.stat(f"/proc/{entry}/fd/{number}"), wanted):
                        found.append(int(entry))
                        break
    return sorted(found)
