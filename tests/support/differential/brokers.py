"""The brokers that are compared: started with the same settings, each in a directory that goes with it."""

from __future__ import annotations

import contextlib
import signal
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from apache_kafka import KafkaServer

from kbroker.testing import Broker

SETTINGS: Final[Mapping[str, str]] = {
    "node.id": "1",
    "auto.create.topics.enable": "false",
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "log.initial.task.delay.ms": "600000",
}
"""What both are told; everything else is each one's default."""


class Running(NamedTuple):
    """Where a broker is reached, and where it keeps its partitions."""

    address: str
    log_dir: Path


@contextlib.contextmanager
def running_kbroker() -> Iterator[Running]:
    """Yield a kbroker."""
    with Broker(SETTINGS) as broker:
        yield Running(broker.bootstrap_servers, broker.data_dir)


@contextlib.contextmanager
def running_kafka(version: str) -> Iterator[Running]:
    """Yield an Apache Kafka, "4.4" or "3.9"."""
    with tempfile.TemporaryDirectory(prefix="kbroker-differential-", ignore_cleanup_errors=True) as directory:
        server = KafkaServer(version, Path(directory), settings=SETTINGS)
        server.start()
        try:
            yield Running(server.bootstrap_servers, server.log_dir)
        finally:
            server.end(signal.SIGKILL)
