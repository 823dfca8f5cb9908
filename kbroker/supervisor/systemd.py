"""Tell systemd how the broker is doing: sd_notify's datagrams; nothing when systemd did not start it."""

from __future__ import annotations

import os
import socket


class Notifier:
    """
    Sends state lines to the socket named by NOTIFY_SOCKET; never waits for who reads them.

    watchdog_interval_ms  how often systemd wants to hear from us, halved for safety; None when it does not watch
    """

    __slots__ = ("_address", "_unsent", "watchdog_interval_ms")

    def __init__(self, environment: dict[str, str]) -> None:
        address = environment.pop("NOTIFY_SOCKET", "")
        # A leading @ stands for Linux's abstract namespace.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._unsent: dict[str, str] = {}
        microseconds = environment.get("WATCHDOG_USEC", "")
        own_pid = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        watched = own_pid and microseconds.isdigit() and int(microseconds) > 0
        self.watchdog_interval_ms = max(1, int(microseconds) // 2000) if watched else None

    def notify(self, *lines: str) -> None:
        """
        Send lines such as READY=1, STOPPING=1, STATUS=..., WATCHDOG=1; never fails.

        What the other end has no room for is kept, the newest line of each name, and goes with the next.
        """
        if self._address:
            for line in lines:
                name = line.partition("=")[0]
                self._unsent.pop(name, None)
                self._unsent[name] = line
            self.send_again()

    def send_again(self) -> None:
        """Send what the other end had no room for; costs nothing when there is nothing."""
        if not self._unsent:
            return
        try:
            # A datagram to a socket that nobody reads would wait for ever.
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as out:
                out.connect(self._address)
                out.send("\n".join(self._unsent.values()).encode())
        except BlockingIOError:
            return
        except OSError:
            pass  # nobody is there, or nobody who understands
        self._unsent.clear()
