"""
A steady load on a Kafka broker for Locust: users that produce, consume, and join and leave groups, on confluent-kafka.

    scripts/load --rate 500 --seconds 600          starts a broker, runs this, tells memory and descriptors
    locust -f perf/locustfile.py --host HOST:PORT  with Locust's web page, against any broker

Each call is one line of Locust's report, with its percentiles:

    Produce        from produce() to the acknowledgement, one record at a time per user, acks=1 and acks=all
    EndToEnd       from produce() to the consumer, for every record; its consumers form one group
    JoinGroup      from subscribe() to the assignment        OffsetCommit, OffsetFetch, LeaveGroup   as their names say

Locust's greenlets must not block and librdkafka's calls do, so each user has a thread of its own that makes them; times
are taken in that thread.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Callable
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from gevent.threadpool import ThreadPool
from locust import User, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

PRODUCERS, CONSUMERS, GROUP_MEMBERS = 8, 2, 2
USERS = PRODUCERS + CONSUMERS + GROUP_MEMBERS
"""How many users there are in all: each kind has a fixed count."""

PARTITIONS = 6
TIMEOUT_S = 30.0
TOLERANCE = 0.95
"""The share of the target rate that must be reached."""

_STAMP_BYTES = 8


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
    produced = sum(entry.num_requests for entry in environment.stats.entries.values() if entry.method == "Produce")
    consumed = environment.stats.get("every record", "EndToEnd").num_requests
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


class KafkaUser(User):
    """A user with a thread for librdkafka's calls."""

    abstract = True

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._thread = ThreadPool(1)
        self.run_state = _runs[environment]
        self._next_due = time.monotonic()

    def in_thread(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Return what the function returns; other users go on meanwhile. A user's calls follow each other."""
        result: Result = self._thread.apply(function, arguments)
        return result

    def configuration(self, **more: Any) -> dict[str, Any]:
        """Return the configuration of a client; underscores stand for dots."""
        given = {key.replace("_", "."): value for key, value in more.items()}
        return {"bootstrap.servers": self.environment.host, "log_level": 2, "socket.nagle.disable": True, **given}

    def tell(self, api: str, name: str, seconds: float, size: int = 0, error: Exception | None = None) -> None:
        """Add a call to Locust's report."""
        self.environment.events.request.fire(
            request_type=api, name=name, response_time=seconds * 1000, response_length=size, exception=error, context={}
        )

    def until_due(self, interval_s: float) -> float:
        """Return how long to wait for the next turn; what came late is caught up with."""
        self._next_due += interval_s
        return max(0.0, self._next_due - time.monotonic())


class ProducingUser(KafkaUser):
    """Sends one record after the other at its share of the rate; half of these users with acks=all."""

    fixed_count = PRODUCERS
    _made = 0

    def on_start(self) -> None:
        """Connect."""
        acks = ("1", "all")[ProducingUser._made % 2]
        ProducingUser._made += 1
        self._name = f"acks={acks}"
        self._producer = Producer(self.configuration(acks=acks, linger_ms=0, message_timeout_ms=int(TIMEOUT_S * 1000)))
        self._filling = os.urandom(max(0, self.environment.parsed_options.record_bytes - _STAMP_BYTES))
        self.in_thread(self._producer.list_topics, self.run_state.topic, TIMEOUT_S)
        self._next_due = time.monotonic()

    def wait_time(self) -> float:
        """Return the wait that keeps the rate."""
        return self.until_due(PRODUCERS / self.environment.parsed_options.records_per_second)

    @task
    def produce(self) -> None:
        """Send a record and wait until it is acknowledged."""
        seconds, error = self.in_thread(self._send)
        self.tell("Produce", self._name, seconds, self.environment.parsed_options.record_bytes, error)

    def _send(self) -> tuple[float, Exception | None]:
        answers: list[KafkaError | None] = []
        begun = time.perf_counter()
        value = time.time_ns().to_bytes(_STAMP_BYTES, "big") + self._filling
        try:
            self._producer.produce(self.run_state.topic, value, on_delivery=lambda error, _: answers.append(error))
            self._producer.flush(TIMEOUT_S)
        except (KafkaException, BufferError) as error:
            return time.perf_counter() - begun, error
        seconds = time.perf_counter() - begun
        if not answers:
            return seconds, TimeoutError("no answer")
        return seconds, KafkaException(answers[0]) if answers[0] else None


class ConsumingUser(KafkaUser):
    """Reads what the producers send; these users share the partitions as one group."""

    fixed_count = CONSUMERS

    def on_start(self) -> None:
        """Join the group."""
        self._consumer = Consumer(
            self.configuration(group_id=f"{self.run_state.topic}-readers", auto_offset_reset="earliest")
        )
        self._consumer.subscribe([self.run_state.topic])

    def on_stop(self) -> None:
        """Leave the group."""
        self.in_thread(self._consumer.close)

    def wait_time(self) -> float:
        """Return 0: a consumer always waits for records."""
        return 0.0

    @task
    def consume(self) -> None:
        """Take what has come."""
        for seconds, size, error in self.in_thread(self._read):
            self.tell("EndToEnd", "every record", seconds, size, error)

    def _read(self) -> list[tuple[float, int, Exception | None]]:
        first = self._consumer.poll(0.5)
        if first is None:
            return []
        messages = [first, *self._consumer.consume(500, 0)]
        now = time.time_ns()
        return [
            (0.0, 0, KafkaException(message.error()))
            if message.error()
            else ((now - int.from_bytes(message.value()[:_STAMP_BYTES], "big")) / 1e9, len(message.value()), None)
            for message in messages
        ]


class GroupUser(KafkaUser):
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
