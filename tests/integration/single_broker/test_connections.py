"""A connection by itself: what is handled when the client does what no library does, or leaves in the middle."""

from __future__ import annotations

import struct

import pytest
from raw_connection import RawConnection
from waiting import eventually

from kbroker.protocol.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from kbroker.protocol.messages.metadata import MetadataRequest, MetadataRequestTopic
from kbroker.testing import Broker

LONG_POLL_MS = 60_000


def _long_poll(topic: str) -> FetchRequest:
    partition = FetchPartition(partition=0, fetch_offset=0, partition_max_bytes=1000)
    return FetchRequest(
        max_wait_ms=LONG_POLL_MS, min_bytes=1, max_bytes=1000, topics=[FetchTopic(topic=topic, partitions=[partition])]
    )


def test_what_a_client_sent_before_it_left_does_not_wait_for_its_long_poll() -> None:
    """
    A consumer's last words may be a Metadata request that makes topics.

    Were they heard only when its long poll ends, they would bring back a topic whose deletion has ended the poll.
    """
    with Broker() as broker:
        broker.create_topic("silent")
        with RawConnection(broker.bootstrap_servers) as client:
            client.send(_long_poll("silent"), 12)
            client.send(_long_poll("silent"), 12)
            client.send(MetadataRequest(topics=[MetadataRequestTopic(name="last-words")]), 12)
        eventually(lambda: "last-words" in broker.admin().list_topics(timeout=5).topics, "the topic asked for", 10)


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(struct.pack(">i", -1), id="negative size"),
        pytest.param(struct.pack(">i", 2**31 - 1), id="absurd size"),
        pytest.param(struct.pack(">i", 3) + b"abc", id="shorter than a header"),
        pytest.param(struct.pack(">ihhi", 8, 32000, 0, 1), id="unknown API"),
        pytest.param(struct.pack(">ihhih", 10, 3, 999, 1, -1), id="unknown version"),
        pytest.param(struct.pack(">ihhihi", 14, 3, 1, 1, -1, 2**31 - 1), id="array longer than the frame"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n", id="HTTP"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), id="TLS"),
    ],
)
def test_a_malformed_frame_closes_its_connection_alone_with_one_line(frame: bytes) -> None:
    with Broker() as broker, RawConnection(broker.bootstrap_servers) as good:
        workers = broker.worker_pids()
        before = broker.log_text()
        with RawConnection(broker.bootstrap_servers) as bad:
            bad.socket.sendall(frame)
            try:
                assert bad.receive() == b""
            except ConnectionResetError:
                pass
        good.send(MetadataRequest(topics=[]), 12)
        assert good.receive()
        assert broker.worker_pids() == workers
        lines = broker.log_text()[len(before) :].splitlines()
        assert len([line for line in lines if "127.0.0.1" in line]) == 1, lines
        assert "Traceback" not in broker.log_text()
