"""
Fixtures for pytest: `kbroker`, one broker for the whole session, and `kbroker_topic`, a fresh topic for each test.

    def test_round_trip(kbroker, kbroker_topic):
        producer = confluent_kafka.Producer({"bootstrap.servers": kbroker.bootstrap_servers})
        producer.produce(kbroker_topic, b"hello")

Override the fixture `kbroker_config` in a conftest to configure the broker.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from kbroker.testing.broker import Broker

_MAX_TOPIC_NAME = 249


@pytest.fixture(scope="session")
def kbroker_config() -> dict[str, str]:
    """Return the configuration of the session's broker, as keys of server.properties; override it to change that."""
    return {}


@pytest.fixture(scope="session")
def kbroker(kbroker_config: dict[str, str]) -> Iterator[Broker]:
    """Yield a running broker, shared by all tests of the session."""
    with Broker(kbroker_config) as broker:
        yield broker


@pytest.fixture
def kbroker_topic(kbroker: Broker, request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the name of a topic made for this test alone, with one partition; it is deleted afterwards."""
    number = request.session.stash.get(_TOPIC_COUNT, 0)
    request.session.stash[_TOPIC_COUNT] = number + 1
    suffix = f"-{number}"
    readable = re.sub(r"[^a-zA-Z0-9._-]", "-", request.node.name)[: _MAX_TOPIC_NAME - len(suffix)]
    topic = kbroker.create_topic(readable + suffix)
    yield topic
    kbroker.delete_topic(topic)


_TOPIC_COUNT = pytest.StashKey[int]()
