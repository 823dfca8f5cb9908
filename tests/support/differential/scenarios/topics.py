"""Topics: made, asked for, extended, deleted, described, rightly and wrongly."""

from __future__ import annotations

from typing import Any

from differential.actions import Scenario, Steps, Until
from differential.requests import TIMEOUT_MS, UNKNOWN_ID, append, batch, create_topic, request, wait_for_topic
from differential.world import World
from kbroker.protocol.api_keys import ApiKey

NO_ID = bytes(16)
ILLEGAL_NAMES = ("", ".", "..", "a/b", "a b", "a:b", "größer", "x" * 250, "a\nb")
LONGEST_NAME = "y" * 249


def _create(topics: list[dict[str, Any]], **options: Any) -> Any:
    return request(
        ApiKey.CREATE_TOPICS,
        topics=[{"num_partitions": 1, "replication_factor": 1, **topic} for topic in topics],
        **{"timeout_ms": TIMEOUT_MS, **options},
    )


def _assigned(*lists: tuple[int, list[int]]) -> dict[str, Any]:
    return {
        "num_partitions": -1,
        "replication_factor": -1,
        "assignments": [{"partition_index": index, "broker_ids": brokers} for index, brokers in lists],
    }


def create_topics(world: World) -> Steps:
    """CreateTopics in all versions and with everything that can be wrong."""
    yield from create_topic(world, "made-before")
    yield from create_topic(world, "with.dot")
    wrong: dict[str, list[dict[str, Any]]] = {
        "a topic that exists": [{"name": "made-before"}],
        "no partitions": [{"name": "wrong", "num_partitions": 0}],
        "-1 partitions": [{"name": "wrong", "num_partitions": -1}],
        "-2 partitions": [{"name": "wrong", "num_partitions": -2}],
        "a million partitions": [{"name": "wrong", "num_partitions": 1_000_000}],
        "10,001 partitions": [{"name": "wrong", "num_partitions": 10_001}],
        "no replicas": [{"name": "wrong", "replication_factor": 0}],
        "-1 replicas": [{"name": "wrong", "replication_factor": -1}],
        "-2 replicas": [{"name": "wrong", "replication_factor": -2}],
        "2 replicas": [{"name": "wrong", "replication_factor": 2}],
        "no partitions and no replicas": [{"name": "wrong", "num_partitions": 0, "replication_factor": 0}],
        "a name that collides": [{"name": "with_dot"}],
        "two names that collide": [{"name": "col.lide"}, {"name": "col_lide"}],
        "the longest name": [{"name": LONGEST_NAME}],
        "the name of an internal topic": [{"name": "__consumer_offsets"}],
        "the name of the metadata log": [{"name": "__cluster_metadata"}],
        "a name twice": [{"name": "twice"}, {"name": "twice"}],
        "a name twice, once wrong": [{"name": "twice"}, {"name": "twice", "num_partitions": -5}],
        "a right and a wrong one": [{"name": "right"}, {"name": "made-before"}],
        "no topics": [],
        "an unknown config": [{"name": "wrong", "configs": [{"name": "no.such.config", "value": "1"}]}],
        "a config that is no number": [{"name": "wrong", "configs": [{"name": "retention.ms", "value": "abc"}]}],
        "a config out of range": [{"name": "wrong", "configs": [{"name": "retention.ms", "value": "-2"}]}],
        "a config that is null": [{"name": "wrong", "configs": [{"name": "retention.ms", "value": None}]}],
        "a config that is empty": [{"name": "wrong", "configs": [{"name": "retention.ms", "value": ""}]}],
        "an unknown cleanup policy": [{"name": "wrong", "configs": [{"name": "cleanup.policy", "value": "shred"}]}],
        "an empty cleanup policy": [{"name": "wrong", "configs": [{"name": "cleanup.policy", "value": ""}]}],
        "a wrong compression type": [{"name": "wrong", "configs": [{"name": "compression.type", "value": "rar"}]}],
        "a bool that is none": [{"name": "wrong", "configs": [{"name": "preallocate", "value": "maybe"}]}],
        "a config without a name": [{"name": "wrong", "configs": [{"name": "", "value": "1"}]}],
        "a config twice": [
            {
                "name": "wrong",
                "configs": [{"name": "retention.ms", "value": "1"}, {"name": "retention.ms", "value": "2"}],
            }
        ],
        "segment.bytes too small": [{"name": "wrong", "configs": [{"name": "segment.bytes", "value": "13"}]}],
        "message.format.version": [{"name": "wrong", "configs": [{"name": "message.format.version", "value": "2.0"}]}],
        "remote storage": [{"name": "wrong", "configs": [{"name": "remote.storage.enable", "value": "true"}]}],
        "local retention over retention": [
            {
                "name": "wrong",
                "configs": [{"name": "retention.ms", "value": "10"}, {"name": "local.retention.ms", "value": "20"}],
            }
        ],
        "an assignment": [{"name": "wrong", **_assigned((0, [1]), (1, [1]))}],
        "an assignment and partitions": [{"name": "wrong", **_assigned((0, [1])), "num_partitions": 1}],
        "an assignment and replicas": [{"name": "wrong", **_assigned((0, [1])), "replication_factor": 1}],
        "an assignment to an unknown broker": [{"name": "wrong", **_assigned((0, [7]))}],
        "an assignment to a negative broker": [{"name": "wrong", **_assigned((0, [-1]))}],
        "an assignment to a broker twice": [{"name": "wrong", **_assigned((0, [1, 1]))}],
        "an assignment to nobody": [{"name": "wrong", **_assigned((0, []))}],
        "an assignment with a gap": [{"name": "wrong", **_assigned((0, [1]), (2, [1]))}],
        "an assignment that starts at 1": [{"name": "wrong", **_assigned((1, [1]))}],
        "an assignment of a partition twice": [{"name": "wrong", **_assigned((0, [1]), (0, [1]))}],
        "an assignment of a negative partition": [{"name": "wrong", **_assigned((-1, [1]))}],
        "assignments of different length": [{"name": "wrong", **_assigned((0, [1]), (1, [1, 2]))}],
    }
    for version in world.range(ApiKey.CREATE_TOPICS):
        for name, topics in wrong.items():
            if version >= 1:
                yield world.ask(name, _create(topics, validate_only=True), version)
        for illegal in ILLEGAL_NAMES:
            yield world.ask(f"the name {illegal[:10]!r}", _create([{"name": illegal}]), version)
        made = {"name": f"made-{version}", "configs": [{"name": "retention.ms", "value": "1000000"}]}
        yield world.ask("a right one", _create([made]), version)
        yield from wait_for_topic(world, f"made-{version}")
        yield world.ask("the same again", _create([made]), version)
        yield world.ask("no time", _create([{"name": f"hasty-{version}"}], timeout_ms=0, validate_only=True), version)
        if version >= 4:
            defaults = {"name": f"defaults-{version}", "num_partitions": -1, "replication_factor": -1}
            yield world.ask("the broker's defaults", _create([defaults]), version)
            yield from wait_for_topic(world, f"defaults-{version}")


