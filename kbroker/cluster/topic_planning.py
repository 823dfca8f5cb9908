"""Where the partitions of new and growing topics go: what the client wants, or what the controller decides."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from kbroker.cluster.replica_assignment import Start, assign_replicas, broker_order, random_start
from kbroker.cluster.requests import USE_DEFAULT, MorePartitions, NewTopic
from kbroker.cluster.topic_rules import (
    check_manual_assignment,
    check_replicas,
    check_replication_factor,
    check_same_factor,
)
from kbroker.errors import KafkaError
from kbroker.metadata.image import BrokerState, TopicState
from kbroker.protocol.error_codes import ErrorCode


def plan_topic(
    topic: NewTopic,
    brokers: Mapping[int, BrokerState],
    *,
    num_partitions: int,
    replication_factor: int,
    capacity: int,
    random: Random,
) -> list[tuple[int, ...]]:
    """
    Return the replicas of each partition of a new topic, or raise why it cannot be.

    brokers             those alive, by id
    num_partitions      the default
    replication_factor  the default
    capacity            how many partitions a broker can hold at all

    Raises KafkaError: INVALID_REQUEST, INVALID_PARTITIONS, INVALID_REPLICATION_FACTOR, INVALID_REPLICA_ASSIGNMENT.
    """
    if topic.assignments:
        if topic.num_partitions != USE_DEFAULT or topic.replication_factor != USE_DEFAULT:
            raise KafkaError(
                ErrorCode.INVALID_REQUEST,
                "Both numPartitions or replicationFactor and a manual assignment were set; "
                "with an assignment, both must be -1.",
            )
        return check_manual_assignment(topic.assignments, brokers.keys())
    partitions = num_partitions if topic.num_partitions == USE_DEFAULT else topic.num_partitions
    factor = replication_factor if topic.replication_factor == USE_DEFAULT else topic.replication_factor
    if factor < 1:
        check_replication_factor(factor, len(brokers))
    if partitions < 1:
        raise KafkaError(ErrorCode.INVALID_PARTITIONS, "Number of partitions must be larger than 0.")
    check_replication_factor(factor, len(brokers))
    _check_count(partitions, capacity)
    return assign_replicas([*brokers.values()], partitions, factor, random_start(len(brokers), random))


def plan_partitions(
    topic: TopicState, wanted: MorePartitions, brokers: Mapping[int, BrokerState], *, capacity: int, random: Random
) -> list[tuple[int, ...]]:
    """
    Return the replicas of each new partition of a topic, or raise why there cannot be more; see plan_topic.

    They go on where the topic's first partition began, so that leaders stay spread evenly.
    """
    have = len(topic.partitions)
    more = wanted.count - have
    if more == 0:
        raise KafkaError(ErrorCode.INVALID_PARTITIONS, f"Topic already has {have} partition(s).")
    if more < 0:
        raise KafkaError(
            ErrorCode.INVALID_PARTITIONS,
            f"The topic {topic.name} currently has {have} partition(s); {wanted.count} would not be an increase.",
        )
    factor = len(topic.partitions[0].replicas)
    if wanted.assignments is not None:
        if len(wanted.assignments) != more:
            raise KafkaError(
                ErrorCode.INVALID_REPLICA_ASSIGNMENT,
                f"Attempted to add {more} additional partition(s), but {len(wanted.assignments)} assignment(s) "
                "were specified.",
            )
        for partition, replicas in enumerate(wanted.assignments, have):
            check_replicas(replicas, brokers.keys(), partition)
            check_same_factor(replicas, factor, partition)
        return [tuple(replicas) for replicas in wanted.assignments]
    check_replication_factor(factor, len(brokers))
    _check_count(more, capacity)
    order = broker_order([*brokers.values()])
    first = topic.partitions[0].replicas[0]
    start = Start(order.index(first) if first in order else 0, random.randrange(len(order)))
    return assign_replicas([*brokers.values()], more, factor, start, have)


def _check_count(partitions: int, capacity: int) -> None:
    """Refuse at once what cannot fit, before an assignment of that size is computed."""
    if partitions > capacity:
        raise KafkaError(
            ErrorCode.INVALID_PARTITIONS,
            f"{partitions} partitions are more than the {capacity} this broker can hold in all.",
        )
