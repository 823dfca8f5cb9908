"""Quotas and limits count wherever in the hierarchy they are set, in both versions of control groups."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kbroker.config import machine
from kbroker.config.machine import available_cores, memory_limit_bytes

MACHINE_CORES = 16
V2_MOUNT = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"
V1_MOUNTS = (
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "33 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
)
V1_OF_A_CONTAINER = "32 31 0:29 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu"


@pytest.fixture(autouse=True)
def sixteen_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _pid: set(range(MACHINE_CORES)))


def system(root: Path, groups: str, mounts: str, files: dict[str, str]) -> str:
    """Write a system's files below `root`; return it."""
    written = {"proc/self/cgroup": groups + "\n", "proc/self/mountinfo": mounts + "\n", **files}
    for name, content in written.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return str(root)


@pytest.mark.parametrize(
    ("groups", "mounts", "files", "cores"),
    [
        pytest.param("0::/", V2_MOUNT, {}, 16, id="no limit at all"),
        pytest.param("0::/", V2_MOUNT, {"sys/fs/cgroup/cpu.max": "150000 100000\n"}, 2, id="v2: rounded up"),
        pytest.param("0::/", V2_MOUNT, {"sys/fs/cgroup/cpu.max": "20000 100000\n"}, 1, id="v2: less than one"),
        pytest.param("0::/", V2_MOUNT, {"sys/fs/cgroup/cpu.max": "max 100000\n"}, 16, id="v2: no limit"),
        pytest.param("0::/", V2_MOUNT, {"sys/fs/cgroup/cpu.max": "garbage\n"}, 16, id="v2: not understood"),
        pytest.param(
            "0::/user.slice/mine.scope",
            V2_MOUNT,
            {
                "sys/fs/cgroup/user.slice/mine.scope/cpu.max": "max 100000\n",
                "sys/fs/cgroup/user.slice/cpu.max": "300000 100000\n",
            },
            3,
            id="v2: the slice above",
        ),
        pytest.param(
            "0::/a/b",
            V2_MOUNT,
            {"sys/fs/cgroup/a/b/cpu.max": "200000 100000\n", "sys/fs/cgroup/a/cpu.max": "800000 100000\n"},
            2,
            id="v2: the smallest counts",
        ),
        pytest.param("0::/../beside", V2_MOUNT, {"sys/fs/cgroup/cpu.max": "400000 100000\n"}, 4, id="v2: out of sight"),
        pytest.param(
            "9:name=systemd:/\n4:cpu,cpuacct:/system.slice/kbroker.service\n0::/",
            V1_MOUNTS,
            {
                "sys/fs/cgroup/cpu,cpuacct/system.slice/kbroker.service/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu,cpuacct/system.slice/kbroker.service/cpu.cfs_period_us": "100000\n",
                "sys/fs/cgroup/cpu,cpuacct/system.slice/cpu.cfs_quota_us": "250000\n",
                "sys/fs/cgroup/cpu,cpuacct/system.slice/cpu.cfs_period_us": "50000\n",
            },
            5,
            id="v1: the slice above",
        ),
        pytest.param(
            "4:cpu:/docker/abc",
            V1_OF_A_CONTAINER,
            {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "700000\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"},
            7,
            id="v1: a container that sees its path outside",
        ),
        pytest.param(
            "4:cpu:/docker/abcdef",
            V1_OF_A_CONTAINER,
            {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "700000\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "0\n"},
            16,
            id="v1: a period of nothing",
        ),
        pytest.param(
            "0::/a b", V2_MOUNT.replace(" / ", " /a\\040b "), {"sys/fs/cgroup/cpu.max": "1 1\n"}, 1, id="blank"
        ),
        pytest.param("nonsense", "nonsense", {}, 16, id="not understood at all"),
    ],
)
def test_cores(tmp_path: Path, groups: str, mounts: str, files: dict[str, str], cores: int) -> None:
    assert available_cores(system(tmp_path, groups, mounts, files)) == cores


def test_a_sandbox_that_forbids_to_ask_for_processors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_pid: int) -> set[int]:
        raise PermissionError

    monkeypatch.setattr(machine.os, "sched_getaffinity", refused)
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 6)
    assert available_cores(str(tmp_path)) == 6


def test_the_smallest_memory_limit_counts(tmp_path: Path) -> None:
    limits = {"sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/memory.max": "268435456\n"}
    assert memory_limit_bytes(system(tmp_path / "2", "0::/a/b", V2_MOUNT, limits)) == 256 * 2**20
    limits = {"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}
    assert memory_limit_bytes(system(tmp_path / "1", "3:memory:/", V1_MOUNTS, limits)) is None
    assert memory_limit_bytes(str(tmp_path / "nothing")) is None


def test_a_quota_of_a_real_group_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The quota is on the group above the process's own."""
    monkeypatch.undo()
    hierarchy = Path("/sys/fs/cgroup/cpu")
    slice_ = hierarchy / f"kbroker-test-{os.getpid()}.slice"
    if os.geteuid() or not hierarchy.is_dir() or not os.access(hierarchy, os.W_OK):
        pytest.skip("needs root and control groups of version 1 that can be written")
    group = slice_ / "service"
    group.mkdir(parents=True)
    try:
        (slice_ / "cpu.cfs_quota_us").write_text("60000")
        program = (
            "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid())); "
            "from kbroker.config.machine import available_cores; print(available_cores())"
        )
        command = [sys.executable, "-c", program, str(group / "cgroup.procs")]
        assert subprocess.check_output(command, text=True, timeout=60) == "1\n"
    finally:
        group.rmdir()
        slice_.rmdir()
