"""Our tools print what Kafka's own print, asked the same of the same broker."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import confluent_kafka
import pytest
from command_line import kbroker, run_kbroker
from kafka_tools import KafkaTools
from waiting import eventually

from kbroker.testing import Broker

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """Yield a broker with two topics, ten records, a group that reads and one that has left."""
    with Broker() as broker:
        broker.create_topic("a1", 2, {"segment.bytes": "1000000"})
        broker.create_topic("a2")
        producer = confluent_kafka.Producer({"bootstrap.servers": broker.bootstrap_servers})
        for number in range(10):
            producer.produce("a1", b"%d" % number, partition=number % 2)
        assert producer.flush(30) == 0
        _reading(broker, "gone").close()
        live = _reading(broker, "live")
        yield broker
        live.close()


def _reading(broker: Broker, group: str) -> confluent_kafka.Consumer:
    consumer = confluent_kafka.Consumer({
        "bootstrap.servers": broker.bootstrap_servers,
        "group.id": group,
        "auto.offset.reset": "earliest",
    })  # fmt: skip
    consumer.subscribe(["a1"])
    read = 0
    while read < 10:
        read += len(consumer.consume(10 - read, 10))
    consumer.commit(asynchronous=False)
    return consumer


@pytest.mark.java
@pytest.mark.parametrize(
    ("version", "arguments"),
    [
        ("3.9", "topics --list"),
        ("3.9", "topics --list --exclude-internal"),
        ("3.9", "topics --describe --topics-with-overrides --topic a.*"),
        ("3.9", "topics --describe --topic none --if-exists"),
        ("3.9", "topics --create --topic a1"),
        ("3.9", "topics --create --topic a1 --if-not-exists"),
        ("3.9", "topics --create --topic none --partitions 0"),
        ("3.9", "topics --create --topic none --replication-factor 2"),
        ("3.9", "topics --create --topic none --config nope=1"),
        ("3.9", "topics --create --topic bad:name"),
        ("3.9", "topics --alter --topic a1 --partitions 1"),
        ("3.9", "consumer-groups --list"),
        ("3.9", "consumer-groups --list --state"),
        ("3.9", "consumer-groups --describe --group live --members"),
        ("3.9", "consumer-groups --describe --group gone --members"),
        ("3.9", "consumer-groups --describe --group live --state"),
        ("4.4", "consumer-groups --delete-offsets --group gone --topic a2"),
        ("4.4", "topics --describe --topic a1 --partitions 3"),
        ("4.4", "topics --alter --topic a.* --partitions 1"),
        ("4.4", "topics --delete --topic nope"),
        ("4.4", "consumer-groups --describe --group live"),
        ("4.4", "consumer-groups --describe --group gone"),
        ("4.4", "consumer-groups --describe --group live --verbose"),
        ("4.4", "consumer-groups --describe --all-groups"),
        ("4.4", "consumer-groups --list --state stable --type"),
    ],
)
def test_the_same_lines_and_exit_code(broker: Broker, version: str, arguments: str) -> None:
    """A script that reads the output of Kafka's tools reads ours; the order of lines is not told by Kafka."""
    tool, *rest = arguments.split()
    rest += ["--bootstrap-server", broker.bootstrap_servers]
    ours = run_kbroker(tool, *rest)
    theirs = subprocess.run(
        KafkaTools(version).command(tool, *rest), capture_output=True, text=True, timeout=60, check=False
    )
    assert sorted(ours.stdout.splitlines()) == sorted(theirs.stdout.splitlines())
    assert ours.returncode == theirs.returncode


def test_offsets_are_reset(broker: Broker) -> None:
    """A group without members goes back to the start, as far as it is told; a group with members is left alone."""
    at = ("consumer-groups", "--bootstrap-server", broker.bootstrap_servers)
    exported = kbroker(
        *at, "--reset-offsets", "--group", "gone", "--all-topics", "--to-current", "--export", "--dry-run"
    )
    assert exported.split() == ["a1,0,5", "a1,1,5"]
    kbroker(*at, "--reset-offsets", "--group", "gone", "--topic", "a1:1", "--shift-by", "-2", "--execute")
    lines = kbroker(*at, "--describe", "--group", "gone").splitlines()[2:]
    assert [line.split()[2:6] for line in lines] == [["0", "5", "5", "0"], ["1", "3", "5", "2"]]
    refused = run_kbroker(*at, "--reset-offsets", "--group", "live", "--topic", "a1", "--to-latest", "--execute")
    assert refused.returncode == 1
    assert "Assignments can only be reset if the group 'live' is inactive" in refused.stdout
    kbroker(*at, "--reset-offsets", "--group", "gone", "--topic", "a1", "--to-latest", "--execute")


def test_the_console_tools_on_one_partition(broker: Broker) -> None:
    at = ("--bootstrap-server", broker.bootstrap_servers)
    kbroker("console-producer", *at, "--topic", "a2", "--property", "parse.key=true", lines=["k\tone", "k\ttwo"])
    read = kbroker(
        "console-consumer", *at, "--topic", "a2", "--partition", "0", "--offset", "1", "--max-messages", "1",
        "--property", "print.key=true", "--property", "print.offset=true", "--property", "print.partition=true",
    )  # fmt: skip
    assert read == "Partition:0\tOffset:1\tk\ttwo\n"


@pytest.mark.parametrize("made_by_the_broker", [True, False])
def test_a_consumer_waits_for_a_topic_that_is_still_to_come(made_by_the_broker: bool) -> None:
    """Whoever starts the consumer first sees the producer's first line all the same."""
    with Broker({"auto.create.topics.enable": str(made_by_the_broker).lower()}) as broker:
        at = ("--bootstrap-server", broker.bootstrap_servers)
        command = [sys.executable, "-m", "kbroker", "console-consumer", *at, "--topic", "later", "--from-beginning"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen([*command, "--max-messages", "1"], text=True, **pipes) as consumer:
            if made_by_the_broker:
                eventually(lambda: "later" in kbroker("topics", "--list", *at), "the topic to be made")
            else:
                assert "Unknown topic" in consumer.stderr.readline()
                broker.create_topic("later")
            kbroker("console-producer", *at, "--topic", "later", lines=["first"])
            output, _ = consumer.communicate(timeout=30)
        assert (output, consumer.returncode) == ("first\n", 0)
