"""What dies is started again, what cannot stay up stops the broker, and a stop keeps its order."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kbroker.errors import StartupError
from kbroker.shared.layout import SharedState
from kbroker.shared.worker_table import WorkerField, WorkerKind, WorkerState
from kbroker.supervisor import supervisor as module
from kbroker.supervisor.signals import SignalPipe
from kbroker.supervisor.supervisor import Supervisor
from kbroker.supervisor.systemd import Notifier

PATIENCE_S = 10
WorkerMain = Callable[["Running", int], None]
"""Runs a worker, told of what runs it and its number."""


class Running:
    """A supervisor in a process of its own, with workers made for the test; they tell here what they do."""

    def __init__(
        self, mains: dict[WorkerKind, WorkerMain], settings: dict[str, Any], before: Callable[[Running], None]
    ) -> None:
        self._before = before
        self.shared = SharedState.create(1, 2, rows=4, largest_request_bytes=1000)
        self.table = self.shared.workers
        self._read, self._write = os.pipe()
        self.lifeline_end, self.lifeline = os.pipe()
        self._buffer = b""
        self.lines: list[str] = []
        self.pid = os.fork()
        if not self.pid:
            self._be_supervisor({kind: mains.get(kind, Running.good) for kind in WorkerKind}, settings)

    def _be_supervisor(self, mains: dict[WorkerKind, WorkerMain], settings: dict[str, Any]) -> None:
        code = 1
        try:
            os.close(self.lifeline)
            for name, value in settings.items():
                setattr(module, name, value)
            signals = SignalPipe()
            signals.open()
            self._before(self)
            supervisor = Supervisor(
                self.shared,
                {kind: self._telling(main) for kind, main in mains.items()},
                signals=signals,
                notifier=Notifier({}),
                ready=lambda pids: self.tell("ready " + json.dumps(pids)),
                check=lambda: "the directory is another's" if self.table.get(0, WorkerField.BYTES_OUT) else None,
                lifeline=self.lifeline_end,
            )
            failure = supervisor.run()
            self.tell("end " + json.dumps([failure, supervisor.orderly]))
            code = 0
        finally:
            os._exit(code)

    def _telling(self, main: WorkerMain) -> Callable[[int], None]:
        def run(number: int) -> None:
            self.tell(f"start {self.table.name(number)}")
            main(self, number)

        return run

    # In the processes

    def tell(self, line: str) -> None:
        os.write(self._write, line.encode() + b"\n")

    def good(self, number: int) -> None:
        """Be a worker as it should be."""
        self.table.set(number, WorkerField.STATE, WorkerState.READY)
        while not self.table.get(number, WorkerField.STOP_STAGE):
            self.table.set(number, WorkerField.HEARTBEAT_MS, time.monotonic_ns() // 1_000_000)
            time.sleep(0.002)
        self.tell(f"stop {self.table.name(number)}")

    # In the test

    def wait_for(self, line: str) -> str:
        """Return the next line that starts so."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            while b"\n" in self._buffer:
                first, _, self._buffer = self._buffer.partition(b"\n")
                self.lines.append(first.decode())
                if self.lines[-1].startswith(line):
                    return self.lines[-1]
            ready = select.select([self._read], [], [], max(0, deadline - time.monotonic()))[0]
            assert ready, f"no {line!r} after {self.lines}"
            self._buffer += os.read(self._read, 65536)

    def pids(self) -> dict[str, int]:
        pids: dict[str, int] = json.loads(self.wait_for("ready").partition(" ")[2])
        return pids

    def end(self) -> tuple[str | None, bool]:
        """Wait for the end; return the failure and whether the stop was in order."""
        failure, orderly = json.loads(self.wait_for("end").partition(" ")[2])
        os.waitpid(self.pid, 0)
        self.pid = 0
        return failure, orderly

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        for fd in {self._read, self._write, self.lifeline_end, self.lifeline, *self.shared.doorbells}:
            try:
                os.close(fd)
            except OSError:
                pass
        for region in self.shared._regions.values():
            region.close()


