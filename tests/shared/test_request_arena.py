"""Blocks never overlap, live as long as somebody counts on them, and leave the arena whole again."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kbroker.shared.memory import SharedRegion
from kbroker.shared.request_arena import PAGE_BYTES, RequestArena, region_size

PAGES = 64


class Memory:
    """What the arena needs of a region, on the heap; remembers what was given back to the system."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.memory = memoryview(bytearray(size_bytes))
        self.discarded: list[tuple[int, int]] = []

    def discard(self, position: int, size_bytes: int) -> None:
        self.discarded.append((position, size_bytes))


ONE_FOR_ALL = Memory(PAGES * PAGE_BYTES)


@pytest.fixture
def region() -> Iterator[SharedRegion]:
    region = SharedRegion.create("test-arena", PAGES * PAGE_BYTES)
    yield region
    region.close()


@given(steps=st.lists(st.one_of(st.integers(1, PAGES * PAGE_BYTES), st.integers(-PAGES, -1)), max_size=60))
def test_blocks_do_not_overlap_and_the_arena_becomes_whole_again(steps: list[int]) -> None:
    """A number > 0 allocates so many bytes, one < 0 frees a block."""
    arena = RequestArena(ONE_FOR_ALL)  # type: ignore[arg-type]
    blocks = []
    for step in steps:
        if step > 0:
            expected = arena.has_room(step)
            block = arena.allocate(step)
            assert (block is not None) == expected
            if block is not None:
                assert block.size_bytes >= step
                assert len(block.view) == block.size_bytes
                for other in blocks:
                    assert (
                        block.position + block.size_bytes <= other.position
                        or other.position + other.size_bytes <= block.position
                    )
                blocks.append(block)
        elif blocks:
            blocks.pop(step % len(blocks)).release()
        assert arena.free_bytes == PAGES * PAGE_BYTES - sum(block.size_bytes for block in blocks)
    for block in blocks:
        block.release()
    whole = arena.allocate(PAGES * PAGE_BYTES)
    assert whole is not None
    assert not arena.has_room(1)
    assert arena.allocate(1) is None
    whole.release()
    assert arena.free_bytes == PAGES * PAGE_BYTES


def test_the_last_user_frees_a_block(region: SharedRegion) -> None:
    arena = RequestArena(region)
    block = arena.allocate(PAGES * PAGE_BYTES)
    assert block is not None
    block.retain()
    block.release()
    assert not arena.has_room(1)
    block.release()
    assert arena.has_room(PAGES * PAGE_BYTES)


def test_the_same_pages_are_used_again(region: SharedRegion) -> None:
    """A steady load of small requests must not walk through the whole arena and touch all of it."""
    arena = RequestArena(region)
    positions = set()
    for _ in range(100):
        block = arena.allocate(256 * 1024)
        assert block is not None
        positions.add(block.position)
        block.release()
    assert len(positions) == 1


def test_blocks_are_the_regions_own_memory(region: SharedRegion) -> None:
    arena = RequestArena(region)
    block = arena.allocate(10)
    assert block is not None
    block.view[:3] = b"abc"
    assert bytes(region.memory[block.position : block.position + 3]) == b"abc"
    block.release()


def test_the_pages_of_a_large_block_are_given_back_to_the_system() -> None:
    memory = Memory(PAGES * PAGE_BYTES * 2)
    arena = RequestArena(memory)  # type: ignore[arg-type]
    small, large = arena.allocate(1), arena.allocate(4 * 1024 * 1024)
    assert small is not None
    assert large is not None
    small.release()
    large.release()
    assert memory.discarded == [(large.position, 4 * 1024 * 1024)]


@pytest.mark.parametrize("largest", [1024, 100_000, 1_000_000, 104_857_600, (1 << 31) - 1])
def test_half_of_the_arena_holds_the_largest_request(largest: int) -> None:
    size = region_size(largest)
    assert size & (size - 1) == 0
    assert size // 2 >= largest + 4
