"""
What no client library sends, into a broker that others use: each is answered or shut out with a reason, and nobody else
notices. After every test the same worker processes run, nothing they did not expect is in the log, and a client
produces and consumes.

`KBROKER_TEST_CONNECTIONS=10000 scripts/test tests/integration/faults/test_bad_input.py -k many` opens more connections.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import resource
import secrets
import socket
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from clients import Confluent, Record
from process_memory import MIB, open_descriptors, proportional_set_size_bytes
from raw_connection import RawConnection
from waiting import eventually

from kbroker.protocol.compression import CompressionType, compress
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.headers import encode_request_header
from kbroker.protocol.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from kbroker.protocol.messages.create_topics import CreatableTopic, CreateTopicsRequest, CreateTopicsResponse
from kbroker.protocol.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from kbroker.protocol.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse
from kbroker.protocol.messages.metadata import MetadataRequest, MetadataRequestTopic, MetadataResponse
from kbroker.protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
)
from kbroker.protocol.messages.produce import (
    PartitionProduceData,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
)
from kbroker.protocol.record_batch import BatchBuilder, crc32, join_batch
from kbroker.testing import Broker

MAX_REQUEST_BYTES = 4 * MIB
MAX_MESSAGE_BYTES = 1_048_588
TLS_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)
CONNECTIONS = int(os.environ.get("KBROKER_TEST_CONNECTIONS", "2000"))
PRODUCE_VERSION = 9


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    config = {
        "num.network.threads": "2",
        "num.io.threads": "2",
        "socket.request.max.bytes": str(MAX_REQUEST_BYTES),
        "socket.listen.backlog.size": "1000",
    }
    with Broker(config) as running:
        running.create_topic("others")
        running.create_topic("plain", config={"message.timestamp.after.max.ms": "3600000"})
        running.create_topic("compacted", config={"cleanup.policy": "compact"})
        yield running


@pytest.fixture(autouse=True)
def others_unharmed(broker: Broker) -> Iterator[None]:
    workers = broker.worker_pids()
    yield
    serve_a_normal_client(broker)
    assert broker.worker_pids() == workers, broker.log_text()[-4000:]
    assert "Traceback" not in broker.log_text(), broker.log_text()[-4000:]


def serve_a_normal_client(broker: Broker) -> None:
    """A client library produces and gets back what it produced."""
    value = secrets.token_bytes(8)
    client = Confluent(broker.bootstrap_servers)
    offset = client.produce("others", [Record(0, -1, b"key", value)])[0]
    assert client.consume("others", {0: offset}, 1)[0].value == value


def log_lines(broker: Broker, phrase: str, since: int) -> list[str]:
    return [line for line in broker.log_text()[since:].splitlines() if phrase in line]


def frame(api_key: int, version: int, body: bytes, client_id: str | None = "raw") -> bytes:
    content = encode_request_header(api_key, version, 1, client_id) + body
    return struct.pack(">i", len(content)) + content


def is_closed(client: RawConnection) -> bool:
    try:
        return client.receive() == b""
    except ConnectionResetError:
        return True


def ask(client: RawConnection, request: object, version: int) -> memoryview:
    """Send a request; return the answer behind the correlation id."""
    client.send(request, version)  # type: ignore[arg-type]
    return memoryview(client.receive())[4:]


# --- frames -----------------------------------------------------------------------------------------------------------

# Metadata version 12: no topics, two booleans, no tagged fields.
CORRECT_METADATA = b"\x01\x01\x00\x00"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(struct.pack(">i", -1), "a request of -1 bytes", id="negative length"),
        pytest.param(struct.pack(">i", -(2**31)), "a request of -2147483648 bytes", id="most negative length"),
        pytest.param(struct.pack(">i", 0), "a request of 0 bytes", id="zero length"),
        pytest.param(struct.pack(">i", 7) + bytes(7), "a request of 7 bytes", id="shorter than any header"),
        pytest.param(
            struct.pack(">i", MAX_REQUEST_BYTES + 1),
            f"larger than socket.request.max.bytes={MAX_REQUEST_BYTES}",
            id="one byte past socket.request.max.bytes",
        ),
        pytest.param(struct.pack(">i", 2**31 - 1), "larger than socket.request.max.bytes", id="largest length"),
        pytest.param(TLS_HELLO, "TLS handshake", id="TLS"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n", "speaks HTTP", id="HTTP GET"),
        pytest.param(b"POST /topics HTTP/1.1\r\n\r\n", "speaks HTTP", id="HTTP POST"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", "speaks SSH", id="SSH"),
        pytest.param(struct.pack(">ihhih", 10, 32000, 0, 1, -1), "API 32000 v0 is not served", id="unknown API"),
        pytest.param(struct.pack(">ihhih", 10, -1, 0, 1, -1), "API -1 v0 is not served", id="negative API"),
        pytest.param(struct.pack(">ihhih", 10, 3, 999, 1, -1), "Metadata v999 is not served", id="unknown version"),
        pytest.param(struct.pack(">ihhih", 10, 0, -1, 1, -1), "Produce v-1 is not served", id="negative version"),
        pytest.param(struct.pack(">ihhih", 10, 3, 1, 1, 500), "malformed request header", id="client id cut off"),
        pytest.param(frame(3, 1, b""), "malformed Metadata v1", id="no body"),
        pytest.param(frame(3, 1, struct.pack(">i", 2**31 - 1)), "malformed Metadata v1", id="array of 2^31-1"),
        pytest.param(frame(3, 0, struct.pack(">i", -5)), "malformed Metadata v0", id="array of negative length"),
        pytest.param(frame(3, 12, b"\xff\xff\xff\xff\x0f"), "malformed Metadata v12", id="compact array of 2^32"),
        pytest.param(frame(3, 12, b"\xff" * 11), "malformed Metadata v12", id="varint without end"),
        pytest.param(
            frame(3, 1, struct.pack(">ih", 1, 300) + b"abc"), "malformed Metadata v1", id="string longer than the frame"
        ),
        pytest.param(
            frame(3, 1, struct.pack(">ih", 1, 20_000) + b"\xff" * 20_000), "is no UTF-8", id="20,000 bytes, no UTF-8"
        ),
        pytest.param(
            frame(3, 12, CORRECT_METADATA[:-1] + b"\x01\x05\xff\xff\xff\xff\x0f"),
            "malformed Metadata v12",
            id="tagged field longer than the frame",
        ),
        pytest.param(
            frame(3, 12, b"\x02" + bytes(16) + b"\xc1\xb8\x02" + b"x" * 40_000 + bytes(4)),
            "longer than 32767",
            id="compact string of 40,000 bytes",
        ),
        pytest.param(
            frame(0, 7, struct.pack(">hhiiih", -1, 1, 1000, 1, 2**31 - 1, 1)), "malformed Produce v7", id="Produce"
        ),
        pytest.param(frame(1, 12, b"\x00" * 10), "malformed Fetch v12", id="Fetch"),
        pytest.param(frame(11, 5, struct.pack(">h", 30000)), "malformed JoinGroup v5", id="JoinGroup, another worker"),
        pytest.param(frame(19, 4, struct.pack(">i", 2**31 - 1)), "malformed CreateTopics v4", id="CreateTopics"),
    ],
)
def test_what_cannot_be_read_closes_its_connection_with_one_line(broker: Broker, data: bytes, reason: str) -> None:
    since = len(broker.log_text())
    with RawConnection(broker.bootstrap_servers) as client:
        client.socket.sendall(data)
        assert is_closed(client)
    eventually(lambda: log_lines(broker, reason, since), lambda: f"{reason!r} in {broker.log_text()[since:]!r}", 10)
    assert len(log_lines(broker, "Connection of 127.0.0.1", since)) == 1, broker.log_text()[since:]


def test_the_requests_before_a_malformed_one_are_answered(broker: Broker) -> None:
    with RawConnection(broker.bootstrap_servers) as client:
        client.send(MetadataRequest(topics=[]), 12)
        client.socket.sendall(frame(3, 12, CORRECT_METADATA) + frame(3, 12, b"\xff" * 11))
        assert client.receive()
        assert client.receive()
        assert is_closed(client)


def test_api_versions_of_a_version_to_come_is_answered_with_what_there_is(broker: Broker) -> None:
    """Clients newer than the broker ask in their own version first: KIP-511."""
    with RawConnection(broker.bootstrap_servers) as client:
        client.socket.sendall(frame(18, 99, b"whatever version 99 may carry"))
        answer = client.receive()
        assert struct.unpack_from(">i", answer)[0] == 1
        response, end = ApiVersionsResponse.decode(answer, 0, 4)
        assert end == len(answer)
        assert response.error_code == ErrorCode.UNSUPPORTED_VERSION == 35
        assert {key.api_key: (key.min_version, key.max_version) for key in response.api_keys}[18][1] >= 3
        # The connection goes on in a version that both know.
        assert ask(client, ApiVersionsRequest(), 2)


def test_unknown_tagged_fields_are_skipped(broker: Broker) -> None:
    """Later versions of clients may send them anywhere, in the header, too."""
    tags = b"\x02" + b"\x63\x03abc" + b"\xe8\x07\x00"
    header = struct.pack(">hhih", 3, 12, 5, 3) + b"raw" + tags
    topic = bytes(16) + b"\x06plain" + tags
    content = header + b"\x02" + topic + b"\x00\x00" + tags
    with RawConnection(broker.bootstrap_servers) as client:
        client.socket.sendall(struct.pack(">i", len(content)) + content)
        answer = client.receive()
    response, _ = MetadataResponse.decode(answer, 12, 5)
    assert [(found.name, found.error_code) for found in response.topics] == [("plain", 0)]


# --- connections ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x00\x00", id="half a length"),
        pytest.param(struct.pack(">i", 100) + bytes(50), id="half a small request"),
        pytest.param(struct.pack(">i", 3 * MIB) + bytes(MIB), id="half a large request"),
    ],
)
def test_half_closed_connections_are_let_go(broker: Broker, sent: bytes) -> None:
    before = open_descriptors(broker)
    clients = [RawConnection(broker.bootstrap_servers) for _ in range(40)]
    try:
        for client in clients:
            client.socket.settimeout(30)
            with contextlib.suppress(ConnectionError):
                # A large one may have to wait for memory, but that its client left is noticed.
                client.socket.settimeout(5)
                client.socket.sendall(sent)
            client.socket.shutdown(socket.SHUT_WR)
        eventually(lambda: open_descriptors(broker) <= before + 2, lambda: f"{open_descriptors(broker)}, {before}", 20)
    finally:
        for client in clients:
            client.socket.close()


def test_requests_sent_before_a_half_close_take_effect(broker: Broker) -> None:
    """As of `kcat` in a pipe, or a client killed in the middle of its goodbye."""
    with RawConnection(broker.bootstrap_servers) as client:
        client.send(MetadataRequest(topics=[MetadataRequestTopic(name="from-a-half-closed-one")]), 4)
        client.socket.shutdown(socket.SHUT_WR)
        eventually(lambda: "from-a-half-closed-one" in broker.admin().list_topics(timeout=5).topics, "the topic", 10)


def test_a_client_that_sends_byte_by_byte_is_served_and_holds_nobody_up(broker: Broker) -> None:
    content = frame(3, 12, CORRECT_METADATA)
    slow = [RawConnection(broker.bootstrap_servers) for _ in range(50)]
    try:
        for position in range(len(content)):
            for client in slow:
                client.socket.sendall(content[position : position + 1])
            if position == len(content) // 2:
                serve_a_normal_client(broker)
        assert all(client.receive() for client in slow)
    finally:
        for client in slow:
            client.socket.close()


def test_large_requests_that_never_end_leave_room_for_others(broker: Broker) -> None:
    """Each announces the largest request there may be; together many times what the request memory holds."""
    stalled = [RawConnection(broker.bootstrap_servers) for _ in range(40)]
    try:
        for client in stalled:
            client.socket.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.socket.send(struct.pack(">i", MAX_REQUEST_BYTES) + bytes(100_000))
        for _ in range(3):
            serve_a_normal_client(broker)
        with RawConnection(broker.bootstrap_servers) as client:
            client.socket.settimeout(20)
            batch = _batch([b"x" * 900_000])
            assert produce(client, "plain", batch) == ErrorCode.NONE
    finally:
        for client in stalled:
            client.socket.close()


def test_many_connections(broker: Broker) -> None:
    """All are answered, each costs little, and nothing of them stays."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, CONNECTIONS + 500)), hard))
    before = open_descriptors(broker)
    clients: list[RawConnection] = []
    try:
        for _ in range(100):
            clients.append(RawConnection(broker.bootstrap_servers))
        memory_before = proportional_set_size_bytes(broker)
        while len(clients) < CONNECTIONS:
            clients.append(RawConnection(broker.bootstrap_servers))
        for client in clients:
            client.send(ApiVersionsRequest(), 2)
        assert all(client.receive() for client in clients)
        each = (proportional_set_size_bytes(broker) - memory_before) / (CONNECTIONS - 100)
        assert each < 16 * 1024, f"{each:.0f} bytes per connection"
        serve_a_normal_client(broker)
        assert open_descriptors(broker) >= before + CONNECTIONS - 10
    finally:
        for client in clients:
            client.socket.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    eventually(lambda: open_descriptors(broker) <= before + 2, lambda: f"{open_descriptors(broker)}, {before}", 20)