@pytest.fixture
def run() -> Iterator[Callable[..., Running]]:
    made: list[Running] = []

    def run(
        mains: dict[WorkerKind, WorkerMain] | None = None,
        before: Callable[[Running], None] = lambda _running: None,
        **settings: Any,
    ) -> Running:
        made.append(Running(mains or {}, settings, before))
        return made[-1]

    yield run
    for running in made:
        running.close()


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "twice", "lifeline"])
def test_a_stop_ends_network_workers_first_then_io_then_the_cluster_worker(
    run: Callable[..., Running], how: str
) -> None:
    running = run()
    assert set(running.pids()) == {"cluster", "net-0", "io-0", "io-1"}
    if how == "lifeline":
        os.close(running.lifeline)
    else:
        os.kill(running.pid, signal.SIGINT if how == "SIGINT" else signal.SIGTERM)
        if how == "twice":
            os.kill(running.pid, signal.SIGTERM)
    assert running.end() == (None, True)
    stops = [line.partition(" ")[2] for line in running.lines if line.startswith("stop")]
    assert stops[0] == "net-0"
    assert set(stops[1:3]) == {"io-0", "io-1"}
    assert stops[3] == "cluster"


def test_a_worker_that_dies_is_started_again_under_a_new_generation_and_everybody_is_told(
    run: Callable[..., Running],
) -> None:
    running = run()
    before = running.pids()
    forks = running.table.get(0, WorkerField.FORKS)
    for doorbell in running.shared.doorbells:
        os.eventfd_write(doorbell, 1)
        os.eventfd_read(doorbell)
    os.kill(before["io-1"], signal.SIGKILL)
    after = running.pids()
    assert after["io-1"] != before["io-1"]
    assert {name for name in after if after[name] != before[name]} == {"io-1"}
    number = running.table.io_worker(1)
    assert running.table.get(number, WorkerField.GENERATION) == 2
    assert running.table.get(number, WorkerField.PID) == after["io-1"]
    assert running.table.get(0, WorkerField.FORKS) == forks + 1
    for peer, doorbell in enumerate(running.shared.doorbells):
        if peer != number:
            assert select.select([doorbell], [], [], PATIENCE_S)[0], "it would not notice"
    os.kill(running.pid, signal.SIGTERM)
    assert running.end() == (None, True)


def test_a_worker_killed_by_any_signal_is_started_again(run: Callable[..., Running]) -> None:
    """Also by one that has no name."""
    running = run()
    for number in (signal.SIGUSR2, signal.SIGRTMIN + 3):
        os.kill(running.pids()["net-0"], number)
    running.pids()


