"""A broker started by systemd says when it serves, what it does, that it lives, and that it stops."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from raw_connection import RawConnection
from told_addresses import told
from waiting import eventually

from kbroker.protocol.messages.api_versions import ApiVersionsRequest

DEADLINE_S = 20


class Systemd:
    """The other end of NOTIFY_SOCKET, and the broker."""

    def __init__(self, sock: socket.socket, process: subprocess.Popen[bytes]) -> None:
        self._sock = sock
        self.process = process
        self.seen: list[str] = []

    def wait_for(self, line: str, times: int = 1) -> None:
        """Read notifications until one with `line` has come so often from now on."""
        while times:
            lines = self._sock.recv(4096).decode().split("\n")
            self.seen += lines
            times -= line in lines

    def drain(self) -> list[str]:
        """Return what has come and nobody waited for."""
        lines: list[str] = []
        self._sock.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                lines += self._sock.recv(4096).decode().split("\n")
        self._sock.settimeout(DEADLINE_S)
        return lines


@contextmanager
def started(
    data_dir: Path, address: str, *arguments: str, passed: Sequence[socket.socket] = (), **environment: str
) -> Iterator[Systemd]:
    """Run a broker as systemd would, with these sockets from descriptor 3 on."""

    def pass_sockets() -> None:
        # Out of each other's way first.
        for number, fd in enumerate([fcntl.fcntl(sock, fcntl.F_DUPFD_CLOEXEC, 100) for sock in passed]):
            os.dup2(fd, 3 + number)

    if passed:
        environment = {"LISTEN_FDS": str(len(passed)), **environment}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + address[1:] if address.startswith("@") else address)
        sock.settimeout(DEADLINE_S)
        with (data_dir / "broker.log").open("ab") as log:
            process = subprocess.Popen(
                [
                    *("sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh"),
                    *(sys.executable, "-m", "kbroker", "start"),
                    *("--override", f"log.dirs={data_dir}/data"),
                    *("--override", "listeners=PLAINTEXT://127.0.0.1:0"),
                    *arguments,
                ],
                close_fds=False,
                preexec_fn=pass_sockets,  # noqa: PLW1509 - only descriptors are moved
                env={**os.environ, "NOTIFY_SOCKET": address, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield Systemd(sock, process)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


@pytest.mark.parametrize("abstract", [False, True], ids=["a path", "abstract"])
def test_ready_status_and_stopping(tmp_path: Path, abstract: bool) -> None:
    address = f"@kbroker-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with started(tmp_path, address) as systemd:
        systemd.wait_for("READY=1")
        assert f"MAINPID={systemd.process.pid}" in systemd.seen
        assert any(line.startswith("STATUS=Serving") for line in systemd.seen)
        assert "WATCHDOG=1" not in systemd.drain(), "nobody asked for it"
        systemd.process.send_signal(signal.SIGTERM)
        systemd.wait_for("STOPPING=1")
        assert systemd.process.wait(DEADLINE_S) == 0


def test_the_watchdog_hears_in_time(tmp_path: Path) -> None:
    """More often than asked for, also when that is more often than the supervisor has anything else to do."""
    with started(tmp_path, str(tmp_path / "notify"), WATCHDOG_USEC="200000") as systemd:
        systemd.wait_for("READY=1")
        begin = time.monotonic()
        systemd.wait_for("WATCHDOG=1", times=5)
        assert time.monotonic() - begin < 5 * 0.2
        systemd.process.send_signal(signal.SIGTERM)
        assert systemd.process.wait(DEADLINE_S) == 0


def test_a_watchdog_meant_for_another_process_is_not_fed(tmp_path: Path) -> None:
    with started(tmp_path, str(tmp_path / "notify"), WATCHDOG_USEC="2000", WATCHDOG_PID="1") as systemd:
        systemd.wait_for("READY=1")
        assert "WATCHDOG=1" not in systemd.seen
        systemd.process.send_signal(signal.SIGINT)
        assert systemd.process.wait(DEADLINE_S) == 0
        assert "WATCHDOG=1" not in systemd.drain()


def test_a_worker_that_died_is_told_in_the_status(tmp_path: Path) -> None:
    with started(tmp_path, str(tmp_path / "notify")) as systemd:
        systemd.wait_for("READY=1")
        pid = systemd.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGKILL)
        systemd.wait_for("STATUS=Worker cluster was killed by SIGKILL; started again")
        systemd.process.send_signal(signal.SIGTERM)
        systemd.process.send_signal(signal.SIGTERM)
        assert systemd.process.wait(DEADLINE_S) == 0


def test_a_socket_that_nobody_reads_never_blocks_the_supervisor(tmp_path: Path) -> None:
    """It goes on watching its workers, and stops when it is asked."""
    with started(tmp_path, str(tmp_path / "notify"), WATCHDOG_USEC="2000") as systemd:
        log = tmp_path / "broker.log"
        eventually(lambda: "Started in" in log.read_text())
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.setblocking(False)

            def is_full() -> bool:
                try:
                    other.sendto(b"STATUS=full?", str(tmp_path / "notify"))
                except BlockingIOError:
                    return True
                return False

            eventually(is_full, "a queue without room")
        pid = systemd.process.pid
        os.kill(int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]), signal.SIGKILL)
        eventually(lambda: "was killed by SIGKILL; starting it again" in log.read_text())
        systemd.process.send_signal(signal.SIGTERM)
        assert systemd.process.wait(DEADLINE_S) == 0
        assert "Stopped in order" in log.read_text()


@pytest.mark.parametrize("wait_ms", [0, 60, 120, 180, 240])
def test_a_stop_in_the_middle_of_the_start(tmp_path: Path, wait_ms: int) -> None:
    """However far it has come, it ends at once, leaves no process, and the next start finds what it needs."""
    with started(tmp_path, str(tmp_path / "notify")) as systemd:
        deadline = time.monotonic() + DEADLINE_S
        while not (tmp_path / "data" / ".lock").exists():
            assert time.monotonic() < deadline
            time.sleep(0.002)
        time.sleep(wait_ms / 1000)
        systemd.process.send_signal(signal.SIGTERM)
        assert systemd.process.wait(5) in {0, -signal.SIGTERM}
    (tmp_path / "notify").unlink()
    with started(tmp_path, str(tmp_path / "notify")) as systemd:
        systemd.wait_for("READY=1")
        systemd.process.send_signal(signal.SIGTERM)
        assert systemd.process.wait(DEADLINE_S) == 0


def test_a_socket_of_systemd_is_served_and_outlives_the_broker(tmp_path: Path) -> None:
    """Clients that come before the broker, or between two of its lives, wait instead of being refused."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        for life in range(2):
            with RawConnection(address) as early:
                early.send(ApiVersionsRequest(), 0)
                notify = str(tmp_path / f"notify-{life}")
                with started(tmp_path, notify, passed=[listening], LISTEN_FDNAMES="plaintext") as systemd:
                    systemd.wait_for("READY=1")
                    assert early.receive()
                    assert told(address) == {address}
                    systemd.process.send_signal(signal.SIGTERM)
                    assert systemd.process.wait(DEADLINE_S) == 0


