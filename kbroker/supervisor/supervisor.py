"""
The process that forks: watches the workers, restarts what dies, stops them in order.

One thread, no ZeroMQ, no asyncio, no executor, so that a fork at any moment gives a clean child. The loop waits for
signals (through a pipe), for the end of its lifeline, and for the next thing due: a worker to fork again, a heartbeat
to check, systemd's watchdog.

Order of a stop: network workers stop accepting, answer what is under way and end; then IO workers flush, write
checkpoints and end; then the cluster worker. Who does not end in time is killed, and the next start recovers.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import time
from collections.abc import Callable, Mapping

from kbroker.shared.layout import SharedState
from kbroker.shared.worker_table import WorkerField, WorkerKind, WorkerState
from kbroker.supervisor.signals import STATE_SIGNAL, STOP_SIGNALS, SignalPipe
from kbroker.supervisor.systemd import Notifier
from kbroker.supervisor.worker_process import EXIT_CANNOT_START, EXIT_NO_LOG_DIRECTORY, WorkerProcess

logger = logging.getLogger(__name__)

HEARTBEAT_TIMEOUT_MS = 10_000
STARTING_TIMEOUT_MS = 300_000
"""A worker that starts may have much to recover and to replay; it shows signs of life meanwhile, but not often."""
_CHECK_INTERVAL_MS = 500
_STOP_ORDER = (
    (WorkerKind.NETWORK, 10_000),
    (WorkerKind.IO, 60_000),
    (WorkerKind.CLUSTER, 5_000),
)

WorkerMain = Callable[[int], None]
"""Runs a worker, given its table number; called in the child."""


class Supervisor:
    """
    Runs a broker's workers until it is told to stop.

    shared    the shared memory, made before
    mains     what each kind of worker runs
    signals   open already
    ready     called with the workers' pids when every worker is ready, and again whenever one was started anew
    check     called every half second; returns why the broker must end at once, its logs as they are, or None
    lifeline  a descriptor whose end of file means "nobody needs this broker any more", or None
    """

    def __init__(
        self,
        shared: SharedState,
        mains: Mapping[WorkerKind, WorkerMain],
        *,
        signals: SignalPipe,
        notifier: Notifier,
        ready: Callable[[dict[str, int]], None],
        check: Callable[[], str | None],
        lifeline: int | None,
    ) -> None:
        self._shared = shared
        self._table = shared.workers
        self._notifier = notifier
        self._on_ready = ready
        self._check = check
        self._lifeline = lifeline
        self._signals = signals
        self._workers = [
            WorkerProcess(number, self._table.name(number), self._main_of(mains, number))
            for number in range(self._table.count)
        ]
        self._stop_requested = False
        self._failure: str | None = None
        self._is_ready = False
        self._checked_at_ms = 0
        self._grace_from_ms = 0
        self._next_watchdog_ms = 0
        self.orderly = False
        """After run(): every IO worker has closed its logs in order."""

    def _main_of(self, mains: Mapping[WorkerKind, WorkerMain], number: int) -> Callable[[], None]:
        main = mains[self._table.kind(number)]
        return lambda: main(number)

    def run(self) -> str | None:
        """Run until stopped; return None after an orderly stop, else the reason why the broker could not go on."""
        # A stop may have been asked for during the start, and a child of whoever became this process have ended.
        self._handle_signals()
        self._reap()
        poller = select.poll()
        poller.register(self._signals.fd, select.POLLIN)
        if self._lifeline is not None:
            poller.register(self._lifeline, select.POLLIN)
        for worker in () if self._stop_requested else self._workers:
            self._fork(worker)
        next_check = _now_ms() + _CHECK_INTERVAL_MS
        while not self._stop_requested:
            now = _now_ms()
            due = [worker.start_at_ms for worker in self._workers if not worker.pid]
            # Readiness is polled: it is a matter of a few milliseconds, once.
            if self._notifier.watchdog_interval_ms is not None:
                due.append(self._next_watchdog_ms)
            wait = min([next_check, *due]) - now if self._is_ready else 2
            for fd, _events in poller.poll(max(0, wait)):
                if fd == self._lifeline:
                    logger.info("The process that started this broker has ended; stopping")
                    self._stop_requested = True
            self._handle_signals()
            now = _now_ms()
            for worker in self._workers:
                if not worker.pid and worker.start_at_ms <= now and not self._stop_requested:
                    self._fork(worker)
            if not self._is_ready:
                self._check_ready()
            if now >= next_check:
                next_check = now + _CHECK_INTERVAL_MS
                self._check_heartbeats(now)
                self._notifier.send_again()
                self._end_at_once(self._check())
            self._pat_watchdog(now)
        self._stop()
        return self._failure

    def _end_at_once(self, reason: str | None) -> None:
        """Kill the workers, so that not even a log is closed, if there is a reason."""
        if reason is None:
            return
        self._failure = reason
        self._stop_requested = True
        for worker in self._workers:
            if worker.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.pid, signal.SIGKILL)

    def _pat_watchdog(self, now: int) -> None:
        interval_ms = self._notifier.watchdog_interval_ms
        if interval_ms is not None and now >= self._next_watchdog_ms:
            self._next_watchdog_ms = now + interval_ms
            self._notifier.notify("WATCHDOG=1")

    def worker_pids(self) -> dict[str, int]:
        """Return the pid of each running worker by name."""
        return {worker.name: worker.pid for worker in self._workers if worker.pid}

    def _fork(self, worker: WorkerProcess) -> None:
        """Start a worker, under a new generation."""
        table = self._table
        number = worker.number
        # The generation before the fork: the child must find its own, and peers must not talk to it under the old one.
        table.set(number, WorkerField.GENERATION, table.get(number, WorkerField.GENERATION) + 1)
        table.set(number, WorkerField.STATE, WorkerState.STARTING)
        table.set(number, WorkerField.METADATA_VERSION, -1)
        table.set(number, WorkerField.CONNECTIONS, 0)
        table.set(number, WorkerField.HEARTBEAT_MS, _now_ms())
        try:
            worker.fork(self._signals.leave_in_child)
        except OSError as error:
            # No memory or no process to be had just now: tried again like any other failure.
            self._worker_ended(worker, 1, f"could not be forked ({error.strerror})")
            return
        table.set(0, WorkerField.FORKS, table.get(0, WorkerField.FORKS) + 1)
        table.set(number, WorkerField.PID, worker.pid)
        logger.debug("Worker %s runs as process %d", worker.name, worker.pid)
        if self._is_ready:
            self._on_ready(self.worker_pids())
        for peer, doorbell in enumerate(self._shared.doorbells):
            if peer != number:
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_write(doorbell, 1)

    def _check_ready(self) -> None:
        if all(self._table.get(worker.number, WorkerField.STATE) == WorkerState.READY for worker in self._workers):
            self._is_ready = True
            self._on_ready(self.worker_pids())
            # To who reads it outside, process 1 of a container is the machine's own.
            main_pid = () if os.getpid() == 1 else (f"MAINPID={os.getpid()}",)
            self._notifier.notify("READY=1", f"STATUS=Serving with {len(self._workers)} workers", *main_pid)

    def _handle_signals(self) -> None:
        for number in self._signals.read():
            if number in STOP_SIGNALS:
                logger.info("%s received; stopping", signal.Signals(number).name)
                self._stop_requested = True
            elif number == signal.SIGCHLD:
                self._reap()
            elif number == STATE_SIGNAL:
                self._tell_state()
            elif number == signal.SIGHUP and self._signals.of_terminal:
                logger.info("SIGHUP received: the terminal is gone; stopping")
                self._stop_requested = True
            elif number == signal.SIGHUP:
                logger.info("SIGHUP received; the configuration is read at a start: restart the broker to change it")

    def _tell_state(self) -> None:
        """Log what is known of each process, and have the workers log where they are."""
        table = self._table
        now = _now_ms()
        logger.info("State of the supervisor (pid %d): %s", os.getpid(), "ready" if self._is_ready else "starting")
        for worker in self._workers:
            number = worker.number
            if not worker.pid:
                logger.info("State of %s: not running, started %d times", worker.name, self._generation(number))
                continue
            logger.info(
                "State of %s (pid %d): %s, last sign of life %d ms ago, started %d times, connections %d, requests %d",
                worker.name,
                worker.pid,
                WorkerState(table.get(number, WorkerField.STATE)).name.lower(),
                now - table.get(number, WorkerField.HEARTBEAT_MS),
                self._generation(number),
                table.get(number, WorkerField.CONNECTIONS),
                table.get(number, WorkerField.REQUESTS),
            )
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, STATE_SIGNAL)

    def _generation(self, number: int) -> int:
        return self._table.get(number, WorkerField.GENERATION)

    def _reap(self) -> None:
        """
        Take the exit code of each child that has ended.

        Not only workers: process 1 of a container inherits every orphan in it, and whoever executed the broker may have
        left it children.
        """
        by_pid = {worker.pid: worker for worker in self._workers if worker.pid}
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                # None is left. A worker that is still believed to run was reaped by somebody else.
                for worker in by_pid.values():
                    self._worker_ended(worker, 0)
                return
            if not pid:
                return
            ended = by_pid.pop(pid, None)
            if ended is not None:
                self._worker_ended(ended, os.waitstatus_to_exitcode(status))

    def _worker_ended(self, worker: WorkerProcess, code: int, how: str = "") -> None:
        self._table.set(worker.number, WorkerField.STATE, WorkerState.ABSENT)
        self._table.set(worker.number, WorkerField.PID, 0)
        if not how:
            how = f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with code {code}"
        pid = worker.pid
        may_go_on = worker.failed(_now_ms())
        if self._stop_requested:
            if code:
                logger.error("Worker %s %s while stopping", worker.name, how)
                self.orderly = self.orderly and self._table.kind(worker.number) != WorkerKind.IO
            return
        if code == EXIT_CANNOT_START:
            self._failure = f"worker {worker.name} cannot start (see the line above)"
            self._stop_requested = True
        elif code == EXIT_NO_LOG_DIRECTORY:
            self._failure = "the directories that its data lie in have failed (see the lines above)"
            self._stop_requested = True
        elif not may_go_on:
            self._failure = f"worker {worker.name} {how} and has failed too often within a minute"
            self._stop_requested = True
        else:
            logger.warning("Worker %s (pid %d) %s; starting it again", worker.name, pid, how)
            self._notifier.notify(f"STATUS=Worker {worker.name} {how}; started again")

    def _check_heartbeats(self, now: int) -> None:
        if now - self._checked_at_ms > HEARTBEAT_TIMEOUT_MS // 2:
            # This process has not moved either: the whole broker was stopped (Ctrl-Z, a frozen container).
            self._grace_from_ms = now
        self._checked_at_ms = now
        for worker in self._workers:
            starting = self._table.get(worker.number, WorkerField.STATE) == WorkerState.STARTING
            patience_ms = STARTING_TIMEOUT_MS if starting else HEARTBEAT_TIMEOUT_MS
            seen_ms = max(self._table.get(worker.number, WorkerField.HEARTBEAT_MS), self._grace_from_ms)
            if worker.pid and now - seen_ms > patience_ms:
                logger.error(
                    "Worker %s (pid %d) has not moved for %d s; killing it",
                    worker.name,
                    worker.pid,
                    patience_ms // 1000,
                )
                self._table.set(worker.number, WorkerField.HEARTBEAT_MS, now)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.pid, signal.SIGKILL)

    def _stop(self) -> None:
        self._notifier.notify("STOPPING=1", "STATUS=Stopping")
        # A worker that is just down cannot close its logs: what it wrote is looked at by the next start.
        self.orderly = all(worker.pid for worker in self._workers if self._table.kind(worker.number) == WorkerKind.IO)
        for kind, patience_ms in _STOP_ORDER:
            workers = [worker for worker in self._workers if worker.pid and self._table.kind(worker.number) == kind]
            for worker in workers:
                self._table.set(worker.number, WorkerField.STOP_STAGE, 1)
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_write(self._shared.doorbells[worker.number], 1)
            self._wait_for_end(workers, patience_ms)

    def _wait_for_end(self, workers: list[WorkerProcess], patience_ms: int) -> None:
        deadline = _now_ms() + patience_ms
        poller = select.poll()
        poller.register(self._signals.fd, select.POLLIN)
        while any(worker.pid for worker in workers):
            now = _now_ms()
            if now >= deadline:
                for worker in workers:
                    if worker.pid:
                        logger.error("Worker %s did not stop within %d s; killing it", worker.name, patience_ms // 1000)
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(worker.pid, signal.SIGKILL)
                deadline = now + 5_000
                self._failure = self._failure or "a worker had to be killed while stopping"
            poller.poll(min(200, max(1, deadline - now)))
            self._signals.read()
            self._reap()
            self._pat_watchdog(_now_ms())


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
