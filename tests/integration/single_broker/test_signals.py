"""What a broker does when it is sent a signal that does not stop it everywhere: SIGHUP, SIGUSR1."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import sys
from pathlib import Path

from waiting import eventually

from kbroker.testing import Broker


def test_without_a_terminal_sighup_changes_nothing_and_says_so() -> None:
    with Broker() as broker:
        before = broker.worker_pids()
        for pid in (broker.pid, *before.values()):
            os.kill(pid, signal.SIGHUP)
        eventually(
            lambda: "SIGHUP received; the configuration is read at a start" in broker.log_text(), broker.log_text
        )
        broker.create_topic("still-there")
        assert broker.worker_pids() == before
        assert broker.stop() == 0
        assert broker.log_text().count("SIGHUP") == 1


def test_a_closed_terminal_stops_the_broker_in_order(tmp_path: Path) -> None:
    """Else it would hold the port, and nobody would see it any more."""
    pid, terminal = pty.fork()
    if not pid:
        overrides = (f"log.dirs={tmp_path}", "listeners=PLAINTEXT://127.0.0.1:0")
        arguments = [argument for override in overrides for argument in ("--override", override)]
        os.execv(sys.executable, [sys.executable, "-m", "kbroker", "start", *arguments])
    try:
        os.set_blocking(terminal, False)
        seen = bytearray()

        def started() -> bool:
            with contextlib.suppress(BlockingIOError):
                seen.extend(os.read(terminal, 4096))
            return b"Started in" in seen

        eventually(started, seen.decode)
        workers = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        os.close(terminal)
        assert eventually(lambda: _ended(pid), "the end of the broker") == (0,)
        pid = 0
    finally:
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    assert (tmp_path / ".kafka_cleanshutdown").exists()
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


def _ended(pid: int) -> tuple[int] | None:
    """Return the exit code once the process has ended."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return (os.waitstatus_to_exitcode(status),) if found else None


def test_sigusr1_tells_the_state_of_every_process_and_where_it_is() -> None:
    with Broker({"num.io.threads": "2"}) as broker:
        broker.create_topic("t")
        pids = broker.worker_pids()
        os.kill(broker.pid, signal.SIGUSR1)
        eventually(lambda: broker.log_text().count("Stack of process ") == len(pids), broker.log_text)
        text = broker.log_text()
        assert f"State of the supervisor (pid {broker.pid}): ready" in text
        for name, pid in pids.items():
            assert re.search(
                rf"State of {name} \(pid {pid}\): ready, last sign of life \d+ ms ago, started 1 times", text
            )
            assert f"[{name}] Stack of process {pid}:" in text
        assert broker.worker_pids() == pids
        broker.create_topic("still-there")