def test_a_socket_is_found_by_its_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        override = ("--override", f"listeners=PLAINTEXT://localhost:{port}")
        passed = {"passed": [listening], "LISTEN_FDNAMES": "kbroker.socket"}
        with started(tmp_path, str(tmp_path / "notify"), *override, **passed) as systemd:
            systemd.wait_for("READY=1")
            assert told(f"127.0.0.1:{port}")
            systemd.process.send_signal(signal.SIGTERM)
            assert systemd.process.wait(DEADLINE_S) == 0


def test_a_socket_that_fits_no_listener_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        with started(tmp_path, str(tmp_path / "notify"), passed=[listening]) as systemd:
            assert systemd.process.wait(DEADLINE_S) == 1
        (line,) = (tmp_path / "broker.log").read_text().splitlines()
        assert line.startswith(f"kbroker: systemd listens on 127.0.0.1:{listening.getsockname()[1]}, which is none of")


def test_what_goes_to_the_journal_has_its_priority_and_no_time_of_its_own(tmp_path: Path) -> None:
    log = tmp_path / "broker.log"
    log.touch()
    stream = f"{log.stat().st_dev}:{log.stat().st_ino}"
    with started(tmp_path, str(tmp_path / "notify"), JOURNAL_STREAM=stream) as systemd:
        systemd.wait_for("READY=1")
        pid = systemd.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGKILL)
        systemd.wait_for("STATUS=Worker cluster was killed by SIGKILL; started again")
        # A second broker on the same data: an error that no logger tells.
        with socket.create_server(("127.0.0.1", 0)) as taken:
            override = f"listeners=PLAINTEXT://127.0.0.1:{taken.getsockname()[1]}"
            command = [
                sys.executable,
                "-m",
                "kbroker",
                "start",
                "--override",
                f"log.dirs={tmp_path}/b",
                "--override",
                override,
            ]
            with log.open("ab") as file:
                environment = {**os.environ, "JOURNAL_STREAM": stream}
                done = subprocess.run(command, check=False, stderr=file, env=environment, timeout=DEADLINE_S)
        assert done.returncode == 1
        systemd.process.send_signal(signal.SIGTERM)
        assert systemd.process.wait(DEADLINE_S) == 0
    lines = log.read_text().splitlines()
    assert all(re.match(r"<[346]>(\[[a-z0-9-]+\] |kbroker: )", line) for line in lines), lines
    assert any(re.match(r"<4>\[supervisor\] Worker cluster \(pid \d+\) was killed by SIGKILL", line) for line in lines)
    assert any(line.startswith("<3>kbroker: listeners=") for line in lines)
