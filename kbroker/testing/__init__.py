"""A real broker for tests: `Broker`, a context manager; `kbroker` and `kbroker_topic`, fixtures for pytest."""

from kbroker.testing.broker import Broker

__all__ = ["Broker"]
