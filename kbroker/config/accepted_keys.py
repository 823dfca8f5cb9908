"""Keys of server.properties that are accepted, and why setting them changes nothing in this version."""

from __future__ import annotations

from kbroker.config.key import (
    CLUSTER_WIDE,
    MAX_LONG,
    PER_BROKER,
    boolean_key,
    class_key,
    double_key,
    int_key,
    list_key,
    long_key,
    password_key,
    short_key,
    string_key,
    without_effect,
)
from kbroker.config.reasons import (
    GONE,
    JVM,
    NO_CLUSTERS,
    NO_COMPACTION,
    NO_KRAFT,
    NO_QUOTAS,
    NO_TRANSACTIONS,
    NO_ZOOKEEPER,
)

CLEANER_KEYS = without_effect(
    NO_COMPACTION,
    boolean_key("log.cleaner.enable", True, "Run the log cleaner."),
    int_key("log.cleaner.threads", 1, "Threads of the cleaner.", minimum=0, update=CLUSTER_WIDE),
    double_key(
        "log.cleaner.io.max.bytes.per.second",
        1.7976931348623157e308,
        "Limit of the cleaner's reads and writes.",
        update=CLUSTER_WIDE,
    ),
    long_key("log.cleaner.dedupe.buffer.size", 134217728, "Memory of the cleaner's key maps.", update=CLUSTER_WIDE),
    int_key("log.cleaner.io.buffer.size", 524288, "Memory of the cleaner's buffers.", minimum=0, update=CLUSTER_WIDE),
    double_key(
        "log.cleaner.io.buffer.load.factor", 0.9, "How full the cleaner's key map may get.", update=CLUSTER_WIDE
    ),
    long_key(
        "log.cleaner.backoff.ms",
        15000,
        "Pause of the cleaner when there is nothing to clean.",
        minimum=0,
        update=CLUSTER_WIDE,
    ),
    double_key(
        "log.cleaner.min.cleanable.ratio",
        0.5,
        "Share of uncompacted log that makes a log due.",
        minimum=0,
        maximum=1,
        update=CLUSTER_WIDE,
    ),
    long_key(
        "log.cleaner.delete.retention.ms", 86400000, "How long deletion marks stay.", minimum=0, update=CLUSTER_WIDE
    ),
    long_key(
        "log.cleaner.min.compaction.lag.ms",
        0,
        "Age below which a record is not compacted.",
        minimum=0,
        update=CLUSTER_WIDE,
    ),
    long_key(
        "log.cleaner.max.compaction.lag.ms",
        MAX_LONG,
        "Age above which a record is due for compaction.",
        minimum=1,
        update=CLUSTER_WIDE,
    ),
)

TRANSACTION_KEYS = without_effect(
    NO_TRANSACTIONS,
    short_key(
        "transaction.state.log.replication.factor", 1, "Replicas of __transaction_state.", minimum=1, kafka_default="3"
    ),
    int_key(
        "transaction.state.log.min.isr",
        1,
        "Replicas that must have a transaction's state.",
        minimum=1,
        kafka_default="2",
    ),
    int_key("transaction.state.log.num.partitions", 50, "Partitions of __transaction_state.", minimum=1),
    int_key("transaction.state.log.segment.bytes", 104857600, "Segment size of __transaction_state.", minimum=1),
    int_key(
        "transaction.state.log.load.buffer.size", 5242880, "Bytes read at once when transactions are loaded.", minimum=1
    ),
    int_key("transaction.max.timeout.ms", 900000, "Longest transaction a client may ask for.", minimum=1),
    int_key("transactional.id.expiration.ms", 604800000, "How long an idle transactional id is kept.", minimum=1),
    int_key(
        "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        10000,
        "How often overdue transactions are looked for.",
        minimum=1,
    ),
    int_key(
        "transaction.remove.expired.transaction.cleanup.interval.ms",
        3600000,
        "How often idle transactional ids are looked for.",
        minimum=1,
    ),
    boolean_key(
        "transaction.partition.verification.enable",
        True,
        "Check that a partition was added to its transaction.",
        update=CLUSTER_WIDE,
    ),
    int_key(
        "add.partitions.to.txn.retry.backoff.max.ms",
        100,
        "Longest pause before a partition is added to a transaction again.",
        minimum=0,
    ),
    int_key(
        "add.partitions.to.txn.retry.backoff.ms",
        20,
        "First pause before a partition is added to a transaction again.",
        minimum=1,
    ),
    boolean_key("transaction.two.phase.commit.enable", False, "Let clients take part in two-phase commits."),
)

