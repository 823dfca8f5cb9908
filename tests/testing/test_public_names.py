"""What others' tests are written against stays: names, parameters and defaults; more may come."""

from __future__ import annotations

import inspect
from collections.abc import Callable
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
PROPERTIES = ("bootstrap_servers", "port", "listeners", "directory", "log_dirs", "data_dir", "pid", "is_running")
NAMES = {"Broker", "BrokerFactory", "ConfigError", "KafkaException", "KbrokerError", "Record", "StartupError"}
FIXTURES = {
    "kbroker": "session",
    "kbroker_config": "session",
    "kbroker_topic": "function",
    "kbroker_fresh": "function",
    "kbroker_factory": "function",
}


def _function(signature: str) -> Callable[..., Any]:
    """Return a function with that signature."""
    made: dict[str, Any] = {}
    exec(f"def function{signature}: ...", made)
    function: Callable[..., Any] = made["function"]
    return function


def broken_promises(promised: str, real: Callable[..., Any]) -> list[str]:
    """Return how a call that the promised signature allows might fail or mean something else with the real one."""
    old, new = inspect.signature(_function(promised)), inspect.signature(real)
    several = {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}
    broken = []
    for name, parameter in old.parameters.items():
        now = new.parameters.get(name)
        if now is None:
            broken.append(f"{name} is gone")
        elif now.default != parameter.default:
            broken.append(f"{name} had the default {parameter.default!r}, not {now.default!r}")
        elif now.kind not in {parameter.kind, inspect.Parameter.POSITIONAL_OR_KEYWORD}:
            broken.append(f"{name} was {parameter.kind.description}, not {now.kind.description}")
    by_place = [name for name, one in old.parameters.items() if one.kind == inspect.Parameter.POSITIONAL_OR_KEYWORD]
    if list(new.parameters)[: len(by_place)] != by_place:
        broken.append(f"the order was {by_place}")
    broken += [
        f"{name} is new and has no default"
        for name, parameter in new.parameters.items()
        if name not in old.parameters and parameter.default is inspect.Parameter.empty and parameter.kind not in several
    ]
    return broken


@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_a_method_keeps_its_signature(name: str) -> None:
    """Parameters may come, none may go or change."""
    assert broken_promises(SIGNATURES[name], getattr(testing.Broker, name)) == []


@pytest.mark.parametrize(
    "now",
    [
        "(a, b=2, *, c=2)",
        "(a, b=1)",
        "(b, a=1, *, c=2)",
        "(a, b=1, *, c=2, d)",
        "(a, *, b=1, c=2)",
        "(a, d, b=1, *, c=2)",
    ],
)
def test_a_broken_promise_would_be_noticed(now: str) -> None:
    assert broken_promises("(a, b=1, *, c=2)", _function(now))
    assert not broken_promises("(a, b=1, *, c=2)", _function("(a, b=1, d=3, *, c=2, e=5, **others)"))


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


def test_the_factory_takes_what_the_class_takes() -> None:
    assert broken_promises(SIGNATURES["__init__"], testing.BrokerFactory.__call__) == []


def test_fixtures_keep_their_scope() -> None:
    assert {name: getattr(pytest_plugin, name)._fixture_function_marker.scope for name in FIXTURES} == FIXTURES
