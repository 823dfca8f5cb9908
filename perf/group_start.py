"""
How long a group whose members start together takes to share out its partitions, and how often a member gets some:

    .venv/bin/python perf/group_start.py            # with group.initial.rebalance.delay.ms of 0 and of 3000
"""

from __future__ import annotations

import threading
import time

from confluent_kafka import Consumer

from kbroker.testing import Broker

DELAYS_MS = (0, 3000)
GROUPS = ((1, 0.0), (8, 0.0), (8, 2.0), (32, 0.0), (32, 2.0))
"""Members, and the seconds within which they start."""

PATIENCE_S = 60.0


class Member:
    """A consumer in a thread of its own, and when it was assigned partitions."""

    def __init__(self, broker: Broker, group: str, starts_after_s: float) -> None:
        self.times: list[float] = []
        self.partitions = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(broker.bootstrap_servers, group, starts_after_s))
        self._thread.start()

    def _run(self, bootstrap_servers: str, group: str, starts_after_s: float) -> None:
        time.sleep(starts_after_s)
        consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": group})
        consumer.subscribe(["t"], on_assign=self._assigned, on_revoke=self._revoked)
        while not self._stop.is_set():
            consumer.poll(0.05)
        consumer.close()

    def _assigned(self, _consumer: Consumer, partitions: list) -> None:
        self.times.append(time.monotonic())
        self.partitions = len(partitions)

    def _revoked(self, _consumer: Consumer, _partitions: list) -> None:
        self.partitions = 0

    def stop(self) -> None:
        """End it and wait for it."""
        self._stop.set()
        self._thread.join()


def measure(broker: Broker, members: int, spread_s: float) -> tuple[float, float, int]:
    """Return seconds to the first assignment and to the last, and the most assignments of one member."""
    topic_was = broker.admin().list_topics(timeout=10).topics
    if "t" in topic_was:
        broker.delete_topic("t")
    broker.create_topic("t", members)
    started = time.monotonic()
    group = [Member(broker, f"g-{members}-{spread_s}", spread_s * index / members) for index in range(members)]
    while any(member.partitions != 1 for member in group) and time.monotonic() < started + PATIENCE_S:
        time.sleep(0.02)
    times = [moment - started for member in group for moment in member.times]
    most = max(len(member.times) for member in group)
    for member in group:
        member.stop()
    return min(times), max(times), most


def main() -> None:
    """Print a row for each delay and group."""
    print(f"{'delay ms':>8} {'members':>8} {'within s':>8} {'first s':>8} {'all s':>8} {'assignments':>12}")
    for delay_ms in DELAYS_MS:
        with Broker({"group.initial.rebalance.delay.ms": str(delay_ms)}) as broker:
            for members, spread_s in GROUPS:
                first, last, most = measure(broker, members, spread_s)
                print(f"{delay_ms:8} {members:8} {spread_s:8.1f} {first:8.2f} {last:8.2f} {most:12}", flush=True)


if __name__ == "__main__":
    main()
