"""
A steady load on a Kafka broker for Locust: users that produce, consume, and join and leave groups, on confluent-kafka.

    scripts/load --rate 500 --seconds 600          starts a broker, runs this, tells memory and descriptors
    locust -f perf/locustfile.py --host HOST:PORT  with Locust's web page, against any broker

Each call is one line of Locust's report, with its percentiles:

    Produce        from produce() to the acknowledgement, one record at a time per user, acks=1 and acks=all
    Consume        from poll() to the first record           EndToEnd      from produce() to the consumer, every record
    JoinGroup      from subscribe() to the assignment        OffsetCommit, OffsetFetch, LeaveGroup   as their names say

Times are in microseconds, although Locust heads its columns with ms: the names say so (kbroker.testing.locust).
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from locust import events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

from kbroker.testing.locust import KafkaUser

PRODUCERS, CONSUMERS, GROUP_MEMBERS = 8, 2, 2
USERS = PRODUCERS + CONSUMERS + GROUP_MEMBERS
"""How many users there are in all: each kind has a fixed count."""

PARTITIONS = 6
TIMEOUT_S = 30.0
TOLERANCE = 0.95
"""The share of the target rate that must be reached."""


@events.init_command_line_parser.add_listener
def _add_arguments(parser: LocustArgumentParser) -> None:
    parser.add_argument("--records-per-second", type=float, default=200, help="Target rate, of all producers together")
    parser.add_argument("--record-bytes", type=int, default=100, help="Size of a record's value")


class Run:
    """What the users of one run share: its topic, and when it began."""

    def __init__(self, environment: Environment) -> None:
        self._admin = AdminClient({"bootstrap.servers": environment.host, "log_level": 2})
        # A topic of its own: what an earlier run left is not counted.
        self.topic = f"load-{secrets.token_hex(4)}"
        self._admin.create_topics([NewTopic(self.topic, PARTITIONS)])[self.topic].result(TIMEOUT_S)
        self.begun = time.monotonic()
        self.stopped: float | None = None

    def end(self) -> None:
        """Delete the topic."""
        self._admin.delete_topics([self.topic])[self.topic].result(TIMEOUT_S)


_runs: dict[Environment, Run] = {}


@events.test_start.add_listener
def _begin(environment: Environment, **_: Any) -> None:
    _runs[environment] = Run(environment)


@events.test_stopping.add_listener
def _stopping(environment: Environment, **_: Any) -> None:
    _runs[environment].stopped = time.monotonic()


@events.test_stop.add_listener
def _end(environment: Environment, **_: Any) -> None:
    run = _runs[environment]
    run.end()
    produced = sum(entry.num_requests for entry in environment.stats.entries.values() if entry.method == "Produce [µs]")
    consumed = environment.stats.get("every record", "EndToEnd [µs]").num_requests
    failures = environment.stats.total.num_failures
    seconds = (run.stopped or time.monotonic()) - run.begun
    target = environment.parsed_options.records_per_second
    missed = produced < target * seconds * TOLERANCE or consumed < produced * TOLERANCE
    print(
        f"target {target:g}/s; produced {produced / seconds:.1f}/s, consumed {consumed / seconds:.1f}/s over "
        f"{seconds:.0f} s; {failures} failures: {'MISSED' if missed or failures else 'reached'}",
        flush=True,
    )
    environment.process_exit_code = int(missed or failures > 0)


class LoadUser(KafkaUser):
    """A user of this run's topic, at a pace that catches up with what came late."""

    abstract = True
    timeout_s = TIMEOUT_S
    response_time_unit = "µs"

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.run_state = _runs[environment]
        self._next_due = time.monotonic()

    def until_due(self, interval_s: float) -> float:
        """Return how long to wait for the next turn; what came late is caught up with."""
        self._next_due += interval_s
        return max(0.0, self._next_due - time.monotonic())


class ProducingUser(LoadUser):
    """Sends one record after the other at its share of the rate; half of these users with acks=all."""

    fixed_count = PRODUCERS
    _made = 0

    def on_start(self) -> None:
        """Choose acks."""
        acks = ("1", "all")[ProducingUser._made % 2]
        ProducingUser._made += 1
        self.producer_config = {"acks": acks}
        self._name = f"acks={acks}"
        self._value = os.urandom(self.environment.parsed_options.record_bytes)
        self._next_due = time.monotonic()

    def wait_time(self) -> float:
        """Return the wait that keeps the rate."""
        return self.until_due(PRODUCERS / self.environment.parsed_options.records_per_second)

    @task
    def send(self) -> None:
        """Send a record and wait until it is acknowledged."""
        self.produce(self.run_state.topic, self._value, name=self._name)


class ConsumingUser(LoadUser):
    """Reads what the producers send; these users share the partitions as one group."""

    fixed_count = CONSUMERS

    def wait_time(self) -> float:
        """Return 0: a consumer always waits for records."""
        return 0.0

    @task
    def read(self) -> None:
        """Take what has come."""
        self.consume(self.run_state.topic, group_id=f"{self.run_state.topic}-readers", name="every record")


class GroupUser(LoadUser):
    """Joins a group of its own, commits, asks for what it committed, and leaves: every two seconds."""

    fixed_count = GROUP_MEMBERS

    def on_start(self) -> None:
        """Take a group."""
        self._group_id = f"{self.run_state.topic}-{secrets.token_hex(4)}"
        self._committed = 0

    def wait_time(self) -> float:
        """Return the wait until the next visit."""
        return self.until_due(2.0)

    @task
    def visit(self) -> None:
        """Be a member for a moment."""
        for api, seconds, error in self.in_thread(self._visit):
            self.tell(api, "group of one", seconds, 0, error)

    def _visit(self) -> list[tuple[str, float, Exception | None]]:
        calls: list[tuple[str, float, Exception | None]] = []
        assigned: list[TopicPartition] = []
        consumer = Consumer(
            self.configuration(group_id=self._group_id, enable_auto_commit=False, auto_offset_reset="latest")
        )

        def timed(api: str, function: Callable[[], Any]) -> None:
            begun = time.perf_counter()
            error: Exception | None = None
            try:
                function()
            except Exception as caught:
                error = caught
            calls.append((api, time.perf_counter() - begun, error))

        def join() -> None:
            consumer.subscribe([self.run_state.topic], on_assign=lambda _, partitions: assigned.extend(partitions))
            deadline = time.monotonic() + TIMEOUT_S
            while not assigned:
                if time.monotonic() > deadline:
                    raise TimeoutError("no assignment")
                consumer.poll(0.1)

        def commit() -> None:
            self._committed += 1
            offsets = [TopicPartition(self.run_state.topic, 0, self._committed)]
            consumer.commit(offsets=offsets, asynchronous=False)

        def fetch() -> None:
            found = consumer.committed([TopicPartition(self.run_state.topic, 0)], TIMEOUT_S)[0].offset
            if found != self._committed:
                raise AssertionError(f"committed {self._committed}, the broker says {found}")

        timed("JoinGroup", join)
        if calls[0][2] is None:
            timed("OffsetCommit", commit)
            timed("OffsetFetch", fetch)
        timed("LeaveGroup", consumer.close)
        return calls