KRAFT_KEYS = without_effect(
    NO_KRAFT,
    string_key("metadata.log.dir", None, "Directory of KRaft's metadata log."),
    list_key(
        "process.roles",
        None,
        "KRaft's roles of this process; a broker that also is a controller starts as a single broker.",
        choices=("broker", "controller"),
    ),
    list_key("controller.quorum.voters", (), "The voters of KRaft's quorum."),
    list_key("controller.quorum.bootstrap.servers", (), "Where KRaft's quorum is found."),
    int_key("controller.quorum.election.timeout.ms", 1000, "Wait before KRaft elects.", minimum=0),
    int_key("controller.quorum.fetch.timeout.ms", 2000, "Wait for KRaft's leader.", minimum=0),
    int_key("controller.quorum.election.backoff.max.ms", 1000, "Longest back-off of KRaft's elections.", minimum=0),
    int_key("controller.quorum.request.timeout.ms", 2000, "Time-out of KRaft's requests.", minimum=0),
    int_key("controller.quorum.retry.backoff.ms", 20, "Back-off of KRaft's requests.", minimum=0),
    int_key("controller.quorum.append.linger.ms", 25, "Wait to collect KRaft's records.", minimum=0),
    long_key(
        "metadata.log.max.record.bytes.between.snapshots", 20971520, "Bytes between KRaft's snapshots.", minimum=1
    ),
    long_key("metadata.log.max.snapshot.interval.ms", 3600000, "Time between KRaft's snapshots.", minimum=0),
    int_key("metadata.log.segment.bytes", 1073741824, "Segment size of KRaft's log.", minimum=8388608),
    long_key("metadata.log.segment.ms", 604800000, "Segment age of KRaft's log."),
    long_key("metadata.max.retention.bytes", 104857600, "Size of KRaft's log."),
    long_key("metadata.max.retention.ms", 604800000, "Age of KRaft's log."),
    int_key("metadata.max.idle.interval.ms", 500, "How often KRaft writes when nothing happens.", minimum=0),
    int_key("broker.heartbeat.interval.ms", 2000, "Heartbeat to KRaft's controller."),
    int_key("broker.session.timeout.ms", 9000, "KRaft's broker lease."),
    int_key("initial.broker.registration.timeout.ms", 60000, "Wait for KRaft's registration."),
    long_key("server.max.startup.time.ms", MAX_LONG, "Longest start of KRaft's server.", minimum=0, internal=True),
    boolean_key(
        "unstable.api.versions.enable",
        False,
        "Offer versions still in the making.",
        internal=True,
        no_effect="only finished versions are offered",
    ),
    boolean_key(
        "unstable.feature.versions.enable",
        False,
        "Offer features still in the making.",
        internal=True,
        no_effect="only finished features are offered",
    ),
    long_key(
        "controller.performance.always.log.threshold.ms",
        2000,
        "Slowness of KRaft's controller that is always logged.",
        minimum=0,
        internal=True,
    ),
    long_key(
        "controller.performance.sample.period.ms",
        60000,
        "How often slow events of KRaft's controller are logged.",
        minimum=100,
        internal=True,
    ),
    boolean_key("controller.quorum.auto.join.enable", False, "Let a new controller join KRaft's quorum by itself."),
    int_key("controller.quorum.fetch.max.bytes", 1048576, "Bytes of one fetch of KRaft's log.", minimum=1),
    int_key(
        "controller.quorum.fetch.snapshot.max.bytes", 1048576, "Bytes of one fetch of KRaft's snapshot.", minimum=1
    ),
    boolean_key("eligible.leader.replicas.enable", False, "Remember replicas that may lead though they left the ISR."),
    long_key(
        "internal.metadata.delete.delay.millis", 60000, "How long deleted files of KRaft's log stay.", internal=True
    ),
    int_key("internal.metadata.log.segment.bytes", None, "Segment size of KRaft's log in tests.", internal=True),
    int_key("internal.metadata.max.batch.size.in.bytes", 8388608, "Largest batch of KRaft's log.", internal=True),
    int_key(
        "metadata.log.segment.min.bytes", 8388608, "Smallest segment size of KRaft's log.", minimum=12, internal=True
    ),
)

