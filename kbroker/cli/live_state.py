"""What only a running broker's shared memory knows: how many partitions and connections there are."""

from __future__ import annotations

from dataclasses import dataclass

from kbroker.cli.run_file import RunInfo
from kbroker.shared.memory import SharedRegion
from kbroker.shared.worker_table import WorkerField, WorkerTable, region_size


@dataclass(frozen=True, slots=True)
class LiveState:
    """Counts of a running broker at one moment."""

    partitions: int
    connections: int


def read_live_state(pid: int, run_info: RunInfo) -> LiveState | None:
    """
    Return the counts, or None when the run file names no shared memory that this process may read.

    pid  the supervisor, as this process sees it
    """
    shared = run_info.shared
    try:
        network, io, size_bytes = int(shared["network"]), int(shared["io"]), int(shared["regions"]["workers"]["size"])
        if size_bytes < region_size(network, io):
            return None
        workers = SharedRegion.attach(f"/proc/{pid}/fd/{int(shared['regions']['workers']['fd'])}", size_bytes)
    except (KeyError, TypeError, ValueError, OSError):
        return None
    try:
        table = WorkerTable(workers.memory, network, io)
        connections = sum(table.get(table.network_worker(index), WorkerField.CONNECTIONS) for index in range(network))
        return LiveState(partitions=table.get(0, WorkerField.PARTITIONS), connections=connections)
    finally:
        workers.close()
