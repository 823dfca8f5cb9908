"""
The keys of a topic: what CreateTopics, AlterConfigs and DescribeConfigs of a topic know.

Most take type, default and range from the broker's key that gives all topics their default (their first synonym).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from kbroker.config.key import MAX_LONG, Key, boolean_key, list_key, same_as, without_effect
from kbroker.config.keys import BROKER_KEYS
from kbroker.config.reasons import NO_NEW_GROUPS, NO_QUOTAS, NO_TIERED

_MINUTE_MS = 60_000
_HOUR_MS = 60 * _MINUTE_MS


def _from_broker(name: str, *synonyms: str, **changes: Any) -> Key:
    """Return the broker's key `synonyms[0]` under its name at the topic."""
    changes = {"kafka_default": None, "synonyms": same_as(*synonyms), **changes}
    return replace(BROKER_KEYS[synonyms[0]], name=name, **changes)


_RETENTION_MS = {"log.retention.ms": 1, "log.retention.minutes": _MINUTE_MS, "log.retention.hours": _HOUR_MS}
_ROLL_MS = {"log.roll.ms": 1, "log.roll.hours": _HOUR_MS}
_REPLICAS = (r"\*|[0-9]+:[0-9]+", "* or partition:broker, separated by commas")
_JITTER_MS = {"log.roll.jitter.ms": 1, "log.roll.jitter.hours": _HOUR_MS}

_KEYS = (
    _from_broker("cleanup.policy", "log.cleanup.policy"),
    _from_broker("compression.gzip.level", "compression.gzip.level"),
    _from_broker("compression.lz4.level", "compression.lz4.level"),
    _from_broker("compression.type", "compression.type"),
    _from_broker("compression.zstd.level", "compression.zstd.level"),
    _from_broker("delete.retention.ms", "log.cleaner.delete.retention.ms"),
    _from_broker("file.delete.delay.ms", "log.segment.delete.delay.ms"),
    _from_broker("flush.messages", "log.flush.interval.messages"),
    _from_broker("flush.ms", "log.flush.interval.ms", "log.flush.scheduler.interval.ms", default=MAX_LONG, minimum=0),
    _from_broker("index.interval.bytes", "log.index.interval.bytes"),
    _from_broker("local.retention.bytes", "log.local.retention.bytes"),
    _from_broker("local.retention.ms", "log.local.retention.ms"),
    _from_broker("max.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms"),
    _from_broker("max.decompressed.message.bytes", "max.decompressed.message.bytes"),
    _from_broker("max.message.bytes", "message.max.bytes"),
    _from_broker("message.downconversion.enable", "log.message.downconversion.enable"),
    _from_broker("message.format.version", "log.message.format.version"),
    _from_broker("message.timestamp.after.max.ms", "log.message.timestamp.after.max.ms"),
    _from_broker("message.timestamp.before.max.ms", "log.message.timestamp.before.max.ms"),
    _from_broker("message.timestamp.difference.max.ms", "log.message.timestamp.difference.max.ms"),
    _from_broker("message.timestamp.type", "log.message.timestamp.type"),
    _from_broker("min.cleanable.dirty.ratio", "log.cleaner.min.cleanable.ratio"),
    _from_broker("min.compaction.lag.ms", "log.cleaner.min.compaction.lag.ms"),
    _from_broker("min.insync.replicas", "min.insync.replicas"),
    _from_broker("preallocate", "log.preallocate"),
    _from_broker("retention.bytes", "log.retention.bytes"),
    _from_broker(
        "retention.ms",
        "log.retention.ms",
        default=168 * _HOUR_MS,
        minimum=-1,
        doc="Age at which segments are deleted; -1: never.",
        synonyms=MappingProxyType(_RETENTION_MS),
    ),
    _from_broker("segment.bytes", "log.segment.bytes"),
    _from_broker("segment.index.bytes", "log.index.size.max.bytes"),
    _from_broker(
        "segment.jitter.ms",
        "log.roll.jitter.ms",
        default=0,
        doc="Random part taken off segment.ms, so that logs do not roll all at once.",
        synonyms=MappingProxyType(_JITTER_MS),
    ),
    _from_broker(
        "segment.ms",
        "log.roll.ms",
        default=168 * _HOUR_MS,
        doc="Age at which a log starts a new segment.",
        synonyms=MappingProxyType(_ROLL_MS),
    ),
    _from_broker("unclean.leader.election.enable", "unclean.leader.election.enable"),
    *without_effect(
        NO_NEW_GROUPS,
        boolean_key("errors.deadletterqueue.group.enable", False, "Let share groups write records they gave up here."),
    ),
    *without_effect(
        NO_QUOTAS,
        list_key(
            "follower.replication.throttled.replicas", (), "Replicas whose followers are throttled.", form=_REPLICAS
        ),
        list_key("leader.replication.throttled.replicas", (), "Replicas whose leaders are throttled.", form=_REPLICAS),
    ),
    *without_effect(
        NO_TIERED,
        _from_broker("remote.copy.lag.bytes", "log.remote.copy.lag.bytes"),
        _from_broker("remote.copy.lag.ms", "log.remote.copy.lag.ms"),
        boolean_key("remote.log.copy.disable", False, "Stop copying segments elsewhere."),
        boolean_key("remote.log.delete.on.disable", False, "Delete the copies elsewhere."),
        boolean_key("remote.storage.enable", False, "Keep old segments elsewhere; only false is possible."),
    ),
)

TOPIC_KEYS: Mapping[str, Key] = MappingProxyType({key.name: key for key in _KEYS})
"""Every key of a topic by name; the synonyms are broker keys."""