ZOOKEEPER_KEYS = without_effect(
    NO_ZOOKEEPER,
    string_key("zookeeper.connect", None, "Addresses of a ZooKeeper ensemble."),
    int_key("zookeeper.connection.timeout.ms", None, "Longest wait for ZooKeeper."),
    int_key("zookeeper.session.timeout.ms", 18000, "ZooKeeper's session time-out."),
    int_key("zookeeper.sync.time.ms", 2000, "How far ZooKeeper's followers may lag.", no_effect=GONE, internal=True),
    int_key("zookeeper.max.in.flight.requests", 10, "Requests to ZooKeeper at once.", minimum=1),
    boolean_key("zookeeper.set.acl", False, "Protect the nodes in ZooKeeper."),
    boolean_key("zookeeper.metadata.migration.enable", False, "Move from ZooKeeper to KRaft.", no_effect=NO_KRAFT),
    string_key("zookeeper.clientCnxnSocket", None, "ZooKeeper's Java socket class.", no_effect=JVM),
    boolean_key("zookeeper.ssl.client.enable", False, "TLS to ZooKeeper."),
    string_key("zookeeper.ssl.keystore.location", None, "Key store for ZooKeeper."),
    password_key("zookeeper.ssl.keystore.password", "Password of that key store."),
    string_key("zookeeper.ssl.keystore.type", None, "Type of that key store."),
    string_key("zookeeper.ssl.truststore.location", None, "Trust store for ZooKeeper."),
    password_key("zookeeper.ssl.truststore.password", "Password of that trust store."),
    string_key("zookeeper.ssl.truststore.type", None, "Type of that trust store."),
    string_key("zookeeper.ssl.protocol", "TLSv1.2", "TLS version to ZooKeeper."),
    list_key("zookeeper.ssl.enabled.protocols", None, "TLS versions to ZooKeeper."),
    list_key("zookeeper.ssl.cipher.suites", None, "Ciphers to ZooKeeper."),
    string_key("zookeeper.ssl.endpoint.identification.algorithm", "HTTPS", "Host check of ZooKeeper."),
    boolean_key("zookeeper.ssl.crl.enable", False, "Revocation lists for ZooKeeper."),
    boolean_key("zookeeper.ssl.ocsp.enable", False, "Online revocation checks for ZooKeeper."),
    int_key(
        "zookeeper.metadata.migration.min.batch.size",
        200,
        "Records per batch of the move to KRaft.",
        minimum=1,
        internal=True,
    ),
)

