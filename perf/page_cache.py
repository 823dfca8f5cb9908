"""
What it costs to append to a file, by the size of the writes: the figures behind docs/decisions/0007.

    .venv/bin/python perf/page_cache.py [DIRECTORY]

For each size: CPU of the kernel per GB while writing, then while sending the file from the page cache with sendfile.
"""

from __future__ import annotations

import os
import resource
import socket
import sys
import tempfile
import threading

SIZES = (4096, 16_384, 32_768, 65_536, 131_072, 262_144, 1_048_576)
TOTAL_BYTES = 300_000_000
TIMES = 3


def kernel_seconds() -> float:
    """Return the CPU time that this thread has spent in the kernel."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_stime


def receive_all(sock: socket.socket) -> None:
    """Read until the other side closes."""
    buffer = bytearray(1 << 20)
    while sock.recv_into(buffer):
        pass


def measure(directory: str, size: int) -> tuple[float, float]:
    """Return seconds per GB for writing and for sending."""
    count = TOTAL_BYTES // size
    buffer = os.urandom(size)
    with tempfile.TemporaryFile(dir=directory) as file, socket.create_server(("127.0.0.1", 0)) as server:
        fd = file.fileno()
        before = kernel_seconds()
        for number in range(count):
            os.pwrite(fd, buffer, number * size)
        written = kernel_seconds() - before
        with socket.create_connection(server.getsockname()) as sending:
            receiving, _ = server.accept()
            thread = threading.Thread(target=receive_all, args=(receiving,))
            thread.start()
            before = kernel_seconds()
            position = 0
            while position < count * size:
                position += os.sendfile(sending.fileno(), fd, position, 1 << 20)
            sent = kernel_seconds() - before
            sending.shutdown(socket.SHUT_WR)
            thread.join()
            receiving.close()
    os.sync()
    gigabytes = count * size / 1e9
    return written / gigabytes, sent / gigabytes


def main() -> None:
    """Measure each size several times, in turn."""
    directory = sys.argv[1] if len(sys.argv) > 1 else tempfile.gettempdir()
    found: dict[int, list[tuple[float, float]]] = {size: [] for size in SIZES}
    for _ in range(TIMES):
        for size in SIZES:
            found[size].append(measure(directory, size))
    print(f"{'bytes per write':>16} {'write, s/GB':>18} {'sendfile, s/GB':>18}")
    for size, pairs in found.items():
        cells = [f"{min(values):.2f} to {max(values):.2f}" for values in zip(*pairs, strict=True)]
        print(f"{size:>16,} {cells[0]:>18} {cells[1]:>18}")


if __name__ == "__main__":
    main()
