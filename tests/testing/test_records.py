"""Records in and out of a topic in one line each, for tests that know no client."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from kbroker.testing import Broker, KafkaException, Record


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker({"auto.create.topics.enable": False}) as running:
        yield running


def test_what_is_produced_is_told_with_its_place_and_read_back(broker: Broker) -> None:
    topic = broker.create_topic("round-trip")
    now_ms = time.time() * 1000
    written = broker.produce(topic, "häh", b"\xff", None, key="k", headers={"a": "1", "b": None}, timestamp_ms=1234)
    assert written == [
        Record(topic, 0, 0, 1234, b"k", "häh".encode(), (("a", b"1"), ("b", None))),
        Record(topic, 0, 1, 1234, b"k", b"\xff", (("a", b"1"), ("b", None))),
        Record(topic, 0, 2, 1234, b"k", None, (("a", b"1"), ("b", None))),
    ]
    assert broker.consume(topic, 3) == written
    assert broker.consume(topic)[0].text == "häh"
    (last,) = broker.produce(topic, b"x", headers=[("twice", "1"), ("twice", "2")])
    assert (last.offset, last.key, last.headers) == (3, None, (("twice", b"1"), ("twice", b"2")))
    assert abs(last.timestamp_ms - now_ms) < 60_000
    assert broker.records(topic) == [*written, last]


def test_partitions_are_chosen_by_number_or_by_key_as_kafka_does(broker: Broker) -> None:
    topic = broker.create_topic("partitioned", partitions=64)
    assert broker.produce(topic, "by number", partition=5)[0].partition == 5
    assert broker.produce(topic, "by key", key="foo")[0].partition == 16
    assert {record.text for record in broker.consume(topic, 2)} == {"by number", "by key"}
    assert [record.partition for record in broker.records(topic)] == [5, 16]


def test_a_group_goes_on_where_it_left_off(broker: Broker) -> None:
    topic = broker.create_topic("grouped")
    broker.produce(topic, "a", "b", "c")
    assert [record.text for record in broker.consume(topic, 2, group_id="readers")] == ["a", "b"]
    assert [record.text for record in broker.consume(topic, 1, group_id="readers")] == ["c"]
    assert [record.text for record in broker.consume(topic, 1, group_id="others")] == ["a"]


def test_it_waits_for_records_and_for_the_topic(broker: Broker) -> None:
    def later() -> None:
        time.sleep(0.3)
        broker.create_topic("awaited")
        broker.produce("awaited", "now")

    thread = threading.Thread(target=later)
    thread.start()
    assert broker.consume("awaited")[0].text == "now"
    thread.join()


def test_what_does_not_come_is_told_in_words(broker: Broker) -> None:
    topic = broker.create_topic("short")
    broker.produce(topic, "only this")
    with pytest.raises(TimeoutError, match=r"1 of 2 records came from topic short .*only this"):
        broker.consume(topic, 2, timeout_s=1)
    with pytest.raises(TimeoutError, match="topic nowhere does not exist"):
        broker.consume("nowhere", timeout_s=0.2)
    with pytest.raises(LookupError, match="nowhere"):
        broker.records("nowhere")
    with pytest.raises(KafkaException, match="Unknown topic"):
        broker.produce("nowhere", "x")
    with pytest.raises(KafkaException, match="MSG_SIZE_TOO_LARGE"):
        broker.produce(broker.create_topic("small", config={"max.message.bytes": "100"}), "x" * 1000)


def test_an_empty_topic_has_no_records(broker: Broker) -> None:
    assert broker.records(broker.create_topic("empty", partitions=3)) == []


def test_before_the_start_it_says_that_nothing_runs() -> None:
    with pytest.raises(RuntimeError, match="not running"):
        Broker().produce("t", "x")
    with pytest.raises(RuntimeError, match="not running"):
        Broker().consume("t")
