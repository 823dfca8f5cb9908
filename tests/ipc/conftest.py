"""The shared memory of a small broker and a loop."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from worker_rooms import Processes

from kbroker.ipc.event_loop import EventLoop
from kbroker.shared.layout import SharedState


@pytest.fixture
def shared() -> Iterator[SharedState]:
    state = SharedState.create(2, 1, rows=64, largest_request_bytes=100_000)
    yield state
    for doorbell in state.doorbells:
        os.close(doorbell)
    for region in state._regions.values():
        region.close()


@pytest.fixture
def processes(shared: SharedState) -> Iterator[Processes]:
    processes = Processes(shared)
    yield processes
    processes.close()


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    loop = EventLoop()
    yield loop
    loop.close()
