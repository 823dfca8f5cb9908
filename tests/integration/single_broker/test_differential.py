"""A part of scripts/differential against Apache Kafka 4.4; and the page that is written from it is true."""

from __future__ import annotations

import os
import subprocess
import sys

import apache_kafka
import pytest
from differential.compatibility import PAGE, served_table
from differential.world import served_versions
from kafka_tools import KafkaTools

from kbroker.testing import Broker

SCENARIOS = "metadata,idempotence,fetch sessions,offset commit,offset for leader epoch,strangers,headers,api versions"
"""Quick ones of each kind; all of them take some minutes."""


@pytest.mark.timeout(300)
def test_raw_requests_right_and_wrong_are_answered_as_kafka_does() -> None:
    KafkaTools(apache_kafka.CURRENT)  # skips where there is no Java
    done = subprocess.run(
        [sys.executable, "-m", "differential", "--against", apache_kafka.CURRENT, "--only", SCENARIOS],
        env={**os.environ, "PYTHONPATH": str(apache_kafka.PROJECT / "tests/support")},
        cwd=apache_kafka.PROJECT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    assert "answered the same" in done.stdout


def test_the_page_about_compatibility_lists_what_is_served() -> None:
    page = (apache_kafka.PROJECT / PAGE).read_text()
    with Broker() as broker:
        served = served_versions(broker.bootstrap_servers)
    missing = [line for line in served_table(served) if line not in page]
    assert not missing, f"scripts/differential --write-docs would write {missing}"
