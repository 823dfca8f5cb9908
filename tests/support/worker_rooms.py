"""For tests of the workers' plumbing: a loop run until something has happened, a stand-in for the supervisor."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress

from kbroker.ipc.event_loop import EventLoop
from kbroker.shared.layout import SharedState
from kbroker.shared.worker_table import WorkerField

PATIENCE_MS = 10_000


def run_until(loop: EventLoop, condition: Callable[[], bool]) -> None:
    """Run the loop until `condition` holds at the end of a turn."""
    late = []

    def give_up() -> None:
        late.append(True)
        loop.stop()

    def look() -> None:
        if condition():
            loop.stop()

    timer = loop.call_later(PATIENCE_MS, give_up)
    loop.at_turn_end(look)
    loop.run()
    loop._turn_end.remove(look)
    timer.cancel()
    assert not late, "it did not happen in time"


class Processes:
    """Plays the supervisor: gives generations, forks, rings."""

    def __init__(self, shared: SharedState) -> None:
        self.shared = shared
        self.pids: dict[int, int] = {}

    def new_generation(self, worker: int, *, ring: bool = True) -> int:
        """Say that a worker was forked anew."""
        table = self.shared.workers
        generation = table.get(worker, WorkerField.GENERATION) + 1
        table.set(worker, WorkerField.GENERATION, generation)
        table.set(0, WorkerField.FORKS, table.get(0, WorkerField.FORKS) + 1)
        if ring:
            for doorbell in self.shared.doorbells:
                os.eventfd_write(doorbell, 1)
        return generation

    def fork(self, worker: int, main: Callable[[], None]) -> int:
        """Run `main` as that worker in a process of its own."""
        self.new_generation(worker, ring=False)
        pid = os.fork()
        if not pid:
            status = 1
            with suppress(BaseException):
                main()
                status = 0
            os._exit(status)
        self.pids[worker] = pid
        for doorbell in self.shared.doorbells:
            os.eventfd_write(doorbell, 1)
        return pid

    def kill(self, worker: int) -> None:
        """Kill the worker's process with SIGKILL."""
        pid = self.pids.pop(worker)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    def close(self) -> None:
        for worker in list(self.pids):
            self.kill(worker)
