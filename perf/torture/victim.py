"""The broker under torture: the faults that can befall it, and how long it takes to serve again."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from probe import PROBE_TOPIC, Probe
from processes import Process, Workers, session_members

from kbroker.errors import StartupError
from kbroker.testing import Broker

IO_WORKERS = 2
CONFIG = {
    "num.network.threads": "2",
    "num.io.threads": str(IO_WORKERS),
    # Several segments to recover, several snapshots to write; the segments of groups roll too.
    "log.segment.bytes": str(4 * 1024 * 1024),
    "offsets.topic.num.partitions": "4",
    "offsets.topic.segment.bytes": str(1024 * 1024),
    "log.flush.offset.checkpoint.interval.ms": "5000",
    "group.initial.rebalance.delay.ms": "0",
}
RECOVERY_TIMEOUT_S = 20.0
_HEARTBEAT_TIMEOUT_S = 10.0
# The supervisor gives up at the ninth failure of a worker within a minute, as documented; that is not what is tested.
_MOST_FAILURES_PER_MINUTE = 6
_END_TIMEOUT_S = 5.0

Say = Callable[[str], None]


class Unserved(Exception):
    """What was killed does not serve again in time, or does not end."""


class Victim:
    """
    A broker and what is done to it.

    worker_times  from the kill of a worker, nothing else being wrong, to its next answer
    broker_times  from the start of a killed broker to the answers of all its workers, recovery included

    Both as (seconds, load average of the machine then).
    """

    def __init__(self, directory: Path, chance: random.Random, say: Say) -> None:
        self.broker = Broker(CONFIG, data_dir=directory)
        self.worker_times: list[tuple[float, float]] = []
        self.broker_times: list[tuple[float, float]] = []
        self.supervisors: list[int] = []
        self._chance = chance
        self._say = say
        self._failures: dict[str, deque[float]] = {}
        self.broker.start()
        self.broker.create_topic(PROBE_TOPIC, IO_WORKERS)
        self._attach()

    def close(self) -> None:
        """Stop the broker."""
        self.workers.close()
        self._probe.close()
        self.broker.close()

    def crash(self) -> None:
        """End the broker at once, for when there is nothing more to see."""
        self._probe.close()
        self.broker.kill()

    def wait_whole(self) -> None:
        """Wait until every worker serves; raises Unserved."""
        deadline = time.monotonic() + RECOVERY_TIMEOUT_S
        while True:
            missing = [name for name in self.workers.names if not self.workers.is_ready(name)]
            if not missing and all(self._probe.wait(name, 0.5) for name in self.workers.names):
                return
            if time.monotonic() > deadline:
                raise Unserved(f"after {RECOVERY_TIMEOUT_S} s without a fault these do not serve: {missing or 'some'}")
            time.sleep(0.02)

    # --- faults -----------------------------------------------------------------------------------------------------

    def kill_worker(self) -> None:
        """One worker is killed; how long until it serves?"""
        name = self._pick()
        if name is None:
            return
        self._say(f"kill {name}")
        generation = self.workers.generation(name)
        began = time.monotonic()
        self._kill(name)
        self._serves_again(name, generation, began)

    def kill_worker_twice(self) -> None:
        """A worker is killed, and its successor while it starts."""
        name = self._pick(room_for=2)
        if name is None:
            return
        delay = self._chance.choice([0.0, self._chance.uniform(0, 0.03), self._chance.uniform(0, 0.3)])
        self._say(f"kill {name}, and its successor {delay * 1000:.0f} ms after its birth")
        generation = self.workers.generation(name)
        self._kill(name)
        if not self.workers.wait_forked(name, generation, RECOVERY_TIMEOUT_S):
            raise Unserved(f"{name} was not started again within {RECOVERY_TIMEOUT_S} s")
        time.sleep(delay)
        self._kill(name)

    def kill_several(self) -> None:
        """Several workers are killed at once."""
        names = [name for name in self.workers.names if self._may_fail(name)]
        self._chance.shuffle(names)
        names = names[: self._chance.randint(2, len(self.workers.names))]
        self._say(f"kill {', '.join(names)}")
        for name in names:
            self._kill(name)
            time.sleep(self._chance.choice([0.0, 0.0, self._chance.uniform(0, 0.05)]))

    def stop_worker(self) -> None:
        """A worker is stopped for a moment."""
        name = self._chance.choice(self.workers.names)
        self._pause([name], self._chance.choice([0.02, 0.2, 1.0, self._chance.uniform(0.05, 2.5)]))

    def stop_worker_long(self) -> None:
        """A worker is stopped until the supervisor kills it, or just not."""
        name = self._pick()
        if name is None:
            return
        seconds = self._chance.uniform(_HEARTBEAT_TIMEOUT_S - 1.5, _HEARTBEAT_TIMEOUT_S + 2)
        self._note_failure(name)
        self._pause([name], seconds)

    def stop_one_kill_another(self) -> None:
        """A worker is killed and started again while another one, which it needs, does not move."""
        stopped, killed = self._chance.sample(self.workers.names, 2)
        if not self._may_fail(killed):
            return
        seconds = self._chance.uniform(0.1, 2.0)
        self._say(f"stop {stopped} for {seconds:.2f} s, kill {killed} meanwhile")
        self._pause([stopped], seconds, lambda: self._kill(killed))

    def kill_stopped(self) -> None:
        """A worker is killed that had stopped before."""
        name = self._pick()
        if name is None:
            return
        self._say(f"stop {name}, then kill it")
        self._signal(self.workers.pid(name), signal.SIGSTOP)
        time.sleep(self._chance.uniform(0.05, 0.5))
        generation = self.workers.generation(name)
        began = time.monotonic()
        self._kill(name)
        self._serves_again(name, generation, began)

    def stop_supervisor(self) -> None:
        """The supervisor does not move; a worker may die meanwhile."""
        seconds = self._chance.uniform(0.1, 2.0)
        name = self._pick()
        kill = name is not None and self._chance.random() < 0.6
        self._say(f"stop the supervisor for {seconds:.2f} s" + (f", kill {name} meanwhile" if kill else ""))
        supervisor = self.broker.pid
        self._signal(supervisor, signal.SIGSTOP)
        time.sleep(seconds / 2)
        if kill and name is not None:
            self._kill(name)
        time.sleep(seconds / 2)
        self._signal(supervisor, signal.SIGCONT)

    def stop_broker(self) -> None:
        """Every process is stopped for a moment, as when the machine is held."""
        self._pause(["supervisor", *self.workers.names], self._chance.choice([0.1, self._chance.uniform(0.1, 2.5)]))

    def stop_broker_long(self) -> None:
        """Every process is stopped for longer than a worker may be silent."""
        # What died just before is forked anew; that is not the supervisor's judgement.
        self.wait_whole()
        generations = {name: self.workers.generation(name) for name in self.workers.names}
        seconds = _HEARTBEAT_TIMEOUT_S + self._chance.uniform(0.5, 2)
        self._pause(["supervisor", *self.workers.names], seconds)
        time.sleep(1.0)
        killed = [name for name, generation in generations.items() if self.workers.generation(name) != generation]
        if killed:
            raise Unserved(f"after {seconds:.1f} s in which no process moved, the supervisor killed {killed}")

    def kill_supervisor(self) -> None:
        """The supervisor is killed; its workers have to go with it."""
        self._say("kill the supervisor")
        self._end_broker([self.broker.pid])
        self._start_again()

    def kill_all(self) -> None:
        """Every process is killed, in random order."""
        pids = [self.broker.pid, *(self.workers.pid(name) for name in self.workers.names)]
        self._chance.shuffle(pids)
        self._say("kill every process")
        self._end_broker([pid for pid in pids if pid])
        self._start_again()

    def kill_during_start(self) -> None:
        """The broker is killed, and killed again while it starts."""
        delay = self._chance.uniform(0.0, 0.6)
        self._say(f"kill the supervisor, and the next one {delay * 1000:.0f} ms after its birth")
        self._end_broker([self.broker.pid])
        known = set(_own_children())

        def assassin() -> None:
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                born = [pid for pid in _own_children() if pid not in known]
                if born:
                    time.sleep(delay)
                    self.supervisors.append(born[0])
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(born[0], signal.SIGKILL)
                    return
                time.sleep(0.001)

        thread = threading.Thread(target=assassin)
        thread.start()
        try:
            self.broker.start()
        except StartupError:
            thread.join()
        else:
            # It was faster than its murderer.
            thread.join()
            _wait_session_empty(self.supervisors[-1])
            self.broker.kill()
        _wait_session_empty(self.supervisors[-1])
        self._start_again()

    def restart_in_order(self) -> None:
        """An orderly stop under load, and a start."""
        self._say("stop in order")
        self.workers.close()
        self._probe.close()
        self._failures.clear()
        supervisor = self.broker.pid
        code = self.broker.stop()
        if code != 0:
            raise Unserved(f"an orderly stop ended with code {code}")
        _wait_session_empty(supervisor)
        self._start_again()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _attach(self) -> None:
        self.supervisors.append(self.broker.pid)
        self.workers = Workers(self.broker)
        self._probe = Probe(self.broker.port, IO_WORKERS)

    def _end_broker(self, pids: list[int]) -> None:
        self.workers.close()
        self._probe.close()
        self._failures.clear()
        supervisor = self.broker.pid
        for pid in pids:
            self._signal(pid, signal.SIGKILL)
        # Not Broker.kill yet: it would end what should have ended by itself.
        _wait_session_empty(supervisor)
        self.broker.kill()

    def _start_again(self) -> None:
        began = time.monotonic()
        self.broker.start()
        self._attach()
        for name in self.workers.names:
            if not self._probe.wait(name, RECOVERY_TIMEOUT_S):
                raise Unserved(f"{name} does not serve {RECOVERY_TIMEOUT_S} s after the start of the broker")
        self._served("the broker", began, self.broker_times)

    def _serves_again(self, name: str, generation: int, began: float) -> None:
        left = began + RECOVERY_TIMEOUT_S - time.monotonic()
        if not self.workers.wait_ready(name, generation, left) or not self._probe.wait(name, left):
            raise Unserved(f"{name} does not serve {RECOVERY_TIMEOUT_S} s after it was killed")
        self._served(name, began, self.worker_times)

    def _served(self, name: str, began: float, times: list[tuple[float, float]]) -> None:
        took, load = time.monotonic() - began, os.getloadavg()[0]
        times.append((took, load))
        self._say(f"  {name} serves again after {took:.3f} s (load average {load:.1f})")

    def _pause(self, names: list[str], seconds: float, meanwhile: Callable[[], None] | None = None) -> None:
        """Stop processes, do something after half the time, let them go on."""
        if meanwhile is None:
            self._say(f"stop {', '.join(names)} for {seconds:.2f} s")
        processes = []
        for name in names:
            pid = self.broker.pid if name == "supervisor" else self.workers.pid(name)
            # One that is about to be started again has no process id.
            if pid:
                with contextlib.suppress(ProcessLookupError):
                    processes.append(Process(pid))
        try:
            for process in processes:
                process.signal(signal.SIGSTOP)
            time.sleep(seconds / 2)
            if meanwhile is not None:
                meanwhile()
            time.sleep(seconds / 2)
        finally:
            # The supervisor last: who comes first is up to the scheduler all the same.
            self._chance.shuffle(processes)
            for process in processes:
                process.signal(signal.SIGCONT)
                process.close()

    def _kill(self, name: str) -> None:
        self._note_failure(name)
        self._signal(self.workers.pid(name), signal.SIGKILL)

    @staticmethod
    def _signal(pid: int, number: signal.Signals) -> None:
        if pid:
            with contextlib.suppress(ProcessLookupError):
                process = Process(pid)
                process.signal(number)
                process.close()

    def _note_failure(self, name: str) -> None:
        self._failures.setdefault(name, deque()).append(time.monotonic())

    def _may_fail(self, name: str, room_for: int = 1) -> bool:
        failures = self._failures.setdefault(name, deque())
        while failures and failures[0] < time.monotonic() - 61:
            failures.popleft()
        return len(failures) + room_for <= _MOST_FAILURES_PER_MINUTE

    def _pick(self, room_for: int = 1) -> str | None:
        names = [name for name in self.workers.names if self._may_fail(name, room_for)]
        return self._chance.choice(names) if names else None


FAULTS: dict[Callable[[Victim], None], float] = {
    Victim.kill_worker: 6,
    Victim.kill_worker_twice: 1.5,
    Victim.kill_several: 2,
    Victim.stop_worker: 4,
    Victim.stop_worker_long: 0.4,
    Victim.stop_one_kill_another: 2,
    Victim.kill_stopped: 1,
    Victim.stop_supervisor: 1.5,
    Victim.stop_broker: 1,
    Victim.stop_broker_long: 0.2,
    Victim.kill_supervisor: 2,
    Victim.kill_all: 1,
    Victim.kill_during_start: 1,
    Victim.restart_in_order: 0.7,
}
"""What may happen, and how often in comparison."""


def _own_children() -> list[int]:
    return [int(child) for path in Path("/proc/self/task").glob("*/children") for child in path.read_text().split()]


def _wait_session_empty(supervisor: int) -> None:
    deadline = time.monotonic() + _END_TIMEOUT_S
    while True:
        left = {pid: command for pid, command in session_members(supervisor).items() if pid != supervisor}
        if not left:
            return
        if time.monotonic() > deadline:
            raise Unserved(f"stray processes {_END_TIMEOUT_S} s after their supervisor was killed: {left}")
        time.sleep(0.01)
