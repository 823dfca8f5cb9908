"""A network worker's surroundings without processes: a view, a channel that the test answers, timers it moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from kbroker.api.cluster_view import ClusterView
from kbroker.api.request import ConnectionInfo, RequestContext
from kbroker.ipc.commands import ForwardedRequest
from kbroker.metadata.image import BrokerState, Endpoint, MetadataImage, PartitionState, TopicState
from kbroker.protocol.schema import Message
from kbroker.shared.partition_table import PartitionRow, PartitionTable, region_size
from kbroker.shared.worker_table import WorkerTable
from kbroker.shared.worker_table import region_size as worker_region_size

CONNECTION = ConnectionInfo("PLAINTEXT", "::ffff:192.0.2.7", 19092, "/192.0.2.99")


class FakeBlock:
    """A request's bytes where the arena's block would be."""

    def __init__(self, data: bytes) -> None:
        self.view = memoryview(data)
        self.position = 0


@dataclass
class Forwarded:
    """A request that was forwarded."""

    peer: int
    request: ForwardedRequest
    done: Callable[[bytes | None], None]


@dataclass
class Call:
    """A call that was made."""

    peer: int
    name: str
    arguments: dict[str, Any]
    done: Callable[[Any], None]


class FakeChannel:
    """Keeps what was sent; the test answers by calling `done`."""

    def __init__(self) -> None:
        self.forwards: list[Forwarded] = []
        self.calls: list[Call] = []

    def forward(self, peer: int, request: ForwardedRequest, done: Callable[[bytes | None], None]) -> None:
        self.forwards.append(Forwarded(peer, request, done))

    def call(self, peer: int, name: str, arguments: dict[str, Any], done: Callable[[Any], None]) -> None:
        self.calls.append(Call(peer, name, arguments, done))


@dataclass
class FakeTimer:
    """A timer that the test fires."""

    delay_ms: int
    callback: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeTimers:
    """Keeps timers; `fire()` runs those not cancelled."""

    def __init__(self) -> None:
        self.timers: list[FakeTimer] = []

    def call_later(self, delay_ms: int, callback: Callable[[], None]) -> FakeTimer:
        timer = FakeTimer(delay_ms, callback)
        self.timers.append(timer)
        return timer

    def fire(self) -> None:
        timers, self.timers = self.timers, []
        for timer in timers:
            if not timer.cancelled:
                timer.callback()


class Exchange:
    """A request sent to a handler, and what came of it."""

    def __init__(self, message: Message, version: int, connection: ConnectionInfo, api_key: int | None = None) -> None:
        known = type(message).VERSIONS
        assert known is not None
        body = message.encode(min(version, known[1]))
        key = type(message).API_KEY if api_key is None else api_key
        assert key is not None
        head = b"header"
        self.answers = 0
        self.context = RequestContext(
            key, version, 7, "test-client", FakeBlock(head + body), len(head), len(head) + len(body)
        )
        self.context.bind(connection, self._answered)

    def _answered(self, _context: RequestContext) -> None:
        self.answers += 1

    @property
    def answered(self) -> bool:
        return self.answers > 0

    def response(self, message_class: type[Message], version: int | None = None) -> Any:
        """Return the one answer, decoded."""
        assert self.answers == 1
        assert self.context.parts is not None
        data = b"".join(bytes(part) for part in self.context.parts)
        message, end = message_class.decode(data, self.context.api_version if version is None else version)
        assert end == len(data)
        return message


@dataclass
class World:
    """What handlers are made of."""

    brokers: dict[int, BrokerState] = field(
        default_factory=lambda: {5: BrokerState(5, (Endpoint("PLAINTEXT", "PLAINTEXT", "", 9092),), "rack-a")}
    )
    io_workers: int = 2
    channel: FakeChannel = field(default_factory=FakeChannel)
    timers: FakeTimers = field(default_factory=FakeTimers)

    def __post_init__(self) -> None:
        rows = 64
        self.partitions = PartitionTable(memoryview(bytearray(region_size(rows))), rows)
        self.workers = WorkerTable(memoryview(bytearray(worker_region_size(2, self.io_workers))), 2, self.io_workers)
        self.view = ClusterView(
            MetadataImage(version=1, cluster_id="cluster-of-the-test-00", controller_id=5, brokers=self.brokers),
            5,
            self.io_workers,
        )
        self._next_row = 0

    def add_topic(
        self, name: str, partitions: int = 1, *, leader: int = 5, config: dict[str, str] | None = None, epoch: int = 3
    ) -> TopicState:
        """Put a topic into the image; its rows follow each other."""
        states = []
        for partition in range(partitions):
            states.append(PartitionState(partition, self._next_row, leader, epoch, 0, (5,), (5,)))
            self.partitions.publish(self._next_row, PartitionRow(state=1, leader_epoch=epoch))
            self._next_row += 1
        topic_id = name.encode()[:16].ljust(16, b"\1")
        topic = TopicState(name, topic_id, tuple(states), config or {}, internal=name.startswith("__"))
        self.put(topic)
        return topic

    def put(self, topic: TopicState) -> None:
        """Publish an image with `topic` in it."""
        image = self.view.image
        self.view.image = MetadataImage(
            image.version + 1,
            image.cluster_id,
            image.controller_id,
            image.brokers,
            {**image.topics, topic.name: topic},
            {**image.topics_by_id, topic.topic_id: topic},
            image.configs,
        )

    def send(
        self,
        handler: Callable[[RequestContext], None],
        message: Message,
        version: int,
        connection: ConnectionInfo = CONNECTION,
    ) -> Exchange:
        """Hand a request to a handler."""
        exchange = Exchange(message, version, connection)
        handler(exchange.context)
        return exchange


@pytest.fixture
def world() -> World:
    return World()
