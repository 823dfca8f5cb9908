"""
How much of the machine this process may use: processors and memory, as its affinity and its control groups say.

A limit may be set on the process's own group or on any above it (a slice of systemd, a pod): the smallest counts. Both
versions of control groups are read, for both may be mounted at once:

    /proc/self/cgroup     hierarchy:controllers:path   the process's group in each hierarchy; no controllers: version 2
    /proc/self/mountinfo  where each hierarchy is mounted, and which of its groups is the root of that mount: inside a
                          container the path may be one that only the machine outside can see
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

_NO_LIMIT_BYTES = 1 << 60
"""Version 1 writes "no limit" as the largest number of pages there is."""


def available_cores(root: str = "/") -> int:
    """
    Return how many cores this process may use: its affinity, and the smallest quota over it rounded up; at least 1.

    root  where /proc and /sys are looked for
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        cores = os.cpu_count() or 1
    quotas = [quota for group, version in _groups(root, "cpu") if (quota := _CORES[version](group)) is not None]
    return max(1, min([cores, *(int(-(-quota // 1)) for quota in quotas)]))


def memory_limit_bytes(root: str = "/") -> int | None:
    """
    Return the smallest memory limit over this process; None when there is none.

    root  where /proc and /sys are looked for
    """
    limits = [limit for group, version in _groups(root, "memory") if (limit := _MEMORY[version](group)) is not None]
    return min((limit for limit in limits if 0 < limit < _NO_LIMIT_BYTES), default=None)


def _groups(root: str, controller: str) -> Iterator[tuple[Path, int]]:
    """Yield the directory and the version of each group this process is in that may limit what `controller` counts."""
    memberships: dict[int, str] = {}
    for line in _lines(f"{root}/proc/self/cgroup"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            memberships[2] = path
        elif controller in controllers.split(","):
            memberships[1] = path
    for line in _lines(f"{root}/proc/self/mountinfo"):
        left, _, right = line.partition(" - ")
        fields, kind = left.split(" "), right.split(" ")
        if len(fields) < 5 or len(kind) < 3:
            continue
        version = {"cgroup": 1, "cgroup2": 2}.get(kind[0])
        if version not in memberships or (version == 1 and controller not in kind[2].split(",")):
            continue
        mount_root, mount_point = _unescaped(fields[3]).rstrip("/"), Path(root + _unescaped(fields[4]))
        path = memberships[version]
        inside = path == mount_root or path.startswith(mount_root + "/")
        # A group out of sight of this mount: its root is the nearest of those above that can be seen.
        parts = Path(path[len(mount_root) :]).parts if inside and ".." not in path else ()
        group = mount_point.joinpath(*(part for part in parts if part != "/"))
        while True:
            yield group, version
            if group == mount_point:
                break
            group = group.parent


def _cores_1(group: Path) -> float | None:
    quota, period = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
    return quota / period if quota is not None and quota > 0 and period else None


def _cores_2(group: Path) -> float | None:
    fields = " ".join(_lines(str(group / "cpu.max"))).split()
    if len(fields) != 2 or not all(map(str.isdecimal, fields)) or not int(fields[1]):
        return None
    return int(fields[0]) / int(fields[1])


def _memory_1(group: Path) -> int | None:
    return _number(group / "memory.limit_in_bytes")


def _memory_2(group: Path) -> int | None:
    return _number(group / "memory.max")


_CORES: dict[int, Callable[[Path], float | None]] = {1: _cores_1, 2: _cores_2}
_MEMORY: dict[int, Callable[[Path], int | None]] = {1: _memory_1, 2: _memory_2}


def _number(path: Path) -> int | None:
    try:
        return int(" ".join(_lines(str(path))))
    except ValueError:
        return None


def _lines(path: str) -> list[str]:
    """Return the lines of a file of the system's; none when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().split("\n")[:-1]
    except OSError:
        return []


def _unescaped(field: str) -> str:
    """Return a path of mountinfo, where blanks and the like are written as octal numbers."""
    for escaped, plain in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(escaped, plain)
    return field
