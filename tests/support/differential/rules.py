"""The differences that are meant, each with the reason that a user reads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from differential.comparison import MISSING, Rule
from kbroker.protocol.api_keys import ApiKey

AS_NEWER: Final = Rule("*", "*", "kbroker answers as Kafka 4.4, which answers otherwise than 3.9", against=("3.9",))
"""Allows what differs from 3.9 where kbroker and 4.4 say the same; found by comparing, not by its patterns."""


def _both_speak(ours: Any, theirs: Any) -> bool:
    return bool(ours and theirs) and isinstance(ours, str) and isinstance(theirs, str)


def _only_ours(ours: Any, theirs: Any) -> bool:
    return isinstance(ours, str) and not theirs


def _no_text(ours: Any, theirs: Any) -> bool:
    return ours is None and theirs in {"", "NONE"}


def _empty_row(ours: Any, theirs: Any) -> bool:
    return theirs is MISSING and isinstance(ours, dict) and [] in ours.values()


def _of_transactions(_ours: Any, theirs: Any) -> bool:
    return isinstance(theirs, dict) and "__transaction_state" in {theirs.get("name"), theirs.get("resource_name")}


def _no_id(ours: Any, _theirs: Any) -> bool:
    return bool(ours == bytes(16).hex())


def _only_ours_has(_ours: Any, theirs: Any) -> bool:
    return theirs is MISSING


def _is(*codes: Any) -> Any:
    return lambda ours, _theirs: ours in codes


def _one_of(name: str, *values: str) -> Any:
    def matches(ours: Any, theirs: Any) -> bool:
        return any(isinstance(one, dict) and str(one.get(name)).startswith(values) for one in (ours, theirs))

    return matches


def _for(steps: Iterable[str], paths: str, reason: str, when: Any = None, against: Any = ("3.9", "4.4")) -> list[Rule]:
    return [Rule(f"{step} v*", paths, reason, when, against) for step in steps]


_NOT_PARSED = "a batch whose checksum holds is taken without parsing its records, which Kafka does"
_TRANSACTIONS = "transactions are not served yet: refused with a reason"
_LATER = "not served yet: refused with UNSUPPORTED_VERSION and a reason, after fewer checks than Kafka's"
_BOTH_KEYS = "kbroker knows the configuration keys of 3.9 and of 4.4; a Kafka only its own"
_OWN_VALUES = "the two were started with other addresses, directories and numbers of workers"
_FEATURES = "levels of KRaft's features are not kept: there is no quorum to agree on them"

_STARTED_WITH: Final = frozenset(
    {
        "advertised.listeners",
        "controller.listener.names",
        "controller.quorum.voters",
        "inter.broker.listener.name",
        "listeners",
        "log.dir",
        "log.dirs",
        "process.roles",
    }
)
_OWN_DEFAULTS: Final = frozenset(
    {
        "group.coordinator.rebalance.protocols",
        "group.initial.rebalance.delay.ms",
        "metric.reporters",
        "num.io.threads",
        "num.network.threads",
        "num.recovery.threads.per.data.dir",
        "offsets.topic.replication.factor",
        "socket.receive.buffer.bytes",
        "transaction.state.log.min.isr",
        "transaction.state.log.replication.factor",
    }
)

RULES: Final = (
    Rule("*", "*error_message", "texts for people are kbroker's own words", _both_speak),
    Rule("*", "*error_message", "kbroker says why where Kafka says nothing", _only_ours),
    Rule("*", "*error_message", 'no error has no text (null); some APIs of Kafka\'s say "" or "NONE"', _no_text),
    Rule(
        "*/no partitions v*",
        "*",
        "a topic named with no partitions comes back with none; Kafka leaves it out",
        _empty_row,
    ),
    # Produce
    *(
        Rule(
            f"produce*/* v{version}",
            "Produce*",
            "Produce 0 to 2 are for message formats 0 and 1, which are not kept",
            None,
            ("3.9",),
        )
        for version in (0, 1, 2)
    ),
    *_for(
        [
            "produce/a batch said to be *",
            "produce/a batch whose *",
            "produce/a batch with 2^31-1 records",
            "produce/*, cut off",
        ],
        "Produce*",
        _NOT_PARSED,
    ),
    *_for(
        ["produce/a batch with codec *"],
        "Produce*",
        "an unknown codec is UNSUPPORTED_COMPRESSION_TYPE; Kafka has no code for it",
    ),
    *_for(
        ["produce/a batch with a byte after it", "produce/a batch and half of another"],
        "Produce*",
        "bytes behind a batch are refused; Kafka drops them silently",
    ),
    *_for(
        ["produce/a batch with log append time"],
        "Produce*",
        "a producer that claims LogAppendTime is refused; Kafka clears the flag",
    ),
    *_for(
        ["produce/a transactional *", "produce/a batch with a transaction's flag", "produce/a batch with both flags"],
        "Produce*",
        _TRANSACTIONS,
    ),
    *_for(["produce/a batch null"], "Produce*", "records that are null are refused; Kafka never answers"),
    *_for(
        ["produce/a partition twice", "produce/a topic twice"],
        "Produce*",
        "what is named twice is written and answered twice; Kafka keeps one batch and drops the other",
    ),
    # Fetch, ListOffsets
    *_for(
        ["fetch/isolation level *", "list offsets/isolation level *"],
        "*",
        "an unknown isolation level reads as uncommitted; Kafka fails with an unknown error",
    ),
    *_for(["fetch/*max_bytes -1"], "Fetch*", "a negative limit counts as 0; Kafka fails with an unknown error"),
    *_for(
        ["fetch/replica *"],
        "Fetch*",
        "there are no followers yet: whoever claims to be one is served as a consumer or refused",
    ),
    *_for(["fetch sessions/an empty session"], "Fetch*", "a session without partitions is not opened"),
    *_for(
        ["list offsets/time -3 of a trimmed partition"],
        "ListOffsets*",
        "the largest timestamp is that of records that can be read; Kafka counts deleted ones",
    ),
    # Topics
    *_for(
        ["create topics/two names that collide"],
        "CreateTopics*",
        "two names of one request that collide are refused like names that exist",
    ),
    *_for(["create topics/message.format.version"], "CreateTopics*", _BOTH_KEYS),
    Rule("create topics/*", "CreateTopics.topics.topic_id", "a topic that was only checked has no id", _no_id),
    Rule(
        "*",
        "CreateTopics.topics.configs",
        _BOTH_KEYS,
        _one_of("name", "message.", "errors.", "max.decompressed.", "remote."),
    ),
    *_for(
        ["delete topics/a* twice"],
        "DeleteTopics*",
        "a topic named twice is told once, with name and id",
    ),
    *_for(
        ["metadata/without a name", "describe topic partitions/the name ''"],
        "*",
        "a topic without name and id is unknown or illegal; Kafka fails with an unknown error",
    ),
    *_for(["metadata/of ids and names mixed"], "Metadata*", "ids and names may be mixed; Kafka answers the ids alone"),
    Rule("*", "*topics", "there is no __transaction_state before transactions are served", _of_transactions),
    Rule(
        "*",
        "ListConfigResources.config_resources",
        "there is no __transaction_state before transactions are served",
        _of_transactions,
    ),
    # Groups
    Rule(
        "empty requests/*",
        "ListGroups.groups*",
        "newer groups are not served yet, and members that went away leave at another moment",
    ),
    Rule(
        "broken bodies/*",
        "ListGroups.groups*",
        "newer groups are not served yet, and members that went away leave at another moment",
    ),
    *_for(["offset fetch/a group twice"], "OffsetFetch*", "a group named twice is answered once"),
    *_for(["find coordinator/share keys *"], "FindCoordinator*", "share groups are not served yet"),
    *_for(["join group/wait * leaves"], "LeaveGroup*", "a member whose time to rebalance is 0 goes at another moment"),
    # Configurations
    *_for(
        ["alter configs/a resource twice"],
        "*",
        "a resource named twice is refused; Kafka never answers",
    ),
    *_for(
        ["incremental alter configs/an unknown operation*", "incremental alter configs/a negative operation*"],
        "IncrementalAlterConfigs*",
        "an unknown operation is INVALID_REQUEST; Kafka fails with an unknown error",
    ),
    *_for(
        ["alter configs/type 4 '', *"],
        "AlterConfigs*",
        "min.insync.replicas is no condition of other features: it can be taken back cluster-wide",
    ),
    *_for(
        ["dynamic broker configs/*threads*"],
        "*",
        "sizes of the pools are set at start: a worker's partitions do not move yet",
    ),
    Rule("*", "DescribeConfigs.results.configs", _BOTH_KEYS, _only_ours_has),
    Rule("*", "DescribeConfigs*", _OWN_VALUES, keys=_STARTED_WITH),
    Rule("*", "DescribeConfigs*", "some defaults are those of a single broker of processes", keys=_OWN_DEFAULTS),
    *_for(["create topics/no time"], "CreateTopics*", "a topic that is refused has no list of configurations"),
    Rule("*", "DescribeConfigs.results.configs.documentation", "descriptions are kbroker's own words"),
    Rule("*/type 8 *", "DescribeConfigs*", "loggers have kbroker's names"),
    Rule("other resources/*logger*", "DescribeConfigs*", "loggers have kbroker's names"),
    # What only 3.9 still serves
    *(
        Rule(f"{steps} v0", "*", reason, None, ("3.9",))
        for steps, reason in (
            ("offset commit/*", "version 0, which meant ZooKeeper, is served as version 1"),
            ("offset fetch/*", "version 0, which meant ZooKeeper, is served as version 1"),
            ("list offsets/*", "version 0 is served as later ones: one offset, and Kafka 4.4's codes"),
            ("describe configs/*", "version 0 tells which values are defaults, with Kafka 4.4's keys and values"),
        )
    ),
    Rule("offset commit/* v1", "*", "version 1 is served as version 2", None, ("3.9",)),
    *_for(
        ["offset delete/described"],
        "DescribeGroups*",
        "a group whose last offset was deleted stays until it is empty for long; 3.9 forgets it at once",
        against=("3.9",),
    ),
    # Administration
    Rule("*", "ApiVersions*features*", _FEATURES),
    Rule("broken bodies/*", "ElectLeaders*", "an unknown kind of election is refused for each topic"),
    Rule(
        "*",
        "DescribeAcls",
        "a filter for no kind of resource is told that there is no authorizer; Kafka closes the connection",
    ),
    Rule("*", "DescribeQuorum.nodes.listeners", "there is no listener for controllers"),
    *_for(["cluster/group.version, off"], "UpdateFeatures*", _FEATURES),
    Rule("*", "AlterClientQuotas*", _LATER, _is(35)),
    Rule("*", "ConsumerGroup*", _LATER),
    Rule("*", "Share*", _LATER),
    Rule("*", "Streams*", _LATER),
    Rule("*", "*ShareGroupOffsets*", _LATER),
    Rule("*", "InitializeShareGroupState", "between brokers: not served"),
    Rule("*", "*ShareGroupState*", "between brokers: not served"),
    Rule("*", "WriteTxnMarkers", "between brokers: not served"),
    Rule("*", "GetTelemetrySubscriptions", "metrics of clients are not collected"),
    Rule("*", "PushTelemetry", "metrics of clients are not collected"),
)

UNSERVED: Final[dict[int, str]] = {
    ApiKey.API_VERSIONS: "version 5 is newer than the tables",
    ApiKey.DELETE_GROUPS: "version 3 is newer than the tables",
    ApiKey.TXN_OFFSET_COMMIT: "version 6 is newer than the tables; transactions are not served yet",
    ApiKey.STREAMS_GROUP_HEARTBEAT: "version 1 is newer than the tables; streams groups are not served yet",
    ApiKey.STREAMS_GROUP_DESCRIBE: "version 1 is newer than the tables; streams groups are not served yet",
    ApiKey.GET_TELEMETRY_SUBSCRIPTIONS: "metrics of clients are not collected",
    ApiKey.PUSH_TELEMETRY: "metrics of clients are not collected",
    ApiKey.WRITE_TXN_MARKERS: "between brokers",
    ApiKey.INITIALIZE_SHARE_GROUP_STATE: "between brokers",
    ApiKey.READ_SHARE_GROUP_STATE: "between brokers",
    ApiKey.WRITE_SHARE_GROUP_STATE: "between brokers",
    ApiKey.DELETE_SHARE_GROUP_STATE: "between brokers",
    ApiKey.READ_SHARE_GROUP_STATE_SUMMARY: "between brokers",
    93: "new in 4.4, of the newer groups",
    94: "new in 4.4, of the newer groups",
}
"""APIs that kbroker does not serve, or not in the newest versions, and why."""
