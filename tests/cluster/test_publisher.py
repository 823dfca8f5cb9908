"""Each change reaches those who write before those who serve, and waits for nobody who cannot answer."""

from __future__ import annotations

import pytest

from kbroker.cluster.publisher import PATIENCE_MS, Publisher
from kbroker.ipc.commands import CommandKind
from kbroker.ipc.event_loop import EventLoop
from kbroker.metadata.delta import MetadataDelta, decode_delta
from kbroker.metadata.image import MetadataImage
from kbroker.shared.worker_table import WorkerField, WorkerState, WorkerTable, region_size

NETS, IOS = [1, 2], [3, 4]


class Loop:
    """Time and timers that the test moves."""

    def __init__(self) -> None:
        self.now_ms = 1_000
        self.timers: list[tuple[int, object]] = []

    def call_later(self, delay_ms: int, callback: object) -> None:
        self.timers.append((self.now_ms + delay_ms, callback))

    def advance(self, milliseconds: int) -> None:
        end = self.now_ms + milliseconds
        while due := sorted((at for at, _ in self.timers if at <= end)):
            self.now_ms = due[0]
            ripe = [callback for at, callback in self.timers if at <= due[0]]
            self.timers = [timer for timer in self.timers if timer[0] > due[0]]
            for callback in ripe:
                callback()  # type: ignore[operator]
        self.now_ms = end


