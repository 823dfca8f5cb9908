"""
A real broker for tests.

    Broker          a context manager, for `with` and `async with`; writes and reads records for those who only test
    Record          one record of a topic
    pytest_plugin   fixtures: kbroker, kbroker_topic, kbroker_fresh, kbroker_factory, kbroker_config
    locust          KafkaUser, a user for Locust; needs the extra `locust`

What can go wrong, besides the TimeoutError of what takes too long:

    KbrokerError
    ├── ConfigError         a configuration key or value that cannot be used
    └── StartupError        the broker does not come up; the message holds its own words
    KafkaException          what a running broker refuses: confluent_kafka's; `.args[0].name()` is Kafka's name for it
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kbroker.errors import ConfigError, KbrokerError, StartupError
from kbroker.testing.broker import Broker, BrokerFactory
from kbroker.testing.records import Record

if TYPE_CHECKING:
    from confluent_kafka import KafkaException

__all__ = ["Broker", "BrokerFactory", "ConfigError", "KafkaException", "KbrokerError", "Record", "StartupError"]


def __getattr__(name: str) -> object:
    """Return KafkaException: the client library is loaded when somebody asks for it, not in every test session."""
    if name == "KafkaException":
        from confluent_kafka import KafkaException  # noqa: PLC0415

        return KafkaException
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
