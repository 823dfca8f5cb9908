"""A mock cluster inside the client library, for the tools that need nothing but records."""

from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result

from kbroker.__main__ import COMMANDS
from kbroker.cli.command_line import LazyGroup


@pytest.fixture(scope="session")
def mock_servers() -> Iterator[str]:
    """Yield host:port of librdkafka's own mock broker; topics come into being, with four partitions, when asked for."""
    from confluent_kafka import Producer

    keeper = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    broker = next(iter(keeper.list_topics(timeout=10).brokers.values()))
    yield f"{broker.host}:{broker.port}"
    keeper.flush(1)


@pytest.fixture
def run() -> Callable[..., Result]:
    """Return a function that runs `kbroker` with arguments and bytes on standard input."""

    def call(*arguments: str, stdin: bytes = b"") -> Result:
        return CliRunner().invoke(LazyGroup(COMMANDS), arguments, input=stdin)

    return call
