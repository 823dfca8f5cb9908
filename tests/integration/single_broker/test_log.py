"""What the broker says while it works: at INFO little, in words; at DEBUG who comes and goes and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

from confluent_kafka import Consumer, Producer
from waiting import eventually

from kbroker.testing import Broker


def _work(broker: Broker) -> None:
    """Do what people do in their first hour: a topic, records, a group that one member joins and leaves."""
    broker.create_topic("orders")
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "client.id": "shop"})
    for number in range(100):
        producer.produce("orders", b"%d" % number)
    assert producer.flush(30) == 0
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "group.id": "readers",
            "client.id": "reader",
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe(["orders"])
    seen = 0
    while seen < 100:
        seen += len(consumer.consume(100, 1.0))
    consumer.close()
    # librdkafka asks for the topic and is told that there is none.
    broker.admin().list_topics("missing", timeout=30)


def _lines(broker: Broker, level: str) -> list[str]:
    """Return the messages of a level."""
    return [
        re.sub(rf"^.*? {level} \[[a-z0-9-]+\] ", "", line)
        for line in broker.log_text().splitlines()
        if f" {level} [" in line
    ]


def test_at_info_a_rebalance_is_one_line_and_nothing_else_is_told(tmp_path: Path) -> None:
    with Broker({"auto.create.topics.enable": "false"}, data_dir=tmp_path) as broker:
        _work(broker)
        eventually(lambda: "has no members" in broker.log_text(), "the last rebalance")
        broker.stop()
        started, joined, left, stopping, stopped = _lines(broker, "INFO")
        assert started.startswith("Started in ")
        assert joined == "Group 'readers': generation 1 has 1 member, because 'reader' (127.0.0.1) joined"
        assert left.startswith("Group 'readers': generation 2 has no members, because 'reader' (127.0.0.1) left")
        assert (stopping, stopped) == ("SIGTERM received; stopping", "Stopped in order")
        assert len(broker.log_text().splitlines()) == 5


def test_at_debug_clients_and_refusals_are_told_but_no_records() -> None:
    with Broker({"auto.create.topics.enable": "false"}, log_level="debug") as broker:
        _work(broker)
        eventually(lambda: re.search(r"\(client id 'reader'\) closed: ", broker.log_text()), "the consumer's end")
        lines = _lines(broker, "DEBUG")
        text = "\n".join(lines)
        assert "Configuration from --override: auto.create.topics.enable=false" in lines
        assert f"Worker net-0 runs as process {broker.worker_pids()['net-0']}" in lines
        assert re.search(r"^Connection of 127\.0\.0\.1:\d+ opened on PLAINTEXT$", text, re.MULTILINE)
        assert re.search(r"^127\.0\.0\.1:\d+ is client id 'shop', software \S*kafka\S* \d", text, re.MULTILINE)
        assert re.search(
            r"^Connection of 127\.0\.0\.1:\d+ \(client id 'shop'\) closed: by the client$", text, re.MULTILINE
        )
        assert re.search(r"^Metadata v\d+ of .*: UNKNOWN_TOPIC_OR_PARTITION \(missing\)$", text, re.MULTILINE)
        assert "Group 'readers': PreparingRebalance, was Empty" in lines
        assert "Group 'readers': Stable, was CompletingRebalance" in lines
        assert any(re.fullmatch(r"Metadata version \d+: orders made or changed", line) for line in lines)
        assert len(lines) < 150, "a hundred records are no hundred lines"
