"""
The partitions one IO worker owns: opened, created and deleted as the metadata image says.

The image decides, the disk follows: a partition of the image that has no log gets one, a log whose topic has left the
image is deleted. Each partition's row is published as soon as its log is open.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from zlib import crc32

from kbroker.config.topic_config import TopicDefaults, usable_topic_config
from kbroker.errors import KafkaError, LogDirFailed
from kbroker.io_workers.dispatch import AppendDispatcher, OwnedPartition
from kbroker.metadata.image import NO_ROW, MetadataImage, PartitionState, TopicState
from kbroker.metadata.placement import owner_of
from kbroker.shared.partition_table import PartitionRowState
from kbroker.storage.log import Log
from kbroker.storage.log_config import LogConfig
from kbroker.storage.log_manager import InOfflineDirectory, LogManager
from kbroker.types import TopicPartition, Uuid

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PartitionChanges:
    """
    What an image changed for this worker.

    opened   partitions that have a log now
    closed   partitions that were deleted
    deleted_topics  names of topics that are gone, whoever owned their partitions
    """

    opened: list[TopicPartition]
    closed: list[TopicPartition]
    deleted_topics: list[str]


def log_config(defaults: TopicDefaults, topic: TopicState | None, producer_id_expiration_ms: int) -> LogConfig:
    """Return a topic's LogConfig; settings that this version does not accept count as not set."""
    values, problems = usable_topic_config(defaults, topic.config if topic is not None else {})
    for problem in problems:
        logger.warning("Topic %s: %s; this setting does not count", topic.name if topic else "", problem)
    fields: dict[str, object] = {
        name: values[name.replace("_", ".")]
        for name in LogConfig.__dataclass_fields__
        if name.replace("_", ".") in values
    }
    policy = values["cleanup.policy"]
    fields["cleanup_policy"] = frozenset(policy if isinstance(policy, (tuple, list)) else [str(policy)])
    return LogConfig(**fields, producer_id_expiration_ms=producer_id_expiration_ms)  # type: ignore[arg-type]


