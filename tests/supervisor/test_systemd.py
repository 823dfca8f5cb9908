"""sd_notify's datagrams reach whoever NOTIFY_SOCKET names, and nobody is missed when there is none."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

import pytest

from kbroker.supervisor.systemd import Notifier


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_lines_arrive_as_one_datagram(tmp_path: Path, abstract: bool) -> None:
    address = f"@kbroker-notify-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + address[1:] if abstract else address)
        environment = {"NOTIFY_SOCKET": address}
        notifier = Notifier(environment)
        assert environment == {}, "workers and tools must not speak for the broker"
        notifier.notify("READY=1", "STATUS=Serving with 4 workers")
        notifier.notify("WATCHDOG=1")
        assert sock.recv(4096) == b"READY=1\nSTATUS=Serving with 4 workers"
        assert sock.recv(4096) == b"WATCHDOG=1"


def test_a_socket_that_nobody_reads_holds_nobody_up_and_misses_nothing_in_the_end(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address)
        sock.settimeout(0)
        notifier = Notifier({"NOTIFY_SOCKET": address})
        for number in range(2000):  # more than any queue holds
            notifier.notify(f"STATUS={number}")
        notifier.notify("READY=1", "STATUS=Serving")
        notifier.send_again()
        seen = []
        with contextlib.suppress(BlockingIOError):
            while True:
                seen.append(sock.recv(4096))
        assert b"READY=1" not in b"".join(seen), "this test must fill the queue"
        notifier.send_again()
        assert sock.recv(4096) == b"READY=1\nSTATUS=Serving"
        notifier.send_again()
        with pytest.raises(BlockingIOError):
            sock.recv(4096)


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/nowhere/at/all"}])
def test_without_a_listener_nothing_happens(environment: dict[str, str]) -> None:
    Notifier(environment).notify("READY=1")


@pytest.mark.parametrize(
    ("environment", "interval_ms"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15_000),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15_000),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "1"}, 1),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_asked(environment: dict[str, str], interval_ms: int | None) -> None:
    assert Notifier(environment).watchdog_interval_ms == interval_ms
