"""Tell systemd how the broker is doing: sd_notify's datagrams; nothing when systemd did not start it."""

from __future__ import annotations

import contextlib
import os
import socket


class Notifier:
    """
    Sends state lines to the socket named by NOTIFY_SOCKET.

    watchdog_interval_ms  how often systemd wants to hear from us, halved for safety; None when it does not watch
    """

    __slots__ = ("_address", "watchdog_interval_ms")

    def __init__(self, environment: dict[str, str]) -> None:
        address = environment.pop("NOTIFY_SOCKET", "")
        # A leading @ stands for Linux's abstract namespace.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        microseconds = environment.get("WATCHDOG_USEC", "")
        own_pid = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        watched = own_pid and microseconds.isdigit() and int(microseconds) > 0
        self.watchdog_interval_ms = max(1, int(microseconds) // 2000) if watched else None

    def notify(self, *lines: str) -> None:
        """Send lines such as READY=1, STOPPING=1, STATUS=..., WATCHDOG=1; never fails."""
        if not self._address:
            return
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out,
        ):
            out.connect(self._address)
            out.sendall("\n".join(lines).encode())
