"""Kafka's own console tools, of 3.9 and of 4.4, work as their users expect: topics, lines, groups, load, offsets."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from clients import Confluent
from kafka_tools import KafkaTools

from kbroker.testing import Broker

COMPRESSIONS = ("none", "gzip", "snappy", "lz4", "zstd")

pytestmark = [pytest.mark.java, pytest.mark.timeout(240)]


@pytest.fixture(params=["3.9", "4.4"])
def tools(request: pytest.FixtureRequest) -> KafkaTools:
    return KafkaTools(request.param)


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker() as broker:
        yield broker


def test_topics_are_created_listed_described_altered_and_deleted(tools: KafkaTools, broker: Broker) -> None:
    servers = ("--bootstrap-server", broker.bootstrap_servers)
    created = tools.run(
        "topics", *servers, "--create", "--topic", "orders", "--partitions", "2", "--config", "retention.ms=3600000"
    )
    assert "Created topic orders." in created
    described = tools.run("topics", *servers, "--describe", "--topic", "orders").splitlines()
    assert re.match(
        r"Topic: orders\tTopicId: [\w-]{22}\tPartitionCount: 2\tReplicationFactor: 1\tConfigs: .*retention.ms=3600000",
        described[0],
    )
    assert [re.match(r"\tTopic: orders\tPartition: (\d)\tLeader: \d+\t", line)[1] for line in described[1:]] == [
        "0",
        "1",
    ]
    again = tools.run("topics", *servers, "--create", "--topic", "orders", fails=True)
    assert "already exists" in again
    tools.run("topics", *servers, "--alter", "--topic", "orders", "--partitions", "4")
    described = tools.run("topics", *servers, "--describe", "--topic", "orders").splitlines()
    assert "PartitionCount: 4" in described[0]
    assert len(described) == 5
    fewer = tools.run("topics", *servers, "--alter", "--topic", "orders", "--partitions", "3", fails=True)
    assert "would not be an increase" in fewer
    tools.run("topics", *servers, "--delete", "--topic", "orders")
    assert "orders" not in tools.run("topics", *servers, "--list").split()


def test_lines_are_produced_with_every_compression_and_consumed_by_a_group(tools: KafkaTools, broker: Broker) -> None:
    servers = ("--bootstrap-server", broker.bootstrap_servers)
    broker.create_topic("lines", 3)
    expected = set()
    for compression in COMPRESSIONS:
        lines = [f"{compression}{number}:{'value ' * 20}{number}" for number in range(20)]
        tools.run(
            "console-producer", *servers, "--topic", "lines", "--compression-codec", compression,
            "--property", "parse.key=true", "--property", "key.separator=:", lines=lines,
        )  # fmt: skip
        expected |= {tuple(line.split(":")) for line in lines}
        if compression == "snappy":
            broker.restart()
    consumed = tools.run(
        "console-consumer", *servers, "--topic", "lines", "--from-beginning", "--group", "readers",
        "--max-messages", str(len(expected)), "--timeout-ms", "30000", "--property", "print.key=true",
    )  # fmt: skip
    assert {tuple(line.split("\t")) for line in consumed.splitlines() if "\t" in line} == expected

    assert tools.run("consumer-groups", *servers, "--list").split() == ["readers"]
    broker.restart()
    described = tools.run("consumer-groups", *servers, "--describe", "--group", "readers")
    rows = [line.split() for line in described.splitlines() if line.startswith("readers")]
    assert {row[2] for row in rows} == {"0", "1", "2"}
    # CURRENT-OFFSET, LOG-END-OFFSET, LAG
    assert sum(int(row[3]) for row in rows) == len(expected)
    assert {row[5] for row in rows} == {"0"}
    state = tools.run("consumer-groups", *servers, "--describe", "--group", "readers", "--state")
    assert "Empty" in state

    tools.run(
        "consumer-groups",
        *servers,
        "--group",
        "readers",
        "--topic",
        "lines",
        "--reset-offsets",
        "--to-earliest",
        "--execute",
    )
    committed = Confluent(broker.bootstrap_servers).committed("readers", "lines", 3)
    assert committed == {0: 0, 1: 0, 2: 0}


def test_load_offsets_versions_and_configuration(tools: KafkaTools, broker: Broker) -> None:
    servers = ("--bootstrap-server", broker.bootstrap_servers)
    broker.create_topic("load", 2)
    records = 20_000
    produced = tools.run(
        "producer-perf-test", "--topic", "load", "--num-records", str(records), "--record-size", "100",
        "--throughput", "-1", "--producer-props", f"bootstrap.servers={broker.bootstrap_servers}",
        "compression.type=lz4", "acks=1",
    )  # fmt: skip
    assert f"{records} records sent" in produced
    consumed = tools.run("consumer-perf-test", *servers, "--topic", "load", "--messages", str(records))
    assert int(consumed.splitlines()[-1].split(", ")[4]) == records

    offsets = tools.run("get-offsets", *servers, "--topic", "load")
    assert sum(int(line.split(":")[2]) for line in offsets.split()) == records
    earliest = tools.run("get-offsets", *servers, "--topic", "load", "--time", "earliest")
    assert earliest.split() == ["load:0:0", "load:1:0"]
    # -3: the offset of the record with the greatest timestamp
    newest = tools.run("get-offsets", *servers, "--topic", "load", "--time", "max-timestamp")
    assert all(0 <= int(line.split(":")[2]) < records for line in newest.split())

    versions = tools.run("broker-api-versions", *servers)
    served = {name: line for line in versions.splitlines() if (name := line.strip().partition("(")[0])}
    for name in ("Produce", "Fetch", "ListOffsets", "Metadata", "JoinGroup", "CreateTopics", "InitProducerId"):
        assert "UNSUPPORTED" not in served[name], f"{name} is not served to Kafka {tools.version}'s client"
        assert "[usable: " in served[name]

    described = tools.run(
        "configs", *servers, "--describe", "--entity-type", "topics", "--entity-name", "load", "--all"
    )
    assert "  retention.ms=604800000 " in described
    assert "  cleanup.policy=delete " in described
