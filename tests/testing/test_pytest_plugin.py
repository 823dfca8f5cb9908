"""The fixtures as a project finds them that has kbroker installed: no import, no conftest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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


def test_a_project_uses_both_fixtures_and_configures_the_broker(tmp_path: Path) -> None:
    (tmp_path / "test_project.py").write_text(TESTS)
    (tmp_path / "conftest.py").write_text(CONFTEST)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
