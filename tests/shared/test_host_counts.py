"""Connections per address are counted over all network workers."""

from kbroker.shared.host_counts import HostCounts, region_size


def test_counts_of_all_workers_add_up_and_those_of_the_dead_do_not() -> None:
    memory = memoryview(bytearray(region_size(2)))
    counts = HostCounts(memory, 2)
    counts.add(0, "/192.0.2.1", 1)
    counts.add(0, "/192.0.2.1", 1)
    counts.add(1, "/192.0.2.1", 1)
    counts.add(1, "/2001:db8::1", 1)
    assert HostCounts(memory, 2).total("/192.0.2.1") == 3
    assert counts.total("/192.0.2.9") == 0
    counts.add(0, "/192.0.2.1", -1)
    assert counts.total("/192.0.2.1") == 2
    counts.forget(1)
    assert counts.total("/192.0.2.1") == 1
    assert counts.total("/2001:db8::1") == 0
