"""The walk-throughs by which people learn Kafka, typed as they are told, with kbroker's own commands."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Self

import confluent_kafka
import pytest
from clients import Confluent
from command_line import kbroker
from waiting import eventually

from kbroker.testing import Broker


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker() as broker:
        yield broker


def test_first_topic(broker: Broker) -> None:
    """Create `test`, list it, describe it, give it four partitions, send two lines, read them, delete it."""
    at = ("--bootstrap-server", broker.bootstrap_servers)
    assert (
        kbroker("topics", "--create", *at, "--replication-factor", "1", "--partitions", "1", "--topic", "test")
        == "Created topic test.\n"
    )
    assert kbroker("topics", "--list", *at).split() == ["test"]

    summary, partition = kbroker("topics", "--describe", *at, "--topic", "test").splitlines()
    assert re.fullmatch(
        r"Topic: test\tTopicId: [\w-]{22}\tPartitionCount: 1\tReplicationFactor: 1\tConfigs: .*", summary
    )
    assert re.match(r"\tTopic: test\tPartition: 0\tLeader: (\d+)\tReplicas: \1\tIsr: \1", partition)

    kbroker("topics", "--alter", *at, "--topic", "test", "--partitions", "4")
    summary, *partitions = kbroker("topics", "--describe", *at, "--topic", "test").splitlines()
    assert "PartitionCount: 4" in summary
    assert [line.split("\t")[2] for line in partitions] == [f"Partition: {number}" for number in range(4)]

    lines = ["This is a message", "This is another message"]
    kbroker("console-producer", "--broker-list", broker.bootstrap_servers, "--topic", "test", lines=lines)
    read = kbroker("console-consumer", *at, "--topic", "test", "--from-beginning", "--max-messages", "2")
    assert sorted(read.splitlines()) == sorted(lines)

    kbroker("topics", "--delete", *at, "--topic", "test")
    assert "test" not in kbroker("topics", "--list", *at).split()


def test_two_groups_and_three_keys(broker: Broker) -> None:
    """`topic1` has three partitions: group1's one consumer gets all keys, each of group2's three gets one."""
    at = ("--bootstrap-server", broker.bootstrap_servers)
    kbroker("topics", "--create", *at, "--partitions", "3", "--topic", "topic1")
    with contextlib.ExitStack() as stack:
        consumers = [
            stack.enter_context(_ConsoleConsumer(broker, group)) for group in ("group1", "group2", "group2", "group2")
        ]
        # All must have their share before the records come, or an early one gets them all.
        eventually(lambda: _member_shares(broker, "group1") == [3], "group1's consumer")
        eventually(lambda: _member_shares(broker, "group2") == [1, 1, 1], "group2's consumers")

        producer = confluent_kafka.Producer({"bootstrap.servers": broker.bootstrap_servers})
        for key in (1, 2, 3):
            producer.produce("topic1", f"The first message for key {key}", str(key), partition=key % 3)
        assert producer.flush(30) == 0

        all_three = [f"{key}\tThe first message for key {key}" for key in (1, 2, 3)]
        ends = Confluent(broker.bootstrap_servers).end_offsets("topic1", 3)
        assert ends == {0: 1, 1: 1, 2: 1}
        for group in ("group1", "group2"):
            eventually(
                lambda: Confluent(broker.bootstrap_servers).committed(group, "topic1", 3) == ends,  # noqa: B023
                f"{group} to commit what it has read",
            )
        outputs = [consumer.stop() for consumer in consumers]
    assert sorted(outputs[0]) == all_three
    assert sorted(outputs[1:]) == [[line] for line in all_three]

    described = kbroker("consumer-groups", "--describe", *at, "--group", "group1")
    rows = [line.split() for line in described.splitlines() if line.startswith("group1")]
    assert sorted(row[1:6] for row in rows) == [["topic1", str(number), "1", "1", "0"] for number in range(3)]
    assert sorted(kbroker("consumer-groups", "--list", *at).split()) == ["group1", "group2"]


class _ConsoleConsumer:
    """`kbroker console-consumer` in the background."""

    def __init__(self, broker: Broker, group: str) -> None:
        self._process = subprocess.Popen(
            [
                sys.executable, "-m", "kbroker", "console-consumer", "--bootstrap-server", broker.bootstrap_servers,
                "--topic", "topic1", "--group", group, "--from-beginning", "--property", "print.key=true",
                "--consumer-property", "auto.commit.interval.ms=100",
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def stop(self) -> list[str]:
        """End it as Ctrl-C does; return the lines it printed."""
        self._process.terminate()
        output, _ = self._process.communicate(timeout=30)
        return output.splitlines()


def _member_shares(broker: Broker, group: str) -> list[int]:
    """Return how many partitions each member of a group has, as `kbroker consumer-groups` would tell."""
    admin = broker.admin()
    described = admin.describe_consumer_groups([group], request_timeout=30)[group].result(30)
    return sorted(len(member.assignment.topic_partitions) for member in described.members)
