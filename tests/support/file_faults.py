"""
Every change to the file system numbered, so that a test can end the world, or fail the disk, at each of them in turn.

    with FileFaults() as faults:            # only counts
        scenario()
    for number in range(len(faults.operations)):
        with FileFaults(at=number), suppress(Crash):
            scenario()
        look_at_what_is_left()

A crash is of the process, not of the machine: what was done before stays, what would have come after never happens.
Crashing before each operation is also crashing after each, since nothing on the disk changes between two of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, Self

_CHANGING = (
    "open",
    "write",
    "pwrite",
    "pwritev",
    "ftruncate",
    "truncate",
    "posix_fallocate",
    "replace",
    "rename",
    "unlink",
    "remove",
    "mkdir",
    "rmdir",
    "fsync",
    "fdatasync",
)
_SYNCING = {"fsync", "fdatasync"}
_WRITING = {"write", "pwritev"}


class Crash(BaseException):
    """The process ends here; no `except Exception` and no `except OSError` may go on."""


class Operation(NamedTuple):
    """One change to the file system."""

    name: str
    target: str
    size_bytes: int = 0


class FileFaults:
    """
    Counts what the process does to its files while the context is open; on request, one operation does not happen.

    at       number of the operation that does not happen; -1: all happen
    torn     of a write, how many bytes reach the file all the same
    error    an error number: the operation fails with it and the process goes on; None: the process "crashes"
    lasting  with `error`: all later operations that need space fail, too
    """

    def __init__(self, at: int = -1, torn: int = 0, error: int | None = None, *, lasting: bool = False) -> None:
        self.operations: list[Operation] = []
        self.struck: Operation | None = None
        self._at = at
        self._torn = torn
        self._error = error
        self._lasting = lasting
        self._real: dict[str, Callable[..., Any]] = {}
        self._sync_file: Any = None

    def __enter__(self) -> Self:
        """Take the place of the system's calls."""
        from kbroker.storage import log

        for name in _CHANGING:
            self._real[name] = getattr(os, name)
            setattr(os, name, self._wrapped(name, self._real[name]))
        # Bound when the module was imported.
        self._sync_file = log._sync_file
        log._sync_file = os.fdatasync
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the system's calls back."""
        from kbroker.storage import log

        for name, real in self._real.items():
            setattr(os, name, real)
        log._sync_file = self._sync_file

    def _wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if name == "open" and not arguments[1] & (os.O_CREAT | os.O_TRUNC):
                return real(*arguments, **options)
            if self.struck is not None and self._error is None:
                raise Crash(f"{name} after the crash")
            size = 0
            if name == "write":
                size = len(arguments[1])
            elif name == "pwritev":
                size = sum(len(buffer) for buffer in arguments[1])
            operation = Operation(name, str(arguments[0]), size)
            number = len(self.operations)
            self.operations.append(operation)
            lasting = self._lasting and number > self._at and (name in _WRITING or name == "open")
            if self._at < 0 or (number != self._at and not lasting):
                return real(*arguments, **options)
            self.struck = operation
            if number == self._at and self._torn and name in _WRITING:
                self._tear(name, arguments)
            if self._error is None:
                raise Crash(f"{number}: {name} {operation.target}")
            raise OSError(self._error, os.strerror(self._error))

        return call

    def _tear(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name == "write":
            self._real["write"](arguments[0], bytes(arguments[1])[: self._torn])
        else:
            content = b"".join(bytes(buffer) for buffer in arguments[1])
            self._real["pwritev"](arguments[0], [content[: self._torn]], arguments[2])


def crash_points(operations: list[Operation]) -> list[tuple[int, int]]:
    """Return (number, bytes that get through) of each way to crash that leaves other files than the one before."""
    points = []
    for number, operation in enumerate(operations):
        if number and operations[number - 1].name in _SYNCING:
            continue
        points.append((number, 0))
        if operation.size_bytes > 1 and operation.name in _WRITING:
            points += [(number, torn) for torn in {1, operation.size_bytes // 2, operation.size_bytes - 1}]
    return points
