"""Rules under test: with two processors the network worker goes where its client is, and the IO worker leaves; each
moves only itself, and what was allowed before is allowed after.
"""

from __future__ import annotations

import pytest

from kbroker.ipc import placement
from kbroker.ipc.placement import FollowsClient, LeavesToClient
from kbroker.shared.worker_table import WorkerField, WorkerTable
from kbroker.shared.worker_table import region_size as table_size

NET, OTHER_NET, IO = 1, 2, 3
LOOKS = placement._EVERY


class System:
    """The processors a process may use, the one it is on, and how it was moved."""

    def __init__(self) -> None:
        self.allowed = {0, 1}
        self.current = 0
        self.moves: list[set[int]] = []

    def set_affinity(self, _pid: int, wanted: set[int]) -> None:
        if not wanted <= {0, 1, 2, 3}:
            raise OSError("no such processor")
        self.moves.append(wanted)
        if self.current not in wanted:
            self.current = min(wanted)


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> System:
    system = System()
    monkeypatch.setattr(placement.os, "sched_getaffinity", lambda _pid: set(system.allowed))
    monkeypatch.setattr(placement.os, "sched_setaffinity", system.set_affinity)
    monkeypatch.setattr(placement, "_current_processor", lambda: system.current)
    return system


@pytest.fixture
def table() -> WorkerTable:
    return WorkerTable(memoryview(bytearray(table_size(2, 1))), 2, 1)


def answer(follows: FollowsClient, times: int = LOOKS) -> None:
    for _ in range(times):
        follows.answered()


def test_the_network_worker_goes_to_its_client_and_may_go_anywhere_afterwards(
    system: System, table: WorkerTable
) -> None:
    follows = FollowsClient(table, NET, lambda: 1)
    answer(follows, LOOKS - 1)
    assert not system.moves, "not at every answer"
    answer(follows, 1)
    assert system.moves == [{1}, {0, 1}]
    assert system.current == 1
    answer(follows, 10 * LOOKS)
    assert len(system.moves) == 2, "there it is, and there it stays"


@pytest.mark.parametrize(
    ("allowed", "client"),
    [({0, 1}, 0), ({0, 1}, -1), ({0, 1}, 3), ({0}, 1), ({0, 1, 2, 3}, 1)],
    ids=["together", "unknown", "not allowed there", "one processor", "many processors"],
)
def test_it_stays_where_nothing_is_to_be_won(
    system: System, table: WorkerTable, allowed: set[int], client: int
) -> None:
    system.allowed = allowed
    answer(FollowsClient(table, NET, lambda: client), 3 * LOOKS)
    assert not system.moves
    assert not table.get(NET, WorkerField.CLIENT_FOLLOWED)


def test_the_io_worker_leaves_once_for_each_time_a_client_was_followed(system: System, table: WorkerTable) -> None:
    leaves = LeavesToClient(table)
    follows = FollowsClient(table, NET, lambda: 1)
    system.current = 0
    answer(follows)
    system.moves.clear()
    system.current = 1
    for _ in range(10):
        leaves.answered(NET)
        leaves.answered(OTHER_NET)
    assert system.moves == [{0}, {0, 1}]
    assert system.current == 0
    # Back by chance, and the network worker is not with its client any more: both move again.
    system.current = 0
    system.moves.clear()
    answer(follows)
    leaves.answered(NET)
    assert system.moves == [{1}, {0, 1}, {0}, {0, 1}]


def test_an_io_worker_with_one_processor_keeps_it(system: System, table: WorkerTable) -> None:
    leaves = LeavesToClient(table)
    answer(FollowsClient(table, NET, lambda: 1))
    system.moves.clear()
    system.allowed = {1}
    leaves.answered(NET)
    assert not system.moves


def test_moves_are_counted_on_by_the_next_incarnation(system: System, table: WorkerTable) -> None:
    leaves = LeavesToClient(table)
    for _ in range(2):
        system.current = 0
        answer(FollowsClient(table, NET, lambda: 1))
        system.moves.clear()
        leaves.answered(NET)
        assert system.moves, "a predecessor's move is not mistaken for this one"


@pytest.mark.parametrize("call", ["sched_getaffinity", "sched_setaffinity"])
def test_a_sandbox_that_forbids_it_costs_nothing(
    system: System, table: WorkerTable, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def forbid(*_arguments: object) -> None:
        raise PermissionError("not here")

    leaves = LeavesToClient(table)
    answer(FollowsClient(table, NET, lambda: 1))
    monkeypatch.setattr(placement.os, call, forbid)
    system.current = 0
    answer(FollowsClient(table, OTHER_NET, lambda: 1))
    leaves.answered(NET)


@pytest.mark.usefixtures("system")
def test_a_limit_changed_meanwhile_is_no_failure(table: WorkerTable, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_pid: int, _wanted: set[int]) -> None:
        raise OSError("the limit was changed")

    monkeypatch.setattr(placement.os, "sched_setaffinity", refuse)
    answer(FollowsClient(table, NET, lambda: 1))