CLUSTER_KEYS = without_effect(
    NO_CLUSTERS,
    int_key("controller.socket.timeout.ms", 30000, "Time-out between controller and brokers."),
    int_key(
        "controller.message.queue.size",
        10,
        "Requests of the controller queued per broker.",
        no_effect=GONE,
        internal=True,
    ),
    int_key("controller.quota.window.num", 11, "Samples of the controller's quota.", minimum=1, no_effect=NO_QUOTAS),
    int_key("controller.quota.window.size.seconds", 1, "Length of those samples.", minimum=1, no_effect=NO_QUOTAS),
    boolean_key("controlled.shutdown.enable", True, "Hand leadership over before stopping."),
    int_key("controlled.shutdown.max.retries", 3, "Attempts to hand leadership over."),
    long_key("controlled.shutdown.retry.backoff.ms", 5000, "Pause between those attempts."),
    int_key("num.replica.fetchers", 1, "Fetchers per leading broker.", minimum=1, update=CLUSTER_WIDE),
    long_key("replica.lag.time.max.ms", 30000, "How long a replica may lag before it leaves the ISR."),
    long_key("replica.lag.max.messages", 4000, "How many records a replica may lag.", no_effect=GONE, internal=True),
    int_key("replica.socket.timeout.ms", 30000, "Time-out of replication."),
    int_key("replica.socket.receive.buffer.bytes", 65536, "Receive buffer of replication."),
    int_key("replica.fetch.max.bytes", 1048576, "Bytes replicated per partition and fetch.", minimum=0),
    int_key("replica.fetch.response.max.bytes", 10485760, "Bytes replicated per fetch.", minimum=0),
    int_key("replica.fetch.min.bytes", 1, "Bytes a replica's fetch waits for."),
    int_key("replica.fetch.wait.max.ms", 500, "Longest wait of a replica's fetch."),
    int_key("replica.fetch.backoff.ms", 1000, "Pause after a failed fetch of a replica.", minimum=0),
    string_key("replica.selector.class", None, "A Java class choosing the replica consumers read.", no_effect=JVM),
    boolean_key("auto.leader.rebalance.enable", True, "Give leadership back to preferred replicas."),
    int_key("leader.imbalance.per.broker.percentage", 10, "Imbalance that starts a rebalance."),
    long_key("leader.imbalance.check.interval.seconds", 300, "How often balance is checked.", minimum=1),
    string_key("inter.broker.protocol.version", "3.9-IV0", "Protocol between brokers."),
    int_key("quota.window.num", 11, "Samples of client quotas.", minimum=1, no_effect=NO_QUOTAS),
    int_key("quota.window.size.seconds", 1, "Length of those samples.", minimum=1, no_effect=NO_QUOTAS),
    int_key("replication.quota.window.num", 11, "Samples of replication quotas.", minimum=1, no_effect=NO_QUOTAS),
    int_key("replication.quota.window.size.seconds", 1, "Length of those samples.", minimum=1, no_effect=NO_QUOTAS),
    int_key(
        "alter.log.dirs.replication.quota.window.num",
        11,
        "Samples of quotas between directories.",
        minimum=1,
        no_effect=NO_QUOTAS,
    ),
    int_key(
        "alter.log.dirs.replication.quota.window.size.seconds",
        1,
        "Length of those samples.",
        minimum=1,
        no_effect=NO_QUOTAS,
    ),
    long_key(
        "quota.producer.default", MAX_LONG, "Bytes per second of a producer.", minimum=1, no_effect=GONE, internal=True
    ),
    long_key(
        "quota.consumer.default", MAX_LONG, "Bytes per second of a consumer.", minimum=1, no_effect=GONE, internal=True
    ),
    class_key("client.quota.callback.class", None, "A Java class that sets quotas.", no_effect=NO_QUOTAS),
    long_key("socket.connection.setup.timeout.max.ms", 30000, "Longest wait for a connection to another broker."),
    long_key("socket.connection.setup.timeout.ms", 10000, "First wait for a connection to another broker."),
    long_key(
        "unclean.leader.election.interval.ms",
        300000,
        "How often partitions without a leader are looked at.",
        minimum=1,
        internal=True,
    ),
)


OTHER_KEYS = without_effect(
    JVM,
    list_key(
        "metric.reporters",
        (),
        "Java classes metrics are given to.",
        update=CLUSTER_WIDE,
        kafka_default="org.apache.kafka.common.metrics.JmxReporter",
        fixed=JVM,
    ),
    boolean_key("auto.include.jmx.reporter", True, "Offer metrics over JMX."),
    int_key("metrics.num.samples", 2, "Samples of a metric.", minimum=1),
    long_key("metrics.sample.window.ms", 30000, "Length of those samples.", minimum=1),
    string_key("metrics.recording.level", "INFO", "How much is measured.", choices=("INFO", "DEBUG", "TRACE")),
    list_key("kafka.metrics.reporters", (), "Java classes metrics are given to."),
    int_key("kafka.metrics.polling.interval.secs", 10, "How often those are asked.", minimum=1),
    int_key(
        "telemetry.max.bytes",
        1048576,
        "Largest telemetry of a client.",
        minimum=1,
        no_effect="client telemetry is not in this version",
    ),
    boolean_key(
        "confluent.support.metrics.enable",
        False,
        "Report usage to Confluent.",
        no_effect="nothing is reported to anyone",
        internal=True,
    ),
    string_key(
        "confluent.support.customer.id",
        None,
        "Whom to report as.",
        no_effect="nothing is reported to anyone",
        internal=True,
    ),
    list_key("config.providers", (), "Java classes that values are read from.", update=CLUSTER_WIDE),
    list_key("cordoned.log.dirs", (), "Log directories that get no new partitions.", update=PER_BROKER),
)

THROTTLE_KEYS = without_effect(
    NO_QUOTAS,
    long_key(
        "leader.replication.throttled.rate",
        MAX_LONG,
        "Bytes per second that leaders send to throttled replicas.",
        minimum=0,
        update=CLUSTER_WIDE,
    ),
    long_key(
        "follower.replication.throttled.rate",
        MAX_LONG,
        "Bytes per second that throttled replicas fetch.",
        minimum=0,
        update=CLUSTER_WIDE,
    ),
    long_key(
        "replica.alter.log.dirs.io.max.bytes.per.second",
        MAX_LONG,
        "Bytes per second copied between log directories.",
        minimum=0,
        update=CLUSTER_WIDE,
    ),
)