def test_clients_that_ask_and_never_read_cost_bounded_memory(broker: Broker) -> None:
    """Each asks for gigabytes: the broker stops reading its requests when the answers are not taken."""
    broker.create_topic("wide", partitions=300)
    client = Confluent(broker.bootstrap_servers)
    client.produce("plain", [Record(0, -1, None, bytes(500_000)) for _ in range(8)])
    fetch = FetchRequest(
        max_wait_ms=0,
        min_bytes=0,
        max_bytes=50_000_000,
        topics=[
            FetchTopic(
                topic="plain", partitions=[FetchPartition(partition=0, fetch_offset=0, partition_max_bytes=50_000_000)]
            )
        ],
    )
    requests = (frame(1, 11, fetch.encode(11)) + frame(3, 4, MetadataRequest(topics=None).encode(4))) * 200
    before = proportional_set_size_bytes(broker)
    greedy = []
    try:
        for _ in range(60):
            connection = RawConnection(broker.bootstrap_servers)
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.socket.setblocking(False)
            greedy.append(connection)
        for _ in range(5):
            for connection in greedy:
                with contextlib.suppress(BlockingIOError):
                    connection.socket.send(requests)
            started = time.monotonic()
            serve_a_normal_client(broker)
            assert time.monotonic() - started < 10
        grown = proportional_set_size_bytes(broker) - before
        assert grown < 24 * MIB, f"{grown / MIB:.0f} MiB"
    finally:
        for connection in greedy:
            connection.socket.close()
    eventually(
        lambda: proportional_set_size_bytes(broker) - before < 24 * MIB,
        lambda: f"{(proportional_set_size_bytes(broker) - before) / MIB:.0f} MiB are kept",
        20,
    )


