"""What a set of processes costs: CPU time and memory, from /proc."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return user and system time that the processes, all threads included, have used so far."""
    total = 0
    for pid in pids:
        # The name in parentheses may hold anything; the fields after it are fixed: utime and stime are 14 and 15.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total * _TICK_S


def proportional_set_size_bytes(pids: Iterable[int]) -> int:
    """Return the memory of the processes; what they share is counted once."""
    total = 0
    for pid in pids:
        match = re.search(r"^Pss: +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
        assert match
        total += int(match[1]) * 1024
    return total


def descendants(pid: int) -> list[int]:
    """Return a process and all that it has started, and so on."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    return found
