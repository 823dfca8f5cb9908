"""What only a running broker's shared memory knows: how many partitions and connections there are."""

from __future__ import annotations

from dataclasses import dataclass

from kbroker.cli.run_file import RunInfo
from kbroker.shared.memory import SharedRegion
from kbroker.shared.partition_table import PartitionTable
from kbroker.shared.worker_table import WorkerField, WorkerTable


@dataclass(frozen=True, slots=True)
class LiveState:
    """Counts of a running broker at one moment."""

    partitions: int
    connections: int


def read_live_state(run_info: RunInfo) -> LiveState | None:
    """Return the counts, or None when the run file names no shared memory that this process may read."""
    shared = run_info.shared
    try:
        regions = shared["regions"]
        workers = _attach(run_info.pid, regions["workers"])
        partitions = _attach(run_info.pid, regions["partitions"])
    except (KeyError, TypeError, OSError):
        return None
    try:
        table = WorkerTable(workers.memory, shared["network"], shared["io"])
        connections = sum(
            table.get(table.network_worker(index), WorkerField.CONNECTIONS) for index in range(table.network)
        )
        rows = PartitionTable(partitions.memory, shared["rows"])
        count = sum(1 for _ in rows.claimed())
        rows.close()
        return LiveState(partitions=count, connections=connections)
    finally:
        workers.close()
        partitions.close()


def _attach(pid: int, region: dict[str, int]) -> SharedRegion:
    return SharedRegion.attach(f"/proc/{pid}/fd/{region['fd']}", region["size"])
