"""
More than the broker can take: it stops reading before its memory grows, reads on when there is room, and serves each
connection in its turn.

To see it hold back, the worker that appends is stopped for a moment; nothing is acknowledged then, whatever is sent.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Self

import pytest
from process_memory import MIB, proportional_set_size_bytes
from raw_connection import RawConnection

from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.headers import encode_request_header
from kbroker.protocol.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from kbroker.protocol.messages.produce import (
    PartitionProduceData,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
)
from kbroker.protocol.record_batch import BatchBuilder
from kbroker.testing import Broker

VERSION = 7
ONE_OF_EACH = {"num.network.threads": "1", "num.io.threads": "1", "socket.receive.buffer.bytes": "65536"}
STALL_S = 1.0


def produce_frame(topic: str, size_bytes: int, correlation_id: int = 1, partition: int = 0) -> bytes:
    """Return a Produce request, with its length, whose batch holds one record of so many bytes."""
    builder = BatchBuilder()
    builder.append(b"key", bytes(size_bytes), int(time.time() * 1000))
    data = PartitionProduceData(index=partition, records=builder.build())
    request = ProduceRequest(
        acks=1, timeout_ms=30_000, topic_data=[TopicProduceData(name=topic, partition_data=[data])]
    )
    content = encode_request_header(0, VERSION, correlation_id, "overload") + request.encode(VERSION)
    return struct.pack(">i", len(content)) + content


def produced_error(answer: bytes) -> int:
    response, _ = ProduceResponse.decode(answer, VERSION, 4)
    return response.responses[0].partition_responses[0].error_code


@contextlib.contextmanager
def stopped(broker: Broker, worker: str) -> Iterator[None]:
    """Stop a worker for as long as the context is open; well below the time after which it would be replaced."""
    pid = broker.worker_pids()[worker]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def push(clients: list[RawConnection], contents: list[bytes], quiet_s: float = STALL_S) -> list[memoryview]:
    """Send until no socket has taken a byte for `quiet_s`; return what is left for each."""
    left = [memoryview(content) for content in contents]
    by_fd = {client.socket.fileno(): number for number, client in enumerate(clients)}
    for client in clients:
        client.socket.setblocking(False)
    while True:
        writable = select.select([], [fd for fd, number in by_fd.items() if left[number]], [], quiet_s)[1]
        if not writable:
            break
        for fd in writable:
            number = by_fd[fd]
            with contextlib.suppress(BlockingIOError):
                left[number] = left[number][clients[number].socket.send(left[number][:65536]) :]
    for client in clients:
        client.socket.setblocking(True)
        client.socket.settimeout(30)
    return left


def connect_small(broker: Broker) -> RawConnection:
    """Return a connection whose own kernel buffers hide little of what the broker has not read."""
    client = RawConnection(broker.bootstrap_servers)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    return client


@pytest.mark.parametrize(
    ("config", "connections", "requests", "size_bytes", "most_taken_bytes"),
    [
        pytest.param(
            {"queued.max.requests": "20"}, 1, 2_000, 10_000, 4 * MIB, id="queued.max.requests, one connection"
        ),
        pytest.param({"queued.max.requests": "20"}, 20, 200, 10_000, 12 * MIB, id="queued.max.requests, twenty"),
        pytest.param({"queued.max.request.bytes": "2000000"}, 10, 40, 100_000, 12 * MIB, id="queued.max.request.bytes"),
        pytest.param(
            {"socket.request.max.bytes": "1048576"}, 8, 12, 900_000, 16 * MIB, id="requests as large as the arena takes"
        ),
    ],
)
def test_reading_stops_before_memory_grows_and_starts_again(
    config: dict[str, str], connections: int, requests: int, size_bytes: int, most_taken_bytes: int
) -> None:
    with Broker({**ONE_OF_EACH, **config}) as broker:
        broker.create_topic("load")
        workers = broker.worker_pids()
        clients = [connect_small(broker) for _ in range(connections)]
        content = b"".join(produce_frame("load", size_bytes, number) for number in range(requests))
        try:
            assert produced_error(_ask(clients[0], produce_frame("load", 10))) == ErrorCode.NONE
            before = proportional_set_size_bytes(broker)
            with stopped(broker, "io-0"):
                left = push(clients, [content] * connections)
                taken = sum(len(content) - len(rest) for rest in left)
                grown = proportional_set_size_bytes(broker) - before
            assert taken < most_taken_bytes < connections * len(content), f"{taken / MIB:.1f} MiB were taken"
            assert grown < most_taken_bytes, f"{grown / MIB:.1f} MiB"
            # It goes on where it stopped: everything is answered, in order.
            senders = [
                threading.Thread(target=client.socket.sendall, args=(rest,), daemon=True)
                for client, rest in zip(clients, left, strict=True)
            ]
            for sender in senders:
                sender.start()
            for client in clients:
                for number in range(requests):
                    answer = client.receive()
                    assert struct.unpack_from(">i", answer)[0] == number
                    assert produced_error(answer) == ErrorCode.NONE
            for sender in senders:
                sender.join()
        finally:
            for client in clients:
                client.socket.close()
        assert broker.worker_pids() == workers
        assert "Traceback" not in broker.log_text()


def _ask(client: RawConnection, content: bytes) -> bytes:
    client.socket.sendall(content)
    return client.receive()


class Flood:
    """A connection that sends requests as fast as the broker reads them, and takes the answers."""

    def __init__(self, broker: Broker, content: bytes) -> None:
        self._client = RawConnection(broker.bootstrap_servers)
        self._content = content
        self._stop = threading.Event()
        self.answer_bytes = 0
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._send, self._take)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self._client.socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._client.socket.close()

    def _send(self) -> None:
        with contextlib.suppress(OSError):
            while not self._stop.is_set():
                self._client.socket.sendall(self._content)

    def _take(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._client.socket.recv(1 << 20):
                self.answer_bytes += len(data)


def latencies_s(client: RawConnection, content: bytes, count: int) -> list[float]:
    """Return how long each of so many requests took, one after the other; sorted."""
    took = []
    for _ in range(count):
        started = time.perf_counter()
        assert produced_error(_ask(client, content)) == ErrorCode.NONE
        took.append(time.perf_counter() - started)
    return sorted(took)


@pytest.mark.parametrize(
    ("size_bytes", "requests"),
    [
        pytest.param(20, 4_000, id="many small requests"),
        pytest.param(500_000, 4, id="few large ones"),
    ],
)
def test_a_connection_that_floods_does_not_starve_another(size_bytes: int, requests: int) -> None:
    """Both share the one network worker and the one io worker there are."""
    config = {**ONE_OF_EACH, "log.segment.bytes": "67108864", "log.retention.bytes": "134217728"}
    with Broker({**config, "log.retention.check.interval.ms": "1000"}) as broker:
        broker.create_topic("flooded")
        broker.create_topic("polite")
        with RawConnection(broker.bootstrap_servers) as polite:
            content = produce_frame("polite", 100)
            latencies_s(polite, content, 50)
            with Flood(broker, produce_frame("flooded", size_bytes) * requests) as flood:
                latencies_s(polite, content, 20)
                flooded_before = flood.answer_bytes
                took = latencies_s(polite, content, 200)
                assert flood.answer_bytes > flooded_before, "there was no flood"
        assert took[len(took) // 2] < 0.1, f"median {took[len(took) // 2] * 1000:.0f} ms"
        assert took[-1] < 1.0, f"slowest {took[-1] * 1000:.0f} ms"


def test_consumers_that_read_slowly_do_not_hold_producers_up() -> None:
    """Megabytes wait to be taken by them; a producer on another partition is served as before."""
    with Broker(ONE_OF_EACH) as broker:
        broker.create_topic("load", 2)
        fetch = FetchRequest(
            max_wait_ms=0,
            min_bytes=0,
            max_bytes=50_000_000,
            topics=[
                FetchTopic(
                    topic="load",
                    partitions=[FetchPartition(partition=0, fetch_offset=0, partition_max_bytes=50_000_000)],
                )
            ],
        )
        with contextlib.ExitStack() as stack:
            polite = stack.enter_context(RawConnection(broker.bootstrap_servers))
            for _ in range(30):
                assert produced_error(_ask(polite, produce_frame("load", 900_000))) == ErrorCode.NONE
            content = produce_frame("load", 100, partition=1)
            latencies_s(polite, content, 50)
            alone = latencies_s(polite, content, 300)
            slow = [stack.enter_context(RawConnection(broker.bootstrap_servers)) for _ in range(10)]
            for client in slow:
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
                client.send(fetch, 11)
            stop = threading.Event()

            def sip() -> None:
                while not stop.wait(0.002):
                    for client in slow:
                        client.socket.recv(4096)

            sipping = threading.Thread(target=sip, daemon=True)
            sipping.start()
            beside = latencies_s(polite, content, 300)
            stop.set()
            sipping.join()
        # Twice is what we promise; the floor keeps a busy test machine from telling lies about microseconds.
        assert beside[-3] < max(2 * alone[-3], 0.02), f"p99 {alone[-3] * 1000:.1f} ms alone, {beside[-3] * 1000:.1f} ms"