def test_requests_as_large_as_allowed_from_many_at_once(broker: Broker) -> None:
    """More than the request memory holds at once: all wait their turn, all are answered."""
    filler = [PartitionProduceData(index=0, records=_batch([bytes(1_000_000)])) for _ in range(4)]
    # Four partitions of a topic that does not exist make the request large without filling the disk.
    request = ProduceRequest(
        acks=1, timeout_ms=30_000, topic_data=[TopicProduceData(name="missing", partition_data=filler)]
    )
    content = frame(0, PRODUCE_VERSION, request.encode(PRODUCE_VERSION))
    assert MAX_REQUEST_BYTES - 300_000 < len(content) <= MAX_REQUEST_BYTES

    def send_two(_number: int) -> int:
        with RawConnection(broker.bootstrap_servers) as client:
            client.socket.sendall(content * 2)
            return sum(len(client.receive()) > 0 for _ in range(2))

    with ThreadPoolExecutor(24) as pool:
        assert list(pool.map(send_two, range(24))) == [2] * 24


# --- batches ----------------------------------------------------------------------------------------------------------


def _batch(values: list[bytes], key: bytes | None = b"key", **options: object) -> bytearray:
    builder = BatchBuilder(**options)  # type: ignore[arg-type]
    for value in values:
        builder.append(key, value, int(time.time() * 1000))
    return bytearray(builder.build())


