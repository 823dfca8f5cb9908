"""The fixtures as a project finds them that has kbroker installed: no import, no conftest."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

TESTS = """
import confluent_kafka
import pytest

topics = []


@pytest.mark.parametrize("value", [b"one", b"two"])
def test_round_trip(kbroker, kbroker_topic, value):
    topics.append(kbroker_topic)
    producer = confluent_kafka.Producer({"bootstrap.servers": kbroker.bootstrap_servers})
    producer.produce(kbroker_topic, value)
    assert producer.flush(30) == 0
    consumer = confluent_kafka.Consumer({"bootstrap.servers": kbroker.bootstrap_servers, "group.id": "g"})
    consumer.assign([confluent_kafka.TopicPartition(kbroker_topic, 0, 0)])
    assert consumer.poll(30).value() == value
    consumer.close()


def test_each_test_has_its_topic(kbroker, kbroker_config):
    assert len(set(topics)) == 2
    assert kbroker_config == {"num.io.threads": "1"}
    assert sorted(kbroker.worker_pids())[1] == "io-0"
    assert not set(topics) & kbroker.admin().list_topics(timeout=30).topics.keys()
"""

CONFTEST = """
import pytest


@pytest.fixture(scope="session")
def kbroker_config():
    return {"num.io.threads": "1"}
"""


Project = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project elsewhere: a function that writes its files (`name_ext` → text) and runs pytest with more arguments."""

    def run(*arguments: str, **files: str) -> subprocess.CompletedProcess[str]:
        for name, text in files.items():
            (tmp_path / ".".join(name.rsplit("_", 1))).write_text(text)
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    return run


def test_a_project_uses_both_fixtures_and_configures_the_broker(project: Project) -> None:
    done = project(test_project_py=TESTS, conftest_py=CONFTEST)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


OWN_BROKERS = """
pids = set()


def test_one(kbroker_fresh, kbroker):
    pids.update({kbroker_fresh.pid, kbroker.pid})
    kbroker_fresh.produce("t", "x")


def test_two(kbroker_fresh, kbroker, kbroker_factory, tmp_path):
    assert "t" not in kbroker_fresh.admin().list_topics(timeout=30).topics
    other = kbroker_factory({"num.io.threads": 2}, data_dir=tmp_path)
    assert {"io-0", "io-1"} < set(other.worker_pids())
    pids.update({kbroker_fresh.pid, kbroker.pid, other.pid})
    assert len(pids) == 4


def test_they_ended_with_their_tests(kbroker):
    import os
    for pid in pids - {kbroker.pid}:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            continue
        raise AssertionError("still there")
"""


def test_brokers_of_a_tests_own_end_with_it(project: Project) -> None:
    done = project(test_own_py=OWN_BROKERS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


CONFIGURED = """
def value(broker, key):
    from confluent_kafka.admin import ConfigResource
    resource = ConfigResource(ConfigResource.Type.BROKER, "0")
    return broker.admin().describe_configs([resource])[resource].result(30)[key].value


def test_where_a_value_comes_from(kbroker, kbroker_fresh, kbroker_factory, kbroker_config):
    assert kbroker_config["num.partitions"] == "2"
    assert value(kbroker, "num.partitions") == value(kbroker_fresh, "num.partitions") == "2"
    assert value(kbroker_factory({"num.partitions": 3}), "num.partitions") == "3"
    assert value(kbroker_factory({"log.retention.hours": 1}), "log.retention.hours") == "5"
    assert kbroker.log_text() == ""
"""

INI = """
[pytest]
kbroker_config =
    num.partitions = 2
    log.retention.hours = 4
kbroker_log_level = error
"""


def test_the_ini_file_and_the_command_line_configure_every_broker(project: Project) -> None:
    done = project("--kbroker-config", "log.retention.hours=5", test_configured_py=CONFIGURED, pytest_ini=INI)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "ini", "said"),
    [
        (
            ["--kbroker-config", "num.partition=2"],
            "[pytest]",
            "--kbroker-config: unknown key num.partition; did you mean",
        ),
        (["--kbroker-config", "num.partitions"], "[pytest]", "--kbroker-config: num.partitions: expected KEY=VALUE"),
        (["--kbroker-log-level", "loud"], "[pytest]", "--kbroker-log-level"),
        ([], "[pytest]\nkbroker_config = num.partition=2", "did you mean num.partitions?"),
        ([], "[pytest]\nkbroker_log_level = loud", "kbroker_log_level = LOUD: expected one of DEBUG"),
    ],
)
def test_misspelt_configuration_ends_the_session_at_once(
    project: Project, arguments: list[str], ini: str, said: str
) -> None:
    done = project(*arguments, test_any_py="def test(): pass", pytest_ini=ini)
    assert done.returncode == 4
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


