"""
Which broker runs on a data directory, for `kbroker stop` and `kbroker status`.

It is who holds the directory's lock and can be seen from here: no process id that a file names is believed, and no
clock is asked. A number may belong to somebody else by now, or in this pid namespace.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import click

from kbroker.cli.directory_lock import LOCK_FILE, LockHolder, lock_holder
from kbroker.config.broker_config import load_config
from kbroker.errors import KbrokerError


class NoBroker(KbrokerError):
    """No broker that can be seen from here runs on the directories that were named."""


class CannotTell(KbrokerError):
    """Whether a broker runs cannot be found out, by this user at least."""


@dataclass(frozen=True, slots=True)
class RunningBroker:
    """
    A broker that runs.

    directory  one of its log directories
    pid        its supervisor, in this process's pid namespace
    """

    directory: str
    pid: int

    def is_running(self) -> bool:
        """Return whether it still holds its directory."""
        try:
            return lock_holder(self.directory) == LockHolder(self.pid, True)
        except OSError:
            return False


def find_running_broker(directories: Sequence[str]) -> RunningBroker:
    """
    Return the broker that runs on one of these directories.

    Raises NoBroker saying why there is none, CannotTell.
    """
    reasons = []
    for directory in directories:
        try:
            holder = lock_holder(directory)
        except OSError as error:
            raise CannotTell(
                f"{os.path.join(directory, LOCK_FILE)}: {error.strerror}; whether a broker runs there cannot be told"
            ) from None
        if holder is not None:
            if holder.pid and holder.is_kbroker:
                return RunningBroker(directory, holder.pid)
            reasons.append(f"no broker can be seen running on {directory}: it is in use by {holder}")
    raise NoBroker(reasons[0] if reasons else f"no broker is running on {directories[0]}")


class Stopper:
    """
    Asks a broker to stop and sees it end, without ever meeting another process that was given its number.

    Use as a context; raises ProcessLookupError when the broker has ended already.
    """

    __slots__ = ("_broker", "_fd")

    def __init__(self, broker: RunningBroker) -> None:
        self._broker = broker
        self._fd: int | None = None

    def __enter__(self) -> Self:
        """Take hold of the process."""
        try:
            self._fd = os.pidfd_open(self._broker.pid)
        except ProcessLookupError:
            raise
        except OSError:
            self._fd = None  # a sandbox that forbids it: the lock alone has to do
        # Who holds the lock now, has held the number since before it was taken hold of, or has ended.
        if not self._broker.is_running():
            self.__exit__(None, None, None)
            raise ProcessLookupError
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let go of it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def ask(self) -> None:
        """Send SIGTERM. Raises PermissionError when the broker belongs to another user."""
        with contextlib.suppress(ProcessLookupError):
            if self._fd is None:
                os.kill(self._broker.pid, signal.SIGTERM)
            else:
                signal.pidfd_send_signal(self._fd, signal.SIGTERM)

    def has_ended(self) -> bool:
        """Return whether the broker has ended; it has also when nobody has asked for its exit code yet."""
        if self._broker.is_running():
            return False
        if self._fd is None:
            return True
        poller = select.poll()
        poller.register(self._fd, select.POLLIN)
        return bool(poller.poll(0))


def named_directories(data_dir: str | None, properties: str | None) -> tuple[str, ...]:
    """Return the log directories that the options of a command name; the default one when they name none."""
    if data_dir is not None:
        return (os.path.abspath(data_dir),)
    return load_config(properties).log_dirs.directories


def data_dir_options(function: Any) -> Any:
    """Add --data-dir and --config, by which `stop` and `status` find a broker."""
    function = click.option(
        "--config", "properties", metavar="FILE", help="server.properties the broker was started with."
    )(function)
    return click.option(
        "--data-dir", metavar="DIR", help="One of its log directories (default: the one used without a file)."
    )(function)