class OwnedPartitions:
    """
    Follows the image with the logs of one IO worker.

    broker_id, io_index, io_workers  which partitions are this worker's
    """

    def __init__(
        self,
        manager: LogManager,
        config_for: Callable[[str], LogConfig],
        dispatcher: AppendDispatcher,
        broker_id: int,
        io_index: int,
        io_workers: int,
    ) -> None:
        self._manager = manager
        self._config_for = config_for
        self._dispatcher = dispatcher
        self._broker_id = broker_id
        self._io_index = io_index
        self._io_workers = io_workers
        self._rows: dict[TopicPartition, int] = {}
        self._unopened: set[int] = set()
        """Rows of partitions whose log could not be opened or made, for a reason that may pass."""
        self._told: dict[TopicPartition, str] = {}
        """What was last said of each of them: trying again every two seconds need not fill the log."""
        self._progress: Callable[[], None] = lambda: None
        self.image = MetadataImage()

    def topic(self, name: str) -> TopicState | None:
        """Return a topic of the present image."""
        return self.image.topics.get(name)

    def row_of(self, topic_partition: TopicPartition) -> int | None:
        """Return the row of a partition this worker owns."""
        return self._rows.get(topic_partition)

    def load(self, image: MetadataImage, was_clean: list[bool], progress: Callable[[], None]) -> PartitionChanges:
        """
        Open the logs found on disk that the first image says are this worker's, and make those that are missing.

        progress  called with each log, here and when a later image is followed: thousands take longer than a heartbeat
        """
        self.image = image
        self._progress = progress

        def owns(topic_partition: TopicPartition) -> bool:
            topic = image.topics.get(topic_partition.topic)
            if topic is None or topic_partition.partition >= len(topic.partitions):
                # Only what is left of deleted topics has no topic; some worker must remove it.
                return crc32(str(topic_partition).encode()) % self._io_workers == self._io_index
            return owner_of(topic.name, topic_partition.partition, self._io_workers) == self._io_index

        def topic_id_of(topic_partition: TopicPartition) -> Uuid | None:
            topic = image.topics.get(topic_partition.topic)
            return topic.topic_id if topic and topic_partition.partition < len(topic.partitions) else None

        self._manager.open_all(owns, was_clean, progress, topic_id_of)
        return self._follow(MetadataImage(), image, is_new=False)

    def apply(self, image: MetadataImage) -> PartitionChanges:
        """Follow a later image."""
        before, self.image = self.image, image
        return self._follow(before, image, is_new=True)

    def reconfigure(self) -> None:
        """Give every open log its configuration anew: the broker's defaults have changed."""
        configs: dict[str, LogConfig] = {}
        for owned in self._dispatcher.partitions.values():
            log = owned.log
            if log is not None:
                topic = log.topic_partition.topic
                if topic not in configs:
                    configs[topic] = self._config_for(topic)
                log.update_config(configs[topic])

    def _follow(self, before: MetadataImage, image: MetadataImage, *, is_new: bool) -> PartitionChanges:
        changes = PartitionChanges([], [], [])
        if before.topics is not image.topics:
            for name, old in before.topics.items():
                topic = image.topics.get(name)
                if topic is None or topic.topic_id != old.topic_id:
                    changes.deleted_topics.append(name)
                    self._close(old, changes)
            for name, topic in image.topics.items():
                known = before.topics.get(name)
                if known is not topic:
                    self._open(topic, changes, is_new=is_new)
        return changes

    def _open(self, topic: TopicState, changes: PartitionChanges, *, is_new: bool) -> None:
        config: LogConfig | None = None
        for state in topic.partitions:
            if state.row == NO_ROW or owner_of(topic.name, state.partition, self._io_workers) != self._io_index:
                continue
            topic_partition = TopicPartition(topic.name, state.partition)
            owned = self._dispatcher.partitions.get(state.row)
            if owned is None:
                self._open_one(topic, state, topic_partition, is_new=is_new)
                changes.opened.append(topic_partition)
                continue
            if owned.log is not None:
                config = config or self._config_for(topic.name)
                owned.log.update_config(config)
            self._set_epoch(owned, state)
            self._dispatcher.publish(owned)

    def _open_one(self, topic: TopicState, state: PartitionState, name: TopicPartition, *, is_new: bool) -> None:
        self._progress()
        log: Log | None = None
        may_pass = True
        try:
            log = self._manager.create(name, topic.topic_id, is_new=is_new)
            if log.state != PartitionRowState.ONLINE:
                log = None
        except KafkaError as error:
            may_pass = not isinstance(error, InOfflineDirectory)
            if self._told.get(name) != str(error):
                self._told[name] = str(error)
                logger.error("%s: %s%s", name, error, "; tried again until it works" if may_pass else "")
        if log is None and may_pass:
            self._unopened.add(state.row)
        else:
            self._unopened.discard(state.row)
        owned = OwnedPartition(state.row, log, state.leader_epoch)
        self._rows[name] = state.row
        self._dispatcher.partitions[state.row] = owned
        self._set_epoch(owned, state)
        self._dispatcher.publish(owned)

    def open_again(self) -> PartitionChanges:
        """Try again to open the logs that could not be, or that went offline by a fault of their own."""
        changes = PartitionChanges([], [], [])
        owned_by_row = self._dispatcher.partitions
        for row in [row for row in self._unopened if row not in owned_by_row]:
            self._unopened.discard(row)
        for owned in owned_by_row.values():
            if owned.log is not None and owned.log.state != PartitionRowState.ONLINE:
                self._unopened.add(owned.row)
        if self._unopened:
            for topic in self.image.topics.values():
                for state in topic.partitions:
                    if state.row in self._unopened:
                        name = TopicPartition(topic.name, state.partition)
                        self._open_one(topic, state, name, is_new=False)
                        if owned_by_row[state.row].log is not None:
                            logger.info("%s: open now", name)
                            self._told.pop(name, None)
                            changes.opened.append(name)
        return changes

    def _set_epoch(self, owned: OwnedPartition, state: PartitionState) -> None:
        owned.leader_epoch = state.leader_epoch
        log = owned.log
        if log is None or log.leader_epoch == state.leader_epoch <= log.epochs.latest_epoch:
            return
        try:
            log.begin_leader_epoch(state.leader_epoch)
        except (KafkaError, LogDirFailed) as error:
            # A disk that cannot take this line will not take the next append either, and is dealt with then.
            logger.error("%s: leader epoch not recorded: %s", log.topic_partition, error)
            log.leader_epoch = state.leader_epoch

    def _close(self, topic: TopicState, changes: PartitionChanges) -> None:
        for state in topic.partitions:
            name = TopicPartition(topic.name, state.partition)
            if self._rows.get(name) != state.row:
                continue
            del self._rows[name]
            self._dispatcher.partitions.pop(state.row, None)
            changes.closed.append(name)
            self._told.pop(name, None)
            self._progress()
            try:
                self._manager.delete(name)
            except KafkaError as error:
                logger.error("%s: not deleted: %s", name, error)

    def went_offline(self, logs: Collection[Log]) -> None:
        """Publish that the logs of a failed directory cannot be used."""
        failed = {log.topic_partition for log in logs}
        for name in failed:
            row = self._rows.get(name)
            owned = None if row is None else self._dispatcher.partitions.get(row)
            if owned is not None:
                owned.log = None
                self._dispatcher.publish(owned)

    def publish(self, logs: Collection[Log]) -> None:
        """Publish the rows of logs that changed by themselves (retention, truncation)."""
        for log in logs:
            row = self._rows.get(log.topic_partition)
            owned = None if row is None else self._dispatcher.partitions.get(row)
            if owned is not None:
                if log.state != PartitionRowState.ONLINE:
                    owned.log = None
                    if log.log_dir_index not in self._manager.offline_indexes:
                        self._unopened.add(owned.row)
                self._dispatcher.publish(owned)