def _with_crc(batch: bytearray) -> bytearray:
    struct.pack_into(">I", batch, 17, crc32.iscsi(bytes(batch[21:])))
    return batch


def _patched(position: int, form: str, value: int) -> bytearray:
    batch = _batch([b"one", b"two", b"three"])
    struct.pack_into(form, batch, position, value)
    return _with_crc(batch) if position >= 21 else batch


def _claiming(codec: int, content: bytes, count: int) -> bytes:
    """Return a batch whose records are `content`, compressed, with a right checksum."""
    now = int(time.time() * 1000)
    return join_batch(
        compress(codec, content),
        base_offset=0,
        partition_leader_epoch=-1,
        attributes=codec,
        last_offset_delta=count - 1,
        base_timestamp=now,
        max_timestamp=now,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        record_count=count,
    )


def produce(client: RawConnection, topic: str, batch: bytes | bytearray | None) -> int:
    request = ProduceRequest(
        acks=1,
        timeout_ms=30_000,
        topic_data=[TopicProduceData(name=topic, partition_data=[PartitionProduceData(index=0, records=batch)])],
    )
    response, _ = ProduceResponse.decode(ask(client, request, PRODUCE_VERSION), PRODUCE_VERSION, 1)
    (answer,) = response.responses[0].partition_responses
    return answer.error_code


