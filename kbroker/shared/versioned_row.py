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

from struct import Struct
from typing import Final

WORD_BYTES: Final = 8


class VersionedRowLayout:
    """
    Reads and publishes rows of `fields` int64 values inside a shared buffer.

    fields  values per row, >= 1
    """

    __slots__ = ("_unpack_from", "fields", "pack", "size_bytes")

    def __init__(self, fields: int) -> None:
        self.fields = fields
        self.size_bytes = (1 + 2 * fields) * WORD_BYTES
        half = Struct(f"={fields}q")
        self.pack = half.pack
        """Called with the values of a row, returns what publish takes."""
        self._unpack_from = half.unpack_from

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

    def publish(self, memory: memoryview, words: memoryview, position: int, packed: bytes) -> None:
        """
        Make `packed`, a row as `pack` returns it, the row at `position`. Only the row's one writer may call this.

        memory, words, position  as in read
        """
        index = position >> 3
        version = words[index] + 1
        half_bytes = self.fields * WORD_BYTES
        begin = position + WORD_BYTES + (version & 1) * half_bytes
        memory[begin : begin + half_bytes] = packed
        words[index] = version
