"""Each worker has its own row and each word one writer; fences are kept per pair."""

import pytest

from kbroker.shared.worker_table import BASE_WORDS, WorkerField, WorkerKind, WorkerTable, region_size


@pytest.fixture
def table() -> WorkerTable:
    return WorkerTable(memoryview(bytearray(region_size(2, 3))), 2, 3)


def test_workers_are_numbered_cluster_network_io(table: WorkerTable) -> None:
    assert [table.name(number) for number in range(table.count)] == [
        "cluster",
        "net-0",
        "net-1",
        "io-0",
        "io-1",
        "io-2",
    ]
    assert [table.kind(number) for number in range(table.count)] == [
        WorkerKind.CLUSTER,
        WorkerKind.NETWORK,
        WorkerKind.NETWORK,
        WorkerKind.IO,
        WorkerKind.IO,
        WorkerKind.IO,
    ]
    assert table.network_worker(1) == 2
    assert table.io_worker(2) == 5


def test_no_two_words_share_a_place(table: WorkerTable) -> None:
    """Fill every field and fence with a number of its own, then read them all."""
    assert max(WorkerField) < BASE_WORDS
    for worker in range(table.count):
        for field in WorkerField:
            table.set(worker, field, worker * 1000 + field)
        for index in range(table.network):
            table.set_fence(worker, index, worker * 1000 + 100 + index)
    for worker in range(table.count):
        assert [table.get(worker, field) for field in WorkerField] == [worker * 1000 + field for field in WorkerField]
        assert [table.fence(worker, index) for index in range(2)] == [worker * 1000 + 100 + i for i in range(2)]