@pytest.mark.parametrize(
    ("make", "error"),
    [
        pytest.param(lambda: None, ErrorCode.INVALID_RECORD, id="null"),
        pytest.param(lambda: b"", ErrorCode.INVALID_RECORD, id="no batch"),
        pytest.param(lambda: _batch([b"a"])[:40], ErrorCode.INVALID_RECORD, id="half a header"),
        pytest.param(lambda: _batch([b"a"])[:-1], ErrorCode.INVALID_RECORD, id="cut off"),
        pytest.param(lambda: _batch([b"a"]) * 2, ErrorCode.INVALID_RECORD, id="two batches"),
        pytest.param(lambda: _batch([b"a"]) + b"more", ErrorCode.INVALID_RECORD, id="rubbish behind"),
        pytest.param(lambda: _patched(8, ">i", -1), ErrorCode.CORRUPT_MESSAGE, id="negative size"),
        pytest.param(lambda: _patched(8, ">i", 2**31 - 1), ErrorCode.INVALID_RECORD, id="huge size"),
        pytest.param(lambda: _patched(17, ">I", 12345), ErrorCode.CORRUPT_MESSAGE, id="checksum"),
        pytest.param(lambda: _patched(16, ">b", 0), ErrorCode.INVALID_RECORD, id="magic 0"),
        pytest.param(lambda: _patched(16, ">b", 1), ErrorCode.INVALID_RECORD, id="magic 1"),
        pytest.param(lambda: _patched(16, ">b", 3), ErrorCode.CORRUPT_MESSAGE, id="magic 3"),
        pytest.param(lambda: _patched(57, ">i", 0), ErrorCode.INVALID_RECORD, id="no records"),
        pytest.param(lambda: _patched(57, ">i", -3), ErrorCode.INVALID_RECORD, id="negative count"),
        pytest.param(lambda: _patched(57, ">i", 2**31 - 1), ErrorCode.INVALID_RECORD, id="count that is not so"),
        pytest.param(lambda: _patched(23, ">i", 7), ErrorCode.INVALID_RECORD, id="last offset delta"),
        pytest.param(lambda: _patched(0, ">q", 5), ErrorCode.INVALID_RECORD, id="base offset"),
        pytest.param(lambda: _patched(0, ">q", -5), ErrorCode.INVALID_RECORD, id="negative base offset"),
        pytest.param(lambda: _patched(21, ">h", 7), ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, id="unknown codec"),
        pytest.param(lambda: _patched(21, ">h", 0x20), ErrorCode.INVALID_RECORD, id="control batch"),
        pytest.param(lambda: _patched(21, ">h", 0x10), ErrorCode.INVALID_TXN_STATE, id="transactional by surprise"),
        pytest.param(lambda: _patched(43, ">q", 7), ErrorCode.INVALID_RECORD, id="producer without sequence"),
        pytest.param(lambda: _patched(35, ">q", 2**62), ErrorCode.INVALID_TIMESTAMP, id="timestamp far ahead"),
        pytest.param(lambda: _batch([bytes(MAX_MESSAGE_BYTES)]), ErrorCode.MESSAGE_TOO_LARGE, id="too large"),
    ],
)
def test_a_bad_batch_is_answered_with_kafkas_error(
    broker: Broker, make: Callable[[], bytes | None], error: ErrorCode
) -> None:
    with RawConnection(broker.bootstrap_servers) as client:
        assert ErrorCode(produce(client, "plain", make())) == error
        # The connection is none the worse for it, and nothing was appended.
        assert produce(client, "plain", _batch([b"good"])) == ErrorCode.NONE


def _padded(size_bytes: int) -> bytes:
    """Return one record, value only zeros."""
    builder = BatchBuilder()
    builder.append(b"key", bytes(size_bytes), 0)
    return builder.build()[61:]


