"""What a topic may be called, and which replicas a client may ask for; Kafka's rules and codes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from kbroker.errors import KafkaError
from kbroker.protocol.error_codes import ErrorCode

MAX_NAME_LENGTH = 249
"""With the longest partition number, separators and the mark of deletion, a directory's name fits into 255 bytes."""

MAX_PARTITIONS_PER_REQUEST = 10_000
"""Kafka's bound on what one request may make."""

_ILLEGAL = re.compile(r"[^a-zA-Z0-9._-]")


def check_topic_name(name: str) -> None:
    """Raise INVALID_TOPIC_EXCEPTION with the rule that is broken unless a topic may be called that.

    INVALID_REQUEST for the name that Kafka keeps for itself.
    """
    reason = ""
    if not name:
        reason = "the empty string is not allowed"
    elif name in {".", ".."}:
        reason = f"'{name}' is not allowed"
    elif len(name) > MAX_NAME_LENGTH:
        reason = f"the length of '{name}' is longer than the max allowed length {MAX_NAME_LENGTH}"
    elif _ILLEGAL.search(name):
        reason = f"'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
    if reason:
        raise KafkaError(ErrorCode.INVALID_TOPIC_EXCEPTION, f"Topic name is invalid: {reason}.")
    if name == "__cluster_metadata":
        raise KafkaError(ErrorCode.INVALID_REQUEST, f"'{name}' is the name of KRaft's metadata log.")


def collision_key(name: str) -> str:
    """Return what two names share when they collide: metric names cannot tell '.' from '_'."""
    return name.replace(".", "_")


def check_replicas(replicas: Sequence[int], live_brokers: Collection[int], partition: int) -> None:
    """Raise INVALID_REPLICA_ASSIGNMENT unless a partition can be placed on `replicas`."""
    if not replicas:
        raise KafkaError(
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
            f"The manual partition assignment includes an empty replica list for partition {partition}.",
        )
    if len(set(replicas)) != len(replicas):
        raise KafkaError(
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
            f"The manual partition assignment names a broker more than once for partition {partition}: "
            f"{_listed(replicas)}.",
        )
    unknown = [broker for broker in replicas if broker not in live_brokers]
    if unknown:
        raise KafkaError(
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
            f"The manual partition assignment of partition {partition} includes unknown broker(s) {_listed(unknown)}; "
            f"live brokers: {_listed(sorted(live_brokers))}.",
        )


def check_manual_assignment(
    assignments: Mapping[int, Sequence[int]], live_brokers: Collection[int]
) -> list[tuple[int, ...]]:
    """
    Return the replicas of each partition of a new topic as its creator wants them.

    Raises INVALID_REPLICA_ASSIGNMENT.
    """
    if sorted(assignments) != list(range(len(assignments))):
        raise KafkaError(
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
            f"Partitions should be a consecutive 0-based integer sequence, not {_listed(sorted(assignments))}.",
        )
    placed = []
    for partition in range(len(assignments)):
        replicas = tuple(assignments[partition])
        check_replicas(replicas, live_brokers, partition)
        check_same_factor(replicas, len(assignments[0]), partition)
        placed.append(replicas)
    return placed


def check_same_factor(replicas: Sequence[int], replication_factor: int, partition: int) -> None:
    """Raise INVALID_REPLICA_ASSIGNMENT unless the partition has as many replicas as the topic's others."""
    if len(replicas) != replication_factor:
        raise KafkaError(
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
            f"The manual partition assignment has {len(replicas)} replica(s) for partition {partition}, which is "
            f"inconsistent with the {replication_factor} of the topic's other partitions.",
        )


def check_replication_factor(replication_factor: int, live_brokers: int) -> None:
    """Raise INVALID_REPLICATION_FACTOR unless that many brokers live."""
    if replication_factor < 1:
        raise KafkaError(ErrorCode.INVALID_REPLICATION_FACTOR, "Replication factor must be larger than 0.")
    if replication_factor > live_brokers:
        raise KafkaError(
            ErrorCode.INVALID_REPLICATION_FACTOR,
            f"Replication factor: {replication_factor} larger than available brokers: {live_brokers}.",
        )


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers)) or "none"
