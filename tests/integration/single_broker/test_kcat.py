"""kcat: metadata, every compression of its librdkafka, offsets, time, keys and headers, from the shell."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from kbroker.testing import Broker


@pytest.fixture
def broker() -> Iterator[Broker]:
    if shutil.which("kcat") is None:
        pytest.fail("kcat is missing: run scripts/test, which installs it")
    with Broker() as broker:
        yield broker


def _kcat(broker: Broker, *arguments: str, text: str = "") -> str:
    done = subprocess.run(
        ["kcat", "-b", broker.bootstrap_servers, *arguments],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_lists_the_broker_and_its_topics(broker: Broker) -> None:
    broker.create_topic("listed", 3)
    metadata = json.loads(_kcat(broker, "-L", "-J"))
    assert [node["name"] for node in metadata["brokers"]] == [broker.bootstrap_servers]
    (topic,) = [topic for topic in metadata["topics"] if topic["topic"] == "listed"]
    assert [part["partition"] for part in topic["partitions"]] == [0, 1, 2]
    assert {part["leader"] for part in topic["partitions"]} == {metadata["brokers"][0]["id"]}


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_what_it_produced_it_consumes(broker: Broker, compression: str) -> None:
    lines = [f"key{number}:{'value ' * 30}{number}" for number in range(500)]
    _kcat(
        broker, "-P", "-t", "made", "-K:", "-z", compression, "-H", "origin=kcat", "-X", "enable.idempotence=true",
        text="\n".join(lines),
    )  # fmt: skip
    broker.restart()
    arguments = ("-C", "-q", "-e", "-t", "made", "-o", "beginning", "-f", "%k:%s|%h\n")
    assert sorted(_kcat(broker, *arguments).splitlines()) == sorted(f"{line}|origin=kcat" for line in lines)


def test_it_reads_from_an_offset_from_the_end_and_from_a_time(broker: Broker) -> None:
    broker.create_topic("numbers")
    _kcat(broker, "-P", "-t", "numbers", text="".join(f"{number}\n" for number in range(100)))
    read = ("-C", "-q", "-e", "-t", "numbers", "-p", "0")
    assert _kcat(broker, *read, "-o", "95").split() == ["95", "96", "97", "98", "99"]
    assert _kcat(broker, *read, "-o", "-3").split() == ["97", "98", "99"]
    assert _kcat(broker, *read, "-o", "beginning", "-c", "2").split() == ["0", "1"]
    assert _kcat(broker, *read, "-o", "s@1000000000000", "-c", "1").split() == ["0"]
    assert _kcat(broker, "-Q", "-t", "numbers:0:-1").split() == ["numbers", "[0]", "offset", "100"]
    assert _kcat(broker, "-Q", "-t", "numbers:0:-2").split() == ["numbers", "[0]", "offset", "0"]
