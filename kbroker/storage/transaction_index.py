"""
The aborted transactions of a segment: `<base offset>.txnindex`, which Apache Kafka writes and no segment need have.

An entry per abort marker that the segment holds, in the order of the markers. Big-endian, 34 bytes:

    int16  version, 0
    int64  producer id
    int64  offset of the transaction's first record, perhaps in an earlier segment
    int64  offset of the marker
    int64  last stable offset once the marker was written

A consumer with read_committed is told the entries that touch what it fetched, and leaves their records out.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from struct import Struct
from typing import Final, NamedTuple

from kbroker.storage.paths import TRANSACTION_INDEX_SUFFIX, segment_path

_ENTRY: Final = Struct(">hqqqq")
_VERSION: Final = 0


class AbortedTransaction(NamedTuple):
    """One entry: the records of `producer_id` from `first_offset` up to the marker at `last_offset` do not count."""

    producer_id: int
    first_offset: int
    last_offset: int
    last_stable_offset: int


def encode_transaction_index(entries: Iterable[AbortedTransaction]) -> bytes:
    """Return the content of a .txnindex file."""
    return b"".join(_ENTRY.pack(_VERSION, *entry) for entry in entries)


def decode_transaction_index(content: bytes, base_offset: int) -> list[AbortedTransaction]:
    """Return the entries of a .txnindex file. Raises ValueError for one that contradicts itself."""
    if len(content) % _ENTRY.size:
        raise ValueError(f"{len(content)} bytes are no whole number of entries")
    entries: list[AbortedTransaction] = []
    for version, *fields in _ENTRY.iter_unpack(content):
        entry = AbortedTransaction(*fields)
        if version != _VERSION:
            raise ValueError(f"version {version} is not known")
        if entry.producer_id < 0 or not 0 <= entry.first_offset <= entry.last_offset or entry.last_offset < base_offset:
            raise ValueError(f"impossible entry {entry}")
        entries.append(entry)
    if any(earlier.last_offset >= later.last_offset for earlier, later in pairwise(entries)):
        raise ValueError("entries are out of order")
    return entries


def read_transaction_index(directory: str, base_offset: int) -> list[AbortedTransaction]:
    """Return a segment's aborted transactions, none when it has no index. Raises ValueError, OSError."""
    try:
        with open(segment_path(directory, base_offset, TRANSACTION_INDEX_SUFFIX), "rb") as file:
            return decode_transaction_index(file.read(), base_offset)
    except FileNotFoundError:
        return []
