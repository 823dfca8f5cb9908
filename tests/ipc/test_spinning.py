"""Rule under test: who looks in vain time and again looks less often, and who finds something goes on looking."""

from __future__ import annotations

import pytest

from kbroker.ipc import spinning
from kbroker.ipc.spinning import Spinning
from kbroker.shared.record_ring import RecordRing, region_size


@pytest.fixture
def ring() -> RecordRing:
    return RecordRing(memoryview(bytearray(region_size(1024))), 1024)


def test_a_record_is_seen_whichever_ring_it_comes_into(ring: RecordRing) -> None:
    other = RecordRing(memoryview(bytearray(region_size(1024))), 1024)
    other.put(b"record")
    assert Spinning(1_000_000).look([ring, other])


def test_a_record_that_comes_while_looking_is_seen(ring: RecordRing, monkeypatch: pytest.MonkeyPatch) -> None:
    """The processor is offered to others meanwhile, the writer among them."""
    monkeypatch.setattr(spinning, "sched_yield", lambda: ring.put(b"record"))
    assert Spinning(1_000_000).look([ring])


def test_looking_in_vain_becomes_rare_and_one_success_makes_it_usual_again(
    ring: RecordRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    monkeypatch.setattr(spinning, "sched_yield", lambda: looks.append(1))
    # Long enough that each look offers the processor at least once, on a busy machine too.
    watcher = Spinning(200)

    def looked() -> bool:
        looks.clear()
        watcher.look([ring])
        return bool(looks)

    assert looked()
    for _ in range(10):
        looked()
    assert sum(looked() for _ in range(130)) <= 8
    ring.put(b"record")
    assert any(watcher.look([ring]) for _ in range(130))
    assert all(watcher.look([ring]) for _ in range(10))
