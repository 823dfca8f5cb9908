"""
Kafka's APIs: their numbers, and of each the versions our tables describe and the first flexible one.

The message tables say the same (a test compares); it stands here once more because a request's header has to be read
before anything is known of its body, and without importing ninety modules.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

from kbroker.protocol.field import NEVER


class ApiKey(IntEnum):
    """The number of an API, first field of every request."""

    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    LEADER_AND_ISR = 4
    STOP_REPLICA = 5
    UPDATE_METADATA = 6
    CONTROLLED_SHUTDOWN = 7
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    JOIN_GROUP = 11
    HEARTBEAT = 12
    LEAVE_GROUP = 13
    SYNC_GROUP = 14
    DESCRIBE_GROUPS = 15
    LIST_GROUPS = 16
    SASL_HANDSHAKE = 17
    API_VERSIONS = 18
    CREATE_TOPICS = 19
    DELETE_TOPICS = 20
    DELETE_RECORDS = 21
    INIT_PRODUCER_ID = 22
    OFFSET_FOR_LEADER_EPOCH = 23
    ADD_PARTITIONS_TO_TXN = 24
    ADD_OFFSETS_TO_TXN = 25
    END_TXN = 26
    WRITE_TXN_MARKERS = 27
    TXN_OFFSET_COMMIT = 28
    DESCRIBE_ACLS = 29
    CREATE_ACLS = 30
    DELETE_ACLS = 31
    DESCRIBE_CONFIGS = 32
    ALTER_CONFIGS = 33
    ALTER_REPLICA_LOG_DIRS = 34
    DESCRIBE_LOG_DIRS = 35
    SASL_AUTHENTICATE = 36
    CREATE_PARTITIONS = 37
    CREATE_DELEGATION_TOKEN = 38
    RENEW_DELEGATION_TOKEN = 39
    EXPIRE_DELEGATION_TOKEN = 40
    DESCRIBE_DELEGATION_TOKEN = 41
    DELETE_GROUPS = 42
    ELECT_LEADERS = 43
    INCREMENTAL_ALTER_CONFIGS = 44
    ALTER_PARTITION_REASSIGNMENTS = 45
    LIST_PARTITION_REASSIGNMENTS = 46
    OFFSET_DELETE = 47
    DESCRIBE_CLIENT_QUOTAS = 48
    ALTER_CLIENT_QUOTAS = 49
    DESCRIBE_USER_SCRAM_CREDENTIALS = 50
    ALTER_USER_SCRAM_CREDENTIALS = 51
    VOTE = 52
    BEGIN_QUORUM_EPOCH = 53
    END_QUORUM_EPOCH = 54
    DESCRIBE_QUORUM = 55
    ALTER_PARTITION = 56
    UPDATE_FEATURES = 57
    ENVELOPE = 58
    FETCH_SNAPSHOT = 59
    DESCRIBE_CLUSTER = 60
    DESCRIBE_PRODUCERS = 61
    BROKER_REGISTRATION = 62
    BROKER_HEARTBEAT = 63
    UNREGISTER_BROKER = 64
    DESCRIBE_TRANSACTIONS = 65
    LIST_TRANSACTIONS = 66
    ALLOCATE_PRODUCER_IDS = 67
    CONSUMER_GROUP_HEARTBEAT = 68
    CONSUMER_GROUP_DESCRIBE = 69
    CONTROLLER_REGISTRATION = 70
    GET_TELEMETRY_SUBSCRIPTIONS = 71
    PUSH_TELEMETRY = 72
    ASSIGN_REPLICAS_TO_DIRS = 73
    LIST_CONFIG_RESOURCES = 74
    DESCRIBE_TOPIC_PARTITIONS = 75
    SHARE_GROUP_HEARTBEAT = 76
    SHARE_GROUP_DESCRIBE = 77
    SHARE_FETCH = 78
    SHARE_ACKNOWLEDGE = 79
    ADD_RAFT_VOTER = 80
    REMOVE_RAFT_VOTER = 81
    UPDATE_RAFT_VOTER = 82
    INITIALIZE_SHARE_GROUP_STATE = 83
    READ_SHARE_GROUP_STATE = 84
    WRITE_SHARE_GROUP_STATE = 85
    DELETE_SHARE_GROUP_STATE = 86
    READ_SHARE_GROUP_STATE_SUMMARY = 87
    STREAMS_GROUP_HEARTBEAT = 88
    STREAMS_GROUP_DESCRIBE = 89
    DESCRIBE_SHARE_GROUP_OFFSETS = 90
    ALTER_SHARE_GROUP_OFFSETS = 91
    DELETE_SHARE_GROUP_OFFSETS = 92


class ApiVersionRange(NamedTuple):
    """What the tables know of an API, both ends included; which of it a broker serves is the broker's table to say."""

    lowest: int
    highest: int
    flexible_since: int
    """First version with compact encodings and header tags; NEVER when there is none."""


