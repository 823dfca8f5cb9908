"""
How many connections each client address has, over all network workers: words of int64, one array per network worker.

An address is counted in the bucket of its hash. Each worker writes its own array alone and reads all, so that a limit
per address holds for the broker and not for each worker. Addresses that fall into the same bucket count together; with
this many buckets that needs thousands of clients, and only a limit that somebody set is ever compared.
"""

from __future__ import annotations

from zlib import crc32

_BUCKETS = 4096
_WORDS_BYTES = _BUCKETS * 8


class HostCounts:
    """
    The counts over a shared buffer.

    memory   region_size(network) bytes
    network  number of network workers
    """

    __slots__ = ("_arrays",)

    def __init__(self, memory: memoryview, network: int) -> None:
        self._arrays = [memory[index * _WORDS_BYTES : (index + 1) * _WORDS_BYTES].cast("q") for index in range(network)]

    def add(self, index: int, host: str, change: int) -> None:
        """Count `change` connections of `host` more for the network worker `index`; only that one may."""
        self._arrays[index][crc32(host.encode()) % _BUCKETS] += change

    def total(self, host: str) -> int:
        """Return how many connections `host` has with all workers."""
        bucket = crc32(host.encode()) % _BUCKETS
        return sum([array[bucket] for array in self._arrays])

    def forget(self, index: int) -> None:
        """Start at zero: the connections of an incarnation that died are gone."""
        array = self._arrays[index]
        # Not all words: writing where nothing ever stood would make the system provide the memory.
        for bucket in range(_BUCKETS):
            if array[bucket]:
                array[bucket] = 0


def region_size(network: int) -> int:
    """Return the bytes the counts need."""
    return network * _WORDS_BYTES
