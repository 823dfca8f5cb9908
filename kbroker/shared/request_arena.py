"""
Where the requests of one network worker lie as they came from the socket; IO workers read payloads from here.

The region is cut into blocks of 64 KiB times a power of two (a buddy system). Only the network worker allocates and
frees; the IO workers get (position, size) pairs in commands and write from there. A block lives as long as somebody
counts on it: the connection that receives into it, and each request under way whose payload lies in it. The same blocks
are handed out again first, so that a steady load touches few pages.
"""

from __future__ import annotations

from typing import Final

from kbroker.shared.memory import SharedRegion

PAGE_BYTES: Final = 64 * 1024
FREE_OF_CHARGE_BYTES: Final = 256 * 1024
"""The block that all connections of a worker share; a limit counts from there."""

_DISCARD_BYTES: Final = 4 * 1024 * 1024


class Block:
    """
    A piece of the arena.

    position     bytes from the start of the arena
    size_bytes   length
    asked_bytes  what was asked for; the rest is rounding
    view         its memory
    references   how many still need it; the last release() frees it
    """

    __slots__ = ("_arena", "_order", "asked_bytes", "position", "references", "size_bytes", "view")

    def __init__(self, arena: RequestArena, position: int, order: int, asked_bytes: int) -> None:
        self._arena = arena
        self.asked_bytes = asked_bytes
        self._order = order
        self.position = position
        self.size_bytes = PAGE_BYTES << order
        self.view = arena.memory[position : position + self.size_bytes]
        self.references = 1

    def retain(self) -> None:
        """Count one more user."""
        self.references += 1

    def release(self) -> None:
        """Count one user less; the last one gives the block back."""
        self.references -= 1
        if self.references == 0:
            self._arena.free(self, self._order)


class RequestArena:
    """
    The allocator, held by the network worker that owns the arena.

    region           shared memory whose size is PAGE_BYTES times a power of two
    max_asked_bytes  what was asked for and not given back never adds up to more than this and FREE_OF_CHARGE_BYTES,
                     but one request of any size is always let in; -1: no such limit
    """

    __slots__ = ("_asked_bytes", "_free", "_limit_bytes", "_region", "_top_order", "free_bytes", "memory")

    def __init__(self, region: SharedRegion, max_asked_bytes: int = -1) -> None:
        self._region = region
        self.memory = region.memory
        self._top_order = (region.size_bytes // PAGE_BYTES).bit_length() - 1
        # Per order the positions that are free; a dict keeps them in order of release and finds a buddy at once.
        self._free: list[dict[int, None]] = [{} for _ in range(self._top_order + 1)]
        self._free[self._top_order][0] = None
        self.free_bytes = PAGE_BYTES << self._top_order
        self._limit_bytes = max_asked_bytes + FREE_OF_CHARGE_BYTES if max_asked_bytes >= 0 else self.free_bytes
        self._asked_bytes = 0

    def allocate(self, size_bytes: int) -> Block | None:
        """Return a block of at least `size_bytes`, or None when there is no room now."""
        order = max(0, ((size_bytes + PAGE_BYTES - 1) // PAGE_BYTES - 1).bit_length())
        free = self._free
        asked = self._asked_bytes
        if asked + size_bytes > self._limit_bytes and asked > FREE_OF_CHARGE_BYTES:
            return None
        found = order
        while not free[found]:
            found += 1
            if found > self._top_order:
                return None
        position, _ = free[found].popitem()
        while found > order:
            found -= 1
            free[found][position + (PAGE_BYTES << found)] = None
        self.free_bytes -= PAGE_BYTES << order
        self._asked_bytes = asked + size_bytes
        return Block(self, position, order, size_bytes)

    def has_room(self, size_bytes: int) -> bool:
        """Return whether `allocate` would give a block of `size_bytes` now."""
        asked = self._asked_bytes
        if asked + size_bytes > self._limit_bytes and asked > FREE_OF_CHARGE_BYTES:
            return False
        return any(self._free[max(0, ((size_bytes + PAGE_BYTES - 1) // PAGE_BYTES - 1).bit_length()) :])

    def free(self, block: Block, order: int) -> None:
        """Take a block back (called by Block.release)."""
        position = block.position
        block.view.release()
        if block.size_bytes >= _DISCARD_BYTES:
            self._region.discard(position, block.size_bytes)
        self.free_bytes += PAGE_BYTES << order
        self._asked_bytes -= block.asked_bytes
        free = self._free
        while order < self._top_order:
            buddy = position ^ (PAGE_BYTES << order)
            if buddy not in free[order]:
                break
            del free[order][buddy]
            position = min(position, buddy)
            order += 1
        free[order][position] = None


def region_size(largest_request_bytes: int) -> int:
    """
    Return the size of an arena that can hold one request of `largest_request_bytes` and go on serving others.

    Twice the next power of two: while one half holds the largest request, the other half stays free. Only pages that
    were used cost memory.
    """
    pages = (largest_request_bytes + PAGE_BYTES) // PAGE_BYTES + 1
    return PAGE_BYTES << ((pages - 1).bit_length() + 1)