API_VERSIONS: Final[dict[int, ApiVersionRange]] = {
    ApiKey.PRODUCE: ApiVersionRange(0, 13, 9),
    ApiKey.FETCH: ApiVersionRange(0, 18, 12),
    ApiKey.LIST_OFFSETS: ApiVersionRange(0, 11, 6),
    ApiKey.METADATA: ApiVersionRange(0, 13, 9),
    ApiKey.LEADER_AND_ISR: ApiVersionRange(0, 7, 4),
    ApiKey.STOP_REPLICA: ApiVersionRange(0, 4, 2),
    ApiKey.UPDATE_METADATA: ApiVersionRange(0, 8, 6),
    ApiKey.CONTROLLED_SHUTDOWN: ApiVersionRange(0, 3, 3),
    ApiKey.OFFSET_COMMIT: ApiVersionRange(0, 10, 8),
    ApiKey.OFFSET_FETCH: ApiVersionRange(0, 10, 6),
    ApiKey.FIND_COORDINATOR: ApiVersionRange(0, 6, 3),
    ApiKey.JOIN_GROUP: ApiVersionRange(0, 9, 6),
    ApiKey.HEARTBEAT: ApiVersionRange(0, 4, 4),
    ApiKey.LEAVE_GROUP: ApiVersionRange(0, 5, 4),
    ApiKey.SYNC_GROUP: ApiVersionRange(0, 5, 4),
    ApiKey.DESCRIBE_GROUPS: ApiVersionRange(0, 6, 5),
    ApiKey.LIST_GROUPS: ApiVersionRange(0, 5, 3),
    ApiKey.SASL_HANDSHAKE: ApiVersionRange(0, 1, NEVER),
    ApiKey.API_VERSIONS: ApiVersionRange(0, 4, 3),
    ApiKey.CREATE_TOPICS: ApiVersionRange(0, 7, 5),
    ApiKey.DELETE_TOPICS: ApiVersionRange(0, 6, 4),
    ApiKey.DELETE_RECORDS: ApiVersionRange(0, 2, 2),
    ApiKey.INIT_PRODUCER_ID: ApiVersionRange(0, 6, 2),
    ApiKey.OFFSET_FOR_LEADER_EPOCH: ApiVersionRange(0, 4, 4),
    ApiKey.ADD_PARTITIONS_TO_TXN: ApiVersionRange(0, 5, 3),
    ApiKey.ADD_OFFSETS_TO_TXN: ApiVersionRange(0, 4, 3),
    ApiKey.END_TXN: ApiVersionRange(0, 5, 3),
    ApiKey.WRITE_TXN_MARKERS: ApiVersionRange(0, 2, 1),
    ApiKey.TXN_OFFSET_COMMIT: ApiVersionRange(0, 5, 3),
    ApiKey.DESCRIBE_ACLS: ApiVersionRange(0, 3, 2),
    ApiKey.CREATE_ACLS: ApiVersionRange(0, 3, 2),
    ApiKey.DELETE_ACLS: ApiVersionRange(0, 3, 2),
    ApiKey.DESCRIBE_CONFIGS: ApiVersionRange(0, 4, 4),
    ApiKey.ALTER_CONFIGS: ApiVersionRange(0, 2, 2),
    ApiKey.ALTER_REPLICA_LOG_DIRS: ApiVersionRange(0, 2, 2),
    ApiKey.DESCRIBE_LOG_DIRS: ApiVersionRange(0, 5, 2),
    ApiKey.SASL_AUTHENTICATE: ApiVersionRange(0, 2, 2),
    ApiKey.CREATE_PARTITIONS: ApiVersionRange(0, 3, 2),
    ApiKey.CREATE_DELEGATION_TOKEN: ApiVersionRange(0, 3, 2),
    ApiKey.RENEW_DELEGATION_TOKEN: ApiVersionRange(0, 2, 2),
    ApiKey.EXPIRE_DELEGATION_TOKEN: ApiVersionRange(0, 2, 2),
    ApiKey.DESCRIBE_DELEGATION_TOKEN: ApiVersionRange(0, 3, 2),
    ApiKey.DELETE_GROUPS: ApiVersionRange(0, 2, 2),
    ApiKey.ELECT_LEADERS: ApiVersionRange(0, 2, 2),
    ApiKey.INCREMENTAL_ALTER_CONFIGS: ApiVersionRange(0, 1, 1),
    ApiKey.ALTER_PARTITION_REASSIGNMENTS: ApiVersionRange(0, 1, 0),
    ApiKey.LIST_PARTITION_REASSIGNMENTS: ApiVersionRange(0, 0, 0),
    ApiKey.OFFSET_DELETE: ApiVersionRange(0, 0, NEVER),
    ApiKey.DESCRIBE_CLIENT_QUOTAS: ApiVersionRange(0, 1, 1),
    ApiKey.ALTER_CLIENT_QUOTAS: ApiVersionRange(0, 1, 1),
    ApiKey.DESCRIBE_USER_SCRAM_CREDENTIALS: ApiVersionRange(0, 0, 0),
    ApiKey.ALTER_USER_SCRAM_CREDENTIALS: ApiVersionRange(0, 0, 0),
    ApiKey.VOTE: ApiVersionRange(0, 2, 0),
    ApiKey.BEGIN_QUORUM_EPOCH: ApiVersionRange(0, 1, 1),
    ApiKey.END_QUORUM_EPOCH: ApiVersionRange(0, 1, 1),
    ApiKey.DESCRIBE_QUORUM: ApiVersionRange(0, 2, 0),
    ApiKey.ALTER_PARTITION: ApiVersionRange(0, 3, 0),
    ApiKey.UPDATE_FEATURES: ApiVersionRange(0, 2, 0),
    ApiKey.ENVELOPE: ApiVersionRange(0, 0, 0),
    ApiKey.FETCH_SNAPSHOT: ApiVersionRange(0, 1, 0),
    ApiKey.DESCRIBE_CLUSTER: ApiVersionRange(0, 2, 0),
    ApiKey.DESCRIBE_PRODUCERS: ApiVersionRange(0, 0, 0),
    ApiKey.BROKER_REGISTRATION: ApiVersionRange(0, 4, 0),
    ApiKey.BROKER_HEARTBEAT: ApiVersionRange(0, 2, 0),
    ApiKey.UNREGISTER_BROKER: ApiVersionRange(0, 0, 0),
    ApiKey.DESCRIBE_TRANSACTIONS: ApiVersionRange(0, 0, 0),
    ApiKey.LIST_TRANSACTIONS: ApiVersionRange(0, 2, 0),
    ApiKey.ALLOCATE_PRODUCER_IDS: ApiVersionRange(0, 0, 0),
    ApiKey.CONSUMER_GROUP_HEARTBEAT: ApiVersionRange(0, 1, 0),
    ApiKey.CONSUMER_GROUP_DESCRIBE: ApiVersionRange(0, 1, 0),
    ApiKey.CONTROLLER_REGISTRATION: ApiVersionRange(0, 0, 0),
    ApiKey.GET_TELEMETRY_SUBSCRIPTIONS: ApiVersionRange(0, 0, 0),
    ApiKey.PUSH_TELEMETRY: ApiVersionRange(0, 0, 0),
    ApiKey.ASSIGN_REPLICAS_TO_DIRS: ApiVersionRange(0, 0, 0),
    ApiKey.LIST_CONFIG_RESOURCES: ApiVersionRange(0, 1, 0),
    ApiKey.DESCRIBE_TOPIC_PARTITIONS: ApiVersionRange(0, 0, 0),
    ApiKey.SHARE_GROUP_HEARTBEAT: ApiVersionRange(1, 1, 0),
    ApiKey.SHARE_GROUP_DESCRIBE: ApiVersionRange(1, 1, 0),
    ApiKey.SHARE_FETCH: ApiVersionRange(1, 2, 0),
    ApiKey.SHARE_ACKNOWLEDGE: ApiVersionRange(1, 2, 0),
    ApiKey.ADD_RAFT_VOTER: ApiVersionRange(0, 1, 0),
    ApiKey.REMOVE_RAFT_VOTER: ApiVersionRange(0, 0, 0),
    ApiKey.UPDATE_RAFT_VOTER: ApiVersionRange(0, 0, 0),
    ApiKey.INITIALIZE_SHARE_GROUP_STATE: ApiVersionRange(0, 0, 0),
    ApiKey.READ_SHARE_GROUP_STATE: ApiVersionRange(0, 0, 0),
    ApiKey.WRITE_SHARE_GROUP_STATE: ApiVersionRange(0, 1, 0),
    ApiKey.DELETE_SHARE_GROUP_STATE: ApiVersionRange(0, 0, 0),
    ApiKey.READ_SHARE_GROUP_STATE_SUMMARY: ApiVersionRange(0, 1, 0),
    ApiKey.STREAMS_GROUP_HEARTBEAT: ApiVersionRange(0, 0, 0),
    ApiKey.STREAMS_GROUP_DESCRIBE: ApiVersionRange(0, 0, 0),
    ApiKey.DESCRIBE_SHARE_GROUP_OFFSETS: ApiVersionRange(0, 1, 0),
    ApiKey.ALTER_SHARE_GROUP_OFFSETS: ApiVersionRange(0, 0, 0),
    ApiKey.DELETE_SHARE_GROUP_OFFSETS: ApiVersionRange(0, 0, 0),
}
"""By API key."""
