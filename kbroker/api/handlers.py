"""
The table of served APIs: what is in here is what ApiVersions lists and what requests are dispatched by.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from kbroker.api import api_versions, fetch, metadata, produce
from kbroker.api.api_versions import ApiVersionsHandler
from kbroker.api.cluster_view import ClusterView
from kbroker.api.fetch import FetchHandler
from kbroker.api.log_readers import LogReaders
from kbroker.api.metadata import MetadataHandlers
from kbroker.api.produce import ProduceHandler, ProduceLimits
from kbroker.api.request import RequestContext
from kbroker.api.topic_creation import TopicCreation
from kbroker.clock import Clock
from kbroker.config.broker_config import BrokerConfig
from kbroker.config.topic_config import TopicDefaults, topic_config
from kbroker.errors import ConfigError
from kbroker.ipc.event_loop import EventLoop
from kbroker.ipc.request_channel import RequestChannel
from kbroker.metadata.image import TopicState
from kbroker.protocol.api_keys import ApiKey
from kbroker.shared.layout import SharedState


class Handler(NamedTuple):
    """Who answers an API, and in which versions."""

    min_version: int
    max_version: int
    handle: Callable[[RequestContext], None]


@dataclass(frozen=True, slots=True)
class HandlerParts:
    """What the handlers of one network worker are made of."""

    config: BrokerConfig
    view: ClusterView
    channel: RequestChannel
    loop: EventLoop
    shared: SharedState
    readers: LogReaders
    clock: Clock
    fetch: FetchHandler


def produce_limits(defaults: TopicDefaults) -> Callable[[TopicState], ProduceLimits]:
    """Return how a topic's ProduceLimits are found; `defaults` are the broker's."""

    def limits(topic: TopicState) -> ProduceLimits:
        try:
            values = topic_config(defaults, topic.config)
        except ConfigError:
            # A store written by something else may hold a value this version does not accept: the defaults count then.
            values = dict(defaults)
        return ProduceLimits(
            max_message_bytes=int(values["max.message.bytes"]),  # type: ignore[arg-type]
            segment_bytes=int(values["segment.bytes"]),  # type: ignore[arg-type]
            min_insync_replicas=int(values["min.insync.replicas"]),  # type: ignore[arg-type]
            message_timestamp_after_max_ms=int(values["message.timestamp.after.max.ms"]),  # type: ignore[arg-type]
            compacted="compact" in values["cleanup.policy"],  # type: ignore[operator]
        )

    return limits


def build_handlers(parts: HandlerParts) -> dict[int, Handler]:
    """Return the handlers of one network worker by API key."""
    config = parts.config
    creation = TopicCreation(parts.channel, parts.loop)
    metadata_handlers = MetadataHandlers(
        parts.view,
        parts.shared.partitions,
        creation,
        auto_create_topics=config.topics.auto_create_topics_enable,
    )
    produce_handler = ProduceHandler(parts.view, parts.channel, parts.clock, produce_limits(config.topic_defaults))
    table: dict[int, Handler] = {
        ApiKey.PRODUCE: Handler(*produce.VERSIONS, produce_handler.handle),
        ApiKey.FETCH: Handler(*fetch.VERSIONS, parts.fetch.handle),
        ApiKey.METADATA: Handler(*metadata.METADATA_VERSIONS, metadata_handlers.handle_metadata),
    }
    served = {key: (handler.min_version, handler.max_version) for key, handler in table.items()}
    served[ApiKey.API_VERSIONS] = api_versions.VERSIONS
    table[ApiKey.API_VERSIONS] = Handler(*api_versions.VERSIONS, ApiVersionsHandler(served).handle_api_versions)
    return table
