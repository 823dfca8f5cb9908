"""What others' tests are written against stays: names, parameters and defaults; more may come."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from kbroker import testing
from kbroker.testing import pytest_plugin

SIGNATURES: dict[str, str] = {
    "__init__": "(self, config=None, *, data_dir=None, start_timeout_s=30.0, stop_timeout_s=30.0, log_level=None)",
    "start": "(self)",
    "stop": "(self)",
    "kill": "(self)",
    "restart": "(self, *, clean=True)",
    "close": "(self)",
    "kill_worker": "(self, name)",
    "wait_worker_back": "(self, name, killed_pid, timeout_s=20.0)",
    "worker_pids": "(self)",
    "log_text": "(self)",
    "log_bytes": "(self, position=0)",
    "log_size": "(self)",
    "create_topic": "(self, name, partitions=1, config=None, timeout_s=20.0)",
    "delete_topic": "(self, name, timeout_s=20.0)",
    "admin": "(self)",
    "produce": "(self, topic, *values, key=None, headers=(), partition=None, timestamp_ms=None, timeout_s=20.0)",
    "consume": "(self, topic, count=1, *, group_id=None, timeout_s=20.0)",
    "records": "(self, topic, *, timeout_s=20.0)",
}
PROPERTIES = ("bootstrap_servers", "port", "listeners", "directory", "log_dirs", "data_dir", "pid")
NAMES = {"Broker", "BrokerFactory", "ConfigError", "KafkaException", "KbrokerError", "Record", "StartupError"}
FIXTURES = {
    "kbroker": "session",
    "kbroker_config": "session",
    "kbroker_topic": "function",
    "kbroker_fresh": "function",
    "kbroker_factory": "function",
}


def _plain(function: Any) -> str:
    """A signature without its annotations."""
    signature = inspect.signature(function)
    parameters = [one.replace(annotation=inspect.Parameter.empty) for one in signature.parameters.values()]
    return str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))


@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_a_method_keeps_its_signature(name: str) -> None:
    assert _plain(getattr(testing.Broker, name)) == SIGNATURES[name]


def test_names_and_properties_stay() -> None:
    assert set(testing.__all__) >= NAMES
    assert all(getattr(testing, name) is not None for name in NAMES)
    assert all(isinstance(getattr(testing.Broker, name), property) for name in PROPERTIES)
    fields = ("topic", "partition", "offset", "timestamp_ms", "key", "value", "headers")
    assert testing.Record.__match_args__[: len(fields)] == fields


def test_errors_can_be_caught_by_their_names() -> None:
    import confluent_kafka

    assert testing.KafkaException is confluent_kafka.KafkaException
    assert issubclass(testing.StartupError, testing.KbrokerError)
    with pytest.raises(AttributeError, match="no attribute 'Brocker'"):
        _ = testing.Brocker  # type: ignore[attr-defined]


def test_fixtures_keep_their_scope() -> None:
    assert {name: getattr(pytest_plugin, name)._fixture_function_marker.scope for name in FIXTURES} == FIXTURES
