"""Records come out of the ring as they went in, in order, none twice; a full ring refuses and loses nothing."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kbroker.shared.record_ring import RecordRing, region_size

CAPACITY = 256
STEPS = st.lists(st.one_of(st.binary(max_size=CAPACITY // 4), st.none()), max_size=80)


def make_ring(capacity: int = CAPACITY) -> tuple[RecordRing, memoryview]:
    memory = memoryview(bytearray(region_size(capacity)))
    return RecordRing(memory, capacity), memory


@given(steps=STEPS)
def test_records_come_out_whole_and_in_order(steps: list[bytes | None]) -> None:
    """None stands for the reader's turn; two ends over the same memory, as in two processes."""
    writer, memory = make_ring()
    reader = RecordRing(memory, CAPACITY)
    expected: deque[bytes] = deque()
    for step in steps:
        if step is None:
            assert reader.take() == list(expected)
            expected.clear()
        elif writer.put(step):
            expected.append(step)
        else:
            assert expected, "an empty ring takes every record of the allowed size"
    assert reader.take() == list(expected)
    assert reader.take() == []


@pytest.mark.parametrize("size", [0, 1, 4, 5, 12, 60, 64])
def test_an_empty_ring_takes_the_largest_record_wherever_it_stands(size: int) -> None:
    ring, _ = make_ring()
    for turn in range(200):
        record = bytes([turn % 256]) * size
        assert ring.put(record)
        assert ring.take() == [record]
        assert ring.put(b"x" * ring.max_record_bytes)
        assert ring.take() == [b"x" * ring.max_record_bytes]


def test_a_full_ring_refuses_and_goes_on_once_it_was_read() -> None:
    ring, _ = make_ring()
    put = 0
    while ring.put(b"%03d" % put):
        put += 1
    assert put >= 20
    assert not ring.put(b"one more")
    assert ring.take() == [b"%03d" % number for number in range(put)]
    assert ring.put(b"one more")
    assert ring.take() == [b"one more"]


def test_a_reader_born_anew_starts_at_the_head() -> None:
    ring, memory = make_ring()
    ring.put(b"for the one who died")
    born_anew = RecordRing(memory, CAPACITY)
    born_anew.skip_all()
    ring.put(b"for the new one")
    assert born_anew.take() == [b"for the new one"]


def test_a_writer_killed_in_the_middle_leaves_nothing_half_visible() -> None:
    """Everything of a record but the last store: the next writer goes on at the old head."""
    ring, memory = make_ring()
    assert ring.put(b"whole")
    before = bytes(memory[:8])
    assert ring.put(b"killed before the head moved")
    memory[:8] = before
    born_anew = RecordRing(memory, CAPACITY)
    assert born_anew.put(b"next")
    assert ring.take() == [b"whole", b"next"]
