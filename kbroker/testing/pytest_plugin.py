"""
What installing kbroker gives a pytest project.

    kbroker          one broker for the whole session
    kbroker_topic    a fresh topic of it for each test
    kbroker_fresh    a broker of the test's own, empty
    kbroker_factory  makes brokers of the test's own: kbroker_factory({"num.partitions": 3})
    kbroker_config   keys of server.properties for the brokers above; override it in a conftest

    def test_round_trip(kbroker, kbroker_topic):
        kbroker.produce(kbroker_topic, "hello")
        assert kbroker.consume(kbroker_topic)[0].text == "hello"

Configuration, each winning over the one before: the ini option `kbroker_config` (lines of key=value), the fixture
`kbroker_config`, the argument of `kbroker_factory`, and `--kbroker-config KEY=VALUE`. The log level likewise:
`kbroker_log_level` and `--kbroker-log-level`.

The report of a failing test has a section for each broker that the test used: what it logged during the test.
With pytest-xdist each worker has a session and so a broker of its own.
"""

from __future__ import annotations

import contextlib
import os
import re
import weakref
from collections.abc import Iterator, Mapping, Sequence

import pytest

from kbroker.testing.broker import Broker, BrokerFactory, ConfigValue, started_brokers

_MAX_TOPIC_NAME = 249
_SECTION_BYTES = 32_768
"""What of a broker's log a report shows at most, its end."""
_LINES_BEFORE = 10
"""Lines from before the test that are shown when a broker logged nothing during it."""

_TOPIC_COUNT = pytest.StashKey[int]()
_LOGGED_BEFORE = pytest.StashKey[weakref.WeakKeyDictionary[Broker, int]]()
"""Of a test: bytes that each broker's log had when it began."""

