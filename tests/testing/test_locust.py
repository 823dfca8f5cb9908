"""KafkaUser as somebody uses it who writes a load test; Locust patches its process, so it runs in one of its own."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

from kbroker.testing import Broker

LOCUSTFILE = """
from collections import Counter

import gevent
from locust import constant_throughput, events, task

from kbroker.testing.locust import KafkaUser


class Customer(KafkaUser):
    wait_time = constant_throughput(20)
    response_time_unit = "UNIT"

    @task(10)
    def order(self):
        assert self.produce("orders", "three pears", key="customer 7").offset >= 0

    @task(5)
    def read(self):
        for record in self.consume("orders", group_id="warehouse"):
            assert record.text == "three pears"

    @task(1)
    def fail(self):
        assert self.produce("no such topic", "x") is None
        assert self.timed("Own", "call", lambda: 6 * 7) == 42


@events.init.add_listener
def end_when_all_was_seen(environment, **_):
    told = Counter()

    def count(request_type, **_):
        told[request_type] += 1
        if len(told) == 4 and told.total() > 100:
            environment.events.request.remove_listener(count)
            gevent.spawn(environment.runner.quit)

    environment.events.request.add_listener(count)
"""


def _report(broker: Broker, directory: Path, unit: str) -> dict[str, dict[str, str]]:
    """Run Locust until there is something of everything; return its lines by request type."""
    (directory / "customer.py").write_text(LOCUSTFILE.replace("UNIT", unit))
    command = [sys.executable, "-m", "locust", "-f", "customer.py", "--host", broker.bootstrap_servers, "--headless"]
    command += [
        "--users",
        "4",
        "--spawn-rate",
        "4",
        "--run-time",
        "60s",
        "--csv",
        "report",
        "--exit-code-on-error",
        "0",
    ]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    with (directory / "report_stats.csv").open() as file:
        return {
            row["Type"]: row for row in csv.DictReader(file) if row["Name"] in {"orders", "call"} or row["Type"] == ""
        }


def test_a_user_produces_and_consumes_and_tells_microseconds(tmp_path: Path) -> None:
    with Broker() as broker:
        report = _report(broker, tmp_path, "ms")
        assert set(report) == {"Produce", "Consume", "EndToEnd", "Own", ""}
        assert int(report["Produce"]["Request Count"]) > 10
        assert all(row["Failure Count"] == "0" for api, row in report.items() if api)
        assert int(report[""]["Failure Count"]) > 0, "what the broker refuses is a failure"
        # Milliseconds with their fractions, and no more digits than were measured.
        shortest = report["Produce"]["Min Response Time"]
        assert 0 < float(shortest) < 1000
        assert round(float(shortest), 3) == float(shortest) != int(float(shortest))

        # Who left without a word would hold a partition until a session has timed out.
        group = broker.admin().describe_consumer_groups(["warehouse"])["warehouse"].result(30)
        assert list(group.members) == []

        microseconds = _report(broker, tmp_path, "µs")
        assert set(microseconds) == {"Produce [µs]", "Consume [µs]", "EndToEnd [µs]", "Own [µs]", ""}
        assert float(microseconds["Produce [µs]"]["50%"]) >= 20, "a percentile, in microseconds"


def test_without_locust_it_says_what_to_install() -> None:
    program = "import sys; sys.modules['locust'] = None\nimport kbroker.testing.locust\n"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.splitlines()[-1].startswith("ImportError: kbroker.testing.locust needs Locust")
    assert "pip install 'kbroker[locust]'" in done.stderr
