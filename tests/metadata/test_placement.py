"""Partitions are spread over the IO workers, and stay where they are."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from kbroker.metadata.placement import owner_of


@given(st.text(max_size=249), st.integers(1, 32), st.integers(0, 10_000))
def test_consecutive_partitions_fall_on_all_workers_in_turn(topic, workers, first):
    owners = [owner_of(topic, partition, workers) for partition in range(first, first + workers)]
    assert sorted(owners) == list(range(workers))


def test_a_known_partition_has_a_known_owner():
    # All processes of a broker must agree, whichever code computed it.
    assert [owner_of("orders", partition, 4) for partition in range(4)] == [2, 3, 0, 1]


def test_topics_of_one_partition_are_spread():
    counts = Counter(owner_of(f"topic-{number}", 0, 4) for number in range(1000))
    assert min(counts.values()) > 200