_LEVELS = ("DEBUG", "INFO", "WARN", "ERROR")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("kbroker", "brokers of kbroker")
    group.addoption(
        "--kbroker-config",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="A key of server.properties for the brokers of all fixtures; wins over every other place. Repeatable.",
    )
    group.addoption(
        "--kbroker-log-level",
        type=str.upper,
        choices=_LEVELS,
        metavar="LEVEL",
        help="What the brokers log: DEBUG, INFO, WARN or ERROR.",
    )
    parser.addini("kbroker_config", "Keys of server.properties for the brokers of all fixtures.", type="linelist")
    parser.addini("kbroker_log_level", "What the brokers log: DEBUG, INFO, WARN or ERROR.", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Check what was configured before any test runs."""
    _ini_config(config)
    _command_line_config(config)
    level = _log_level(config)
    if level is not None and level not in _LEVELS:
        raise pytest.UsageError(f"kbroker_log_level = {level}: expected one of {', '.join(_LEVELS)}")


@pytest.fixture(scope="session")
def kbroker_config(pytestconfig: pytest.Config) -> dict[str, str]:
    """Return keys of server.properties for the brokers of all fixtures: the ini file's; override it to change that."""
    return _ini_config(pytestconfig)


@pytest.fixture(scope="session")
def kbroker(kbroker_config: Mapping[str, ConfigValue], pytestconfig: pytest.Config) -> Iterator[Broker]:
    """Yield a running broker, shared by all tests of the session."""
    with Broker(_merged(pytestconfig, kbroker_config), log_level=_log_level(pytestconfig)) as broker:
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
    if kbroker.is_running:  # a test may have ended it
        kbroker.delete_topic(topic)


@pytest.fixture
def kbroker_factory(kbroker_config: Mapping[str, ConfigValue], pytestconfig: pytest.Config) -> Iterator[BrokerFactory]:
    """Yield a function that starts a broker for this test, configured like `kbroker` and by its arguments."""
    with contextlib.ExitStack() as stack:

        def make(
            config: Mapping[str, ConfigValue] | None = None,
            *,
            data_dir: str | os.PathLike[str] | None = None,
            start_timeout_s: float = 30.0,
            stop_timeout_s: float = 30.0,
            log_level: str | None = None,
        ) -> Broker:
            return stack.enter_context(
                Broker(
                    _merged(pytestconfig, kbroker_config, config or {}),
                    data_dir=data_dir,
                    start_timeout_s=start_timeout_s,
                    stop_timeout_s=stop_timeout_s,
                    log_level=log_level or _log_level(pytestconfig),
                )
            )

        yield make


@pytest.fixture
def kbroker_fresh(kbroker_factory: BrokerFactory) -> Broker:
    """Return a running broker of this test's own: no topics, groups or settings of others, and free to be killed."""
    return kbroker_factory()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Note where each broker's log is when a test begins."""
    item.stash[_LOGGED_BEFORE] = weakref.WeakKeyDictionary({broker: broker.log_size() for broker in started_brokers()})


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Add to the report of a failing test what its brokers logged."""
    outcome = yield
    report: pytest.TestReport = outcome.get_result()  # type: ignore[attr-defined]
    if report.failed:
        report.sections += [(_title(broker), text) for broker, text in _logs(item)]


def _logs(item: pytest.Item) -> Iterator[tuple[Broker, str]]:
    """Yield the brokers that a test used or that logged something during it, with what they logged."""
    used = [value for value in getattr(item, "funcargs", {}).values() if isinstance(value, Broker)]
    before = item.stash.get(_LOGGED_BEFORE, weakref.WeakKeyDictionary())
    for broker in started_brokers():
        if logged := broker.log_bytes(before.get(broker, 0)):
            yield broker, _readable(logged)
        elif broker in used:
            lines = _readable(broker.log_bytes()).splitlines()[-_LINES_BEFORE:]
            yield broker, "\n".join(["(nothing during this test; before it:)", *lines])


def _readable(logged: bytes) -> str:
    if len(logged) > _SECTION_BYTES:
        cut = logged[-_SECTION_BYTES:]
        logged = b"(the beginning is left out)\n" + cut[cut.find(b"\n") + 1 :]
    return logged.decode(errors="replace").rstrip()


def _title(broker: Broker) -> str:
    with contextlib.suppress(RuntimeError):
        return f"log of kbroker at {broker.bootstrap_servers}"
    return "log of a kbroker that ended"


def _merged(pytestconfig: pytest.Config, *configs: Mapping[str, ConfigValue]) -> dict[str, ConfigValue]:
    merged: dict[str, ConfigValue] = dict(_ini_config(pytestconfig))
    for config in configs:
        merged.update(config)
    merged.update(_command_line_config(pytestconfig))
    return merged


def _ini_config(pytestconfig: pytest.Config) -> dict[str, str]:
    return _parsed(pytestconfig.getini("kbroker_config"), "kbroker_config of the ini file")


def _command_line_config(pytestconfig: pytest.Config) -> dict[str, str]:
    return _parsed(pytestconfig.getoption("--kbroker-config"), "--kbroker-config")


def _parsed(entries: Sequence[str], place: str) -> dict[str, str]:
    """Return the keys and values of `key=value` entries; raises UsageError for what is none, and for unknown keys."""
    parsed: dict[str, str] = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        name = name.strip()
        if not equals or not name:
            raise pytest.UsageError(f"{place}: {entry}: expected KEY=VALUE")
        parsed[name] = value.strip()
    if parsed:
        from kbroker.config.keys import BROKER_KEYS  # noqa: PLC0415 - only for those who configure something
        from kbroker.config.settings import unknown_key  # noqa: PLC0415 - as above

        for name in parsed:
            if name not in BROKER_KEYS:
                raise pytest.UsageError(f"{place}: {unknown_key(name)}")
    return parsed


def _log_level(pytestconfig: pytest.Config) -> str | None:
    level = pytestconfig.getoption("--kbroker-log-level") or pytestconfig.getini("kbroker_log_level")
    return str(level).upper() or None
