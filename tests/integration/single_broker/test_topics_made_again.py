"""A topic deleted and made again at once is a new topic in a directory of the same name; nothing else notices."""

from __future__ import annotations

import pytest
from clients import Confluent, Record
from raw_connection import RawConnection

from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.create_topics import CreatableTopic, CreateTopicsRequest, CreateTopicsResponse
from kbroker.protocol.messages.delete_topics import DeleteTopicsRequest
from kbroker.testing import Broker

CREATE = CreateTopicsRequest(
    topics=[CreatableTopic(name="again", num_partitions=4, replication_factor=1)], timeout_ms=20_000
)
DELETE = DeleteTopicsRequest(topic_names=["again"], timeout_ms=20_000)


@pytest.mark.parametrize("timeout_ms", [20_000, 2])
def test_a_topic_deleted_and_made_again_at_once_is_empty_and_served(timeout_ms: int) -> None:
    """
    It is made again before the deletion has reached every worker.

    Were the directory opened by one worker before another, whose the old one was, has moved it away, the new topic
    would lose its files, and with them the log directory would count as failed.
    """
    CREATE.timeout_ms = DELETE.timeout_ms = timeout_ms
    config = {"num.io.threads": "4", "num.network.threads": "1"}
    with (
        Broker(config) as broker,
        RawConnection(broker.bootstrap_servers) as deleting,
        RawConnection(broker.bootstrap_servers) as creating,
    ):
        broker.create_topic("again", 4)
        broker.create_topic("unharmed", 4)
        client = Confluent(broker.bootstrap_servers)
        for _ in range(60):
            deleting.send(DELETE, 3)
            while True:
                creating.send(CREATE, 4)
                answer, _ = CreateTopicsResponse.decode(creating.receive(), 4, 4)
                if answer.topics[0].error_code != ErrorCode.TOPIC_ALREADY_EXISTS:
                    break
            assert deleting.receive()
        for topic in ("again", "unharmed"):
            offsets = client.produce(topic, [Record(part, -1, None, b"new") for part in range(4)])
            assert offsets == [0, 0, 0, 0]
        assert "ERROR" not in broker.log_text()
