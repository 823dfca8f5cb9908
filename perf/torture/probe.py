"""Whether one worker serves again, asked by a request that only it can answer."""

from __future__ import annotations

import socket
import struct
import time

from kbroker.metadata.placement import owner_of
from kbroker.protocol.headers import encode_request_header
from kbroker.protocol.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from kbroker.protocol.messages.create_topics import CreatableTopic, CreateTopicsRequest, CreateTopicsResponse
from kbroker.protocol.messages.produce import PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData
from kbroker.protocol.record_batch import BatchBuilder
from kbroker.protocol.schema import Message

PROBE_TOPIC = "probe"
_ATTEMPT_S = 2.0
_PAUSE_S = 0.002


class Probe:
    """
    Asks until it is answered.

    io_workers  the broker's number of IO workers; the topic PROBE_TOPIC has as many partitions
    """

    def __init__(self, port: int, io_workers: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None
        self._partitions = {owner_of(PROBE_TOPIC, part, io_workers): part for part in range(io_workers)}

    def wait(self, worker: str, timeout_s: float) -> bool:
        """Return whether a request that `worker` (io-0, cluster, net) has to answer succeeds within `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                if self._ask(worker):
                    return True
            except (OSError, EOFError, struct.error):
                self.close()
            time.sleep(_PAUSE_S)
        return False

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _ask(self, worker: str) -> bool:
        kind, _, index = worker.partition("-")
        if kind == "io":
            return self._produce(self._partitions[int(index)])
        if kind == "cluster":
            topic = CreatableTopic(name="never-made", num_partitions=1, replication_factor=1)
            body = self._exchange(CreateTopicsRequest(topics=[topic], timeout_ms=1000, validate_only=True), 4)
            return CreateTopicsResponse.decode(body, 4)[0].topics[0].error_code == 0
        # A connection of its own: the one that is open may belong to another worker.
        self.close()
        body = self._exchange(ApiVersionsRequest(), 0)
        return ApiVersionsResponse.decode(body, 0)[0].error_code == 0

    def _produce(self, partition: int) -> bool:
        batch = BatchBuilder()
        batch.append(None, b"x", time.time_ns() // 1_000_000)
        entry = PartitionProduceData(index=partition, records=memoryview(batch.build()))
        topic = TopicProduceData(name=PROBE_TOPIC, partition_data=[entry])
        body = self._exchange(ProduceRequest(acks=1, timeout_ms=1000, topic_data=[topic]), 7)
        return ProduceResponse.decode(body, 7)[0].responses[0].partition_responses[0].error_code == 0

    def _exchange(self, request: Message, version: int) -> bytes:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), _ATTEMPT_S)
        frame = encode_request_header(request.API_KEY, version, 1, "probe") + request.encode(version)
        self._socket.sendall(struct.pack(">i", len(frame)) + frame)
        size = struct.unpack(">i", self._exactly(4))[0]
        # All versions asked for here have the old response header: the correlation id alone.
        return self._exactly(size)[4:]

    def _exactly(self, size: int) -> bytes:
        assert self._socket is not None
        data = b""
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                raise EOFError
            data += part
        return data
