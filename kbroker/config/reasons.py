"""Why a key of Kafka's has no effect here: one text per reason, used by all keys it holds for."""

from __future__ import annotations

from typing import Final

GONE: Final = "Apache Kafka itself no longer has it"
JVM: Final = "it configures classes of the Java broker"
NO_CLUSTERS: Final = "this version runs single brokers: there is no other broker to talk to"
NO_COMPACTION: Final = "log compaction is not in this version: compacted topics keep every record"
NO_KRAFT: Final = "there is no KRaft quorum here: metadata lives in the embedded store"
NO_NEW_GROUPS: Final = "the group protocols of KIP-848 and share groups are not in this version"
NO_QUOTAS: Final = "quotas are not in this version"
NO_RECOMPRESSION: Final = "batches are stored as they came"
NO_SECURITY: Final = "TLS and SASL are not in this version"
NO_TIERED: Final = "tiered storage is not in this version"
NO_TRANSACTIONS: Final = "transactions are not in this version"
NO_ZOOKEEPER: Final = "clusters over ZooKeeper are not in this version: the embedded store is used"
OLD_FORMATS: Final = "record batches are stored in format v2, the only one in this version"