def metadata(world: World) -> Steps:
    """Metadata of everything, of nothing, of what is not there."""
    topic_id = yield from create_topic(world, "seen", 3)
    yield from create_topic(world, "seen-too", 1)

    def asked(topics: list[dict[str, Any]] | None, **options: Any) -> Any:
        return request(ApiKey.METADATA, topics=topics, **{"allow_auto_topic_creation": False, **options})

    for version in world.range(ApiKey.METADATA):
        if version >= 1:
            yield world.ask("of no topics", asked([]), version)
            yield world.ask("of all topics", asked(None), version)
        else:
            yield world.ask("of all topics", asked([]), version)
        yield world.ask("of a topic", asked([{"name": "seen"}]), version)
        yield world.ask("of two topics", asked([{"name": "seen"}, {"name": "seen-too"}]), version)
        yield world.ask("of a topic twice", asked([{"name": "seen"}, {"name": "seen"}]), version)
        if version >= 4:
            yield world.ask("of an unknown topic", asked([{"name": "unseen"}]), version)
            yield world.ask("of a known and an unknown topic", asked([{"name": "unseen"}, {"name": "seen"}]), version)
            for name in ILLEGAL_NAMES:
                yield world.ask(f"of the name {name[:10]!r}", asked([{"name": name}]), version)
            yield world.ask(
                "of an illegal name, to be made", asked([{"name": "a/b"}], allow_auto_topic_creation=True), version
            )
        if version >= 8:
            yield world.ask(
                "with operations",
                asked(
                    [{"name": "seen"}, {"name": "unseen"}],
                    include_cluster_authorized_operations=True,
                    include_topic_authorized_operations=True,
                ),
                version,
            )
        if version >= 10:
            yield world.ask("without a name", asked([{"name": None}]), version)
            yield world.ask("of an id", asked([{"name": None, "topic_id": topic_id}]), version)
            yield world.ask("of an unknown id", asked([{"name": None, "topic_id": UNKNOWN_ID}]), version)
            yield world.ask("of an id and a name", asked([{"name": "seen", "topic_id": topic_id}]), version)
            yield world.ask("of an id and another name", asked([{"name": "seen-too", "topic_id": topic_id}]), version)
            yield world.ask(
                "of ids and names mixed", asked([{"name": None, "topic_id": topic_id}, {"name": "seen-too"}]), version
            )
            yield world.ask("of an id twice", asked([{"name": None, "topic_id": topic_id}] * 2), version)


