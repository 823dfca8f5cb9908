"""What the controller is asked for and what it answers, free of the wire's versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Generic, TypeVar

from kbroker.metadata.delta import MetadataDelta
from kbroker.types import ZERO_UUID, Uuid

USE_DEFAULT = -1
"""Stands for the broker's default number of partitions or replicas."""

_Result = TypeVar("_Result")


class ResourceType(IntEnum):
    """Whose configuration; numbers of the wire."""

    TOPIC = 2
    BROKER = 4
    BROKER_LOGGER = 8
    CLIENT_METRICS = 16
    GROUP = 32


class ConfigOperation(IntEnum):
    """What an incremental change does with a key; numbers of the wire."""

    SET = 0
    DELETE = 1
    APPEND = 2
    SUBTRACT = 3


@dataclass(frozen=True, slots=True)
class NewTopic:
    """
    A topic to create.

    num_partitions      USE_DEFAULT, or at least 1; USE_DEFAULT when there are assignments
    replication_factor  as num_partitions
    assignments         partition → broker ids, the preferred leader first; empty: the controller decides
    configs             the topic's own settings
    """

    name: str
    num_partitions: int = USE_DEFAULT
    replication_factor: int = USE_DEFAULT
    assignments: Mapping[int, Sequence[int]] = field(default_factory=dict)
    configs: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TopicResult:
    """
    What became of a topic; the wire code and, where there is one, the reason.

    topic_id  zero unless the topic exists (created, deleted, grown)
    configs   the topic's own settings after creation
    """

    name: str
    error_code: int = 0
    error_message: str | None = None
    topic_id: Uuid = ZERO_UUID
    num_partitions: int = -1
    replication_factor: int = -1
    configs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TopicReference:
    """A topic to delete: by name, or by id."""

    name: str | None = None
    topic_id: Uuid = ZERO_UUID


@dataclass(frozen=True, slots=True)
class DeletionResult:
    """What became of a topic to delete; `name` is None when nobody knows the id."""

    name: str | None
    topic_id: Uuid
    error_code: int = 0
    error_message: str | None = None


@dataclass(frozen=True, slots=True)
class MorePartitions:
    """
    A topic to grow.

    count        partitions it shall have in all
    assignments  broker ids of each new partition; None: the controller decides
    """

    name: str
    count: int
    assignments: Sequence[Sequence[int]] | None = None


@dataclass(frozen=True, slots=True)
class ResourceConfig:
    """
    A whole new configuration of a resource: keys left out fall back to their defaults.

    configs  (key, value) as they came: a key twice, or without a value, is refused
    """

    resource_type: int
    resource_name: str
    configs: Sequence[tuple[str, str | None]]


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """One key's change; `value` is needed by all operations but DELETE."""

    operation: int
    name: str
    value: str | None = None


@dataclass(frozen=True, slots=True)
class ResourceChanges:
    """Changes of single keys of a resource; the others stay."""

    resource_type: int
    resource_name: str
    changes: Sequence[ConfigChange]


@dataclass(frozen=True, slots=True)
class ResourceResult:
    """What became of a resource's configuration."""

    resource_type: int
    resource_name: str
    error_code: int = 0
    error_message: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome(Generic[_Result]):
    """
    What the controller decided.

    results  one per thing asked for, in order
    delta    what all workers must be told; None when nothing changed
    """

    results: list[_Result]
    delta: MetadataDelta | None
