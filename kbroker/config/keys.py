"""
The table of server.properties: every key the broker knows, with type, default, range and what it does here.

A key is either honoured, or says under `no_effect` why setting it changes nothing (most of those stand in
`accepted_keys`), or under `refused` why it cannot be set. Defaults are Apache Kafka's (3.9) unless `kafka_default`
names another.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from kbroker.config.accepted_keys import (
    CLEANER_KEYS,
    CLUSTER_KEYS,
    KRAFT_KEYS,
    OTHER_KEYS,
    THROTTLE_KEYS,
    TRANSACTION_KEYS,
    ZOOKEEPER_KEYS,
)
from kbroker.config.group_protocol_keys import NEW_GROUP_KEYS
from kbroker.config.key import (
    CLUSTER_WIDE,
    MAX_INT,
    MAX_LONG,
    PER_BROKER,
    Key,
    boolean_key,
    class_key,
    int_key,
    list_key,
    long_key,
    same_as,
    short_key,
    string_key,
)
from kbroker.config.reasons import (
    NO_CLUSTERS,
    NO_KRAFT,
    NO_QUOTAS,
    NO_RECOMPRESSION,
    NO_SECURITY,
    NO_ZOOKEEPER,
    OLD_FORMATS,
)
from kbroker.config.security_keys import SECURITY_KEYS
from kbroker.config.tiered_storage_keys import TIERED_STORAGE_KEYS

_BOUND_AT_START = "listeners are bound once, when the broker starts; set it in server.properties and restart"
_POOLS_ARE_FIXED = (
    "each worker owns its partitions and connections, which cannot move to another one while the broker runs; "
    "set it in server.properties and restart"
)

_IDENTITY = (
    int_key(
        "broker.id",
        -1,
        "This broker's number, unique in its cluster. Below 0: the one kept in the data directory, 0 in a new one.",
        minimum=-1,
        synonyms=same_as("node.id"),
    ),
    int_key(
        "node.id",
        None,
        "The KRaft name of broker.id; used when broker.id is not set.",
        minimum=-1,
        synonyms=same_as("broker.id"),
    ),
    boolean_key(
        "broker.id.generation.enable",
        True,
        "Let ZooKeeper give out broker ids above reserved.broker.max.id.",
        no_effect=NO_ZOOKEEPER,
    ),
    int_key(
        "reserved.broker.max.id", 1000, "Largest broker.id an operator may set.", minimum=0, no_effect=NO_ZOOKEEPER
    ),
    string_key("broker.rack", None, "Where this broker stands; told to clients in Metadata."),
)

_LISTENERS = (
    list_key(
        "listeners",
        ("PLAINTEXT://localhost:9092",),
        "Where the broker listens: NAME://host:port, separated by commas. An empty host means all interfaces; "
        "[..] surrounds an IPv6 address; port 0 lets the kernel choose. Unset, and with port and host.name unset too: "
        "localhost only, over IPv4 and IPv6.",
        update=PER_BROKER,
        kafka_default="PLAINTEXT://:9092",
        fixed=_BOUND_AT_START,
    ),
    list_key(
        "advertised.listeners",
        None,
        "What clients are told to connect to. Unset: a host name written in listeners as it is written, else the "
        "address that each client dialled, so that tunnels, containers and second interfaces work.",
    ),
    string_key(
        "listener.security.protocol.map",
        "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT",
        "Which protocol each listener name speaks: NAME:PROTOCOL, separated by commas. Those in use must be PLAINTEXT.",
        update=PER_BROKER,
        fixed=_BOUND_AT_START,
    ),
    string_key("inter.broker.listener.name", None, "The listener other brokers use. Unset: by its security protocol."),
    string_key(
        "security.inter.broker.protocol",
        "PLAINTEXT",
        "The protocol between brokers, when inter.broker.listener.name is not set.",
        choices=("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    ),
    list_key(
        "controller.listener.names",
        None,
        "Names of listeners of KRaft's controller; they are not bound, since there is no such quorum here.",
    ),
    list_key("early.start.listeners", None, "Listeners to open before authorization is ready.", no_effect=NO_SECURITY),
    string_key("control.plane.listener.name", None, "A listener for the controller's requests.", no_effect=NO_CLUSTERS),
    int_key(
        "port",
        None,
        "Old name: the port, when listeners is not set.",
        minimum=0,
        maximum=65535,
        kafka_default="9092",
        internal=True,
    ),
    string_key(
        "host.name",
        None,
        "Old name: the host to bind, when listeners is not set. Empty: all interfaces.",
        internal=True,
    ),
    int_key("advertised.port", None, "Old name: the port clients are told.", minimum=1, maximum=65535, internal=True),
    string_key("advertised.host.name", None, "Old name: the host clients are told.", internal=True),
)

_POOLS = (
    int_key(
        "num.network.threads",
        None,
        "Network worker processes. Unset: a quarter of the cores, at least 1, at most 3.",
        minimum=1,
        kafka_default="3",
        update=CLUSTER_WIDE,
        fixed=_POOLS_ARE_FIXED,
    ),
    int_key(
        "num.io.threads",
        None,
        "IO worker processes; each partition belongs to one of them. Unset: half of the cores, at least 1, at most 8.",
        minimum=1,
        kafka_default="8",
        update=CLUSTER_WIDE,
        fixed=_POOLS_ARE_FIXED,
    ),
    int_key(
        "background.threads",
        10,
        "Threads for background tasks, over all IO workers: deleting and flushing files.",
        minimum=1,
        update=CLUSTER_WIDE,
        no_effect="the IO workers do such work between requests",
    ),
    int_key(
        "num.recovery.threads.per.data.dir",
        1,
        "Logs recovered at once per log directory and IO worker after an unclean shutdown.",
        minimum=1,
        kafka_default="2",
        update=CLUSTER_WIDE,
        no_effect="each IO worker recovers its own logs: num.io.threads says how many at once",
    ),
    int_key(
        "num.replica.alter.log.dirs.threads",
        None,
        "Threads moving replicas between log directories.",
        no_effect="moving replicas between log directories is not in this version",
    ),
)

_SOCKETS = (
    int_key(
        "socket.send.buffer.bytes",
        102400,
        "Send buffer of client sockets (SO_SNDBUF); -1: the kernel decides and adapts.",
        minimum=-1,
    ),
    int_key(
        "socket.receive.buffer.bytes",
        -1,
        "Receive buffer of client sockets (SO_RCVBUF); -1: the kernel decides and adapts.",
        minimum=-1,
        kafka_default="102400",
    ),
    int_key(
        "socket.request.max.bytes",
        100 * 1024 * 1024,
        "Largest request accepted; a larger one closes its connection.",
        minimum=1,
    ),
    int_key("socket.listen.backlog.size", 50, "Connections the kernel keeps waiting to be accepted.", minimum=1),
    long_key(
        "connections.max.idle.ms",
        600000,
        "A connection with no request for this long is closed; -1: never.",
        minimum=-1,
    ),
    int_key(
        "max.connections",
        MAX_INT,
        "Client connections at once; more are closed at once.",
        minimum=0,
        update=CLUSTER_WIDE,
    ),
    int_key("max.connections.per.ip", MAX_INT, "Connections at once from one address.", minimum=0, update=CLUSTER_WIDE),
    string_key(
        "max.connections.per.ip.overrides",
        "",
        "Other limits for single addresses: address:number, separated by commas.",
        form=(r"(?:\s*[^,\s]+:[0-9]+\s*(?:,|$))*", "address:number, separated by commas"),
        update=CLUSTER_WIDE,
    ),
    int_key(
        "max.connection.creation.rate",
        MAX_INT,
        "New connections per second.",
        minimum=0,
        update=CLUSTER_WIDE,
        no_effect=NO_QUOTAS,
    ),
    int_key(
        "queued.max.requests", 500, "Requests waiting for IO workers before network workers stop reading.", minimum=1
    ),
    long_key(
        "queued.max.request.bytes",
        -1,
        "Bytes of large requests in flight before a network worker stops reading; -1: as much as its arena holds, and "
        "under a memory limit (cgroup) no more than a quarter of it for all workers.",
    ),
    int_key(
        "request.timeout.ms",
        30000,
        "Longest wait for an answer between brokers and workers.",
        minimum=1,
        no_effect="there is no other broker to wait for",
    ),
)

_LOGS = (
    list_key(
        "log.dirs",
        None,
        "Directories of the logs, separated by commas; created when missing; new partitions go to the emptiest. "
        "Unset: ${XDG_DATA_HOME:-~/.local/share}/kbroker.",
        synonyms=same_as("log.dir"),
    ),
    list_key("log.dir", None, "One log directory; used when log.dirs is not set.", kafka_default="/tmp/kafka-logs"),  # noqa: S108
    int_key(
        "log.segment.bytes",
        1073741824,
        "Size at which a log starts a new segment file.",
        minimum=14,
        update=CLUSTER_WIDE,
    ),
    long_key(
        "log.roll.ms",
        None,
        "Age at which a log starts a new segment. Unset: log.roll.hours.",
        minimum=1,
        update=CLUSTER_WIDE,
    ),
    int_key("log.roll.hours", 168, "Age in hours at which a log starts a new segment.", minimum=1),
    long_key(
        "log.roll.jitter.ms",
        None,
        "Random part taken off the roll age, so that logs do not roll all at once. Unset: log.roll.jitter.hours.",
        minimum=0,
        update=CLUSTER_WIDE,
    ),
    int_key("log.roll.jitter.hours", 0, "Random part taken off the roll age, in hours.", minimum=0),
    long_key(
        "log.retention.ms",
        None,
        "Age at which segments are deleted; -1: never. Unset: log.retention.minutes.",
        update=CLUSTER_WIDE,
    ),
    int_key("log.retention.minutes", None, "Age in minutes at which segments are deleted. Unset: log.retention.hours."),
    int_key("log.retention.hours", 168, "Age in hours at which segments are deleted; -1: never."),
    long_key(
        "log.retention.bytes",
        -1,
        "Size of a partition beyond which its oldest segments are deleted; -1: no limit.",
        update=CLUSTER_WIDE,
    ),
    long_key("log.retention.check.interval.ms", 300000, "How often retention is checked.", minimum=1),
    list_key(
        "log.cleanup.policy",
        ("delete",),
        "What happens to old segments. delete: deleted by age and size. compact keeps every record in this version.",
        choices=("delete", "compact"),
        update=CLUSTER_WIDE,
    ),
    int_key(
        "log.index.size.max.bytes",
        10 * 1024 * 1024,
        "Largest size of an offset or time index; a full one starts a new segment.",
        minimum=4,
        update=CLUSTER_WIDE,
    ),
    int_key(
        "log.index.interval.bytes", 4096, "Bytes of log between two index entries.", minimum=0, update=CLUSTER_WIDE
    ),
    long_key(
        "log.flush.interval.messages",
        MAX_LONG,
        "Records after which a log is forced to disk. The default leaves it to the operating system.",
        minimum=1,
        update=CLUSTER_WIDE,
    ),
    long_key(
        "log.flush.interval.ms",
        None,
        "Longest time a record stays off the disk. Unset: log.flush.scheduler.interval.ms.",
        update=CLUSTER_WIDE,
    ),
    long_key(
        "log.flush.scheduler.interval.ms", MAX_LONG, "How often logs are checked for being due to be forced to disk."
    ),
    int_key("log.flush.offset.checkpoint.interval.ms", 60000, "How often recovery points are written down.", minimum=0),
    int_key(
        "log.flush.start.offset.checkpoint.interval.ms",
        60000,
        "How often log start offsets are written down.",
        minimum=0,
    ),
    long_key(
        "log.segment.delete.delay.ms", 60000, "How long a deleted segment's files stay.", minimum=0, update=CLUSTER_WIDE
    ),
    boolean_key("log.preallocate", False, "Reserve a segment's full size when it is made.", update=CLUSTER_WIDE),
    long_key(
        "log.dir.failure.timeout.ms",
        30000,
        "How long a broker with a failed log directory waits for the controller.",
        minimum=1,
        no_effect=NO_KRAFT,
    ),
    long_key(
        "log.initial.task.delay.ms",
        30000,
        "Wait after the start before retention and flush are first checked.",
        minimum=0,
        internal=True,
        no_effect="the first check comes after one interval",
    ),
    string_key(
        "log.message.timestamp.type",
        "CreateTime",
        "Which time a record carries: the producer's, or that of the append.",
        choices=("CreateTime", "LogAppendTime"),
        update=CLUSTER_WIDE,
    ),
    long_key(
        "log.message.timestamp.difference.max.ms",
        MAX_LONG,
        "Old key: largest difference of a record's time from now, both ways.",
        minimum=0,
        update=CLUSTER_WIDE,
    ),
    long_key(
        "log.message.timestamp.before.max.ms",
        MAX_LONG,
        "How far a record's time may lie in the past.",
        minimum=0,
        update=CLUSTER_WIDE,
    ),
    long_key(
        "log.message.timestamp.after.max.ms",
        3_600_000,
        "How far a record's time may lie in the future.",
        minimum=0,
        update=CLUSTER_WIDE,
    ),
    int_key(
        "message.max.bytes",
        1048588,
        "Largest record batch accepted, compressed as sent.",
        minimum=0,
        update=CLUSTER_WIDE,
    ),
    int_key(
        "max.decompressed.message.bytes",
        2**31 - 9,
        "Largest record accepted in a compressed batch, decompressed.",
        minimum=1,
        maximum=2**31 - 9,
        update=CLUSTER_WIDE,
    ),
    string_key(
        "compression.type",
        "producer",
        "How batches are stored. producer: as they came.",
        choices=("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"),
        no_effect=NO_RECOMPRESSION,
        update=CLUSTER_WIDE,
    ),
    int_key(
        "compression.gzip.level",
        -1,
        "Level of gzip, when compression.type is gzip.",
        form=("-1|[1-9]", "-1 or a whole number from 1 to 9"),
        update=CLUSTER_WIDE,
        no_effect=NO_RECOMPRESSION,
    ),
    int_key(
        "compression.lz4.level",
        9,
        "Level of lz4, when compression.type is lz4.",
        minimum=1,
        maximum=17,
        update=CLUSTER_WIDE,
        no_effect=NO_RECOMPRESSION,
    ),
    int_key(
        "compression.zstd.level",
        3,
        "Level of zstd, when compression.type is zstd.",
        minimum=-131072,
        maximum=22,
        update=CLUSTER_WIDE,
        no_effect=NO_RECOMPRESSION,
    ),
    int_key(
        "min.insync.replicas",
        1,
        "Replicas that must have a record before acks=all is answered.",
        minimum=1,
        update=CLUSTER_WIDE,
    ),
    boolean_key(
        "unclean.leader.election.enable",
        False,
        "Let a replica lead that may miss acknowledged records.",
        update=CLUSTER_WIDE,
    ),
    string_key(
        "log.message.format.version",
        "3.0-IV1",
        "Old key: the format of stored records.",
        no_effect=OLD_FORMATS,
    ),
    boolean_key(
        "log.message.downconversion.enable",
        True,
        "Convert records for consumers that only know older formats.",
        update=CLUSTER_WIDE,
        no_effect=OLD_FORMATS,
    ),
    long_key(
        "replica.high.watermark.checkpoint.interval.ms", 5000, "How often high watermarks are written down.", minimum=1
    ),
    int_key(
        "producer.id.expiration.ms",
        86400000,
        "How long an idle producer's sequence is remembered.",
        minimum=1,
        update=CLUSTER_WIDE,
    ),
    int_key(
        "producer.id.expiration.check.interval.ms",
        600000,
        "How often idle producers are looked for.",
        minimum=1,
        internal=True,
    ),
)

_TOPICS = (
    boolean_key("auto.create.topics.enable", True, "Create a topic when a client first asks for it."),
    boolean_key("delete.topic.enable", True, "Allow topics to be deleted; false answers TOPIC_DELETION_DISABLED."),
    int_key("num.partitions", 1, "Partitions of a topic created without a number.", minimum=1),
    int_key("default.replication.factor", 1, "Replicas of a topic created without a number.", minimum=1, maximum=32767),
    class_key(
        "create.topic.policy.class.name",
        None,
        "A Java class that judges new topics.",
        refused="it names a Java class that would decide which topics may be created; it cannot run here",
    ),
    class_key(
        "alter.config.policy.class.name",
        None,
        "A Java class that judges changed configurations.",
        refused="it names a Java class that would decide which changes are allowed; it cannot run here",
    ),
)

_FETCH = (
    int_key("fetch.max.bytes", 57671680, "Most bytes one fetch is answered with.", minimum=1024),
    int_key("max.incremental.fetch.session.cache.slots", 1000, "Fetch sessions remembered at once.", minimum=0),
    int_key(
        "fetch.purgatory.purge.interval.requests",
        1000,
        "Finished fetches swept out of the purgatory at once.",
        no_effect="the purgatory here drops finished operations at once",
    ),
    int_key(
        "producer.purgatory.purge.interval.requests",
        1000,
        "Finished produces swept out of the purgatory at once.",
        no_effect="the purgatory here drops finished operations at once",
    ),
    int_key(
        "delete.records.purgatory.purge.interval.requests",
        1,
        "Finished deletions of records swept out of the purgatory at once.",
        no_effect="the purgatory here drops finished operations at once",
    ),
    int_key(
        "max.request.partition.size.limit",
        2000,
        "Most partitions one DescribeTopicPartitions request is answered with.",
        minimum=1,
        no_effect="2000 always is the most",
    ),
)

_GROUPS = (
    int_key("group.min.session.timeout.ms", 6000, "Shortest session time-out a consumer may ask for.", minimum=1),
    int_key("group.max.session.timeout.ms", 1800000, "Longest session time-out a consumer may ask for.", minimum=1),
    int_key(
        "group.initial.rebalance.delay.ms",
        0,
        "How long an empty group waits for more members before its first rebalance. 0: the first member has its "
        "partitions at once, and a group of many members that start together rebalances once or twice more.",
        minimum=0,
        kafka_default="3000",
    ),
    int_key("group.max.size", MAX_INT, "Most members of a group.", minimum=1),
    int_key("offset.metadata.max.bytes", 4096, "Largest text a client may store with an offset.", minimum=0),
    int_key(
        "offsets.load.buffer.size",
        5242880,
        "Bytes read at once when offsets are loaded.",
        minimum=1,
        no_effect="offsets are loaded in pieces of the log reader's size",
    ),
    short_key("offsets.topic.replication.factor", 1, "Replicas of __consumer_offsets.", minimum=1, kafka_default="3"),
    int_key("offsets.topic.num.partitions", 50, "Partitions of __consumer_offsets; fixed once it exists.", minimum=1),
    int_key("offsets.topic.segment.bytes", 104857600, "Segment size of __consumer_offsets.", minimum=1),
    int_key(
        "offsets.topic.compression.codec",
        0,
        "Compression of __consumer_offsets: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.",
        minimum=0,
        maximum=4,
    ),
    int_key("offsets.retention.minutes", 10080, "How long offsets of an empty group are kept.", minimum=1),
    long_key("offsets.retention.check.interval.ms", 600000, "How often stale offsets are looked for.", minimum=1),
    int_key(
        "offsets.commit.timeout.ms",
        5000,
        "Longest wait for an offset commit to be stored.",
        minimum=1,
        no_effect="a commit waits for no other broker",
    ),
    short_key(
        "offsets.commit.required.acks",
        -1,
        "Acknowledgements an offset commit waits for; only -1 (all) keeps offsets safe.",
        minimum=-1,
        maximum=1,
        no_effect="there is one replica: a commit is answered when it is written",
    ),
)

_METADATA = (
    string_key(
        "kbroker.metadata.dir", None, "Directory of the embedded metadata store. Unset: the first log directory."
    ),
)

BROKER_SECTIONS: Mapping[str, tuple[Key, ...]] = MappingProxyType(
    {
        "Identity": _IDENTITY,
        "Listeners": _LISTENERS,
        "Workers": _POOLS,
        "Connections and requests": _SOCKETS,
        "Logs": _LOGS,
        "Log cleaner": CLEANER_KEYS,
        "Topics": _TOPICS,
        "Fetches and purgatories": _FETCH,
        "Consumer groups": _GROUPS,
        "New group protocols": NEW_GROUP_KEYS,
        "Transactions": TRANSACTION_KEYS,
        "Metadata": _METADATA,
        "KRaft": KRAFT_KEYS,
        "ZooKeeper": ZOOKEEPER_KEYS,
        "Clusters and quotas": CLUSTER_KEYS,
        "Security": SECURITY_KEYS,
        "Tiered storage": TIERED_STORAGE_KEYS,
        "Metrics and the rest": OTHER_KEYS,
    }
)
"""Every key of server.properties under what it is about."""

BROKER_KEYS: Mapping[str, Key] = MappingProxyType(
    {key.name: key for section in BROKER_SECTIONS.values() for key in section}
)
"""Every key of server.properties by name."""

RUNNING_KEYS: Mapping[str, Key] = MappingProxyType({key.name: key for key in THROTTLE_KEYS})
"""Keys of a broker that can only be set while it runs, by name."""

GROUP_KEYS: tuple[Key, ...] = tuple(key for key in _GROUPS if not key.no_effect)
"""The keys the group coordinator uses."""