def describe_topic_partitions(world: World) -> Steps:
    """DescribeTopicPartitions page by page."""
    yield from create_topic(world, "pages", 5)
    yield from create_topic(world, "pages-2", 2)

    def asked(*names: str, **options: Any) -> Any:
        return request(ApiKey.DESCRIBE_TOPIC_PARTITIONS, topics=[{"name": name} for name in names], **options)

    for version in world.range(ApiKey.DESCRIBE_TOPIC_PARTITIONS):
        yield world.ask("two topics", asked("pages", "pages-2"), version)
        yield world.ask("a topic twice", asked("pages", "pages"), version)
        yield world.ask("an unknown topic", asked("pages", "nowhere"), version)
        for name in ILLEGAL_NAMES:
            yield world.ask(f"the name {name[:10]!r}", asked(name), version)
        for limit in (-1, 0, 1, 3, 5, 6, 7, 2_000_000):
            yield world.ask(f"limit {limit}", asked("pages", "pages-2", response_partition_limit=limit), version)
        for topic, partition in (
            ("pages", 0),
            ("pages", 3),
            ("pages", 5),
            ("pages", 99),
            ("pages", -1),
            ("pages-2", 1),
            ("a", 0),
            ("zzz", 0),
            ("pages-1", 1),
            ("", 0),
        ):
            cursor = {"topic_name": topic, "partition_index": partition}
            yield world.ask(f"from {topic!r} {partition}", asked("pages", "pages-2", cursor=cursor), version)
        cursor = {"topic_name": "nowhere", "partition_index": 0}
        yield world.ask("from an unknown topic", asked("nowhere", "pages", cursor=cursor), version)


def create_partitions(world: World) -> Steps:
    """CreatePartitions with everything that can be wrong."""
    yield from create_topic(world, "grows", 2)

    def asked(*topics: dict[str, Any], **options: Any) -> Any:
        return request(
            ApiKey.CREATE_PARTITIONS,
            topics=[{"name": "grows", "assignments": None, **topic} for topic in topics],
            **{"timeout_ms": TIMEOUT_MS, **options},
        )

    count = 2
    for version in world.range(ApiKey.CREATE_PARTITIONS):
        for wanted in (count + 1, count, 1, 0, -1, -(2**31), 2**31 - 1, 10_001 + count, count + 10_000):
            yield world.ask(f"{wanted - count:+} partitions", asked({"count": wanted}, validate_only=True), version)
        for name in ("nowhere", "", "a/b", "__consumer_offsets", "__cluster_metadata"):
            yield world.ask(f"of {name!r}", asked({"name": name, "count": 100}, validate_only=True), version)
        yield world.ask("a topic twice", asked({"count": count + 1}, {"count": count + 2}, validate_only=True), version)
        yield world.ask("no topics", asked(validate_only=True), version)
        for name, lists in (
            ("to this broker", [[1]]),
            ("too many", [[1], [1]]),
            ("too few", []),
            ("to an unknown broker", [[9]]),
            ("to a negative broker", [[-1]]),
            ("to nobody", [[]]),
            ("to a broker twice", [[1, 1]]),
            ("to two brokers", [[1, 2]]),
        ):
            assignments = [{"broker_ids": brokers} for brokers in lists]
            yield world.ask(
                f"assigned {name}", asked({"count": count + 1, "assignments": assignments}, validate_only=True), version
            )
        yield world.ask("one more", asked({"count": count + 1}), version)
        count += 1
        yield from wait_for_topic(world, "grows", count)
        yield world.ask("no time", asked({"count": count + 1}, timeout_ms=0, validate_only=True), version)


