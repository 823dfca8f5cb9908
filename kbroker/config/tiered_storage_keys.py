"""Keys of tiered storage: accepted, without effect in this version."""

from __future__ import annotations

from kbroker.config.key import (
    CLUSTER_WIDE,
    MAX_LONG,
    boolean_key,
    double_key,
    int_key,
    long_key,
    string_key,
    without_effect,
)
from kbroker.config.reasons import (
    NO_TIERED,
)

TIERED_STORAGE_KEYS = without_effect(
    NO_TIERED,
    boolean_key("remote.log.storage.system.enable", False, "Keep old segments elsewhere."),
    long_key(
        "log.local.retention.ms",
        -2,
        "Age of segments kept here.",
        minimum=-2,
        update=CLUSTER_WIDE,
    ),
    long_key(
        "log.local.retention.bytes",
        -2,
        "Size of logs kept here.",
        minimum=-2,
        update=CLUSTER_WIDE,
    ),
    long_key(
        "log.remote.copy.lag.bytes",
        -1,
        "Bytes a segment may wait before it is copied elsewhere.",
        minimum=-1,
        update=CLUSTER_WIDE,
    ),
    long_key(
        "log.remote.copy.lag.ms",
        0,
        "Time a segment may wait before it is copied elsewhere.",
        minimum=-1,
        update=CLUSTER_WIDE,
    ),
    boolean_key(
        "follower.fetch.last.tiered.offset.enable",
        False,
        "Let a new follower begin where the copies elsewhere end.",
        update=CLUSTER_WIDE,
    ),
    int_key(
        "remote.fetch.max.wait.ms", 500, "Longest wait for records kept elsewhere.", minimum=1, update=CLUSTER_WIDE
    ),
    long_key(
        "remote.list.offsets.request.timeout.ms",
        30000,
        "Longest wait for an offset kept elsewhere.",
        minimum=1,
        update=CLUSTER_WIDE,
    ),
    long_key(
        "remote.log.index.file.cache.total.size.bytes",
        1073741824,
        "Disk for indexes of segments kept elsewhere.",
        minimum=1,
        update=CLUSTER_WIDE,
    ),
    long_key(
        "remote.log.index.file.cache.ttl.ms", 900000, "How long such an index stays unused.", minimum=-1, internal=True
    ),
    int_key(
        "remote.log.manager.copier.thread.pool.size",
        10,
        "Threads that copy segments elsewhere.",
        minimum=1,
        update=CLUSTER_WIDE,
    ),
    long_key(
        "remote.log.manager.copy.max.bytes.per.second",
        MAX_LONG,
        "Limit of copying segments elsewhere.",
        minimum=1,
        update=CLUSTER_WIDE,
    ),
    int_key("remote.log.manager.copy.quota.window.num", 11, "Samples of that limit.", minimum=1),
    int_key("remote.log.manager.copy.quota.window.size.seconds", 1, "Length of those samples.", minimum=1),
    int_key(
        "remote.log.manager.expiration.thread.pool.size",
        10,
        "Threads that delete segments elsewhere.",
        minimum=1,
        update=CLUSTER_WIDE,
    ),
    long_key(
        "remote.log.manager.fetch.max.bytes.per.second",
        MAX_LONG,
        "Limit of reading segments kept elsewhere.",
        minimum=1,
        update=CLUSTER_WIDE,
    ),
    int_key("remote.log.manager.fetch.quota.window.num", 11, "Samples of that limit.", minimum=1),
    int_key("remote.log.manager.fetch.quota.window.size.seconds", 1, "Length of those samples.", minimum=1),
    int_key(
        "remote.log.manager.follower.thread.pool.size",
        2,
        "Threads that follow what leaders copy elsewhere.",
        minimum=1,
        update=CLUSTER_WIDE,
    ),
    long_key(
        "remote.log.manager.task.interval.ms",
        30000,
        "How often segments to copy and to delete are looked for.",
        minimum=1,
    ),
    long_key(
        "remote.log.manager.task.retry.backoff.max.ms",
        30000,
        "Longest pause after a failure of that work.",
        minimum=1,
        internal=True,
    ),
    long_key(
        "remote.log.manager.task.retry.backoff.ms",
        500,
        "First pause after a failure of that work.",
        minimum=1,
        internal=True,
    ),
    double_key(
        "remote.log.manager.task.retry.jitter", 0.2, "Random part of that pause.", minimum=0, maximum=0.5, internal=True
    ),
    int_key(
        "remote.log.manager.thread.pool.size", 2, "Threads that look for segments to copy and to delete.", minimum=1
    ),
    int_key(
        "remote.log.metadata.custom.metadata.max.bytes", 128, "Largest note of a storage about a segment.", minimum=0
    ),
    string_key(
        "remote.log.metadata.manager.class.name",
        "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager",
        "A Java class that knows which segments are kept elsewhere.",
    ),
    string_key("remote.log.metadata.manager.class.path", None, "Where that class lies."),
    string_key("remote.log.metadata.manager.impl.prefix", "rlmm.config.", "Prefix of the keys for that class."),
    string_key("remote.log.metadata.manager.listener.name", None, "The listener that class connects to."),
    int_key("remote.log.reader.max.pending.tasks", 100, "Reads from elsewhere that may wait.", minimum=1),
    int_key("remote.log.reader.threads", 10, "Threads that read from elsewhere.", minimum=1, update=CLUSTER_WIDE),
    string_key("remote.log.storage.manager.class.name", None, "A Java class that keeps segments elsewhere."),
    string_key("remote.log.storage.manager.class.path", None, "Where that class lies."),
    string_key("remote.log.storage.manager.impl.prefix", "rsm.config.", "Prefix of the keys for that class."),
)
