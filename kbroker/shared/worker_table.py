"""
One row of int64 per worker: who it is, whether it is alive, and how far it has come.

    words 0..15   the fields of WorkerField; each has one writer
    words 16..    per network worker: the generation whose requests this worker may still read (the arena fence)

The arena fence: a network worker that died may have commands under way whose payloads lie in its arena. The worker born
in its place must not receive into that arena before every IO worker has said, by writing the new generation here, that
it will touch nothing of the old one.
"""

from __future__ import annotations

from enum import IntEnum

BASE_WORDS = 16


class WorkerKind(IntEnum):
    """The three kinds of workers."""

    CLUSTER = 0
    NETWORK = 1
    IO = 2


class WorkerState(IntEnum):
    """How far a worker has come."""

    ABSENT = 0
    STARTING = 1
    READY = 2
    STOPPING = 3


class WorkerField(IntEnum):
    """The words of a worker's row."""

    PID = 0
    """Written by the supervisor at each fork."""
    GENERATION = 1
    """Counts the forks of this worker; written by the supervisor, before the fork."""
    STATE = 2
    HEARTBEAT_MS = 3
    """Monotonic milliseconds of the worker's last turn."""
    METADATA_VERSION = 4
    """Version of the metadata image the worker works with; -1 before the first."""
    CONNECTIONS = 5
    REQUESTS = 6
    """Requests answered since this incarnation started (network), commands carried out (IO)."""
    PARTITIONS = 7
    """Logs that an IO worker holds; in row 0 the rows of the partition table that are in use."""
    STOP_STAGE = 8
    """How far an orderly stop has come; written by the supervisor: 1 stop accepting, 2 flush and close."""
    BYTES_IN = 9
    BYTES_OUT = 10
    FORKS = 11
    """In row 0 only: counts the forks of all workers, written by the supervisor after the new GENERATION: who remembers
    it sees with one look whether any peer was born anew."""
    LOOKS_UNTIL_NS = 12
    """Monotonic nanoseconds: the worker looks at its rings once more after this time before it sleeps, so what is
    written well before needs no doorbell; 0 or past: ring."""
    CLIENT_FOLLOWED = 13
    """Network workers: how often it has moved to the processor of its client, << 16, and which that was; IO workers
    that look for its appends leave that one."""
    OFFLINE_DIRECTORIES = 14
    """IO workers: a bit per log directory that this one has found unusable, see offline_directories."""


MAX_SHARED_DIRECTORIES = 62
"""Log directories beyond have no bit: each IO worker finds their faults itself."""


class WorkerTable:
    """
    The table over a shared buffer.

    network  number of network workers
    io       number of IO workers

    Workers are numbered: 0 the cluster worker, 1..network the network workers, then the IO workers.
    """

    __slots__ = ("_words", "_words_per_row", "count", "io", "network")

    def __init__(self, memory: memoryview, network: int, io: int) -> None:
        self.network = network
        self.io = io
        self.count = 1 + network + io
        self._words_per_row = BASE_WORDS + network
        self._words = memory[: region_size(network, io)].cast("q")

    def get(self, worker: int, field: int) -> int:
        """Return one word of a worker's row, see WorkerField."""
        return self._words[worker * self._words_per_row + field]

    def set(self, worker: int, field: int, value: int) -> None:
        """Write one word; only the writer named in WorkerField may."""
        self._words[worker * self._words_per_row + field] = value

    def offline_directories(self) -> int:
        """Return the log directories that any IO worker has found unusable, bit by bit in the order of log.dirs."""
        offline = 0
        for index in range(self.io):
            offline |= self.get(self.io_worker(index), WorkerField.OFFLINE_DIRECTORIES)
        return offline

    def fence(self, io_worker: int, network_index: int) -> int:
        """Return the generation of network worker `network_index` that `io_worker` has moved on to."""
        return self._words[io_worker * self._words_per_row + BASE_WORDS + network_index]

    def set_fence(self, io_worker: int, network_index: int, generation: int) -> None:
        """Say that `io_worker` will read nothing that generations before `generation` left in their arena."""
        self._words[io_worker * self._words_per_row + BASE_WORDS + network_index] = generation

    def network_worker(self, index: int) -> int:
        """Return the table number of the network worker `index`."""
        return 1 + index

    def io_worker(self, index: int) -> int:
        """Return the table number of the IO worker `index`."""
        return 1 + self.network + index

    def name(self, worker: int) -> str:
        """Return the worker's name as logs and process titles show it: cluster, net-0, io-1."""
        if worker == 0:
            return "cluster"
        if worker <= self.network:
            return f"net-{worker - 1}"
        return f"io-{worker - 1 - self.network}"

    def kind(self, worker: int) -> WorkerKind:
        """Return the worker's kind."""
        if worker == 0:
            return WorkerKind.CLUSTER
        return WorkerKind.NETWORK if worker <= self.network else WorkerKind.IO


def region_size(network: int, io: int) -> int:
    """Return the bytes the table needs."""
    return (1 + network + io) * (BASE_WORDS + network) * 8