@pytest.mark.parametrize(
    "codec", [CompressionType.GZIP, CompressionType.LZ4, CompressionType.ZSTD], ids=lambda c: c.name
)
def test_a_decompression_bomb_is_refused_and_its_memory_given_back(broker: Broker, codec: CompressionType) -> None:
    """On compacted topics records are looked at, so batches are decompressed: 1 MB may claim a gigabyte."""
    before = proportional_set_size_bytes(broker)
    bomb = _claiming(codec, _padded(80 * MIB), 1)
    assert len(bomb) < MAX_MESSAGE_BYTES
    with RawConnection(broker.bootstrap_servers) as client:
        started = time.monotonic()
        assert ErrorCode(produce(client, "compacted", bomb)) == ErrorCode.MESSAGE_TOO_LARGE
        assert time.monotonic() - started < 5
        for damaged in (bomb[:61], bomb[: len(bomb) // 2]):
            cut = bytearray(damaged)
            struct.pack_into(">i", cut, 8, len(cut) - 12)
            assert ErrorCode(produce(client, "compacted", _with_crc(cut))) in {
                ErrorCode.CORRUPT_MESSAGE,
                ErrorCode.MESSAGE_TOO_LARGE,
            }
    eventually(lambda: proportional_set_size_bytes(broker) - before < 16 * MIB, "the memory to be given back", 10)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        pytest.param(lambda: _batch([b"a"], key=None), ErrorCode.INVALID_RECORD, id="no key"),
        pytest.param(lambda: _claiming(1, b"", 1), ErrorCode.CORRUPT_MESSAGE, id="a record less than claimed"),
        pytest.param(
            lambda: _claiming(0, _padded(5) + b"more", 1), ErrorCode.CORRUPT_MESSAGE, id="bytes behind the last record"
        ),
        pytest.param(
            lambda: _claiming(0, _padded(5) * 2, 2), ErrorCode.INVALID_RECORD, id="offsets that are not consecutive"
        ),
        pytest.param(lambda: _claiming(0, b"\x7e" + _padded(5)[1:], 1), ErrorCode.CORRUPT_MESSAGE, id="record size"),
        pytest.param(lambda: _claiming(0, b"\x80" * 11, 1), ErrorCode.CORRUPT_MESSAGE, id="varint without end"),
        pytest.param(
            lambda: _with_crc(bytearray(_claiming(0, gzip.compress(b"no")[:-4], 1)[:21] + b"\x00\x01"
                                        + _claiming(0, gzip.compress(b"no")[:-4], 1)[23:])),
            ErrorCode.CORRUPT_MESSAGE,
            id="gzip cut off",
        ),
    ],
)  # fmt: skip
def test_records_that_are_looked_at_are_refused_with_kafkas_error(
    broker: Broker, make: Callable[[], bytes], error: ErrorCode
) -> None:
    with RawConnection(broker.bootstrap_servers) as client:
        assert ErrorCode(produce(client, "compacted", make())) == error
        assert produce(client, "compacted", _batch([b"good"])) == ErrorCode.NONE


# --- groups -----------------------------------------------------------------------------------------------------------


def _commit(**fields: object) -> OffsetCommitRequest:
    partition = OffsetCommitRequestPartition(partition_index=0, committed_offset=5, commit_timestamp=2**63 - 1)
    topic = OffsetCommitRequestTopic(name="plain", partitions=[partition])
    return OffsetCommitRequest(**{"group_id": "limits", "topics": [topic], **fields})


def _join(**fields: object) -> JoinGroupRequest:
    protocol = JoinGroupRequestProtocol(name="range", metadata=b"")
    defaults = {"group_id": "limits-join", "protocol_type": "consumer", "session_timeout_ms": 10_000}
    return JoinGroupRequest(**{**defaults, "protocols": [protocol], **fields})


