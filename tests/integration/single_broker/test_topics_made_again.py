"""A topic deleted and made again at once is a new topic in a directory of the same name; nothing else notices."""

from __future__ import annotations

import contextlib

from clients import Confluent, Record
from confluent_kafka import KafkaException
from confluent_kafka.cimpl import NewTopic

from kbroker.testing import Broker


def test_a_topic_deleted_and_made_again_at_once_is_empty_and_served() -> None:
    """Its partitions must not fall to a worker that makes the directory before another has moved the old one away."""
    with Broker({"num.io.threads": "4", "num.network.threads": "1"}) as broker:
        client = Confluent(broker.bootstrap_servers)
        admin = broker.admin()
        broker.create_topic("again", 4)
        for number in range(30):
            # Both requests are under way together.
            deleted = admin.delete_topics(["again"])["again"]
            while True:
                with contextlib.suppress(KafkaException):
                    admin.create_topics([NewTopic("again", 4, 1)])["again"].result(20)
                    break
            deleted.result(20)
            if number % 10 == 9:
                offsets = client.produce("again", [Record(part, -1, None, b"new") for part in range(4)])
                assert offsets == [0, 0, 0, 0]
        assert "ERROR" not in broker.log_text()
        assert client.end_offsets("again", 4) == dict.fromkeys(range(4), 1)
