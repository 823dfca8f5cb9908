"""
Regions of memory that all processes of a broker see.

The supervisor makes each region before it forks; the workers inherit the mapping. The name is taken out of /dev/shm in
the same breath, so that nothing is left behind whatever is killed, and the kernel frees the memory with the last
process (docs/decisions/0002-shared-memory-without-names.md). Tools reach a region of a running broker through
/proc/<pid>/fd/<fd>.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
from typing import Self

import posix_ipc

SHARED_MEMORY_FILESYSTEM = "/dev/shm"  # noqa: S108 - where Linux keeps POSIX shared memory
NAME_PREFIX = "/kbroker-"


class SharedRegion:
    """
    One shared mapping.

    memory      the bytes, writable
    fd          the descriptor behind the mapping, inherited over fork
    size_bytes  length of the mapping; pages nobody touched cost nothing
    """

    __slots__ = ("_mapping", "fd", "memory", "size_bytes")

    def __init__(self, fd: int, size_bytes: int, *, writable: bool = True) -> None:
        access = mmap.PROT_READ | mmap.PROT_WRITE if writable else mmap.PROT_READ
        self._mapping = mmap.mmap(fd, size_bytes, mmap.MAP_SHARED, access)
        self.fd = fd
        self.size_bytes = size_bytes
        self.memory = memoryview(self._mapping)

    @classmethod
    def create(cls, purpose: str, size_bytes: int) -> Self:
        """
        Make a region of `size_bytes` zero bytes.

        purpose  a word for what it is, seen in /proc/<pid>/maps

        /dev/shm may be a small mount (64 MiB in many containers), where touching a page past its size kills the
        process; a region that would not fit lies in anonymous shared memory instead, which has no such limit.
        """
        status = os.statvfs(SHARED_MEMORY_FILESYSTEM) if os.path.isdir(SHARED_MEMORY_FILESYSTEM) else None
        if status is None or status.f_bavail * status.f_frsize < 2 * size_bytes:
            fd = os.memfd_create(f"kbroker-{purpose}")
            os.ftruncate(fd, size_bytes)
            return cls(fd, size_bytes)
        name = f"{NAME_PREFIX}{os.getpid()}-{purpose}"
        try:
            shared = posix_ipc.SharedMemory(name, posix_ipc.O_CREX, mode=0o600, size=size_bytes)
        except posix_ipc.ExistentialError:
            # Only a process with our own pid can have made it, and died between its creation and the next line.
            posix_ipc.unlink_shared_memory(name)
            shared = posix_ipc.SharedMemory(name, posix_ipc.O_CREX, mode=0o600, size=size_bytes)
        posix_ipc.unlink_shared_memory(name)
        return cls(shared.fd, size_bytes)

    @classmethod
    def attach(cls, path: str, size_bytes: int) -> Self:
        """Map a running broker's region for reading; `path` is /proc/<pid>/fd/<fd>."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return cls(fd, size_bytes, writable=False)

    def discard(self, position: int, size_bytes: int) -> None:
        """Give the pages of a range back to the system; they read as zero afterwards. Both page aligned."""
        with contextlib.suppress(OSError):
            self._mapping.madvise(mmap.MADV_REMOVE, position, size_bytes)

    def close(self) -> None:
        """Unmap; harmless when views are still in use."""
        try:
            self.memory.release()
            self._mapping.close()
        except BufferError:
            return
        with contextlib.suppress(OSError):
            os.close(self.fd)


def remove_stale_names() -> list[str]:
    """
    Remove shared memory that brokers killed in the middle of SharedRegion.create left; return the names removed.

    A name carries its maker's pid; it is stale when that process is gone.
    """
    removed = []
    with contextlib.suppress(FileNotFoundError):
        for entry in os.listdir(SHARED_MEMORY_FILESYSTEM):
            if not entry.startswith(NAME_PREFIX[1:]):
                continue
            pid = entry.split("-")[1]
            if pid.isdigit() and not _alive(int(pid)):
                with contextlib.suppress(posix_ipc.Error, OSError):
                    posix_ipc.unlink_shared_memory("/" + entry)
                    removed.append(entry)
    return removed


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno != errno.ESRCH
    return True
