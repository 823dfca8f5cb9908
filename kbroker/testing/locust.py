"""
A user for Locust that writes to Kafka topics and reads from them; needs the extra `locust`.

    from locust import constant_throughput, task
    from kbroker.testing.locust import KafkaUser

    class Customer(KafkaUser):
        wait_time = constant_throughput(20)

        @task(10)
        def order(self):
            self.produce("orders", "three pears", key="customer 7")

        @task
        def read(self):
            self.consume("orders", group_id="warehouse")

    locust -f customer.py --host localhost:9092

Lines of Locust's report, each named after its topic:

    Produce   from the call to the broker's acknowledgement
    Consume   from the call to the first record
    EndToEnd  from `produce` to the consumer, for every record that a KafkaUser sent

Locust's greenlets must not block and librdkafka's calls do, so each user has a thread of its own that makes them; times
are taken in that thread, in microseconds. Locust keeps them so for its averages and extremes, but rounds what it makes
percentiles of to whole milliseconds; see `KafkaUser.response_time_unit`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

from kbroker.testing.records import Data, Headers, Record, as_bytes, as_record, header_pairs

try:
    from gevent import GreenletExit
    from gevent.threadpool import ThreadPool
    from locust import User
except ImportError as error:
    raise ImportError(
        f"kbroker.testing.locust needs Locust ({error}); install it with: pip install 'kbroker[locust]'"
    ) from error

Result = TypeVar("Result")

SENT_HEADER = "kbroker-sent-ns"
"""Header of a record that a KafkaUser sent: when, in nanoseconds since 1970, 8 bytes, big endian."""

_FACTORS = {"ms": 1e3, "µs": 1e6}


class KafkaUser(User):  # type: ignore[misc]
    """
    A user of a Kafka cluster, whose address is Locust's `--host`; see the module for an example.

    Class attributes to set in a subclass:

    producer_config     configuration of the producer, such as {"acks": "1"}; names are librdkafka's
    consumer_config     configuration of the consumer
    timeout_s           how long a call may take before it counts as failed
    response_time_unit  "ms": as Locust wants it. "µs": what Locust shows as milliseconds are microseconds, and the
                        names of its lines say so; percentiles have microseconds then. One unit for all users of a run
    """

    abstract = True
    producer_config: ClassVar[Mapping[str, Any]] = {}
    consumer_config: ClassVar[Mapping[str, Any]] = {}
    timeout_s: ClassVar[float] = 30.0
    response_time_unit: ClassVar[Literal["ms", "µs"]] = "ms"

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._thread = ThreadPool(1)
        self._producer: Producer | None = None
        self._consumers: dict[tuple[str, str], Consumer] = {}

    # Calls that are measured

    def produce(
        self,
        topic: str,
        value: Data,
        *,
        key: Data = None,
        headers: Headers = (),
        partition: int | None = None,
        name: str | None = None,
    ) -> Record | None:
        """
        Write a record and wait for the acknowledgement; return it, or None when that failed, which Locust is told.

        name  what Locust's report calls it; None: the topic
        """
        seconds, record, error = self.in_thread(self._produce, topic, value, key, headers, partition)
        self.tell("Produce", name or topic, seconds, len(as_bytes(value) or b""), error)
        return record

    def consume(
        self,
        topic: str,
        *,
        group_id: str,
        max_records: int = 500,
        wait_s: float = 0.5,
        name: str | None = None,
    ) -> list[Record]:
        """
        Return what has come in a topic for a group that this user is a member of; it stays one until the user stops.

        max_records  how many at most
        wait_s       how long to wait for the first one; when none comes, that is no failure and nothing is reported
        name         what Locust's report calls it; None: the topic
        """
        seconds, arrived_ns, found, error = self.in_thread(self._consume, topic, group_id, max_records, wait_s)
        if found or error:
            size = sum(len(record.value or b"") for record in found)
            self.tell("Consume", name or topic, seconds, size, error)
        for record in found:
            stamp = dict(record.headers).get(SENT_HEADER)
            if stamp:
                travelled_s = (arrived_ns - int.from_bytes(stamp, "big")) / 1e9
                self.tell("EndToEnd", name or topic, travelled_s, len(record.value or b""))
        return found

    def timed(self, api: str, name: str, function: Callable[..., Result], *arguments: Any) -> Result | None:
        """Return what the function returns, run in the user's thread and told to Locust; None when it raised."""
        seconds, result, error = self.in_thread(_timed, function, arguments)
        self.tell(api, name, seconds, 0, error)
        return result

    # What subclasses build on

    def in_thread(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Return what the function returns; other users go on meanwhile. A user's calls follow each other."""
        result: Result = self._thread.apply(function, arguments)
        return result

    def configuration(self, **more: Any) -> dict[str, Any]:
        """Return the configuration of a client of this user's; in the names of arguments underscores stand for dots."""
        given = {name.replace("_", "."): value for name, value in more.items()}
        return {"bootstrap.servers": self.environment.host, "log_level": 2, "socket.nagle.disable": True, **given}

    def tell(self, api: str, name: str, seconds: float, size_bytes: int = 0, error: Exception | None = None) -> None:
        """Add a call to Locust's report."""
        if self.response_time_unit != "ms":
            api = f"{api} [{self.response_time_unit}]"
        self.environment.events.request.fire(
            request_type=api,
            name=name,
            # To the microsecond: what is more of a float's digits is noise.
            response_time=round(seconds * 1e6) / (1e6 / _FACTORS[self.response_time_unit]),
            response_length=size_bytes,
            exception=error,
            context=self.context(),
        )

    def on_stop(self) -> None:
        """Close the clients, so that groups need not wait for a session to time out."""
        deadline = time.monotonic() + self.timeout_s
        closing: Any = None
        while (closing is None or not closing.ready()) and time.monotonic() < deadline:
            # Without a stop timeout Locust kills who is still leaving a second time, and then waits.
            with contextlib.suppress(GreenletExit):
                if closing is None:
                    closing = self._thread.spawn(self._close)  # waits for a call under way
                closing.wait(deadline - time.monotonic())

    # In the thread

    def _produce(
        self, topic: str, value: Data, key: Data, headers: Headers, partition: int | None
    ) -> tuple[float, Record | None, Exception | None]:
        answers: list[tuple[KafkaError | None, Any]] = []
        more: dict[str, Any] = {} if partition is None else {"partition": partition}
        begun = time.perf_counter()
        try:
            if self._producer is None:
                timeout_ms = int(self.timeout_s * 1000)
                own = self.configuration(linger_ms=0, message_timeout_ms=timeout_ms, partitioner="murmur2_random")
                self._producer = Producer({**own, **self.producer_config})
                # Connected before the clock starts: users of a load are there already.
                self._producer.list_topics(topic, self.timeout_s)
                begun = time.perf_counter()
            stamp = (SENT_HEADER, time.time_ns().to_bytes(8, "big"))
            self._producer.produce(
                topic,
                as_bytes(value),
                as_bytes(key),
                headers=[*header_pairs(headers), stamp],
                on_delivery=lambda *answer: answers.append(answer),
                **more,
            )
            self._producer.flush(self.timeout_s)
        except (KafkaException, BufferError) as caught:
            return time.perf_counter() - begun, None, caught
        seconds = time.perf_counter() - begun
        if not answers:
            return seconds, None, TimeoutError("no answer")
        error, message = answers[0]
        return (seconds, None, KafkaException(error)) if error else (seconds, as_record(message), None)

    def _consume(
        self, topic: str, group_id: str, max_records: int, wait_s: float
    ) -> tuple[float, int, list[Record], Exception | None]:
        consumer = self._consumers.get((topic, group_id))
        begun = time.perf_counter()
        try:
            if consumer is None:
                own = self.configuration(group_id=group_id, auto_offset_reset="earliest")
                consumer = self._consumers[topic, group_id] = Consumer({**own, **self.consumer_config})
                consumer.subscribe([topic])
            first = consumer.poll(wait_s)
            seconds, arrived_ns = time.perf_counter() - begun, time.time_ns()
            messages = [] if first is None else [first, *consumer.consume(max_records - 1, 0)]
        except KafkaException as error:
            return time.perf_counter() - begun, 0, [], error
        found = [as_record(message) for message in messages if message.error() is None]
        errors = [message.error() for message in messages if message.error() is not None]
        return seconds, arrived_ns, found, KafkaException(errors[0]) if errors else None

    def _close(self) -> None:
        for consumer in self._consumers.values():
            consumer.close()
        self._consumers.clear()
        if self._producer is not None:
            self._producer.flush(self.timeout_s)
            self._producer = None


def _timed(
    function: Callable[..., Result], arguments: tuple[Any, ...]
) -> tuple[float, Result | None, Exception | None]:
    begun = time.perf_counter()
    try:
        result = function(*arguments)
    except Exception as error:
        return time.perf_counter() - begun, None, error
    return time.perf_counter() - begun, result, None
