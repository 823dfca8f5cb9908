"""An IO worker that is not ready holds what it is asked, as long as who asked is alive."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from kbroker.io_workers.worker import IoWorker
from kbroker.ipc.commands import MESSAGE, SENDER, Command, CommandKind
from kbroker.shared.worker_table import WorkerField, WorkerState, WorkerTable, region_size

NET, OTHER, IO = 1, 2, 3


def test_what_a_network_worker_asked_before_it_died_is_not_carried_out() -> None:
    """Its payload lies in memory that its successor receives into: something else would be appended."""
    table = WorkerTable(memoryview(bytearray(region_size(2, 1))), 2, 1)
    for worker in (NET, OTHER, IO):
        table.set(worker, WorkerField.GENERATION, 1)
    done: list[Any] = []
    worker: Any = SimpleNamespace(
        _ready=False,
        _held=[],
        _table=table,
        _number=IO,
        _beat=lambda: None,
        _server=SimpleNamespace(),
        _dispatcher=SimpleNamespace(append_one=None),
        _append=lambda *asked: done.append(("append", asked[0], asked[2].command_id)),
        _request=lambda *asked: done.append(("request", asked[0], asked[2].command_id)),
    )
    for command_id, (kind, sender) in enumerate(
        [
            (CommandKind.APPEND, NET),
            (CommandKind.APPEND, OTHER),
            (CommandKind.REQUEST, NET),
            (CommandKind.REQUEST, OTHER),
        ]
    ):
        message = SENDER.pack(MESSAGE, sender, 1)
        command = Command(kind, 1, 0, command_id, SENDER.size)
        (IoWorker._append if kind == CommandKind.APPEND else IoWorker._request)(worker, sender, message, command)
    assert not done
    table.set(NET, WorkerField.GENERATION, 2)
    IoWorker._become_ready(worker)
    assert done == [("append", OTHER, 1), ("request", OTHER, 3)]
    assert table.get(IO, WorkerField.STATE) == WorkerState.READY
