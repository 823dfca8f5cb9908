"""Shared memory is seen by forked processes and leaves no name behind."""

import os
import subprocess
import sys
from types import SimpleNamespace

import posix_ipc
import pytest

from kbroker.shared import memory
from kbroker.shared.memory import SharedRegion, remove_stale_names


def own_names() -> list[str]:
    return [name for name in os.listdir("/dev/shm") if name.startswith(f"kbroker-{os.getpid()}-")]


@pytest.mark.parametrize("dev_shm_is_small", [False, True])
def test_a_child_writes_what_the_parent_reads(dev_shm_is_small: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where /dev/shm is a small mount, as in containers: then the memory is anonymous."""
    if dev_shm_is_small:
        monkeypatch.setattr(memory.os, "statvfs", lambda _path: SimpleNamespace(f_bavail=1, f_frsize=4096))
    region = SharedRegion.create("test", 8192)
    assert own_names() == [], "the name is gone before anything can fail"
    pid = os.fork()
    if not pid:
        region.memory[:5] = b"child"
        os._exit(0)
    os.waitpid(pid, 0)
    assert bytes(region.memory[:5]) == b"child"
    region.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(region.fd)


def test_a_tool_attaches_for_reading_only() -> None:
    region = SharedRegion.create("test", 4096)
    region.memory[:2] = b"hi"
    attached = SharedRegion.attach(f"/proc/{os.getpid()}/fd/{region.fd}", 4096)
    assert bytes(attached.memory[:2]) == b"hi"
    with pytest.raises(TypeError):
        attached.memory[0] = 1
    attached.close()
    region.close()


def test_pages_given_back_read_as_zero() -> None:
    region = SharedRegion.create("test", 16384)
    region.memory[:] = b"x" * 16384
    region.discard(4096, 8192)
    assert bytes(region.memory) == b"x" * 4096 + bytes(8192) + b"x" * 4096
    region.close()


def test_a_name_left_by_a_process_with_our_own_pid_is_in_nobodys_way() -> None:
    left = posix_ipc.SharedMemory(f"/kbroker-{os.getpid()}-test", posix_ipc.O_CREX, size=4096)
    os.close(left.fd)
    region = SharedRegion.create("test", 4096)
    assert own_names() == []
    region.close()


def test_names_of_dead_processes_are_removed_and_those_of_the_living_stay() -> None:
    dead = int(subprocess.check_output([sys.executable, "-c", "import os; print(os.getpid())"]))
    names = [f"kbroker-{dead}-test", f"kbroker-{os.getpid()}-test", "kbroker-nobody-test"]
    for name in names:
        os.close(posix_ipc.SharedMemory("/" + name, posix_ipc.O_CREX, size=4096).fd)
    try:
        assert names[0] in remove_stale_names()
        assert not os.path.exists(f"/dev/shm/{names[0]}")
        assert os.path.exists(f"/dev/shm/{names[1]}")
        assert os.path.exists(f"/dev/shm/{names[2]}")
    finally:
        for name in names[1:]:
            posix_ipc.unlink_shared_memory("/" + name)


def test_closing_with_a_view_in_use_is_harmless() -> None:
    region = SharedRegion.create("test", 4096)
    view = region.memory[:8].cast("q")
    region.close()
    assert view[0] == 0
    del view
