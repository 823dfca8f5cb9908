"""Shared memory is seen by forked processes, lies on no mount, and can be used once it is there."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from kbroker.errors import StartupError
from kbroker.shared.layout import SharedState
from kbroker.shared.memory import SharedRegion


@pytest.mark.parametrize("make", [SharedRegion.create, SharedRegion.create_for_tools])
def test_a_child_writes_what_the_parent_reads(make: Callable[[str, int], SharedRegion]) -> None:
    region = make("test", 8192)
    pid = os.fork()
    if not pid:
        region.memory[:5] = b"child"
        os._exit(0)
    os.waitpid(pid, 0)
    assert bytes(region.memory[:5]) == b"child"
    fd = region.fd
    region.close()
    if fd >= 0:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)


def test_nothing_lies_on_dev_shm() -> None:
    """It may be small, be filled by a neighbour later, be read-only, belong to root alone, or not be there."""
    shared = SharedState.create(1, 1, rows=16, largest_request_bytes=1000)
    assert not [line for line in Path("/proc/self/maps").read_text().splitlines() if "/dev/shm" in line]
    assert list(shared.describe()["regions"]) == ["workers"]
    for fd in shared.doorbells:
        os.close(fd)


def test_a_tool_attaches_for_reading_only_to_pages_that_are_there() -> None:
    region = SharedRegion.create_for_tools("test", 8192)
    assert os.fstat(region.fd).st_blocks * 512 == 8192, "what is not reserved may be a bus error later"
    region.memory[:2] = b"hi"
    path = f"/proc/{os.getpid()}/fd/{region.fd}"
    attached = SharedRegion.attach(path, 8192)
    assert bytes(attached.memory[:2]) == b"hi"
    with pytest.raises(TypeError):
        attached.memory[0] = 1
    attached.close()
    with pytest.raises(ValueError, match="length"):
        SharedRegion.attach(path, 1 << 20)
    region.close()


def test_without_files_in_memory_there_is_memory_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox may forbid them, ulimit -f may be smaller: only tools miss something then."""

    def refused(*_args: object) -> int:
        raise PermissionError

    with monkeypatch.context() as patched:
        patched.setattr(os, "memfd_create", refused)
        region = SharedRegion.create_for_tools("test", 4096)
    assert region.fd == -1
    region.memory[:1] = b"x"
    region.close()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    try:
        region = SharedRegion.create_for_tools("test", 8192)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    region.memory[8191] = 1
    region.close()


def test_memory_that_cannot_be_had_is_one_line_that_names_the_keys() -> None:
    with pytest.raises(StartupError, match=r"shared memory \(arena\) cannot be had: .*socket\.request\.max\.bytes"):
        SharedRegion.create("arena", 1 << 60)


def test_pages_given_back_read_as_zero() -> None:
    region = SharedRegion.create("test", 16384)
    region.memory[:] = b"x" * 16384
    region.discard(4096, 8192)
    assert bytes(region.memory) == b"x" * 4096 + bytes(8192) + b"x" * 4096
    region.close()


def test_closing_with_a_view_in_use_is_harmless() -> None:
    region = SharedRegion.create("test", 4096)
    view = region.memory[:8].cast("q")
    region.close()
    assert view[0] == 0
    del view
