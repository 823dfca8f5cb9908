"""Lines are read until the input ends or a signal comes, and what was written before the signal counts."""

from __future__ import annotations

import io
import os
import pty
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import pytest

from kbroker.cli.line_source import read_lines
from kbroker.cli.stop_signals import StopSignals


class Reader:
    """Reads from a descriptor; `on_wait` runs before the first wait and then no more."""

    def __init__(self, fd: int, stop: StopSignals, on_wait=lambda: None) -> None:
        self.source = open(fd, "rb", buffering=0, closefd=False)  # noqa: SIM115
        self.stop = stop
        self.on_wait = on_wait
        self.unfinished: list[int] = []

    def lines(self) -> list[bytes]:
        return list(read_lines(self.source, self.stop, before_read=self._wait, unfinished=self.unfinished.append))

    def _wait(self) -> None:
        call, self.on_wait = self.on_wait, lambda: None
        call()


@pytest.fixture
def stop() -> Iterator[StopSignals]:
    with StopSignals() as stop:
        yield stop


def test_lines_of_a_pipe(stop: StopSignals) -> None:
    read_fd, write_fd = os.pipe()
    os.write(write_fd, b"one\r\ntwo\n\n" + b"x" * 9000 + b"\nlast")
    os.close(write_fd)
    assert Reader(read_fd, stop).lines() == [b"one", b"two", b"", b"x" * 9000, b"last"]


def test_lines_of_a_file_and_of_no_descriptor_at_all(stop: StopSignals) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"a\nb")
        file.seek(0)
        assert Reader(file.fileno(), stop).lines() == [b"a", b"b"]
    quiet = {"before_read": lambda: None, "unfinished": lambda _size: None}
    assert list(read_lines(io.BytesIO(b"a\r\nb"), stop, **quiet)) == [b"a", b"b"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_was_written_before_a_signal_is_read(number: signal.Signals, stop: StopSignals) -> None:
    read_fd, write_fd = os.pipe()
    os.write(write_fd, b"".join(b"%d\n" % n for n in range(5000)) + b"unfini")
    reader = Reader(read_fd, stop, lambda: signal.raise_signal(number))
    assert reader.lines() == [b"%d" % n for n in range(5000)]
    assert reader.unfinished == [6]
    assert stop.exit_code == 128 + number
    os.close(write_fd)


def test_a_writer_that_goes_on_does_not_keep_it_from_ending(stop: StopSignals) -> None:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    theirs.send(b"a\n")
    reader = Reader(ours.fileno(), stop, lambda: signal.raise_signal(signal.SIGTERM))
    assert reader.lines() == [b"a"]
    ours.close()
    theirs.close()


def test_a_terminal(stop: StopSignals) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, b"typed\n\x04")
    assert Reader(theirs, stop).lines() == [b"typed"]
    os.close(ours)
    os.close(theirs)


def test_a_second_signal_ends_the_process() -> None:
    code = (
        "import os, signal\nfrom kbroker.cli.stop_signals import StopSignals\n"
        "with StopSignals() as stop:\n    os.kill(os.getpid(), signal.SIGTERM)\n    print(stop.exit_code, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n    print('never')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (130, "143\n")


def test_handlers_are_as_before_afterwards() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with StopSignals():
        pass
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before
