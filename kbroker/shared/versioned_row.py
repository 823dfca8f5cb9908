"""
A row of int64 in shared memory: one writer, many readers, nobody waits.

    word 0         version; its last bit says which half is current
    words 1..n     half 0
    words n+1..2n  half 1

Why two halves: with one, a writer that is paused or killed while writing would leave every reader waiting. Here the
writer fills the half that is not current and then moves the version, one aligned store, so a reader that sees the same
version before and after has seen one whole row.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from struct import Struct
from typing import Final

WORD_BYTES: Final = 8


class VersionedRowLayout:
    """
    Reads and publishes rows of `fields` int64 values inside a shared buffer.

    fields  values per row, >= 1
    """

    __slots__ = ("_unpack_from", "fields", "size_bytes")

    def __init__(self, fields: int) -> None:
        self.fields = fields
        self.size_bytes = (1 + 2 * fields) * WORD_BYTES
        self._unpack_from = Struct(f"={fields}q").unpack_from

    def read(self, memory: memoryview, words: memoryview, position: int) -> tuple[int, ...]:
        """
        Return the row last published at `position`.

        memory    the region as bytes
        words     the same region cast to int64: single aligned loads never tear
        position  bytes, a multiple of 8

        Repeats only while the writer publishes between two loads; a paused or dead writer never blocks.
        """
        index = position >> 3
        half_bytes = self.fields * WORD_BYTES
        while True:
            version = words[index]
            row = self._unpack_from(memory, position + WORD_BYTES + (version & 1) * half_bytes)
            if words[index] == version:
                return row

    def publish(self, words: memoryview, position: int, values: Sequence[int]) -> None:
        """
        Make `values` the row at `position`. Only the row's one writer may call this.

        words     the region cast to int64
        position  bytes, a multiple of 8
        """
        index = position >> 3
        fields = self.fields
        version = words[index] + 1
        begin = index + 1 + (version & 1) * fields
        words[begin : begin + fields] = array("q", values)
        words[index] = version