def delete_topics(world: World) -> Steps:
    """DeleteTopics by name and by id."""
    for version in world.range(ApiKey.DELETE_TOPICS):

        def asked(*topics: str, version: int = version) -> Any:
            return request(
                ApiKey.DELETE_TOPICS,
                topic_names=list(topics),
                topics=[{"name": name} for name in topics],
                timeout_ms=TIMEOUT_MS,
            )

        def by_id(*ids: bytes) -> Any:
            return request(
                ApiKey.DELETE_TOPICS, topics=[{"name": None, "topic_id": one} for one in ids], timeout_ms=TIMEOUT_MS
            )

        name = f"goes-{version}"
        topic_id = yield from create_topic(world, name)
        yield world.ask("an unknown topic", asked("nowhere"), version)
        yield world.ask("no topics", asked(), version)
        yield world.ask("two unknown topics", asked("nowhere", "nowhere-2"), version)
        yield world.ask("an unknown topic twice", asked("nowhere", "nowhere"), version)
        for illegal in ILLEGAL_NAMES:
            yield world.ask(f"the name {illegal[:10]!r}", asked(illegal), version)
        yield world.ask("a topic twice", asked(name, name), version)
        if version >= 6:
            yield world.ask("an unknown id", by_id(UNKNOWN_ID), version)
            yield world.ask("no name and no id", by_id(NO_ID), version)
            yield world.ask("no name and no id, twice", by_id(NO_ID, NO_ID), version)
            both = request(ApiKey.DELETE_TOPICS, topics=[{"name": name, "topic_id": topic_id}], timeout_ms=TIMEOUT_MS)
            yield world.ask("a name and an id", both, version)
            twice = request(
                ApiKey.DELETE_TOPICS,
                topics=[{"name": name}, {"name": None, "topic_id": topic_id}],
                timeout_ms=TIMEOUT_MS,
            )
            yield world.ask("a name and its id", twice, version)
            yield world.ask("an id twice", by_id(topic_id, topic_id), version)
            yield world.ask("an unknown id twice", by_id(UNKNOWN_ID, UNKNOWN_ID), version)
        # Some of these may have deleted it.
        if version < 6:
            yield from create_topic(world, name)
            yield world.ask("a topic", asked(name), version)
        else:
            topic_id = yield from create_topic(world, name)
            yield world.ask("an id", by_id(topic_id), version)
        yield Until(
            request(ApiKey.METADATA, topics=[{"name": name}], allow_auto_topic_creation=False),
            4,
            lambda answer: answer.topics[0].error_code == 3,
            f"{name} to go",
        )
        yield world.ask("a deleted topic", asked(name), version)


def describe_log_dirs(world: World) -> Steps:
    """DescribeLogDirs of partitions with and without records."""
    yield from create_topic(world, "sized", 2)
    yield from append("sized", batch(5))

    def asked(topics: list[tuple[str, list[int]]] | None) -> Any:
        chosen = None if topics is None else [{"topic": name, "partitions": partitions} for name, partitions in topics]
        return request(ApiKey.DESCRIBE_LOG_DIRS, topics=chosen)

    for version in world.range(ApiKey.DESCRIBE_LOG_DIRS):
        yield world.ask("of no topics", asked([]), version)
        yield world.ask("of a topic", asked([("sized", [0, 1])]), version)
        yield world.ask("of a topic without partitions", asked([("sized", [])]), version)
        yield world.ask("of a partition twice", asked([("sized", [0, 0])]), version)
        yield world.ask("of a topic twice", asked([("sized", [0]), ("sized", [1])]), version)
        yield world.ask("of an unknown topic", asked([("nowhere", [0])]), version)
        yield world.ask("of an unknown partition", asked([("sized", [7])]), version)
        yield world.ask("of a negative partition", asked([("sized", [-1])]), version)
        yield world.ask("of an empty name", asked([("", [0])]), version)


def describe_cluster(world: World) -> Steps:
    """DescribeCluster with all its options."""
    for version in world.range(ApiKey.DESCRIBE_CLUSTER):
        yield world.ask("plainly", request(ApiKey.DESCRIBE_CLUSTER), version)
        operations = request(ApiKey.DESCRIBE_CLUSTER, include_cluster_authorized_operations=True)
        yield world.ask("with operations", operations, version)
        for kind in (0, 2, 3, -1):
            yield world.ask(f"endpoint type {kind}", request(ApiKey.DESCRIBE_CLUSTER, endpoint_type=kind), version)
        yield world.ask("with fenced brokers", request(ApiKey.DESCRIBE_CLUSTER, include_fenced_brokers=True), version)


SCENARIOS = (
    Scenario("create topics", (ApiKey.CREATE_TOPICS,), create_topics),
    Scenario("metadata", (ApiKey.METADATA,), metadata),
    Scenario("describe topic partitions", (ApiKey.DESCRIBE_TOPIC_PARTITIONS,), describe_topic_partitions),
    Scenario("create partitions", (ApiKey.CREATE_PARTITIONS,), create_partitions),
    Scenario("delete topics", (ApiKey.DELETE_TOPICS,), delete_topics),
    Scenario("describe log dirs", (ApiKey.DESCRIBE_LOG_DIRS,), describe_log_dirs),
    Scenario("describe cluster", (ApiKey.DESCRIBE_CLUSTER,), describe_cluster),
)
