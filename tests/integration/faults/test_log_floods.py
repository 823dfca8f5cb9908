"""A client, or a moment without descriptors, must not fill a disk with the broker's log."""

from __future__ import annotations

import re
import resource
import time
from pathlib import Path

from raw_connection import RawConnection
from waiting import eventually

from kbroker.protocol.headers import encode_request_header
from kbroker.protocol.messages.api_versions import ApiVersionsRequest
from kbroker.testing import Broker

REFUSED = 150


def test_a_flood_of_one_warning_is_a_few_lines_and_a_count() -> None:
    content = encode_request_header(12, 99, 1, "old-client")
    frame = len(content).to_bytes(4, "big") + content
    with Broker({"num.network.threads": "1", "num.io.threads": "1"}) as broker:
        for _ in range(REFUSED):
            with RawConnection(broker.bootstrap_servers) as client:
                client.socket.sendall(frame)
                assert client.receive() == b""
                port = client.socket.getsockname()[1]

        pid = broker.worker_pids()["net-0"]
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        used = max(int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()) + 1
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, before[1]))
        filling = [RawConnection(broker.bootstrap_servers) for _ in range(used)]
        eventually(lambda: broker.log_text().count("cannot accept") >= 10)
        time.sleep(1)  # it is tried ten times a second
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        for connection in filling:
            connection.socket.close()
        with RawConnection(broker.bootstrap_servers) as client:
            client.send(ApiVersionsRequest(), 0)
            assert client.receive()

        assert broker.stop() == 0
        lines = broker.log_text().splitlines()
    refused = [line for line in lines if "Heartbeat v99 is not served" in line]
    assert len(refused) == 11
    assert re.search(r"Connection of 127\.0\.0\.1:\d+ \(client id 'old-client'\) closed", refused[0])
    assert f"127.0.0.1:{port} " in refused[-1], "the last one stands for those left out"
    assert re.search(rf"\(… {REFUSED - 10} more of these in the last \d+ s\)$", refused[-1])
    accepting = [line for line in lines if "cannot accept" in line]
    assert len(accepting) == 11
    assert "more of these in the last" in accepting[-1]
