"""The broker's processes as the kernel and the broker's shared memory show them; signals that cannot hit a stranger."""

from __future__ import annotations

import json
import os
import select
import signal
import stat
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kbroker.shared.memory import SharedRegion
from kbroker.shared.worker_table import WorkerField, WorkerState, WorkerTable
from kbroker.testing import Broker

_POLL_S = 0.002
_ESTABLISHED = "01"
_LISTENING = "0A"
RUN_FILE = "kbroker-run.json"


class Process:
    """A process held by a descriptor: a signal never reaches another one that was given the same number."""

    def __init__(self, pid: int) -> None:
        """Hold the process; raises ProcessLookupError when there is none."""
        self.pid = pid
        self._fd = os.pidfd_open(pid)

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal; return False when the process has ended."""
        try:
            signal.pidfd_send_signal(self._fd, number)
        except ProcessLookupError:
            return False
        return True

    def wait(self, timeout_s: float) -> bool:
        """Return whether the process ends within `timeout_s`."""
        poller = select.poll()
        poller.register(self._fd, select.POLLIN)
        return bool(poller.poll(max(0.0, timeout_s) * 1000))

    def close(self) -> None:
        """Let go of it."""
        os.close(self._fd)


class Workers:
    """The worker table of one running broker."""

    def __init__(self, broker: Broker) -> None:
        shared = json.loads((broker.data_dir / RUN_FILE).read_bytes())["shared"]
        region = shared["regions"]["workers"]
        self._region = SharedRegion.attach(f"/proc/{broker.pid}/fd/{region['fd']}", region["size"])
        self._table = WorkerTable(self._region.memory, shared["network"], shared["io"])
        self.names = [self._table.name(number) for number in range(self._table.count)]

    def pid(self, name: str) -> int:
        """Return a worker's process id; 0 while it is not running."""
        return self._table.get(self.names.index(name), WorkerField.PID)

    def generation(self, name: str) -> int:
        """Return how often the worker was started."""
        return self._table.get(self.names.index(name), WorkerField.GENERATION)

    def is_ready(self, name: str) -> bool:
        """Return whether the worker serves."""
        return self._table.get(self.names.index(name), WorkerField.STATE) == WorkerState.READY

    def wait_ready(self, name: str, after_generation: int, timeout_s: float) -> bool:
        """Return whether an incarnation of the worker later than `after_generation` serves within `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.generation(name) > after_generation and self.is_ready(name):
                return True
            time.sleep(_POLL_S)
        return False

    def wait_forked(self, name: str, after_generation: int, timeout_s: float) -> bool:
        """Return whether an incarnation later than `after_generation` runs, ready or not, within `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.generation(name) > after_generation and self.pid(name):
                return True
            time.sleep(_POLL_S / 4)
        return False

    def close(self) -> None:
        """Unmap the table."""
        self._table = None  # type: ignore[assignment]
        self._region.close()


@dataclass(slots=True)
class Descriptors:
    """
    What a process has open.

    files  regular files by path
    tcp    connected sockets of IPv4
    other  all else: epoll, eventfds, unix sockets, shared memory, listeners
    deleted  path of each deleted file still open, by (process id, inode)
    """

    files: dict[str, int]
    tcp: int
    other: int
    deleted: dict[tuple[int, int], str]


def descriptors(pid: int, tcp_inodes: set[str]) -> Descriptors:
    """Return what a process has open; raises FileNotFoundError when it has ended."""
    found = Descriptors({}, 0, 0, {})
    for fd in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{fd}"
        try:
            target = os.readlink(path)
            status = os.stat(path)
        except FileNotFoundError:
            continue
        is_file = stat.S_ISREG(status.st_mode)
        if target.startswith("socket:[") and target[8:-1] in tcp_inodes:
            found.tcp += 1
        elif is_file and target.endswith(" (deleted)") and not target.startswith(("/dev/shm/", "/memfd:")):
            found.deleted[pid, status.st_ino] = target
        elif is_file and not target.startswith(("/dev/shm/", "/memfd:")):
            found.files[target] = found.files.get(target, 0) + 1
        else:
            found.other += 1
    return found


def connections(port: int) -> tuple[set[str], int]:
    """Return the inodes of the sockets on our side of `port` that do not listen, and how many are established."""
    inodes = set()
    established = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == port and fields[3] != _LISTENING:
            inodes.add(fields[9])
            established += fields[3] == _ESTABLISHED
    return inodes - {"0"}, established


def session_members(session: int) -> dict[int, str]:
    """Return the living processes of a session: pid → command."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            text = Path(f"/proc/{entry}/stat").read_text()
            if int(text.rpartition(")")[2].split()[3]) == session and text.rpartition(")")[2].split()[0] != "Z":
                found[int(entry)] = Path(f"/proc/{entry}/cmdline").read_text().replace("\0", " ").strip()
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def shared_memory_names(pids: Iterable[int]) -> list[str]:
    """Return what brokers with these process ids left in /dev/shm."""
    wanted = {str(pid) for pid in pids}
    return [name for name in os.listdir("/dev/shm") if name.startswith("kbroker-") and name.split("-")[1] in wanted]
