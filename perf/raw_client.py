"""
A client that costs next to nothing, so that what is measured is the broker: requests are built once and sent again and
again, answers are counted by their size.

All requests of a run are the same bytes (acks=1, no idempotence), so all answers have the same length. The first answer
is decoded to see that it carries no error; every later one is only counted.
"""

from __future__ import annotations

import os
import socket
import struct
import time

from kbroker.protocol.headers import decode_response_header, encode_request_header
from kbroker.protocol.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from kbroker.protocol.messages.fetch import FetchPartition, FetchRequest, FetchResponse, FetchTopic
from kbroker.protocol.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopic,
)
from kbroker.protocol.messages.produce import PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData
from kbroker.protocol.record_batch import BatchBuilder
from kbroker.protocol.schema import Message

# Spoken by Kafka 4.4 and by kbroker alike, with topics by name.
PRODUCE_VERSION = 9
FETCH_VERSION = 12
API_VERSIONS_VERSION = 3
LIST_OFFSETS_VERSION = 6
TIMEOUT_S = 60


def batch_of(records: int, record_bytes: int = 100) -> bytes:
    """Return a batch of records with values of `record_bytes` random bytes, stamped with the time."""
    builder = BatchBuilder()
    now_ms = time.time_ns() // 1_000_000
    for _ in range(records):
        builder.append(None, os.urandom(record_bytes), now_ms)
    return builder.build()


def batch_of_size(batch_bytes: int, record_bytes: int = 100) -> tuple[bytes, int]:
    """Return the largest batch that is not larger than `batch_bytes`, and how many records it has."""
    builder = BatchBuilder()
    now_ms = time.time_ns() // 1_000_000
    # A record's own fields take ten bytes and more: lengths and deltas are of variable size.
    while builder.size_bytes + record_bytes + 16 <= batch_bytes:
        builder.append(None, os.urandom(record_bytes), now_ms)
    return builder.build(), builder.record_count


class RawClient:
    """One connection."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._receive_buffer = bytearray(4 * 1024 * 1024)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def call(self, request: Message, response_class: type[Message], version: int) -> Message:
        """Send a request and return its answer."""
        self._socket.sendall(_frame(request, version))
        return _decode(self._receive_frame(), request, response_class, version)

    def api_versions(self) -> None:
        """Ask for the versions, as every client does first."""
        request = ApiVersionsRequest(client_software_name="bench", client_software_version="1")
        self.call(request, ApiVersionsResponse, API_VERSIONS_VERSION)

    def end_offset(self, topic: str) -> int:
        """Return the next offset of partition 0."""
        partition = ListOffsetsPartition(partition_index=0, timestamp=-1)
        request = ListOffsetsRequest(replica_id=-1, topics=[ListOffsetsTopic(name=topic, partitions=[partition])])
        answer = self.call(request, ListOffsetsResponse, LIST_OFFSETS_VERSION)
        return int(answer.topics[0].partitions[0].offset)

    def produce_one_by_one(self, topic: str, batch: bytes, count: int) -> list[float]:
        """Send `count` Produce requests, each after the answer to the one before; return the round trips in seconds."""
        frame, answer_bytes = self._prepare_produce(topic, batch)
        receive = self._socket.recv
        send = self._socket.sendall
        clock = time.perf_counter
        times = []
        for _ in range(count):
            begun = clock()
            send(frame)
            missing = answer_bytes
            while missing:
                missing -= len(receive(missing))
            times.append(clock() - begun)
        return times

    def produce_pipelined(self, topic: str, batch: bytes, count: int, in_flight: int) -> float:
        """Send `count` Produce requests with so many unanswered at most; return the seconds it took."""
        frame, answer_bytes = self._prepare_produce(topic, batch)
        sock, buffer = self._socket, self._receive_buffer
        small = len(frame) <= 4096
        many = frame * in_flight if small else b""
        begun = time.perf_counter()
        sent = min(count, in_flight)
        for _ in range(sent):
            sock.sendall(frame)
        received_bytes = 0
        answered = 0
        while answered < count:
            got = sock.recv_into(buffer)
            if not got:
                raise ConnectionError("the broker has closed the connection")
            received_bytes += got
            answered = received_bytes // answer_bytes
            more = min(count, answered + in_flight) - sent
            if small:
                if more > 0:
                    sock.sendall(many[: more * len(frame)])
            else:
                for _ in range(more):
                    sock.sendall(frame)
            sent += max(0, more)
        return time.perf_counter() - begun

    def fetch_all(self, topic: str, end_offset: int, batch_bytes: int, batch_records: int) -> tuple[float, int]:
        """
        Fetch partition 0 from its beginning, whose batches are all alike; return the seconds it took and the bytes.

        Waits for one answer at a time, as consumers do, 1 MiB of each partition (their default).
        """
        offset = fetched = 0
        begun = time.perf_counter()
        while offset < end_offset:
            partition = FetchPartition(partition=0, fetch_offset=offset, partition_max_bytes=1024 * 1024)
            request = FetchRequest(
                max_wait_ms=500,
                min_bytes=1,
                max_bytes=50 * 1024 * 1024,
                topics=[FetchTopic(topic=topic, partitions=[partition])],
            )
            answer = self.call(request, FetchResponse, FETCH_VERSION)
            part = answer.responses[0].partitions[0]
            if part.error_code:
                raise RuntimeError(f"Fetch was answered with error {part.error_code}")
            whole = len(part.records or b"") // batch_bytes
            if not whole:
                raise RuntimeError(f"nothing to read at offset {offset}, before the end {end_offset}")
            offset += whole * batch_records
            fetched += len(part.records)
        return time.perf_counter() - begun, fetched

    def _prepare_produce(self, topic: str, batch: bytes) -> tuple[bytes, int]:
        """Return the frame to send and the size of each answer, after one that was looked at."""
        data = TopicProduceData(name=topic, partition_data=[PartitionProduceData(index=0, records=memoryview(batch))])
        request = ProduceRequest(acks=1, timeout_ms=TIMEOUT_S * 1000, topic_data=[data])
        frame = _frame(request, PRODUCE_VERSION)
        self._socket.sendall(frame)
        raw = self._receive_frame()
        answer = _decode(raw, request, ProduceResponse, PRODUCE_VERSION)
        code = answer.responses[0].partition_responses[0].error_code
        if code:
            raise RuntimeError(f"Produce was answered with error {code}")
        return frame, len(raw) + 4

    def _receive_frame(self) -> memoryview:
        """Return the next frame; valid until the next call."""
        buffer = self._receive_buffer
        have = self._socket.recv_into(buffer)
        while have < 4:
            have += self._more(have)
        size = struct.unpack_from(">i", buffer)[0] + 4
        if size > len(buffer):
            buffer += bytes(size - len(buffer))
        while have < size:
            have += self._more(have)
        return memoryview(bytes(memoryview(buffer)[4:size]))

    def _more(self, have: int) -> int:
        got = self._socket.recv_into(memoryview(self._receive_buffer)[have:])
        if not got:
            raise ConnectionError("the broker has closed the connection")
        return got


def _frame(request: Message, version: int) -> bytes:
    body = encode_request_header(request.API_KEY, version, 7, "bench") + request.encode(version)
    return struct.pack(">i", len(body)) + body


def _decode(raw: memoryview, request: Message, response_class: type[Message], version: int) -> Message:
    _, position = decode_response_header(raw, 0, request.API_KEY, version)
    return response_class.decode(raw, version, position)[0]
