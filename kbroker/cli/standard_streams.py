"""
Standard input, output and error as every command finds them, whatever the caller left of them.

A descriptor that was closed (`>&-`) would be taken by the next file or socket that is opened, and what is printed would
go there. Python would keep what a full disk refused, complain about it after our last word, and refuse to print what
the locale has no letters for.
"""

from __future__ import annotations

import codecs
import io
import os
import select
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kbroker.errors import KbrokerError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_AS_BYTES = "kbroker-as-bytes"
_CONTROL_LETTERS = {number: f"\\x{number:02x}" for number in (*range(0x20), *range(0x7F, 0xA0))}


class OutputFailed(KbrokerError):
    """
    Standard output takes no more: a full disk, a reader that has gone, a closed descriptor.

    No OSError: click would take a reader that has gone for an error of the command.
    """

    def __init__(self, cause: OSError) -> None:
        super().__init__(f"cannot write to standard output: {cause.strerror}")
        self.errno = cause.errno


class _Output(io.FileIO):
    """Standard output as a file: its failures are told apart from those of all other files, and told once."""

    _failed = False

    def write(self, data: ReadableBuffer) -> int:
        if self._failed:
            return memoryview(data).nbytes
        try:
            # Nothing is written where somebody else made the terminal or pipe non-blocking, until there is room.
            while (written := super().write(data)) is None:
                room = select.poll()
                room.register(self.fileno(), select.POLLOUT)
                room.poll()
        except OSError as error:
            self._failed = True
            raise OutputFailed(error) from None
        return written


class _Messages(io.FileIO):
    """Standard error as a file; what it does not take is lost, for there is nowhere left to say so."""

    def write(self, data: ReadableBuffer) -> int:
        try:
            written = super().write(data)
        except OSError:
            return memoryview(data).nbytes
        return memoryview(data).nbytes if written is None else written


def printable(text: str) -> str:
    """Return text that somebody else has chosen with control letters as numbers: it keeps its line and its terminal."""
    return text.translate(_CONTROL_LETTERS)


def open_standard_streams() -> None:
    """
    Give sys.stdin, sys.stdout and sys.stderr open descriptors and streams that print every text.

    A closed standard input has nothing to read, a closed standard output refuses everything, a closed standard error
    swallows everything. For the first moment of a process, before it opens anything.
    """
    codecs.register_error(_AS_BYTES, _as_bytes)
    # In this order, each is the lowest free number. Written to, a descriptor that is open for reading says EBADF.
    for number, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, mode), True)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115 - to the end
    sys.stdout = _text_stream(_Output, 1, sys.stdout)
    sys.stderr = _text_stream(_Messages, 2, sys.stderr)


def _text_stream(kind: Callable[..., io.FileIO], number: int, old: Any) -> io.TextIOWrapper:
    """Return a stream like `old` (None: there was none) over a descriptor."""
    raw = kind(number, "w", closefd=False)
    encoding = getattr(old, "encoding", None) or "utf-8"
    line_by_line = number == 2 or raw.isatty()
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, _AS_BYTES, line_buffering=line_by_line)


def _as_bytes(error: UnicodeError) -> tuple[str | bytes, int]:
    """
    Return what is printed for letters that the locale lacks: their numbers; for bytes that were no text, those bytes.

    A handler of codecs.register_error.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    printed = b""
    for letter in error.object[error.start : error.end]:
        number = ord(letter)
        if 0xDC80 <= number <= 0xDCFF:
            printed += bytes([number - 0xDC00])
        else:
            printed += letter.encode("ascii", "backslashreplace")
    return printed, error.end
