"""Everything the supervisor makes before it forks: the shared memory of one broker, and who uses which part."""

from __future__ import annotations

import os
from typing import Self

from kbroker.shared import host_counts, partition_table, record_ring, request_arena, worker_table
from kbroker.shared.host_counts import HostCounts
from kbroker.shared.memory import SharedRegion
from kbroker.shared.partition_table import PartitionTable
from kbroker.shared.record_ring import RecordRing
from kbroker.shared.worker_table import WorkerTable

RING_BYTES = 1024 * 1024
INTEREST_BYTES_PER_ROW = 1


class SharedState:
    """
    The shared memory of a broker, made before the fork, used by all its processes.

    workers     who is alive (WorkerTable)
    partitions  the state of each log (PartitionTable)
    arenas      one region per network worker: requests as they came from the socket
    commands    commands[io][network]: appends on their way from a network worker to an IO worker
    rings       rings[io][network]: completions from an IO worker to a network worker
    interest    interest[network]: a byte per partition row, 1 while that network worker has a fetch waiting for it
    hosts       connections per client address (HostCounts)
    doorbells   an eventfd per worker (by table number): wakes its loop
    channel     a name no other broker uses, for the workers' ZeroMQ endpoints
    """

    def __init__(self, network: int, io: int, *, rows: int, largest_request_bytes: int) -> None:
        self._regions: dict[str, SharedRegion] = {}
        self.rows = rows
        # The one region that tools look into (kbroker status).
        table = SharedRegion.create_for_tools("workers", _whole_pages(worker_table.region_size(network, io)))
        self._regions["workers"] = table
        self.workers = WorkerTable(table.memory, network, io)
        self.partitions = PartitionTable(self._region("partitions", partition_table.region_size(rows)).memory, rows)
        arena_bytes = request_arena.region_size(largest_request_bytes)
        self.arenas = [self._region(f"arena-{index}", arena_bytes) for index in range(network)]
        self.commands = self._rings("commands", network, io)
        self.rings = self._rings("completions", network, io)
        interest = self._region("interest", rows * INTEREST_BYTES_PER_ROW * network).memory
        self.interest = [interest[n * rows : (n + 1) * rows] for n in range(network)]
        self.hosts = HostCounts(self._region("hosts", host_counts.region_size(network)).memory, network)
        self.doorbells = [os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(self.workers.count)]
        self.channel = f"kbroker-{os.getpid()}-{os.urandom(6).hex()}"

    def _rings(self, purpose: str, network: int, io: int) -> list[list[RecordRing]]:
        """Return a ring for each pair of workers: [io][network]."""
        size = record_ring.region_size(RING_BYTES)
        memory = self._region(purpose, size * network * io).memory
        return [
            [
                RecordRing(memory[place * size : (place + 1) * size], RING_BYTES)
                for place in range(i * network, (i + 1) * network)
            ]
            for i in range(io)
        ]

    def _region(self, purpose: str, size_bytes: int) -> SharedRegion:
        region = SharedRegion.create(purpose, _whole_pages(size_bytes))
        self._regions[purpose] = region
        return region

    @classmethod
    def create(cls, network: int, io: int, *, rows: int, largest_request_bytes: int) -> Self:
        """Make the shared memory for `network` and `io` workers and `rows` partitions."""
        return cls(network, io, rows=rows, largest_request_bytes=largest_request_bytes)

    def describe(self) -> dict[str, object]:
        """Return where tools find the regions: the run file's "shared" entry."""
        return {
            "network": self.workers.network,
            "io": self.workers.io,
            "rows": self.rows,
            "regions": {
                name: {"fd": region.fd, "size": region.size_bytes}
                for name, region in self._regions.items()
                if region.fd >= 0
            },
        }


def _whole_pages(size_bytes: int) -> int:
    return (size_bytes + 4095) & ~4095
