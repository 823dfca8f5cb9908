"""Which IO worker owns a partition: every process computes it, nobody stores it."""

from __future__ import annotations

from zlib import crc32


def owner_of(topic: str, partition: int, io_workers: int) -> int:
    """
    Return the index (from 0) of the IO worker that owns a partition.

    Depends on nothing but the arguments, so it holds across restarts as long as the number of IO workers does.
    Consecutive partitions of a topic fall on consecutive workers; topics start at different ones.

    The topic's name decides, not its id: a topic deleted and made again lies in a directory of the same name, which one
    worker moves away and makes anew. Two workers would do that in any order.
    """
    return (crc32(topic.encode()) + partition) % io_workers
