"""What a network worker knows of the cluster: the image that the cluster worker last published."""

from __future__ import annotations

from kbroker.metadata.image import MetadataImage, PartitionState, TopicState
from kbroker.metadata.placement import owner_of
from kbroker.types import Uuid


class ClusterView:
    """
    The current metadata image and what follows from it.

    broker_id   this broker
    io_workers  how many IO workers share the partitions
    image       replaced as a whole when metadata change
    """

    __slots__ = ("broker_id", "image", "io_workers")

    def __init__(self, image: MetadataImage, broker_id: int, io_workers: int) -> None:
        self.image = image
        self.broker_id = broker_id
        self.io_workers = io_workers

    def topic(self, name: str) -> TopicState | None:
        """Return a topic by name."""
        return self.image.topics.get(name)

    def topic_by_id(self, topic_id: Uuid) -> TopicState | None:
        """Return a topic by its id."""
        return self.image.topics_by_id.get(topic_id)

    def owner(self, topic: TopicState, partition: PartitionState) -> int:
        """Return the index of the IO worker that owns a partition on this broker."""
        return owner_of(topic.name, partition.partition, self.io_workers)
