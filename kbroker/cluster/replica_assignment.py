"""
Which brokers hold the replicas of new partitions: Apache Kafka's round robin.

First replicas go round the brokers from a random one; each further replica of a partition goes to the next broker after
a shift, and the shift grows by one each time the first replicas have gone round, so that two brokers share few
partitions. With racks, brokers are taken from all racks in turn, and a partition uses no rack twice while it has not
used all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from kbroker.metadata.image import BrokerState


@dataclass(frozen=True, slots=True)
class Start:
    """
    Where the round begins.

    index  place in the list of brokers of partition 0's first replica
    shift  how far from the first replica the second is, less one
    """

    index: int
    shift: int


def random_start(brokers: int, random: Random) -> Start:
    """Return a start for a new topic, so that the topics of a cluster do not all begin at the same broker."""
    return Start(random.randrange(brokers), random.randrange(brokers))


def assign_replicas(
    brokers: Sequence[BrokerState], partitions: int, replication_factor: int, start: Start, first_partition: int = 0
) -> list[tuple[int, ...]]:
    """
    Return the replicas of each of `partitions` new partitions, the preferred leader first.

    brokers             those alive, at least replication_factor
    first_partition     index of the first new partition: how many the topic has already
    """
    new = range(first_partition, first_partition + partitions)
    order = broker_order(brokers)
    if not _racks_known(brokers):
        return [_round_robin(order, partition, replication_factor, start) for partition in new]
    rack_of = {broker.broker_id: broker.rack for broker in brokers}
    return [_rack_aware(order, rack_of, partition, replication_factor, start) for partition in new]


def broker_order(brokers: Sequence[BrokerState]) -> list[int]:
    """Return the ids of `brokers` in the order `assign_replicas` goes round, for `Start.index`."""
    if not _racks_known(brokers):
        return sorted(broker.broker_id for broker in brokers)
    # One from each rack in turn.
    by_rack: dict[str, list[int]] = {}
    for broker in sorted(brokers, key=lambda broker: broker.broker_id):
        by_rack.setdefault(broker.rack or "", []).append(broker.broker_id)
    queues = [by_rack[rack] for rack in sorted(by_rack)]
    order: list[int] = []
    for turn in range(max(map(len, queues))):
        order += [queue[turn] for queue in queues if turn < len(queue)]
    return order


def _racks_known(brokers: Sequence[BrokerState]) -> bool:
    """Return whether racks tell brokers apart; while one broker's is not known, they do not say what fails together."""
    return all(broker.rack for broker in brokers) and len({broker.rack for broker in brokers}) > 1


def _follower(first: int, shift: int, replica: int, brokers: int) -> int:
    """Return the place of a further replica: never the first one's."""
    return (first + 1 + (shift + replica) % (brokers - 1)) % brokers


def _round_robin(order: Sequence[int], partition: int, replication_factor: int, start: Start) -> tuple[int, ...]:
    count = len(order)
    first = (partition + start.index) % count
    shift = start.shift + partition // count
    followers = (order[_follower(first, shift, replica, count)] for replica in range(replication_factor - 1))
    return (order[first], *followers)


def _rack_aware(
    order: Sequence[int],
    rack_of: dict[int, str | None],
    partition: int,
    replication_factor: int,
    start: Start,
) -> tuple[int, ...]:
    count, racks = len(order), len(set(rack_of.values()))
    first = (partition + start.index) % count
    shift = (start.shift + partition // count) * racks
    replicas = [order[first]]
    used_racks = {rack_of[order[first]]}
    replica = 0
    while len(replicas) < replication_factor:
        broker = order[_follower(first, shift, replica, count)]
        replica += 1
        if broker in replicas or (rack_of[broker] in used_racks and len(used_racks) < racks):
            continue
        replicas.append(broker)
        used_racks.add(rack_of[broker])
    return tuple(replicas)
