"""Lines of standard input, until it ends or a signal comes; what was written before the signal is still read."""

from __future__ import annotations

import fcntl
import os
import select
import stat
import struct
import termios
from collections.abc import Callable, Iterator
from typing import IO

from kbroker.cli.stop_signals import StopSignals

_READ_BYTES = 65536
_MOST_AFTER_SIGNAL = 1 << 20
"""What a pipe can hold, and no more: a writer that goes on must not keep us from ending."""


def read_lines(
    source: IO[bytes], stop: StopSignals, *, before_read: Callable[[], None], unfinished: Callable[[int], None]
) -> Iterator[bytes]:
    """
    Yield lines without their ends.

    source       standard input; anything without a descriptor is read to its end
    before_read  called before each wait for more
    unfinished   told the size of a line that a signal cut off; it is not yielded. At the end of the input a line need
                 not be finished
    """
    try:
        fd = source.fileno()
    except OSError:
        yield from (_without_end(line) for line in source)
        return
    rest = b""
    while True:
        before_read()
        data, last = _read(fd, stop)
        *lines, rest = (rest + data).split(b"\n") if data else ([rest])
        for line in lines:
            yield _without_end(line)
        if last:
            break
    if rest and stop.number is None:
        yield _without_end(rest)
    elif rest:
        unfinished(len(rest))


def _read(fd: int, stop: StopSignals) -> tuple[bytes, bool]:
    """Return what there is next, and whether nothing will come after it."""
    if stop.number is None:
        ready = select.poll()
        ready.register(fd, select.POLLIN)
        ready.register(stop.fd, select.POLLIN)
        ready.poll()
    if stop.number is not None:
        return _what_is_there(fd), True
    data = os.read(fd, _READ_BYTES)
    return data, not data


def _what_is_there(fd: int) -> bytes:
    """Return what was written to a pipe, socket or terminal and not read yet; nothing of a file, which stays."""
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return b""
    data = b""
    try:
        (waiting,) = struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))
        waiting = min(waiting, _MOST_AFTER_SIGNAL)
        while len(data) < waiting and (part := os.read(fd, waiting - len(data))):
            data += part
    except OSError:
        pass  # a terminal that has hung up has nothing more to say
    return data


def _without_end(line: bytes) -> bytes:
    return line.removesuffix(b"\n").removesuffix(b"\r")
