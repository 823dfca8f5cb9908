"""
The controller: what becomes of topics, partitions and configurations, and who leads.

Every decision is one transaction of the store per topic or resource, under a check of /controller_epoch, so a
controller that was replaced cannot write any more, and a crash leaves each topic either changed or not. What changed
goes into the controller's own image and out as a delta for all workers.

Deleting takes two steps. `delete_topics` takes the topic out of the tree and leaves a note with its id in the same
transaction; a topic of the same name may be created at once. `finish_deletions`, when every worker has let go of the
partitions, gives their rows back and removes the note. A broker that is killed in between finds the note at its next
start and knows that directories with that topic id are garbage, not a topic to adopt (kbroker.cluster.adoption).
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from kbroker.clock import Clock
from kbroker.cluster import nodes
from kbroker.cluster.adoption import AdoptionPlan
from kbroker.cluster.config_alterations import Altered, ConfigAlterations
from kbroker.cluster.config_rules import ConfigRules
from kbroker.cluster.leader_election import elect, new_partition, offline_replicas
from kbroker.cluster.producer_id_blocks import ProducerIdBlocks
from kbroker.cluster.requests import (
    USE_DEFAULT,
    DeletionResult,
    MorePartitions,
    NewTopic,
    Outcome,
    ResourceChanges,
    ResourceConfig,
    ResourceResult,
    TopicReference,
    TopicResult,
)
from kbroker.cluster.row_allocator import RowAllocator
from kbroker.cluster.store import (
    BadVersion,
    Check,
    Create,
    Delete,
    NodeExists,
    NoNode,
    Operation,
    SetData,
    Stat,
    Store,
    StoreError,
    StoreUnavailable,
)
from kbroker.cluster.topic_planning import plan_partitions, plan_topic
from kbroker.cluster.topic_rules import MAX_PARTITIONS_PER_REQUEST, check_topic_name, collision_key
from kbroker.cluster.tree_reader import read_brokers, read_configs, read_deleted_topics
from kbroker.errors import KafkaError, StartupError
from kbroker.log_levels import logger_names
from kbroker.metadata.delta import MetadataDelta, full_delta
from kbroker.metadata.image import (
    INTERNAL_TOPICS,
    NO_ROW,
    BrokerState,
    ConfigKind,
    MetadataImage,
    PartitionState,
    TopicState,
)
from kbroker.protocol.error_codes import ErrorCode
from kbroker.types import ZERO_UUID, Uuid

_EPOCH_SHIFT = 32
"""Image versions start at controller epoch << 32: those of a reborn controller are above all its predecessor gave."""


@dataclass(frozen=True, slots=True)
class InternalTopic:
    """How an internal topic is made; the replication factor is lowered to the number of live brokers."""

    num_partitions: int
    replication_factor: int
    configs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ControllerConfig:
    """
    What the configuration says about topics.

    internal_topics  by name, see `internal_topics`
    """

    num_partitions: int = 1
    default_replication_factor: int = 1
    delete_topic_enable: bool = True
    internal_topics: Mapping[str, InternalTopic] = field(default_factory=dict)


def internal_topics(
    *,
    offsets_num_partitions: int = 50,
    offsets_replication_factor: int = 1,
    offsets_segment_bytes: int = 104_857_600,
    transactions_num_partitions: int = 50,
    transactions_replication_factor: int = 1,
    transactions_min_isr: int = 1,
    transactions_segment_bytes: int = 104_857_600,
) -> dict[str, InternalTopic]:
    """Return how the internal topics are made, from offsets.topic.… and transaction.state.log.…"""
    return {
        "__consumer_offsets": InternalTopic(
            offsets_num_partitions,
            offsets_replication_factor,
            {
                "cleanup.policy": "compact",
                "compression.type": "producer",
                "segment.bytes": str(offsets_segment_bytes),
            },
        ),
        "__transaction_state": InternalTopic(
            transactions_num_partitions,
            transactions_replication_factor,
            {
                "cleanup.policy": "compact",
                "compression.type": "uncompressed",
                "min.insync.replicas": str(transactions_min_isr),
                "segment.bytes": str(transactions_segment_bytes),
                "unclean.leader.election.enable": "false",
            },
        ),
    }


class Controller:
    """
    The one controller of the cluster; `start` before anything else.

    broker_id               this broker
    rows                    rows of the shared partition table, for the partitions this broker holds
    rules                   what may be set; follows what is set on brokers
    """

    def __init__(
        self,
        store: Store,
        config: ControllerConfig,
        rows: RowAllocator,
        *,
        broker_id: int,
        clock: Clock,
        rules: ConfigRules,
        random: Random | None = None,
    ) -> None:
        self._store = store
        self._config = config
        self._rows = rows
        self._broker_id = broker_id
        self._clock = clock
        self._rules = rules
        self._alterations = ConfigAlterations(
            rules,
            image=lambda: self.image,
            write_topic=self._write_topic_config,
            write=self._write_config,
            loggers=logger_names,
            told=_told,
        )
        self._random = random or Random()
        self._epoch = 0
        self._fence = Check(nodes.CONTROLLER_EPOCH)
        self._names_by_collision_key: dict[str, str] = {}
        self.image = MetadataImage()
        """The cluster after everything decided so far."""

    # ---- start

    def start(self) -> MetadataDelta:
        """
        Become the controller, read the tree, and return the whole image as a delta.

        The broker must be registered, and /cluster/id written. Partitions without a live leader get one, where a
        replica in sync lives. Raises StartupError when the rows do not suffice, KafkaError (NOT_CONTROLLER) when
        another controller lives.
        """
        self._take_office()
        brokers = read_brokers(self._store)
        configs = read_configs(self._store)
        self._rules.follow(configs.get(ConfigKind.BROKER, {}))
        topics = self._read_topics(brokers)
        self.image = MetadataImage(
            version=self._epoch << _EPOCH_SHIFT,
            cluster_id=nodes.decode_cluster_id(self._store.get(nodes.CLUSTER_ID)[0]) or "",
            controller_id=self._broker_id,
            brokers=brokers,
            topics={topic.name: topic for topic in topics},
            topics_by_id={topic.topic_id: topic for topic in topics},
            configs=configs,
        )
        self._names_by_collision_key = {collision_key(topic.name): topic.name for topic in topics}
        return full_delta(self.image)

    def _take_office(self) -> None:
        store = self._store
        store.ensure(*nodes.ROOTS, nodes.CONTROLLER_EPOCH)
        data, stat = store.get(nodes.CONTROLLER_EPOCH)
        self._epoch = int(data or b"0") + 1
        try:
            store.commit(
                [
                    Create(
                        nodes.CONTROLLER,
                        nodes.encode_controller(self._broker_id, self._clock.wall_ms()),
                        ephemeral=True,
                    ),
                    SetData(nodes.CONTROLLER_EPOCH, str(self._epoch).encode(), stat.version),
                ]
            )
        except (NodeExists, BadVersion) as error:
            raise KafkaError(ErrorCode.NOT_CONTROLLER, "another broker is the controller") from error
        self._fence = Check(nodes.CONTROLLER_EPOCH, stat.version + 1)

    def _read_topics(self, brokers: Mapping[int, BrokerState]) -> list[TopicState]:
        store = self._store
        names = store.children(nodes.TOPICS)
        assignments = store.get_many([nodes.topic_path(name) for name in names])
        configs = store.get_many([nodes.topic_config_path(name) for name in names])
        topics = []
        for name, node, config in zip(names, assignments, configs, strict=True):
            if node is None:
                continue
            try:
                assignment = nodes.decode_topic(node[0])
                replicas = [assignment.replicas[partition] for partition in range(len(assignment.replicas))]
                own = {} if config is None else nodes.decode_config(config[0])
                topic_id = assignment.topic_id or self._give_topic_id(name, replicas, node[1])
                partitions = self._read_partitions(name, topic_id, replicas, own, brokers)
            except (ValueError, KeyError, TypeError) as error:
                raise StartupError(
                    f"the nodes of topic {name} in the metadata store cannot be understood ({error!r}); move the store "
                    "away, and topics are found again by their directories, but their configurations are lost"
                ) from error
            topics.append(TopicState(name, topic_id, partitions, own, internal=name in INTERNAL_TOPICS))
        return topics

    def _give_topic_id(self, name: str, replicas: Sequence[Sequence[int]], stat: Stat) -> Uuid:
        """Give an id to a topic written by a Kafka that had none (before 2.8)."""
        topic_id = new_uuid()
        data = nodes.encode_topic(topic_id, replicas)
        self._commit([SetData(nodes.topic_path(name), data, stat.version)])
        return topic_id

    def _read_partitions(
        self,
        topic: str,
        topic_id: Uuid,
        replicas: Sequence[tuple[int, ...]],
        config: Mapping[str, str],
        brokers: Mapping[int, BrokerState],
    ) -> tuple[PartitionState, ...]:
        found = self._store.get_many([nodes.state_path(topic, partition) for partition in range(len(replicas))])
        states = []
        writes: list[Operation] = []
        for partition, node in enumerate(found):
            if node is None:
                state = new_partition(partition, replicas[partition], brokers)
                if not writes and self._store.exists(nodes.partitions_path(topic)) is None:
                    writes.append(Create(nodes.partitions_path(topic)))
                if self._store.exists(nodes.partition_path(topic, partition)) is None:
                    writes.append(Create(nodes.partition_path(topic, partition)))
                writes.append(Create(nodes.state_path(topic, partition), self._state_data(state)))
            else:
                stored = nodes.decode_state(node[0])
                before = PartitionState(
                    partition,
                    NO_ROW,
                    stored.leader,
                    stored.leader_epoch,
                    node[1].version,
                    replicas[partition],
                    stored.isr,
                    offline_replicas(replicas[partition], brokers),
                )
                state = self._elect(before, config, brokers)
                if state is not before:
                    writes.append(
                        SetData(nodes.state_path(topic, partition), self._state_data(state), before.partition_epoch)
                    )
            states.append(self._with_row(topic_id, state))
        if writes:
            self._commit(writes)
        return tuple(states)

    # ---- brokers and leaders

    def brokers_changed(self) -> MetadataDelta | None:
        """
        Take notice of brokers that came or went; return what follows for partitions, None when nothing does.

        Partitions whose leader died get another from their in-sync replicas, which the dead ones leave. A KafkaError
        (the store failed in between) leaves the image behind the tree: start anew.
        """
        brokers = read_brokers(self._store)
        before = self.image.brokers
        came = tuple(broker for broker_id, broker in brokers.items() if before.get(broker_id) != broker)
        gone = tuple(broker_id for broker_id in before if broker_id not in brokers)
        if not came and not gone:
            return None
        moved: dict[str, tuple[PartitionState, ...]] = {}
        for topic in self.image.topics.values():
            after = []
            writes: list[Operation] = []
            for state in topic.partitions:
                offline = offline_replicas(state.replicas, brokers)
                seen = state if offline == state.offline_replicas else replace(state, offline_replicas=offline)
                elected = self._elect(seen, topic.config, brokers)
                if elected is not seen:
                    path = nodes.state_path(topic.name, state.partition)
                    writes.append(SetData(path, self._state_data(elected), state.partition_epoch))
                if elected is not state:
                    after.append(elected)
            if writes:
                self._commit(writes)
            if after:
                moved[topic.name] = tuple(after)
        return self._changed(brokers=came, removed_brokers=gone, partitions=moved)

    def _elect(
        self, state: PartitionState, config: Mapping[str, str], brokers: Mapping[int, BrokerState]
    ) -> PartitionState:
        return elect(state, brokers, unclean=self._unclean_election_allowed(config))

    def _unclean_election_allowed(self, config: Mapping[str, str]) -> bool:
        own = config.get("unclean.leader.election.enable")
        return self._rules.unclean_leader_election_enable if own is None else own.lower() == "true"

    # ---- topics

    def create_topics(self, topics: Sequence[NewTopic], *, validate_only: bool = False) -> Outcome[TopicResult]:
        """
        Create topics, each on its own: a refused one does not hold the others up.

        validate_only  only say what would happen; results then have no topic id

        Codes: INVALID_REQUEST for a name given twice (one result for it) or both assignments and numbers;
        INVALID_TOPIC_EXCEPTION, TOPIC_ALREADY_EXISTS, INVALID_PARTITIONS, INVALID_REPLICATION_FACTOR,
        INVALID_REPLICA_ASSIGNMENT, INVALID_CONFIG; KAFKA_STORAGE_ERROR when the store cannot be written.
        """
        times = Counter(topic.name for topic in topics)
        wanted = sum(
            len(topic.assignments)
            or (self._config.num_partitions if topic.num_partitions == USE_DEFAULT else max(topic.num_partitions, 0))
            for topic in topics
        )
        results: dict[str, TopicResult] = {}
        planned: dict[str, TopicState] = {}
        collisions = dict(self._names_by_collision_key)
        for topic in topics:
            name = topic.name
            if name in results:
                continue
            try:
                if times[name] > 1:
                    raise KafkaError(ErrorCode.INVALID_REQUEST, f"Found multiple entries for topic '{name}'.")
                _check_request_size(wanted)
                replicas, config = self._plan_topic(topic, collisions)
                self._check_room(replicas, planned.values() if validate_only else ())
                state = self._topic_of(name, ZERO_UUID if validate_only else new_uuid(), replicas, config)
                if not validate_only:
                    self._commit(self._creation(state))
                    state = self._with_rows(state)
                planned[name] = state
                collisions[collision_key(name)] = name
                results[name] = TopicResult(
                    name,
                    topic_id=state.topic_id,
                    num_partitions=len(replicas),
                    replication_factor=len(replicas[0]),
                    configs=config,
                )
            except (KafkaError, StoreError) as error:
                results[name] = TopicResult(name, *_told(error))
        if validate_only or not planned:
            return Outcome([*results.values()], None)
        self._names_by_collision_key = collisions
        return Outcome([*results.values()], self._changed(topics=tuple(planned.values())))

    def create_internal_topics(self, names: Sequence[str]) -> Outcome[TopicResult]:
        """
        Create topics of the broker's own, with the settings they need; one that exists is a success.

        With fewer live brokers than replicas asked for, there are as many replicas as brokers.
        Codes: as create_topics; INVALID_TOPIC_EXCEPTION for a name that is none of theirs.
        """
        results: dict[str, TopicResult] = {}
        wanted = []
        for name in dict.fromkeys(names):
            existing = self.image.topics.get(name)
            internal = self._config.internal_topics.get(name)
            if existing is not None:
                results[name] = _result_of(existing)
            elif internal is None:
                results[name] = TopicResult(name, ErrorCode.INVALID_TOPIC_EXCEPTION, f"'{name}' is no internal topic.")
            else:
                factor = max(1, min(internal.replication_factor, len(self.image.brokers)))
                wanted.append(NewTopic(name, internal.num_partitions, factor, configs=internal.configs))
        outcome = self.create_topics(wanted)
        results |= {result.name: result for result in outcome.results}
        return Outcome([results[name] for name in dict.fromkeys(names)], outcome.delta)

    def _plan_topic(
        self, topic: NewTopic, collisions: Mapping[str, str]
    ) -> tuple[list[tuple[int, ...]], Mapping[str, str]]:
        """Return the replicas of each partition and the settings of a new topic, or raise why it cannot be."""
        check_topic_name(topic.name)
        other = collisions.get(collision_key(topic.name))
        if topic.name in self.image.topics or other == topic.name:
            raise KafkaError(ErrorCode.TOPIC_ALREADY_EXISTS, f"Topic '{topic.name}' already exists.")
        if other is not None:
            raise KafkaError(
                ErrorCode.INVALID_TOPIC_EXCEPTION, f"Topic '{topic.name}' collides with existing topic: {other}."
            )
        config = {}
        for name, value in topic.configs.items():
            if value is None:
                raise KafkaError(ErrorCode.INVALID_CONFIG, f"Null value not supported for topic configs: {name}")
            config[name] = value
        self._rules.check_topic(config)
        return plan_topic(
            topic,
            self.image.brokers,
            num_partitions=self._config.num_partitions,
            replication_factor=self._config.default_replication_factor,
            capacity=self._rows.capacity,
            random=self._random,
        ), config

    def _creation(self, topic: TopicState) -> list[Operation]:
        """Return the transaction that creates a topic."""
        writes: list[Operation] = [
            # Tools may have configured the topic before it was created.
            self._put(nodes.topic_config_path(topic.name), nodes.encode_config(topic.config)),
            Create(nodes.topic_path(topic.name), _topic_data(topic)),
            Create(nodes.partitions_path(topic.name)),
        ]
        return writes + self._partition_creation(topic.name, topic.partitions)

    def _partition_creation(self, topic: str, states: Iterable[PartitionState]) -> list[Operation]:
        writes: list[Operation] = []
        for state in states:
            writes.append(Create(nodes.partition_path(topic, state.partition)))
            writes.append(Create(nodes.state_path(topic, state.partition), self._state_data(state)))
        return writes

    def delete_topics(self, topics: Sequence[TopicReference]) -> Outcome[DeletionResult]:
        """
        Delete topics, each on its own.

        Their rows stay taken until `finish_deletions`. Codes: TOPIC_DELETION_DISABLED, INVALID_REQUEST for a topic
        named twice or by both name and id, UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID, KAFKA_STORAGE_ERROR.
        """
        found = [self._find(reference) for reference in topics]
        named = [
            (reference.name or reference.topic_id) if topic is None else topic.topic_id
            for reference, topic in zip(topics, found, strict=True)
        ]
        times = Counter(named)
        told: set[str | Uuid] = set()
        results: list[DeletionResult] = []
        removed: list[TopicState] = []
        for key, reference, topic in zip(named, topics, found, strict=True):
            name = reference.name if topic is None else topic.name
            topic_id = reference.topic_id if topic is None else topic.topic_id
            try:
                if not self._config.delete_topic_enable:
                    raise KafkaError(ErrorCode.TOPIC_DELETION_DISABLED, "Topic deletion is disabled.")
                if (reference.name is None) == (reference.topic_id == ZERO_UUID):
                    raise KafkaError(ErrorCode.INVALID_REQUEST, "A topic to delete has either a name or an id.")
                if times[key] > 1:
                    if key in told:
                        continue
                    told.add(key)
                    raise KafkaError(ErrorCode.INVALID_REQUEST, f"Duplicate topic {reference.name or 'id'}.")
                if topic is None:
                    if reference.name is None:
                        raise KafkaError(ErrorCode.UNKNOWN_TOPIC_ID, "This server does not host this topic ID.")
                    raise KafkaError(
                        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "This server does not host this topic-partition."
                    )
                self._commit(self._deletion(topic))
                removed.append(topic)
                results.append(DeletionResult(name, topic_id))
            except (KafkaError, StoreError) as error:
                results.append(DeletionResult(name, topic_id, *_told(error)))
        if not removed:
            return Outcome(results, None)
        for topic in removed:
            key = collision_key(topic.name)
            if self._names_by_collision_key.get(key) == topic.name:
                del self._names_by_collision_key[key]
        return Outcome(results, self._changed(removed_topics=tuple(topic.name for topic in removed)))

    def _find(self, reference: TopicReference) -> TopicState | None:
        if reference.name is not None:
            return self.image.topics.get(reference.name)
        return self.image.topics_by_id.get(reference.topic_id)

    def _deletion(self, topic: TopicState) -> list[Operation]:
        """Return the transaction that deletes a topic, children first, and notes that its directories are garbage."""
        name = topic.name
        writes: list[Operation] = []
        for state in topic.partitions:
            writes.append(Delete(nodes.state_path(name, state.partition)))
            writes.append(Delete(nodes.partition_path(name, state.partition)))
        writes += [Delete(nodes.partitions_path(name)), Delete(nodes.topic_path(name))]
        if self._store.exists(nodes.topic_config_path(name)) is not None:
            writes.append(Delete(nodes.topic_config_path(name)))
        writes.append(Create(nodes.deleted_topic_path(topic.topic_id), nodes.encode_deleted_topic(name)))
        return writes

    def pending_deletions(self) -> dict[Uuid, str]:
        """Return id and name of the topics that are deleted, but whose partitions some worker may still hold."""
        return read_deleted_topics(self._store)

    def finish_deletions(self, topic_ids: Iterable[Uuid]) -> None:
        """
        Give the rows of deleted topics back; only when every worker has let go of them and their directories are gone.

        Raises StoreUnavailable; calling it again is harmless.
        """
        for topic_id in topic_ids:
            if topic_id not in self.image.topics_by_id:
                self._rows.release(topic_id)
                try:
                    self._store.delete(nodes.deleted_topic_path(topic_id))
                except NoNode:
                    pass  # finished before

    def create_partitions(
        self, topics: Sequence[MorePartitions], *, validate_only: bool = False
    ) -> Outcome[TopicResult]:
        """
        Add partitions to topics, each on its own.

        Codes: INVALID_REQUEST for a topic named twice, UNKNOWN_TOPIC_OR_PARTITION, INVALID_PARTITIONS when the count
        does not grow or there is no room, INVALID_REPLICA_ASSIGNMENT, INVALID_REPLICATION_FACTOR when too few brokers
        live, KAFKA_STORAGE_ERROR.
        """
        times = Counter(topic.name for topic in topics)
        have = {name: len(topic.partitions) for name in times if (topic := self.image.topics.get(name)) is not None}
        more = sum(max(wanted.count - have.get(wanted.name, wanted.count), 0) for wanted in topics)
        results: dict[str, TopicResult] = {}
        grown: dict[str, tuple[PartitionState, ...]] = {}
        for wanted in topics:
            name = wanted.name
            if name in results:
                continue
            try:
                if times[name] > 1:
                    raise KafkaError(ErrorCode.INVALID_REQUEST, f"Found multiple entries for topic '{name}'.")
                topic = self.image.topics.get(name)
                if topic is None:
                    raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"The topic '{name}' does not exist.")
                _check_request_size(more)
                replicas = plan_partitions(
                    topic, wanted, self.image.brokers, capacity=self._rows.capacity, random=self._random
                )
                self._check_room(replicas, ())
                if not validate_only:
                    grown[name] = self._grow(topic, replicas)
                results[name] = TopicResult(
                    name,
                    topic_id=topic.topic_id,
                    num_partitions=wanted.count,
                    replication_factor=len(topic.partitions[0].replicas),
                )
            except (KafkaError, StoreError) as error:
                results[name] = TopicResult(name, *_told(error))
        return Outcome([*results.values()], self._changed(partitions=grown) if grown else None)

    def _grow(
        self, topic: TopicState, replicas: Sequence[tuple[int, ...]], leader_epochs: Mapping[int, int] | None = None
    ) -> tuple[PartitionState, ...]:
        """Write new partitions of a topic; return them with their rows."""
        have = len(topic.partitions)
        states = tuple(
            new_partition(partition, placed, self.image.brokers, (leader_epochs or {}).get(partition, 0))
            for partition, placed in enumerate(replicas, have)
        )
        whole = replace(topic, partitions=topic.partitions + states)
        self._commit(
            [
                SetData(nodes.topic_path(topic.name), _topic_data(whole)),
                *self._partition_creation(topic.name, states),
            ]
        )
        return tuple(self._with_row(topic.topic_id, state) for state in states)

    def _check_room(self, replicas: Iterable[Sequence[int]], planned: Iterable[TopicState]) -> None:
        """Raise INVALID_PARTITIONS unless there are rows for the partitions this broker shall hold."""
        here = self._broker_id
        needed = sum(here in placed for placed in replicas)
        free = self._rows.free - sum(here in state.replicas for topic in planned for state in topic.partitions)
        if needed > free:
            raise KafkaError(
                ErrorCode.INVALID_PARTITIONS,
                f"{needed} partition(s) do not fit: this broker holds at most {self._rows.capacity} partitions, "
                f"of which {free} are free.",
            )

    # ---- configurations

    def alter_configs(
        self, resources: Sequence[ResourceConfig], *, validate_only: bool = False
    ) -> Outcome[ResourceResult]:
        """
        Replace whole configurations of topics, brokers, groups and subscriptions, each on its own.

        Codes: INVALID_REQUEST for a resource given twice, of another type, or a name that cannot be, for a key given
        twice or without a value, and for whatever is wrong with a broker's; UNKNOWN_TOPIC_OR_PARTITION, INVALID_CONFIG,
        KAFKA_STORAGE_ERROR.
        """
        return self._outcome(self._alterations.alter(resources, validate_only=validate_only))

    def incremental_alter_configs(
        self, resources: Sequence[ResourceChanges], *, validate_only: bool = False
    ) -> Outcome[ResourceResult]:
        """
        Change single keys, and levels of loggers; each resource takes all its changes or none.

        Codes: as alter_configs.
        """
        return self._outcome(self._alterations.alter(resources, validate_only=validate_only))

    def _outcome(self, altered: Altered) -> Outcome[ResourceResult]:
        if not altered.topics and not altered.configs:
            return Outcome(altered.results, None)
        return Outcome(altered.results, self._changed(topics=tuple(altered.topics), configs=altered.configs))

    def _write_topic_config(self, name: str, config: Mapping[str, str]) -> None:
        self._commit([self._put(nodes.topic_config_path(name), nodes.encode_config(config))])

    def _write_config(self, kind: ConfigKind, name: str, config: Mapping[str, str]) -> None:
        self._commit([self._put(nodes.config_path(kind, name), nodes.encode_config(config))])

    # ---- adoption

    @property
    def room(self) -> int:
        """For how many more partitions there is room."""
        return self._rows.free

    def adopt(self, plan: AdoptionPlan) -> MetadataDelta | None:
        """
        Write what `plan_adoption` found into the tree; return what changed.

        The logs found may know producers that the store does not, so producer ids go on far above any of theirs: at the
        time in milliseconds, which also lies above what an earlier adoption began with.

        Raises StartupError when the rows do not suffice, KafkaError when the store cannot be written.
        """
        topics: list[TopicState] = []
        grown: dict[str, tuple[PartitionState, ...]] = {}
        here = (self._broker_id,)
        if plan.topics:
            ProducerIdBlocks(self._store, broker_id=self._broker_id).skip_to(self._clock.wall_ms())
        for found in plan.topics:
            known = self.image.topics.get(found.name)
            first = 0 if known is None else len(known.partitions)
            new = len(found.leader_epochs) - first
            if new > self._rows.free:
                raise StartupError(
                    f"topic {found.name} has {new} partition(s) on disk, but this broker has room for "
                    f"{self._rows.free} more of {self._rows.capacity} in all; give it more partition rows or fewer logs"
                )
            if known is not None:
                epochs = dict(enumerate(found.leader_epochs))
                grown[found.name] = self._grow(known, [here] * new, epochs)
                continue
            internal = self._config.internal_topics.get(found.name)
            state = self._topic_of(
                found.name,
                found.topic_id or new_uuid(),
                [here] * new,
                {} if internal is None else internal.configs,
                found.leader_epochs,
            )
            self._commit(self._creation(state))
            topics.append(self._with_rows(state))
            self._names_by_collision_key[collision_key(found.name)] = found.name
        return self._changed(topics=tuple(topics), partitions=grown) if topics or grown else None

    # ---- pieces

    def _topic_of(
        self,
        name: str,
        topic_id: Uuid,
        replicas: Sequence[tuple[int, ...]],
        config: Mapping[str, str],
        leader_epochs: Sequence[int] = (),
    ) -> TopicState:
        """Return a new topic, without rows."""
        partitions = tuple(
            new_partition(partition, placed, self.image.brokers, leader_epochs[partition] if leader_epochs else 0)
            for partition, placed in enumerate(replicas)
        )
        return TopicState(name, topic_id, partitions, config, internal=name in INTERNAL_TOPICS)

    def _with_row(self, topic_id: Uuid, state: PartitionState) -> PartitionState:
        """Return the partition with its row, when this broker holds a replica."""
        if self._broker_id not in state.replicas:
            return state
        try:
            return replace(state, row=self._rows.row_of(topic_id, state.partition))
        except IndexError:
            raise StartupError(
                f"the metadata store has more partitions than the {self._rows.capacity} this broker has rows for"
            ) from None

    def _with_rows(self, topic: TopicState) -> TopicState:
        return replace(topic, partitions=tuple(self._with_row(topic.topic_id, state) for state in topic.partitions))

    def _state_data(self, state: PartitionState) -> bytes:
        return nodes.encode_state(nodes.LeaderState(state.leader, state.leader_epoch, state.isr, self._epoch))

    def _put(self, path: str, data: bytes) -> Operation:
        """Return the operation after which a node has that data, whether it exists or not."""
        return Create(path, data) if self._store.exists(path) is None else SetData(path, data)

    def _commit(self, operations: Sequence[Operation]) -> None:
        """Do all operations or none. Raises KafkaError: NOT_CONTROLLER when another one took over."""
        try:
            self._store.commit([self._fence, *operations])
        except BadVersion as error:
            if error.path == nodes.CONTROLLER_EPOCH:
                raise KafkaError(ErrorCode.NOT_CONTROLLER, "another broker became the controller") from error
            raise

    def _changed(
        self,
        *,
        topics: tuple[TopicState, ...] = (),
        removed_topics: tuple[str, ...] = (),
        partitions: Mapping[str, tuple[PartitionState, ...]] | None = None,
        brokers: tuple[BrokerState, ...] = (),
        removed_brokers: tuple[int, ...] = (),
        configs: Mapping[ConfigKind, Mapping[str, Mapping[str, str]]] | None = None,
    ) -> MetadataDelta:
        """Take what was written into the image; return it as a delta."""
        delta = MetadataDelta(
            version=self.image.version + 1,
            topics=topics,
            removed_topics=removed_topics,
            partitions=partitions or {},
            brokers=brokers,
            removed_brokers=removed_brokers,
            configs=configs or {},
        )
        self.image = self.image.apply(delta)
        if ConfigKind.BROKER in delta.configs:
            self._rules.follow(self.image.broker_configs)
        return delta


def _check_request_size(partitions: int) -> None:
    """Raise POLICY_VIOLATION when one request wants more partitions than Kafka makes for one."""
    if partitions > MAX_PARTITIONS_PER_REQUEST:
        raise KafkaError(
            ErrorCode.POLICY_VIOLATION,
            f"Excessively large number of partitions per request: {partitions}, at most {MAX_PARTITIONS_PER_REQUEST}.",
        )


def new_uuid() -> Uuid:
    """Return a random topic id. Kafka's tools take a text that starts with '-' for an option, so none does."""
    while True:
        topic_id = uuid.uuid4().bytes
        if topic_id[0] >> 2 != 0b111110:
            return topic_id


def _topic_data(topic: TopicState) -> bytes:
    return nodes.encode_topic(topic.topic_id, [state.replicas for state in topic.partitions])


def _result_of(topic: TopicState) -> TopicResult:
    return TopicResult(
        topic.name,
        topic_id=topic.topic_id,
        num_partitions=len(topic.partitions),
        replication_factor=len(topic.partitions[0].replicas),
        configs=topic.config,
    )


def _told(error: KafkaError | StoreError) -> tuple[int, str]:
    """Return code and message of what went wrong."""
    if isinstance(error, KafkaError):
        return error.code, str(error)
    # The disk of the store failed, which may pass; anything else is a tree that contradicts itself.
    unavailable = isinstance(error, StoreUnavailable)
    return ErrorCode.KAFKA_STORAGE_ERROR if unavailable else ErrorCode.UNKNOWN_SERVER_ERROR, str(error)
