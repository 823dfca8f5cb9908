"""Which IO worker owns a partition: every process computes it, nobody stores it."""

from __future__ import annotations

from zlib import crc32

from kbroker.types import Uuid


def owner_of(topic_id: Uuid, partition: int, io_workers: int) -> int:
    """
    Return the index (from 0) of the IO worker that owns a partition.

    Depends on nothing but the arguments, so it holds across restarts as long as the number of IO workers does.
    Consecutive partitions of a topic fall on consecutive workers; topics start at different ones.
    """
    return (crc32(topic_id) + partition) % io_workers
