"""Keys of server.properties that are accepted, and why setting them changes nothing in this version."""

from __future__ import annotations

from kbroker.config.key import (
    CLUSTER_WIDE,
    MAX_INT,
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

_NO_CLUSTERS = "this version runs single brokers: there is no other broker to talk to"
_NO_ZOOKEEPER = "clusters over ZooKeeper are not in this version: the embedded store is used"
_NO_KRAFT = "there is no KRaft quorum here: metadata lives in the embedded store"
_NO_SECURITY = "TLS and SASL are not in this version"
_NO_COMPACTION = "log compaction is not in this version: compacted topics keep every record"
_NO_TRANSACTIONS = "transactions are not in this version"
_NO_QUOTAS = "quotas are not in this version"
_NO_TIERED = "tiered storage is not in this version"
_NO_NEW_GROUPS = "the group protocols of KIP-848 and share groups are not in this version"
_JVM = "it configures classes of the Java broker"
_GONE = "Apache Kafka itself no longer has it"

CLEANER_KEYS = without_effect(
    _NO_COMPACTION,
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
    _NO_TRANSACTIONS,
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
)

KRAFT_KEYS = without_effect(
    _NO_KRAFT,
    string_key("metadata.log.dir", None, "Directory of KRaft's metadata log."),
    list_key(
        "process.roles",
        (),
        "KRaft's roles of this process; a broker that also is a controller starts as a single broker.",
        choices=("broker", "controller"),
    ),
    list_key("controller.quorum.voters", (), "The voters of KRaft's quorum."),
    list_key("controller.quorum.bootstrap.servers", (), "Where KRaft's quorum is found."),
    int_key("controller.quorum.election.timeout.ms", 1000, "Wait before KRaft elects."),
    int_key("controller.quorum.fetch.timeout.ms", 2000, "Wait for KRaft's leader."),
    int_key("controller.quorum.election.backoff.max.ms", 1000, "Longest back-off of KRaft's elections."),
    int_key("controller.quorum.request.timeout.ms", 2000, "Time-out of KRaft's requests."),
    int_key("controller.quorum.retry.backoff.ms", 20, "Back-off of KRaft's requests."),
    int_key("controller.quorum.append.linger.ms", 25, "Wait to collect KRaft's records."),
    long_key("metadata.log.max.record.bytes.between.snapshots", 20971520, "Bytes between KRaft's snapshots."),
    long_key("metadata.log.max.snapshot.interval.ms", 3600000, "Time between KRaft's snapshots."),
    int_key("metadata.log.segment.bytes", 1073741824, "Segment size of KRaft's log."),
    long_key("metadata.log.segment.ms", 604800000, "Segment age of KRaft's log."),
    long_key("metadata.max.retention.bytes", 104857600, "Size of KRaft's log."),
    long_key("metadata.max.retention.ms", 604800000, "Age of KRaft's log."),
    int_key("metadata.max.idle.interval.ms", 500, "How often KRaft writes when nothing happens.", minimum=0),
    int_key("broker.heartbeat.interval.ms", 2000, "Heartbeat to KRaft's controller."),
    int_key("broker.session.timeout.ms", 9000, "KRaft's broker lease."),
    int_key("initial.broker.registration.timeout.ms", 60000, "Wait for KRaft's registration."),
    long_key("server.max.startup.time.ms", MAX_LONG, "Longest start of KRaft's server.", minimum=0),
    boolean_key(
        "unstable.api.versions.enable",
        False,
        "Offer versions still in the making.",
        no_effect="only finished versions are offered",
    ),
    boolean_key(
        "unstable.feature.versions.enable",
        False,
        "Offer features still in the making.",
        no_effect="only finished features are offered",
    ),
)

ZOOKEEPER_KEYS = without_effect(
    _NO_ZOOKEEPER,
    string_key("zookeeper.connect", None, "Addresses of a ZooKeeper ensemble."),
    int_key("zookeeper.connection.timeout.ms", None, "Longest wait for ZooKeeper."),
    int_key("zookeeper.session.timeout.ms", 18000, "ZooKeeper's session time-out."),
    int_key("zookeeper.sync.time.ms", 2000, "How far ZooKeeper's followers may lag.", no_effect=_GONE),
    int_key("zookeeper.max.in.flight.requests", 10, "Requests to ZooKeeper at once.", minimum=1),
    boolean_key("zookeeper.set.acl", False, "Protect the nodes in ZooKeeper."),
    boolean_key("zookeeper.metadata.migration.enable", False, "Move from ZooKeeper to KRaft.", no_effect=_NO_KRAFT),
    string_key("zookeeper.clientCnxnSocket", None, "ZooKeeper's Java socket class.", no_effect=_JVM),
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
)

CLUSTER_KEYS = without_effect(
    _NO_CLUSTERS,
    int_key("controller.socket.timeout.ms", 30000, "Time-out between controller and brokers."),
    int_key("controller.message.queue.size", 10, "Requests of the controller queued per broker.", no_effect=_GONE),
    int_key("controller.quota.window.num", 11, "Samples of the controller's quota.", minimum=1, no_effect=_NO_QUOTAS),
    int_key("controller.quota.window.size.seconds", 1, "Length of those samples.", minimum=1, no_effect=_NO_QUOTAS),
    boolean_key("controlled.shutdown.enable", True, "Hand leadership over before stopping."),
    int_key("controlled.shutdown.max.retries", 3, "Attempts to hand leadership over."),
    long_key("controlled.shutdown.retry.backoff.ms", 5000, "Pause between those attempts."),
    int_key("num.replica.fetchers", 1, "Fetchers per leading broker.", update=CLUSTER_WIDE),
    long_key("replica.lag.time.max.ms", 30000, "How long a replica may lag before it leaves the ISR."),
    long_key("replica.lag.max.messages", 4000, "How many records a replica may lag.", no_effect=_GONE),
    int_key("replica.socket.timeout.ms", 30000, "Time-out of replication."),
    int_key("replica.socket.receive.buffer.bytes", 65536, "Receive buffer of replication."),
    int_key("replica.fetch.max.bytes", 1048576, "Bytes replicated per partition and fetch.", minimum=0),
    int_key("replica.fetch.response.max.bytes", 10485760, "Bytes replicated per fetch.", minimum=0),
    int_key("replica.fetch.min.bytes", 1, "Bytes a replica's fetch waits for."),
    int_key("replica.fetch.wait.max.ms", 500, "Longest wait of a replica's fetch."),
    int_key("replica.fetch.backoff.ms", 1000, "Pause after a failed fetch of a replica.", minimum=0),
    class_key("replica.selector.class", None, "A Java class choosing the replica consumers read.", no_effect=_JVM),
    boolean_key("auto.leader.rebalance.enable", True, "Give leadership back to preferred replicas."),
    int_key("leader.imbalance.per.broker.percentage", 10, "Imbalance that starts a rebalance."),
    long_key("leader.imbalance.check.interval.seconds", 300, "How often balance is checked.", minimum=1),
    string_key("inter.broker.protocol.version", "3.9-IV0", "Protocol between brokers."),
    int_key("quota.window.num", 11, "Samples of client quotas.", minimum=1, no_effect=_NO_QUOTAS),
    int_key("quota.window.size.seconds", 1, "Length of those samples.", minimum=1, no_effect=_NO_QUOTAS),
    int_key("replication.quota.window.num", 11, "Samples of replication quotas.", minimum=1, no_effect=_NO_QUOTAS),
    int_key("replication.quota.window.size.seconds", 1, "Length of those samples.", minimum=1, no_effect=_NO_QUOTAS),
    int_key(
        "alter.log.dirs.replication.quota.window.num",
        11,
        "Samples of quotas between directories.",
        minimum=1,
        no_effect=_NO_QUOTAS,
    ),
    int_key(
        "alter.log.dirs.replication.quota.window.size.seconds",
        1,
        "Length of those samples.",
        minimum=1,
        no_effect=_NO_QUOTAS,
    ),
    long_key("quota.producer.default", MAX_LONG, "Bytes per second of a producer.", minimum=1, no_effect=_GONE),
    long_key("quota.consumer.default", MAX_LONG, "Bytes per second of a consumer.", minimum=1, no_effect=_GONE),
    class_key("client.quota.callback.class", None, "A Java class that sets quotas.", no_effect=_NO_QUOTAS),
)

SECURITY_KEYS = without_effect(
    _NO_SECURITY,
    class_key(
        "authorizer.class.name",
        None,
        "A Java class that decides who may do what.",
        refused="authorization is not in this version, and a broker that looks protected must not start without it",
    ),
    list_key("super.users", None, "Principals that may do everything."),
    boolean_key("allow.everyone.if.no.acl.found", False, "Allow what no rule names."),
    class_key("principal.builder.class", None, "A Java class naming principals."),
    list_key("security.providers", None, "Java security providers.", no_effect=_JVM),
    int_key("connection.failed.authentication.delay.ms", 100, "Wait before a failed login is answered.", minimum=0),
    long_key("connections.max.reauth.ms", 0, "Longest time between logins."),
    list_key("sasl.enabled.mechanisms", ("GSSAPI",), "SASL mechanisms offered.", update=PER_BROKER),
    string_key("sasl.mechanism.inter.broker.protocol", "GSSAPI", "SASL mechanism between brokers.", update=PER_BROKER),
    string_key("sasl.mechanism.controller.protocol", "GSSAPI", "SASL mechanism of the controller."),
    password_key("sasl.jaas.config", "Logins of SASL.", update=PER_BROKER),
    string_key("sasl.kerberos.service.name", None, "Name of the Kerberos service.", update=PER_BROKER),
    string_key("ssl.keystore.location", None, "Key store.", update=PER_BROKER),
    password_key("ssl.keystore.password", "Password of the key store.", update=PER_BROKER),
    password_key("ssl.keystore.key", "Private key, as text.", update=PER_BROKER),
    string_key("ssl.keystore.certificate.chain", None, "Certificates, as text.", update=PER_BROKER),
    string_key("ssl.keystore.type", "JKS", "Type of the key store.", update=PER_BROKER),
    password_key("ssl.key.password", "Password of the private key.", update=PER_BROKER),
    string_key("ssl.truststore.location", None, "Trust store.", update=PER_BROKER),
    password_key("ssl.truststore.password", "Password of the trust store.", update=PER_BROKER),
    string_key("ssl.truststore.certificates", None, "Trusted certificates, as text.", update=PER_BROKER),
    string_key("ssl.truststore.type", "JKS", "Type of the trust store.", update=PER_BROKER),
    string_key(
        "ssl.client.auth",
        "none",
        "Whether clients show certificates.",
        choices=("required", "requested", "none"),
        update=PER_BROKER,
    ),
    string_key("ssl.protocol", "TLSv1.3", "TLS version.", update=PER_BROKER),
    list_key("ssl.enabled.protocols", ("TLSv1.2", "TLSv1.3"), "TLS versions.", update=PER_BROKER),
    list_key("ssl.cipher.suites", (), "Ciphers.", update=PER_BROKER),
    string_key("ssl.endpoint.identification.algorithm", "https", "Host check.", update=PER_BROKER),
    list_key("ssl.principal.mapping.rules", ("DEFAULT",), "From certificates to principals."),
    list_key(
        "sasl.kerberos.principal.to.local.rules", ("DEFAULT",), "From Kerberos names to principals.", update=PER_BROKER
    ),
    password_key("delegation.token.master.key", "Secret of delegation tokens."),
    password_key("delegation.token.secret.key", "Secret of delegation tokens."),
    long_key("delegation.token.max.lifetime.ms", 604800000, "Longest life of a token.", minimum=1),
    long_key("delegation.token.expiry.time.ms", 86400000, "Life of a token between renewals.", minimum=1),
    password_key("password.encoder.secret", "Secret that protects passwords in ZooKeeper.", no_effect=_NO_ZOOKEEPER),
)

OTHER_KEYS = without_effect(
    _JVM,
    list_key("metric.reporters", (), "Java classes metrics are given to.", update=CLUSTER_WIDE),
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
    boolean_key("remote.log.storage.system.enable", False, "Keep old segments elsewhere.", no_effect=_NO_TIERED),
    long_key(
        "log.local.retention.ms",
        -2,
        "Age of segments kept here.",
        minimum=-2,
        update=CLUSTER_WIDE,
        no_effect=_NO_TIERED,
    ),
    long_key(
        "log.local.retention.bytes",
        -2,
        "Size of logs kept here.",
        minimum=-2,
        update=CLUSTER_WIDE,
        no_effect=_NO_TIERED,
    ),
    boolean_key(
        "confluent.support.metrics.enable",
        False,
        "Report usage to Confluent.",
        no_effect="nothing is reported to anyone",
    ),
    string_key("confluent.support.customer.id", None, "Whom to report as.", no_effect="nothing is reported to anyone"),
)

NEW_GROUP_KEYS = without_effect(
    _NO_NEW_GROUPS,
    list_key(
        "group.coordinator.rebalance.protocols",
        ("classic",),
        "Group protocols the coordinator speaks; this version speaks classic.",
        kafka_default="classic,consumer",
    ),
    boolean_key("group.coordinator.new.enable", False, "Use the group coordinator of KIP-848."),
    int_key(
        "group.coordinator.threads",
        1,
        "Threads of the group coordinator.",
        minimum=1,
        no_effect="groups run on the IO workers",
    ),
    int_key(
        "group.coordinator.append.linger.ms",
        10,
        "Wait to collect the coordinator's records.",
        minimum=0,
        no_effect="records are collected per turn of a worker's loop",
    ),
    int_key("group.consumer.session.timeout.ms", 45000, "Session time-out of KIP-848.", minimum=1),
    int_key("group.consumer.min.session.timeout.ms", 45000, "Shortest session time-out of KIP-848.", minimum=1),
    int_key("group.consumer.max.session.timeout.ms", 60000, "Longest session time-out of KIP-848.", minimum=1),
    int_key("group.consumer.heartbeat.interval.ms", 5000, "Heartbeat of KIP-848.", minimum=1),
    int_key("group.consumer.min.heartbeat.interval.ms", 5000, "Shortest heartbeat of KIP-848.", minimum=1),
    int_key("group.consumer.max.heartbeat.interval.ms", 15000, "Longest heartbeat of KIP-848.", minimum=1),
    int_key("group.consumer.max.size", MAX_INT, "Most members of a KIP-848 group.", minimum=1),
    list_key("group.consumer.assignors", (), "Server-side assignors of KIP-848."),
    string_key("group.consumer.migration.policy", "disabled", "Moving groups to KIP-848."),
    short_key("share.coordinator.state.topic.replication.factor", 1, "Replicas of share groups' state.", minimum=1),
    short_key("share.coordinator.state.topic.min.isr", 1, "Replicas that must have share groups' state.", minimum=1),
    int_key("share.coordinator.state.topic.num.partitions", 50, "Partitions of share groups' state.", minimum=1),
    int_key(
        "share.coordinator.state.topic.segment.bytes", 104857600, "Segment size of share groups' state.", minimum=1
    ),
)
