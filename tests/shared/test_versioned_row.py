"""A reader sees one whole row, whatever the writer does meanwhile, and never waits for it."""

import mmap
import os
import signal
import time

from hypothesis import given
from hypothesis import strategies as st

from kbroker.shared.versioned_row import VersionedRowLayout

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)


@given(rows=st.lists(st.lists(INT64, min_size=3, max_size=3).map(tuple), min_size=1, max_size=5))
def test_the_last_row_published_is_the_row_read(rows: list[tuple[int, ...]]) -> None:
    layout = VersionedRowLayout(3)
    memory = memoryview(bytearray(16 + layout.size_bytes))
    words = memory.cast("q")
    assert layout.read(memory, words, 16) == (0, 0, 0)
    for row in rows:
        layout.publish(memory, words, 16, layout.pack(*row))
        assert layout.read(memory, words, 16) == row
    assert bytes(memory[:16]) == bytes(16), "nothing outside the row is touched"


def _write_forever(layout: VersionedRowLayout, memory: memoryview) -> None:
    words = memory.cast("q")
    number = 0
    while True:
        number += 1
        layout.publish(memory, words, 0, layout.pack(*(number,) * layout.fields))


def test_no_torn_reads_while_a_hot_writer_is_stopped_and_goes_on() -> None:
    """Every field of a row is the same number; a row of two numbers would be a torn one."""
    layout = VersionedRowLayout(15)
    memory = memoryview(mmap.mmap(-1, 4096))
    words = memory.cast("q")
    pid = os.fork()
    if not pid:
        _write_forever(layout, memory)
    try:
        reads = changes = last = 0
        deadline = time.monotonic() + 0.6
        stopped = False
        while time.monotonic() < deadline:
            os.kill(pid, signal.SIGCONT if stopped else signal.SIGSTOP)
            stopped = not stopped
            for _ in range(200):
                row = layout.read(memory, words, 0)
                assert row == (row[0],) * 15
                assert row[0] >= last, "a row never goes back"
                changes += row[0] != last
                last = row[0]
                reads += 1
        assert reads > 1000
        assert changes > 10
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
