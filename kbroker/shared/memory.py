"""
Regions of memory that all processes of a broker see.

The supervisor makes each region before it forks; the workers inherit the mapping. Regions have no name and lie on no
mount: nothing is left behind whatever is killed, no /dev/shm can be too small, full, read-only or missing, and what is
mapped can be used (docs/decisions/0017-shared-memory-on-no-mount.md).
"""

from __future__ import annotations

import contextlib
import mmap
import os
from typing import Self

from kbroker.errors import StartupError

# Python names it from 3.13 on; a system that numbers it otherwise ignores what it does not know.
_MAP_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)
_MFD_NOEXEC_SEAL = 0x8


class SharedRegion:
    """
    One shared mapping.

    memory      the bytes, writable
    fd          a descriptor by which tools reach it, inherited over fork; -1: there is none
    size_bytes  length of the mapping; pages nobody touched cost nothing
    """

    __slots__ = ("_mapping", "fd", "memory", "size_bytes")

    def __init__(self, mapping: mmap.mmap, fd: int = -1) -> None:
        self._mapping = mapping
        self.fd = fd
        self.memory = memoryview(mapping)
        self.size_bytes = len(mapping)

    @classmethod
    def create(cls, purpose: str, size_bytes: int) -> Self:
        """
        Make a region of `size_bytes` zero bytes, for the processes that will be forked alone.

        purpose  a word for what it is

        Where the system promises no more memory than it has, all of it is reserved here; elsewhere each page when it is
        first touched. Raises StartupError when there is no room.
        """
        try:
            flags = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
            return cls(mmap.mmap(-1, size_bytes, flags, mmap.PROT_READ | mmap.PROT_WRITE))
        except (OSError, ValueError, OverflowError) as error:
            raise StartupError(
                f"{size_bytes / 2**20:,.0f} MiB of shared memory ({purpose}) cannot be had: {_reason(error)}; lower "
                "socket.request.max.bytes, num.network.threads or num.io.threads, or raise the limit (ulimit -v)"
            ) from error

    @classmethod
    def create_for_tools(cls, purpose: str, size_bytes: int) -> Self:
        """
        Make a small region that tools can reach as /proc/<pid>/fd/<fd> as well; its pages are there from the start.

        purpose  a word for what it is, seen in /proc/<pid>/maps

        Where the system refuses such a file, the region is one that no tool reaches.
        """
        fd = -1
        try:
            fd = _memory_file(f"kbroker-{purpose}")
            # Not ftruncate: a page that cannot be had later would be a bus error.
            os.posix_fallocate(fd, 0, size_bytes)
            return cls(mmap.mmap(fd, size_bytes, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE), fd)
        except OSError:
            if fd >= 0:
                os.close(fd)
            return cls.create(purpose, size_bytes)

    @classmethod
    def attach(cls, path: str, size_bytes: int) -> Self:
        """Map a running broker's region for reading; `path` is /proc/<pid>/fd/<fd>. Raises OSError, ValueError."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return cls(mmap.mmap(fd, size_bytes, mmap.MAP_SHARED, mmap.PROT_READ), fd)
        except BaseException:
            os.close(fd)
            raise

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
        if self.fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self.fd)


def _memory_file(name: str) -> int:
    """Return a new file in memory. Raises OSError."""
    try:
        # A kernel may be told to allow only files that cannot be executed.
        return os.memfd_create(name, os.MFD_CLOEXEC | _MFD_NOEXEC_SEAL)
    except OSError:
        # One before 6.3 does not know the flag.
        return os.memfd_create(name, os.MFD_CLOEXEC)


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
