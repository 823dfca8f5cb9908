"""Logs and batches for the storage tests: real files in tmp_path, a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kbroker.clock import ManualClock
from kbroker.protocol.record_batch import BatchBuilder
from kbroker.storage.log import Log
from kbroker.storage.log_config import LogConfig
from kbroker.types import TopicPartition


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def batch() -> Callable[..., memoryview]:
    """Make one batch of `count` records; timestamps go up by one from `timestamp`."""

    def make(count: int = 1, timestamp: int = 1000, value: bytes = b"value", **fields: Any) -> memoryview:
        builder = BatchBuilder(**fields)
        for number in range(count):
            builder.append(b"key", value, timestamp + number)
        return memoryview(bytearray(builder.build()))

    return make


@pytest.fixture
def open_log(tmp_path, clock):
    """Open (or reopen) the log t-0; every log opened is closed at the end."""
    opened: list[Log] = []

    def open_(config: LogConfig | None = None, **options: Any) -> Log:
        options.setdefault("clock", clock)
        name = options.pop("name", "t-0")
        log = Log.open(f"{tmp_path}/{name}", TopicPartition("t", 0), config or LogConfig(), **options)
        opened.append(log)
        return log

    yield open_
    for log in opened:
        log.close_files()


@pytest.fixture
def append(batch, clock):
    """Append one batch and return what its producer is told."""

    def append_(log: Log, *arguments: Any, leader_epoch: int = 0, **options: Any):
        staged = log.stage(batch(*arguments, **options), leader_epoch, clock.wall_ms())
        log.write_staged()
        return staged

    return append_
