"""
Kafka's error codes: numbers and names as on the wire, whether a client tries again, and a sentence for people.

A code is answered in the field made for it, per partition where there is one; errors.KafkaError carries it there.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class ErrorCode(IntEnum):
    """What went wrong, as a client is told."""

    UNKNOWN_SERVER_ERROR = -1
    NONE = 0
    OFFSET_OUT_OF_RANGE = 1
    CORRUPT_MESSAGE = 2
    UNKNOWN_TOPIC_OR_PARTITION = 3
    INVALID_FETCH_SIZE = 4
    LEADER_NOT_AVAILABLE = 5
    NOT_LEADER_OR_FOLLOWER = 6
    REQUEST_TIMED_OUT = 7
    BROKER_NOT_AVAILABLE = 8
    REPLICA_NOT_AVAILABLE = 9
    MESSAGE_TOO_LARGE = 10
    STALE_CONTROLLER_EPOCH = 11
    OFFSET_METADATA_TOO_LARGE = 12
    NETWORK_EXCEPTION = 13
    COORDINATOR_LOAD_IN_PROGRESS = 14
    COORDINATOR_NOT_AVAILABLE = 15
    NOT_COORDINATOR = 16
    INVALID_TOPIC_EXCEPTION = 17
    RECORD_LIST_TOO_LARGE = 18
    NOT_ENOUGH_REPLICAS = 19
    NOT_ENOUGH_REPLICAS_AFTER_APPEND = 20
    INVALID_REQUIRED_ACKS = 21
    ILLEGAL_GENERATION = 22
    INCONSISTENT_GROUP_PROTOCOL = 23
    INVALID_GROUP_ID = 24
    UNKNOWN_MEMBER_ID = 25
    INVALID_SESSION_TIMEOUT = 26
    REBALANCE_IN_PROGRESS = 27
    INVALID_COMMIT_OFFSET_SIZE = 28
    TOPIC_AUTHORIZATION_FAILED = 29
    GROUP_AUTHORIZATION_FAILED = 30
    CLUSTER_AUTHORIZATION_FAILED = 31
    INVALID_TIMESTAMP = 32
    UNSUPPORTED_SASL_MECHANISM = 33
    ILLEGAL_SASL_STATE = 34
    UNSUPPORTED_VERSION = 35
    TOPIC_ALREADY_EXISTS = 36
    INVALID_PARTITIONS = 37
    INVALID_REPLICATION_FACTOR = 38
    INVALID_REPLICA_ASSIGNMENT = 39
    INVALID_CONFIG = 40
    NOT_CONTROLLER = 41
    INVALID_REQUEST = 42
    UNSUPPORTED_FOR_MESSAGE_FORMAT = 43
    POLICY_VIOLATION = 44
    OUT_OF_ORDER_SEQUENCE_NUMBER = 45
    DUPLICATE_SEQUENCE_NUMBER = 46
    INVALID_PRODUCER_EPOCH = 47
    INVALID_TXN_STATE = 48
    INVALID_PRODUCER_ID_MAPPING = 49
    INVALID_TRANSACTION_TIMEOUT = 50
    CONCURRENT_TRANSACTIONS = 51
    TRANSACTION_COORDINATOR_FENCED = 52
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53
    SECURITY_DISABLED = 54
    OPERATION_NOT_ATTEMPTED = 55
    KAFKA_STORAGE_ERROR = 56
    LOG_DIR_NOT_FOUND = 57
    SASL_AUTHENTICATION_FAILED = 58
    UNKNOWN_PRODUCER_ID = 59
    REASSIGNMENT_IN_PROGRESS = 60
    DELEGATION_TOKEN_AUTH_DISABLED = 61
    DELEGATION_TOKEN_NOT_FOUND = 62
    DELEGATION_TOKEN_OWNER_MISMATCH = 63
    DELEGATION_TOKEN_REQUEST_NOT_ALLOWED = 64
    DELEGATION_TOKEN_AUTHORIZATION_FAILED = 65
    DELEGATION_TOKEN_EXPIRED = 66
    INVALID_PRINCIPAL_TYPE = 67
    NON_EMPTY_GROUP = 68
    GROUP_ID_NOT_FOUND = 69
    FETCH_SESSION_ID_NOT_FOUND = 70
    INVALID_FETCH_SESSION_EPOCH = 71
    LISTENER_NOT_FOUND = 72
    TOPIC_DELETION_DISABLED = 73
    FENCED_LEADER_EPOCH = 74
    UNKNOWN_LEADER_EPOCH = 75
    UNSUPPORTED_COMPRESSION_TYPE = 76
    STALE_BROKER_EPOCH = 77
    OFFSET_NOT_AVAILABLE = 78
    MEMBER_ID_REQUIRED = 79
    PREFERRED_LEADER_NOT_AVAILABLE = 80
    GROUP_MAX_SIZE_REACHED = 81
    FENCED_INSTANCE_ID = 82
    ELIGIBLE_LEADERS_NOT_AVAILABLE = 83
    ELECTION_NOT_NEEDED = 84
    NO_REASSIGNMENT_IN_PROGRESS = 85
    GROUP_SUBSCRIBED_TO_TOPIC = 86
    INVALID_RECORD = 87
    UNSTABLE_OFFSET_COMMIT = 88
    THROTTLING_QUOTA_EXCEEDED = 89
    PRODUCER_FENCED = 90
    RESOURCE_NOT_FOUND = 91
    DUPLICATE_RESOURCE = 92
    UNACCEPTABLE_CREDENTIAL = 93
    INCONSISTENT_VOTER_SET = 94
    INVALID_UPDATE_VERSION = 95
    FEATURE_UPDATE_FAILED = 96
    PRINCIPAL_DESERIALIZATION_FAILURE = 97
    SNAPSHOT_NOT_FOUND = 98
    POSITION_OUT_OF_RANGE = 99
    UNKNOWN_TOPIC_ID = 100
    DUPLICATE_BROKER_REGISTRATION = 101
    BROKER_ID_NOT_REGISTERED = 102
    INCONSISTENT_TOPIC_ID = 103
    INCONSISTENT_CLUSTER_ID = 104
    TRANSACTIONAL_ID_NOT_FOUND = 105
    FETCH_SESSION_TOPIC_ID_ERROR = 106
    INELIGIBLE_REPLICA = 107
    NEW_LEADER_ELECTED = 108
    OFFSET_MOVED_TO_TIERED_STORAGE = 109
    FENCED_MEMBER_EPOCH = 110
    UNRELEASED_INSTANCE_ID = 111
    UNSUPPORTED_ASSIGNOR = 112
    STALE_MEMBER_EPOCH = 113
    MISMATCHED_ENDPOINT_TYPE = 114
    UNSUPPORTED_ENDPOINT_TYPE = 115
    UNKNOWN_CONTROLLER_ID = 116
    UNKNOWN_SUBSCRIPTION_ID = 117
    TELEMETRY_TOO_LARGE = 118
    INVALID_REGISTRATION = 119
    TRANSACTION_ABORTABLE = 120
    INVALID_RECORD_STATE = 121
    SHARE_SESSION_NOT_FOUND = 122
    INVALID_SHARE_SESSION_EPOCH = 123
    FENCED_STATE_EPOCH = 124
    INVALID_VOTER_KEY = 125
    DUPLICATE_VOTER = 126
    VOTER_NOT_FOUND = 127
    INVALID_REGULAR_EXPRESSION = 128
    REBOOTSTRAP_REQUIRED = 129
    STREAMS_INVALID_TOPOLOGY = 130
    STREAMS_INVALID_TOPOLOGY_EPOCH = 131
    STREAMS_TOPOLOGY_FENCED = 132
    SHARE_SESSION_LIMIT_REACHED = 133

    @property
    def retriable(self) -> bool:
        """Whether a client may expect the same request to succeed later, perhaps after it refreshed its metadata."""
        return self in _RETRIABLE

    @property
    def default_message(self) -> str:
        """A sentence for people, for when there is nothing more precise to say."""
        return _MESSAGES[self]


_RETRIABLE: Final = frozenset(
    (
        ErrorCode.CORRUPT_MESSAGE,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.LEADER_NOT_AVAILABLE,
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
        ErrorCode.REQUEST_TIMED_OUT,
        ErrorCode.REPLICA_NOT_AVAILABLE,
        ErrorCode.NETWORK_EXCEPTION,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.NOT_COORDINATOR,
        ErrorCode.NOT_ENOUGH_REPLICAS,
        ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        ErrorCode.NOT_CONTROLLER,
        ErrorCode.CONCURRENT_TRANSACTIONS,
        ErrorCode.KAFKA_STORAGE_ERROR,
        ErrorCode.FETCH_SESSION_ID_NOT_FOUND,
        ErrorCode.INVALID_FETCH_SESSION_EPOCH,
        ErrorCode.LISTENER_NOT_FOUND,
        ErrorCode.FENCED_LEADER_EPOCH,
        ErrorCode.UNKNOWN_LEADER_EPOCH,
        ErrorCode.OFFSET_NOT_AVAILABLE,
        ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE,
        ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE,
        ErrorCode.ELECTION_NOT_NEEDED,
        ErrorCode.UNSTABLE_OFFSET_COMMIT,
        ErrorCode.THROTTLING_QUOTA_EXCEEDED,
        ErrorCode.UNKNOWN_TOPIC_ID,
        ErrorCode.INCONSISTENT_TOPIC_ID,
        ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR,
        ErrorCode.SHARE_SESSION_NOT_FOUND,
        ErrorCode.INVALID_SHARE_SESSION_EPOCH,
        ErrorCode.SHARE_SESSION_LIMIT_REACHED,
    )
)
_MESSAGES: Final = {
    ErrorCode.UNKNOWN_SERVER_ERROR: "The broker ran into an error it has no code for.",
    ErrorCode.NONE: "No error.",
    ErrorCode.OFFSET_OUT_OF_RANGE: "The offset lies outside what the partition holds.",
    ErrorCode.CORRUPT_MESSAGE: "A record batch is damaged: its size or checksum is wrong.",
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION: "This broker knows no such topic or partition.",
    ErrorCode.INVALID_FETCH_SIZE: "The number of bytes asked for cannot be used.",
    ErrorCode.LEADER_NOT_AVAILABLE: "The partition has no leader at the moment.",
    ErrorCode.NOT_LEADER_OR_FOLLOWER: "This broker is not the replica that can serve the request.",
    ErrorCode.REQUEST_TIMED_OUT: "The request was not done within its time.",
    ErrorCode.BROKER_NOT_AVAILABLE: "The broker cannot be reached.",
    ErrorCode.REPLICA_NOT_AVAILABLE: "The replica does not exist here, or not yet.",
    ErrorCode.MESSAGE_TOO_LARGE: "A record batch is larger than the topic allows.",
    ErrorCode.STALE_CONTROLLER_EPOCH: "The controller that sent this has been replaced.",
    ErrorCode.OFFSET_METADATA_TOO_LARGE: "The text stored with the offset is too long.",
    ErrorCode.NETWORK_EXCEPTION: "The connection broke before the answer came.",
    ErrorCode.COORDINATOR_LOAD_IN_PROGRESS: "The coordinator is still reading its state.",
    ErrorCode.COORDINATOR_NOT_AVAILABLE: "There is no coordinator at the moment.",
    ErrorCode.NOT_COORDINATOR: "This broker does not coordinate that group or transactional id.",
    ErrorCode.INVALID_TOPIC_EXCEPTION: "The topic's name is not allowed, or the topic must not be used this way.",
    ErrorCode.RECORD_LIST_TOO_LARGE: "The batches together are larger than a segment may be.",
    ErrorCode.NOT_ENOUGH_REPLICAS: "Fewer replicas are in sync than the topic requires; nothing was written.",
    ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND: "The records were written, but then too few replicas were in sync.",
    ErrorCode.INVALID_REQUIRED_ACKS: "acks must be -1, 0 or 1.",
    ErrorCode.ILLEGAL_GENERATION: "The member speaks of a generation that is not the group's current one.",
    ErrorCode.INCONSISTENT_GROUP_PROTOCOL: "The member shares no protocol with the group, or names none.",
    ErrorCode.INVALID_GROUP_ID: "The group id is empty or cannot be used here.",
    ErrorCode.UNKNOWN_MEMBER_ID: "The group has no such member.",
    ErrorCode.INVALID_SESSION_TIMEOUT: "The session timeout lies outside the range the broker allows.",
    ErrorCode.REBALANCE_IN_PROGRESS: "The group is rebalancing; the member should join again.",
    ErrorCode.INVALID_COMMIT_OFFSET_SIZE: "The commit is too large to be stored.",
    ErrorCode.TOPIC_AUTHORIZATION_FAILED: "The principal may not do this with the topic.",
    ErrorCode.GROUP_AUTHORIZATION_FAILED: "The principal may not do this with the group.",
    ErrorCode.CLUSTER_AUTHORIZATION_FAILED: "The principal may not do this with the cluster.",
    ErrorCode.INVALID_TIMESTAMP: "A record's timestamp is further from the broker's time than the topic allows.",
    ErrorCode.UNSUPPORTED_SASL_MECHANISM: "The broker does not offer that SASL mechanism.",
    ErrorCode.ILLEGAL_SASL_STATE: "The request does not fit the state of the authentication.",
    ErrorCode.UNSUPPORTED_VERSION: "The broker does not speak that version of the API.",
    ErrorCode.TOPIC_ALREADY_EXISTS: "There is a topic of that name already.",
    ErrorCode.INVALID_PARTITIONS: "The number of partitions is not possible.",
    ErrorCode.INVALID_REPLICATION_FACTOR: "The replication factor is below 1 or above the number of brokers.",
    ErrorCode.INVALID_REPLICA_ASSIGNMENT: "The replicas named are not possible.",
    ErrorCode.INVALID_CONFIG: "A configuration key or value cannot be used.",
    ErrorCode.NOT_CONTROLLER: "This broker is not the controller.",
    ErrorCode.INVALID_REQUEST: "The request contradicts itself or lacks something.",
    ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT: "The record format of the partition cannot do this.",
    ErrorCode.POLICY_VIOLATION: "A policy of this cluster forbids it.",
    ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER: "A batch is missing before this one of the producer.",
    ErrorCode.DUPLICATE_SEQUENCE_NUMBER: "The producer's batch was written before.",
    ErrorCode.INVALID_PRODUCER_EPOCH: "A newer instance of the producer has taken over.",
    ErrorCode.INVALID_TXN_STATE: "The transaction's state does not allow it.",
    ErrorCode.INVALID_PRODUCER_ID_MAPPING: "The producer id does not belong to the transactional id.",
    ErrorCode.INVALID_TRANSACTION_TIMEOUT: "The transaction timeout is longer than the broker allows.",
    ErrorCode.CONCURRENT_TRANSACTIONS: "The previous transaction of the producer is still being finished.",
    ErrorCode.TRANSACTION_COORDINATOR_FENCED: "The coordinator that sent this marker has been replaced.",
    ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "The principal may not use the transactional id.",
    ErrorCode.SECURITY_DISABLED: "This cluster has no authorizer, so there are no access rules.",
    ErrorCode.OPERATION_NOT_ATTEMPTED: "Not tried, because another part of the request failed.",
    ErrorCode.KAFKA_STORAGE_ERROR: "The disk under the partition failed.",
    ErrorCode.LOG_DIR_NOT_FOUND: "The broker has no such log directory.",
    ErrorCode.SASL_AUTHENTICATION_FAILED: "The SASL exchange failed.",
    ErrorCode.UNKNOWN_PRODUCER_ID: "The partition remembers nothing of this producer id.",
    ErrorCode.REASSIGNMENT_IN_PROGRESS: "The partition is being reassigned already.",
    ErrorCode.DELEGATION_TOKEN_AUTH_DISABLED: "Delegation tokens are switched off.",
    ErrorCode.DELEGATION_TOKEN_NOT_FOUND: "There is no such delegation token.",
    ErrorCode.DELEGATION_TOKEN_OWNER_MISMATCH: "The principal is neither owner nor renewer of the token.",
    ErrorCode.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED: "Token requests are not allowed on this kind of connection.",
    ErrorCode.DELEGATION_TOKEN_AUTHORIZATION_FAILED: "The principal may not do this with the token.",
    ErrorCode.DELEGATION_TOKEN_EXPIRED: "The token has expired.",
    ErrorCode.INVALID_PRINCIPAL_TYPE: "The principal's type cannot be used here.",
    ErrorCode.NON_EMPTY_GROUP: "The group still has members.",
    ErrorCode.GROUP_ID_NOT_FOUND: "There is no such group.",
    ErrorCode.FETCH_SESSION_ID_NOT_FOUND: "The broker has no such fetch session, perhaps no longer.",
    ErrorCode.INVALID_FETCH_SESSION_EPOCH: "The fetch session's epoch is not the next one.",
    ErrorCode.LISTENER_NOT_FOUND: "The leader has no listener like the one the request came in by.",
    ErrorCode.TOPIC_DELETION_DISABLED: "Deleting topics is switched off.",
    ErrorCode.FENCED_LEADER_EPOCH: "The leader epoch is older than the broker's.",
    ErrorCode.UNKNOWN_LEADER_EPOCH: "The leader epoch is newer than the broker's.",
    ErrorCode.UNSUPPORTED_COMPRESSION_TYPE: "The client's version cannot read the compression of these batches.",
    ErrorCode.STALE_BROKER_EPOCH: "The broker has registered anew since.",
    ErrorCode.OFFSET_NOT_AVAILABLE: "The new leader does not know its high watermark yet.",
    ErrorCode.MEMBER_ID_REQUIRED: "The member must join again with the id it was just given.",
    ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE: "The preferred leader is not available.",
    ErrorCode.GROUP_MAX_SIZE_REACHED: "The group has as many members as it may.",
    ErrorCode.FENCED_INSTANCE_ID: "Another member has joined with the same group instance id.",
    ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE: "No replica that may become leader is available.",
    ErrorCode.ELECTION_NOT_NEEDED: "The leader is already the one wanted.",
    ErrorCode.NO_REASSIGNMENT_IN_PROGRESS: "The partition is not being reassigned.",
    ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC: "The group is using the topic right now.",
    ErrorCode.INVALID_RECORD: "A record breaks a rule of the topic or of the format.",
    ErrorCode.UNSTABLE_OFFSET_COMMIT: "Offsets of a transaction that is not finished are in the way.",
    ErrorCode.THROTTLING_QUOTA_EXCEEDED: "The client's quota is used up.",
    ErrorCode.PRODUCER_FENCED: "A newer producer with the same transactional id has taken over.",
    ErrorCode.RESOURCE_NOT_FOUND: "There is no such resource.",
    ErrorCode.DUPLICATE_RESOURCE: "There is such a resource already.",
    ErrorCode.UNACCEPTABLE_CREDENTIAL: "The credential does not meet the rules.",
    ErrorCode.INCONSISTENT_VOTER_SET: "The voters named are not those of the quorum.",
    ErrorCode.INVALID_UPDATE_VERSION: "The feature cannot be set to that level.",
    ErrorCode.FEATURE_UPDATE_FAILED: "The feature could not be updated.",
    ErrorCode.PRINCIPAL_DESERIALIZATION_FAILURE: "The forwarded principal cannot be read.",
    ErrorCode.SNAPSHOT_NOT_FOUND: "There is no such snapshot.",
    ErrorCode.POSITION_OUT_OF_RANGE: "The position lies outside the snapshot.",
    ErrorCode.UNKNOWN_TOPIC_ID: "This broker knows no topic with that id.",
    ErrorCode.DUPLICATE_BROKER_REGISTRATION: "A broker with that id is registered and alive.",
    ErrorCode.BROKER_ID_NOT_REGISTERED: "No broker with that id is registered.",
    ErrorCode.INCONSISTENT_TOPIC_ID: "The topic's id is another one here than in the request.",
    ErrorCode.INCONSISTENT_CLUSTER_ID: "The request is meant for a cluster with another id.",
    ErrorCode.TRANSACTIONAL_ID_NOT_FOUND: "There is no such transactional id.",
    ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR: "A fetch session mixes requests with and without topic ids.",
    ErrorCode.INELIGIBLE_REPLICA: "A replica named cannot be in sync.",
    ErrorCode.NEW_LEADER_ELECTED: "The change led to a new leader; the old one steps back.",
    ErrorCode.OFFSET_MOVED_TO_TIERED_STORAGE: "The offset is only in remote storage.",
    ErrorCode.FENCED_MEMBER_EPOCH: "The coordinator has another epoch for the member, who has to join anew.",
    ErrorCode.UNRELEASED_INSTANCE_ID: "Another member still uses the instance id.",
    ErrorCode.UNSUPPORTED_ASSIGNOR: "The group's coordinator lacks that assignor.",
    ErrorCode.STALE_MEMBER_EPOCH: "The member's epoch is old; it should send a heartbeat and try again.",
    ErrorCode.MISMATCHED_ENDPOINT_TYPE: "The request came to the wrong kind of endpoint.",
    ErrorCode.UNSUPPORTED_ENDPOINT_TYPE: "There is no such kind of endpoint.",
    ErrorCode.UNKNOWN_CONTROLLER_ID: "There is no controller with that id.",
    ErrorCode.UNKNOWN_SUBSCRIPTION_ID: "The telemetry subscription is not the current one.",
    ErrorCode.TELEMETRY_TOO_LARGE: "The metrics are larger than the broker takes.",
    ErrorCode.INVALID_REGISTRATION: "The registration cannot be accepted.",
    ErrorCode.TRANSACTION_ABORTABLE: "The transaction cannot go on and has to be aborted.",
    ErrorCode.INVALID_RECORD_STATE: "The record's delivery state does not allow the acknowledgement.",
    ErrorCode.SHARE_SESSION_NOT_FOUND: "The broker has no such share session.",
    ErrorCode.INVALID_SHARE_SESSION_EPOCH: "The share session's epoch is not the next one.",
    ErrorCode.FENCED_STATE_EPOCH: "The share coordinator has a newer state epoch.",
    ErrorCode.INVALID_VOTER_KEY: "The voter's key does not match the receiver.",
    ErrorCode.DUPLICATE_VOTER: "The voter is in the quorum already.",
    ErrorCode.VOTER_NOT_FOUND: "The quorum has no such voter.",
    ErrorCode.INVALID_REGULAR_EXPRESSION: "The regular expression cannot be used.",
    ErrorCode.REBOOTSTRAP_REQUIRED: "The client must find the cluster anew from its bootstrap servers.",
    ErrorCode.STREAMS_INVALID_TOPOLOGY: "The topology of the streams group cannot be used.",
    ErrorCode.STREAMS_INVALID_TOPOLOGY_EPOCH: "The topology epoch of the streams member cannot be used.",
    ErrorCode.STREAMS_TOPOLOGY_FENCED: "The streams member has an outdated topology epoch.",
    ErrorCode.SHARE_SESSION_LIMIT_REACHED: "The broker has as many share sessions as it may.",
}