@pytest.mark.parametrize(
    ("request_", "version", "client_id", "error"),
    [
        pytest.param(_commit(retention_time_ms=2**63 - 1), 3, "raw", ErrorCode.NONE, id="kept for ever"),
        pytest.param(_commit(retention_time_ms=-(2**63)), 3, "raw", ErrorCode.NONE, id="negative retention"),
        pytest.param(_commit(), 1, "raw", ErrorCode.NONE, id="committed at the end of time"),
        pytest.param(_join(), 3, "c" * 32_767, ErrorCode.INVALID_REQUEST, id="no room for a member id"),
        pytest.param(
            _join(group_instance_id="i" * 32_767), 9, "raw", ErrorCode.INVALID_REQUEST, id="nor with an instance id"
        ),
        pytest.param(_commit(group_id="g" * 32_767), 8, "raw", ErrorCode.NONE, id="longest group id"),
    ],
)
def test_group_requests_whose_values_do_not_fit_the_log_are_refused(
    broker: Broker, request_: OffsetCommitRequest | JoinGroupRequest, version: int, client_id: str, error: ErrorCode
) -> None:
    """What a coordinator writes has narrower fields than what it is asked in."""
    Confluent(broker.bootstrap_servers).commit("any", "plain", {0: 1})
    with RawConnection(broker.bootstrap_servers) as client:
        client.socket.sendall(frame(request_.API_KEY, version, request_.encode(version), client_id))
        answer = client.receive()
    position = 5 if version >= 6 else 4
    if isinstance(request_, JoinGroupRequest):
        assert JoinGroupResponse.decode(answer, version, position)[0].error_code == error
    else:
        response, _ = OffsetCommitResponse.decode(answer, version, position)
        assert response.topics[0].partitions[0].error_code == error


# --- topics -----------------------------------------------------------------------------------------------------------

BAD_NAMES = ["", ".", "..", "a/b", "../../etc", "a b", "größer", "x" * 250, "nul\x00", "new\nline"]


def _create(client: RawConnection, name: str, partitions: int = 1) -> int:
    topic = CreatableTopic(name=name, num_partitions=partitions, replication_factor=1)
    answer = ask(client, CreateTopicsRequest(topics=[topic], timeout_ms=20_000), 4)
    return CreateTopicsResponse.decode(answer, 4)[0].topics[0].error_code


@pytest.mark.parametrize("name", BAD_NAMES, ids=repr)
def test_bad_topic_names_make_nothing(broker: Broker, name: str) -> None:
    with RawConnection(broker.bootstrap_servers) as client:
        assert ErrorCode(_create(client, name)) == ErrorCode.INVALID_TOPIC_EXCEPTION
        # Nor does asking for them, where topics are made on the way.
        answer = ask(client, MetadataRequest(topics=[MetadataRequestTopic(name=name)]), 4)
        response, _ = MetadataResponse.decode(answer, 4)
        assert ErrorCode(response.topics[0].error_code) == ErrorCode.INVALID_TOPIC_EXCEPTION
        assert ErrorCode(produce(client, name, _batch([b"a"]))) in {
            ErrorCode.INVALID_TOPIC_EXCEPTION,
            ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        }
    assert {path.name for path in broker.data_dir.iterdir() if path.is_dir()} <= _topic_directories(broker)


def _topic_directories(broker: Broker) -> set[str]:
    topics = broker.admin().list_topics(timeout=10).topics
    return {f"{name}-{partition}" for name, topic in topics.items() for partition in topic.partitions}


@pytest.mark.parametrize("partitions", [0, -2, -(2**31), 2**31 - 1])
def test_absurd_partition_counts_are_refused(broker: Broker, partitions: int) -> None:
    with RawConnection(broker.bootstrap_servers) as client:
        client.socket.settimeout(20)
        assert ErrorCode(_create(client, "absurd", partitions)) in {
            ErrorCode.INVALID_PARTITIONS,
            ErrorCode.POLICY_VIOLATION,
        }


def test_names_that_collide_in_metrics_are_refused(broker: Broker) -> None:
    with RawConnection(broker.bootstrap_servers) as client:
        assert _create(client, "collides.here_too") == ErrorCode.NONE
        assert ErrorCode(_create(client, "collides_here.too")) == ErrorCode.INVALID_TOPIC_EXCEPTION
        assert ErrorCode(_create(client, "collides.here_too")) == ErrorCode.TOPIC_ALREADY_EXISTS


def test_clients_cannot_write_to_internal_topics(broker: Broker) -> None:
    """A record there would be a group's state at the next start."""
    Confluent(broker.bootstrap_servers).commit("group", "plain", {0: 1})
    assert "__consumer_offsets" in broker.admin().list_topics(timeout=10).topics
    with RawConnection(broker.bootstrap_servers) as client:
        assert ErrorCode(produce(client, "__consumer_offsets", _batch([b"a"]))) == ErrorCode.INVALID_TOPIC_EXCEPTION