class Cluster:
    """The publisher, its workers, and what each was sent: (version, full)."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.table = WorkerTable(memoryview(bytearray(region_size(2, 2))), 2, 2)
        self.sent: list[tuple[int, int, bool]] = []
        self.image = MetadataImage(version=10, cluster_id="c")
        for worker in (*NETS, *IOS):
            self.be(worker, WorkerState.READY)
            self.table.set(worker, WorkerField.METADATA_VERSION, 10)
        self.publisher = Publisher(self.loop, self, self.table, lambda: self.image)  # type: ignore[arg-type]
        self.done: list[int] = []

    def send(self, worker: int, kind: CommandKind, version: int, body: bytes) -> None:
        assert kind == CommandKind.METADATA
        delta = decode_delta(body)
        assert delta.version == version
        self.sent.append((worker, version, delta.full))

    def be(self, worker: int, state: WorkerState) -> None:
        self.table.set(worker, WorkerField.STATE, state)

    def publish(self) -> int:
        version = self.image.version + 1
        self.image = MetadataImage(version=version, cluster_id="c")
        self.publisher.publish(MetadataDelta(version), lambda: self.done.append(version))
        return version

    def apply(self, *workers: int, version: int) -> None:
        """Workers say that they work with a version."""
        for worker in workers:
            self.table.set(worker, WorkerField.METADATA_VERSION, version)
        self.publisher.check()

    def told(self) -> list[tuple[int, int, bool]]:
        """Return what was sent since the last call."""
        sent, self.sent = self.sent, []
        return sent


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def to(workers: list[int], version: int, *, full: bool = False) -> list[tuple[int, int, bool]]:
    return [(worker, version, full) for worker in workers]


def test_writers_first_then_servers_then_the_asker(cluster: Cluster) -> None:
    cluster.publish()
    assert cluster.told() == to(IOS, 11)
    cluster.apply(3, version=11)
    assert cluster.told() == []
    cluster.apply(4, version=11)
    assert cluster.told() == to(NETS, 11)
    cluster.apply(1, version=11)
    assert cluster.done == []
    cluster.apply(2, version=11)
    assert cluster.done == [11]
    cluster.loop.advance(60_000)
    assert cluster.told() == []
    assert not cluster.loop.timers, "nothing to look after any more"


def test_changes_overtake_each_other_nowhere(cluster: Cluster) -> None:
    cluster.publish()
    cluster.publish()
    assert cluster.told() == to(IOS, 11) + to(IOS, 12)
    cluster.apply(*IOS, version=12)
    assert cluster.told() == to(NETS, 11) + to(NETS, 12)
    cluster.apply(*NETS, version=11)
    assert cluster.done == [11]
    cluster.apply(*NETS, version=12)
    assert cluster.done == [11, 12]


@pytest.mark.parametrize("state", [WorkerState.ABSENT, WorkerState.STARTING, WorkerState.STOPPING])
@pytest.mark.parametrize("dead", [3, 1], ids=["IO worker", "network worker"])
def test_a_worker_that_dies_in_the_middle_is_not_waited_for(cluster: Cluster, dead: int, state: WorkerState) -> None:
    cluster.publish()
    cluster.be(dead, state)
    cluster.apply(*[worker for worker in IOS if worker != dead], version=11)
    cluster.loop.advance(20)
    assert (NETS[1], 11, False) in cluster.told()
    cluster.apply(*[worker for worker in NETS if worker != dead], version=11)
    cluster.loop.advance(20)
    assert cluster.done == [11]


def test_a_worker_that_lives_but_does_not_move_is_waited_for_only_so_long(cluster: Cluster) -> None:
    cluster.publish()
    cluster.told()
    cluster.loop.advance(PATIENCE_MS - 100)
    assert cluster.told() == []
    cluster.loop.advance(200)
    assert cluster.told() == to(NETS, 11)
    cluster.loop.advance(PATIENCE_MS + 100)
    assert cluster.done == [11]


def test_an_io_worker_that_greets_gets_the_whole_image_at_once(cluster: Cluster) -> None:
    cluster.be(3, WorkerState.STARTING)
    cluster.publisher.greet(3)
    assert cluster.told() == to([3], 10, full=True)


def test_a_network_worker_that_greets_gets_the_image_once_the_logs_are_open(cluster: Cluster) -> None:
    """Else it would serve partitions that nobody has opened yet."""
    cluster.table.set(4, WorkerField.METADATA_VERSION, -1)
    cluster.be(4, WorkerState.STARTING)
    cluster.be(1, WorkerState.STARTING)
    cluster.publisher.greet(1)
    cluster.loop.advance(1000)
    assert cluster.told() == []
    cluster.apply(4, version=10)
    assert cluster.told() == to([1], 10, full=True)


def test_a_network_worker_is_not_kept_waiting_for_ever_by_a_long_recovery(cluster: Cluster) -> None:
    cluster.table.set(4, WorkerField.METADATA_VERSION, -1)
    cluster.be(4, WorkerState.STARTING)
    cluster.publisher.greet(1)
    cluster.loop.advance(PATIENCE_MS + 100)
    assert cluster.told() == to([1], 10, full=True)


def test_who_greets_while_a_change_is_on_its_way_gets_an_image_with_it(cluster: Cluster) -> None:
    cluster.publish()
    cluster.told()
    cluster.publisher.greet(1)
    cluster.apply(*IOS, version=11)
    assert (1, 11, True) in cluster.told()


def test_it_works_on_a_real_loop() -> None:
    loop = EventLoop()
    cluster = Cluster()
    publisher = Publisher(loop, cluster, cluster.table, lambda: cluster.image)  # type: ignore[arg-type]
    publisher.publish(MetadataDelta(11), loop.stop)
    for worker in (*NETS, *IOS):
        cluster.table.set(worker, WorkerField.METADATA_VERSION, 11)
    loop.run()
    loop.close()


def test_who_changed_nothing_hears_after_what_was_published_before(cluster: Cluster) -> None:
    """Two ask for the same topic at once: the second must see it, too, when it is told that it exists."""
    cluster.publisher.when_published(lambda: cluster.done.append(0))
    assert cluster.done == [0], "nothing under way: at once"
    cluster.publish()
    cluster.publisher.when_published(lambda: cluster.done.append(1))
    cluster.publisher.when_published(lambda: cluster.done.append(2))
    cluster.apply(*IOS, version=11)
    assert cluster.done == [0]
    cluster.apply(*NETS, version=11)
    assert cluster.done == [0, 11, 1, 2]