FAILING = """
import pytest
from kbroker.testing import Broker


def test_quiet(kbroker):
    pass


def test_with_the_sessions_broker(kbroker):
    kbroker.wait_worker_back("io-0", kbroker.kill_worker("io-0"))
    assert "first" == "failure"


def test_that_logs_nothing(kbroker):
    assert "second" == "failure"


def test_without_a_broker():
    assert "third" == "failure"


def test_with_its_own():
    with Broker() as broker:
        raise AssertionError("fourth failure")


@pytest.fixture
def broken(kbroker_fresh):
    yield kbroker_fresh
    raise AssertionError("fifth failure")


def test_in_the_teardown(broken):
    pass


def test_a_start_that_fails(kbroker_factory):
    kbroker_factory({"num.io.threads": "many"})


@pytest.mark.xfail
def test_that_is_expected_to_fail(kbroker_fresh):
    assert "expected" == "failure"
"""


def test_the_report_of_a_failing_test_has_what_its_broker_logged(project: Project) -> None:
    done = project(test_failing_py=FAILING)
    assert done.returncode == 1
    _, *parts = re.split(r"^_+ (?:ERROR at teardown of )?(test_\w+) _+$", done.stdout, flags=re.MULTILINE)
    report = {name: text.split("short test summary")[0] for name, text in zip(parts[::2], parts[1::2], strict=True)}
    assert set(report) == {
        "test_with_the_sessions_broker",
        "test_that_logs_nothing",
        "test_without_a_broker",
        "test_with_its_own",
        "test_in_the_teardown",
        "test_a_start_that_fails",
    }
    killed = report["test_with_the_sessions_broker"]
    assert "log of kbroker at 127.0.0.1:" in killed
    assert "[supervisor]" in killed.split("log of kbroker at")[1]
    assert "Started in" not in killed, "that was before the test"
    assert "(nothing during this test; before it:)" in report["test_that_logs_nothing"]
    assert "log of" not in report["test_without_a_broker"]
    own = report["test_with_its_own"]
    assert own.count("log of") == 1
    assert "Stopped in order" in own
    assert "Started in" in report["test_in_the_teardown"].split("log of")[1]
    assert "num.io.threads=many" in report["test_a_start_that_fails"].split("log of")[1]


MANY = """
import pytest


@pytest.mark.parametrize("number", range(6))
def test_one_of_many(kbroker, kbroker_topic, kbroker_fresh, number):
    kbroker.produce(kbroker_topic, str(number))
    assert [record.text for record in kbroker.records(kbroker_topic)] == [str(number)]
    kbroker_fresh.restart()
    kbroker_fresh.produce("same-name-everywhere", str(number))
    assert len(kbroker_fresh.records("same-name-everywhere")) == 1


def test_that_fails(kbroker):
    assert not kbroker.produce("t", "x")
"""


def test_workers_of_xdist_have_brokers_of_their_own(project: Project) -> None:
    done = project("-n", "3", test_many_py=MANY)
    assert "1 failed, 6 passed" in done.stdout, done.stdout + done.stderr
    assert "log of kbroker at" in done.stdout, "the log travels from the worker to the report"