def test_a_worker_that_cannot_stay_up_stops_the_broker_with_the_reason(
    run: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kbroker.supervisor.worker_process._FIRST_DELAY_MS", 0)
    running = run({WorkerKind.NETWORK: lambda _running, _number: os._exit(7)})
    failure, _ = running.end()
    assert failure == "worker net-0 ended with code 7 and has failed too often within a minute"
    assert running.lines.count("start net-0") == 9
    assert "stop io-0" in running.lines, "the others end in order"


def test_a_worker_that_can_never_start_stops_the_broker_at_once(run: Callable[..., Running]) -> None:
    def cannot(_running: Running, _number: int) -> None:
        raise StartupError("two log directories hold the same partition")

    running = run({WorkerKind.IO: cannot})
    failure, _ = running.end()
    assert failure is not None
    assert "cannot start" in failure
    assert running.lines.count("start io-0") == 1


def test_a_worker_that_hangs_is_killed_and_started_again(run: Callable[..., Running]) -> None:
    running = run(HEARTBEAT_TIMEOUT_MS=300, _CHECK_INTERVAL_MS=20)
    before = running.pids()
    os.kill(before["net-0"], signal.SIGSTOP)
    after = running.pids()
    assert after["net-0"] != before["net-0"]
    assert after["io-0"] == before["io-0"]


def test_workers_are_not_blamed_for_a_pause_of_the_whole_broker(run: Callable[..., Running]) -> None:
    """Ctrl-Z and fg, a frozen container: their signs of life are as old as the supervisor's own."""
    running = run(HEARTBEAT_TIMEOUT_MS=400, _CHECK_INTERVAL_MS=20)
    pids = running.pids()
    everyone = [running.pid, *pids.values()]
    for pid in everyone:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(0.6)
    for pid in everyone:
        os.kill(pid, signal.SIGCONT)
    time.sleep(0.2)
    os.kill(running.pid, signal.SIGTERM)
    assert running.end() == (None, True)
    assert sum(line.startswith("start") for line in running.lines) == 4


def test_a_worker_that_takes_long_to_start_is_left_alone(run: Callable[..., Running]) -> None:
    """It may have logs to recover."""

    def slow(running: Running, number: int) -> None:
        time.sleep(0.4)
        running.good(number)

    running = run({WorkerKind.IO: slow}, HEARTBEAT_TIMEOUT_MS=100, _CHECK_INTERVAL_MS=20)
    running.pids()
    assert running.lines.count("start io-0") == 1


def test_a_stop_while_an_io_worker_is_down_is_not_in_order(run: Callable[..., Running]) -> None:
    """What it had written was never closed: without the marker the next start looks at it."""
    running = run()
    pids = running.pids()
    for _ in range(2):
        os.kill(pids["io-0"], signal.SIGKILL)
        pids = running.pids()
    os.kill(running.pid, signal.SIGSTOP)
    os.kill(pids["io-0"], signal.SIGKILL)
    os.kill(running.pid, signal.SIGTERM)
    os.kill(running.pid, signal.SIGCONT)
    assert running.end() == (None, False)


def test_an_io_worker_that_could_not_close_its_logs_makes_the_stop_not_in_order(run: Callable[..., Running]) -> None:
    def closing_badly(running: Running, number: int) -> None:
        running.good(number)
        raise SystemExit("a log could not be closed in order")

    running = run({WorkerKind.IO: closing_badly})
    running.pids()
    os.kill(running.pid, signal.SIGTERM)
    assert running.end() == (None, False)


def test_a_worker_that_does_not_stop_is_killed_and_that_is_told(run: Callable[..., Running]) -> None:
    def deaf(running: Running, number: int) -> None:
        running.table.set(number, WorkerField.STATE, WorkerState.READY)
        time.sleep(60)

    order = tuple((kind, 200) for kind in (WorkerKind.NETWORK, WorkerKind.IO, WorkerKind.CLUSTER))
    running = run({WorkerKind.IO: deaf}, _STOP_ORDER=order)
    running.pids()
    os.kill(running.pid, signal.SIGTERM)
    assert running.end() == ("a worker had to be killed while stopping", False)
    assert running.lines[-2] == "stop cluster"


def test_the_end_of_the_lifeline_before_the_workers_are_ready(run: Callable[..., Running]) -> None:
    def waiting(running: Running, number: int) -> None:
        while not running.table.get(number, WorkerField.STOP_STAGE):
            time.sleep(0.002)

    running = run({WorkerKind.IO: waiting})
    running.wait_for("start io-1")
    os.close(running.lifeline)
    assert running.end()[0] is None


def test_a_stop_asked_for_during_the_start_starts_no_worker(run: Callable[..., Running]) -> None:
    running = run(before=lambda _running: os.kill(os.getpid(), signal.SIGTERM))
    assert running.end()[0] is None
    assert not [line for line in running.lines if line.startswith("start")]


def test_a_broker_that_must_end_at_once_closes_no_log(run: Callable[..., Running]) -> None:
    """Another broker writes there already."""
    running = run(_CHECK_INTERVAL_MS=20)
    running.pids()
    running.table.set(0, WorkerField.BYTES_OUT, 1)
    assert running.end() == ("the directory is another's", False)
    assert not [line for line in running.lines if line.startswith("stop")]


def test_children_that_are_no_workers_are_reaped_and_workers_keep_their_exit_codes(run: Callable[..., Running]) -> None:
    """Those of whoever became the broker by exec; a container's orphans come the same way to its process 1."""

    def leave_children(running: Running) -> None:
        for seconds in (0.0, 0.2, 0.2):
            pid = os.fork()
            if not pid:
                time.sleep(seconds)
                os._exit(3)
            running.tell(f"child {pid}")

    def ending(running: Running, number: int) -> None:
        if running.table.get(number, WorkerField.GENERATION) == 1:
            time.sleep(0.2)
            os._exit(78)  # as a worker that can never start
        running.good(number)

    running = run({WorkerKind.CLUSTER: ending}, before=leave_children)
    failure, _ = running.end()
    assert failure == "worker cluster cannot start (see the line above)"
    children = [int(line.partition(" ")[2]) for line in running.lines if line.startswith("child")]
    assert len(children) == 3

    running = run(before=leave_children)
    pids = running.pids()
    deadline = time.monotonic() + PATIENCE_S
    while any(os.path.exists(f"/proc/{line.partition(' ')[2]}") for line in running.lines if line.startswith("child")):
        assert time.monotonic() < deadline, "a child stays a zombie"
        time.sleep(0.01)
    os.kill(pids["net-0"], signal.SIGKILL)
    assert running.pids()["net-0"] != pids["net-0"]
    os.kill(running.pid, signal.SIGTERM)
    assert running.end() == (None, True)
