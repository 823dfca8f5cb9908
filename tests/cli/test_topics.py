"""`kbroker topics` prints and refuses what kafka-topics does."""

from types import SimpleNamespace

import click
import pytest
from confluent_kafka import KafkaError, KafkaException, Uuid

from kbroker.cli.clients import CommandError
from kbroker.cli.topics import Request, check_flags, describe_lines, parse_replica_assignment, topic_id_text
from kbroker.cli.topics import run as run_request


class Done:
    """A future that is done."""

    def __init__(self, value=None, error=None) -> None:
        self.value, self.error = value, error

    def result(self):
        if self.error is not None:
            raise self.error
        return self.value


def node(number: int):
    return SimpleNamespace(id=number, host="h", port=1)


def partition(number: int, leader=0, replicas=(0,), isr=(0,)):
    return SimpleNamespace(
        id=number,
        leader=None if leader is None else node(leader),
        replicas=[node(one) for one in replicas],
        isr=[node(one) for one in isr],
    )


def entry(name: str, value: str, is_default: bool):
    return SimpleNamespace(name=name, value=value, is_default=is_default)


class FakeAdmin:
    """Topics in memory, with the methods of the client library's AdminClient that the tool uses."""

    def __init__(self, *names: str) -> None:
        self.topics = {name: [partition(0)] for name in names}
        self.asked = []

    def list_topics(self, timeout: float):
        topics = {name: SimpleNamespace(partitions=dict(enumerate(parts))) for name, parts in self.topics.items()}
        return SimpleNamespace(topics=topics, brokers={0: node(0)})

    def create_topics(self, topics, request_timeout: float):
        self.asked += topics
        name = topics[0].topic
        if name in self.topics:
            error = KafkaError(KafkaError.TOPIC_ALREADY_EXISTS, f"Topic '{name}' already exists.")
            return {name: Done(error=KafkaException(error))}
        self.topics[name] = [partition(number) for number in range(max(1, topics[0].num_partitions))]
        return {name: Done()}

    def create_partitions(self, wanted, request_timeout: float):
        self.asked += wanted
        return {one.topic: Done() for one in wanted}

    def delete_topics(self, names, request_timeout: float):
        for name in names:
            del self.topics[name]
        return {name: Done() for name in names}

    def describe_topics(self, collection, request_timeout: float):
        return {
            name: Done(SimpleNamespace(name=name, topic_id=Uuid(0, 7), partitions=self.topics[name]))
            for name in collection.topic_names
        }

    def describe_configs(self, resources, request_timeout: float):
        config = {"segment.bytes": entry("segment.bytes", "1073741824", False)}
        return {resource: Done(config) for resource in resources}


def test_describe_prints_kafkas_two_line_forms(capsys) -> None:
    assert run_request(FakeAdmin("test"), Request("describe", topic="test")) == 0
    assert capsys.readouterr().out == (
        "Topic: test\tTopicId: AAAAAAAAAAAAAAAAAAAABw\tPartitionCount: 1\tReplicationFactor: 1\t"
        "Configs: segment.bytes=1073741824\n"
        "\tTopic: test\tPartition: 0\tLeader: 0\tReplicas: 0\tIsr: 0\tElr: N/A\tLastKnownElr: N/A\n"
    )


def test_topic_ids_are_written_as_kafka_writes_them() -> None:
    assert topic_id_text(Uuid(-1, -1)) == "_____________________w"
    assert topic_id_text(Uuid(0, 0)) == ""


DESCRIBED = SimpleNamespace(
    name="t",
    topic_id=None,
    partitions=[
        partition(2, leader=9),
        partition(0),
        partition(1, leader=None, replicas=(0, 1), isr=()),
    ],
)
PLAIN = {"min.insync.replicas": entry("min.insync.replicas", "1", True)}


@pytest.mark.parametrize(
    ("flag", "partitions"),
    [
        ("under_replicated_partitions", [1]),
        ("unavailable_partitions", [1, 2]),
        ("under_min_isr_partitions", [1]),
        ("at_min_isr_partitions", [0, 2]),
    ],
)
def test_describe_only_partitions_in_trouble(flag: str, partitions: list[int]) -> None:
    lines = describe_lines(DESCRIBED, PLAIN, [0], Request("describe", **{flag: True}))
    assert [int(line.split("Partition: ")[1].split("\t")[0]) for line in lines] == partitions


def test_describe_sorts_partitions_and_says_none_for_no_leader() -> None:
    lines = describe_lines(DESCRIBED, PLAIN, [0], Request("describe"))
    assert lines[0] == "Topic: t\tPartitionCount: 3\tReplicationFactor: 1\tConfigs: "
    assert lines[2].startswith("\tTopic: t\tPartition: 1\tLeader: none\tReplicas: 0,1\tIsr: \t")


def test_describe_topics_with_overrides() -> None:
    own = {"retention.ms": entry("retention.ms", "5", False)}
    request = Request("describe", topics_with_overrides=True)
    assert describe_lines(DESCRIBED, PLAIN, [0], request) == []
    assert describe_lines(DESCRIBED, own, [0], request) == [
        "Topic: t\tPartitionCount: 3\tReplicationFactor: 1\tConfigs: retention.ms=5"
    ]


def test_create(capsys) -> None:
    admin = FakeAdmin()
    assert (
        run_request(admin, Request("create", topic="test", partitions=3, replication_factor=1, config=("a = b",))) == 0
    )
    assert capsys.readouterr().out == "Created topic test.\n"
    assert (admin.asked[0].num_partitions, admin.asked[0].replication_factor) == (3, 1)
    assert admin.asked[0].config == {"a": "b"}


def test_create_leaves_numbers_that_are_not_given_to_the_broker() -> None:
    admin = FakeAdmin()
    run_request(admin, Request("create", topic="test"))
    assert (admin.asked[0].num_partitions, admin.asked[0].replication_factor) == (-1, -1)


def test_create_with_an_assignment() -> None:
    admin = FakeAdmin()
    run_request(admin, Request("create", topic="test", replica_assignment="0:1,1:2"))
    assert admin.asked[0].replica_assignment == [[0, 1], [1, 2]]


def test_create_what_exists(capsys) -> None:
    assert run_request(FakeAdmin("test"), Request("create", topic="test")) == 1
    assert capsys.readouterr().out == "Error while executing topic command : Topic 'test' already exists.\n"
    assert run_request(FakeAdmin("test"), Request("create", topic="test", if_not_exists=True)) == 0
    assert capsys.readouterr().out == ""


def test_names_that_collide_in_metrics_are_warned_of(capsys) -> None:
    run_request(FakeAdmin(), Request("create", topic="a.b"))
    assert capsys.readouterr().out.startswith("WARNING: Due to limitations in metric names")


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request("create", topic="t", replication_factor=0), "The replication factor must be between 1 and 32767"),
        (Request("create", topic="t", partitions=0), "The partitions must be greater than 0"),
        (Request("create", topic="t", config=("a",)), 'must be in the format "key=val"'),
        (Request("describe", topic="none"), "Topic 'none' does not exist as expected"),
        (Request("delete", topic="none"), "Topic 'none' does not exist as expected"),
        (Request("alter", topic="none", partitions=2), "Topic 'none' does not exist as expected"),
        (Request("describe", topic_id="AAAA"), "TopicId 'AAAA' does not exist as expected"),
        (Request("list", topic="("), "invalid regex"),
    ],
)
def test_refused(request_: Request, message: str, capsys) -> None:
    assert run_request(FakeAdmin("test"), request_) == 1
    output = capsys.readouterr().out
    assert output.startswith("Error while executing topic command : ")
    assert message in output


@pytest.mark.parametrize("action", ["describe", "delete", "alter"])
def test_if_exists_makes_it_no_error(action: str, capsys) -> None:
    assert run_request(FakeAdmin(), Request(action, topic="none", partitions=2, if_exists=True)) == 0
    assert capsys.readouterr().out == ""


def test_list_is_sorted_and_filtered(capsys) -> None:
    admin = FakeAdmin("b", "a", "__consumer_offsets", "test-1")
    run_request(admin, Request("list"))
    run_request(admin, Request("list", exclude_internal=True, topic="a,b"))
    run_request(admin, Request("list", topic="test.*"))
    assert capsys.readouterr().out == "__consumer_offsets\na\nb\ntest-1\na\nb\ntest-1\n"


def test_alter_and_delete() -> None:
    admin = FakeAdmin("test")
    assert run_request(admin, Request("alter", topic="test", partitions=4)) == 0
    assert (admin.asked[0].topic, admin.asked[0].new_total_count) == ("test", 4)
    assert run_request(admin, Request("delete", topic="test")) == 0
    assert admin.topics == {}


@pytest.mark.parametrize("text", ["0:0", "0,1:2", "a", ""])
def test_bad_assignments(text: str) -> None:
    with pytest.raises(CommandError):
        parse_replica_assignment(text)


@pytest.mark.parametrize(
    "request_",
    [
        Request("create"),
        Request("alter", topic="t"),
        Request("alter", topic="t", partitions=2, config=("a=b",)),
        Request("list", partitions=2),
        Request("list", if_exists=True),
        Request("delete", topic="t", if_not_exists=True),
        Request("create", topic="t", replica_assignment="0", partitions=1),
        Request("create", topic="t", under_replicated_partitions=True),
        Request("describe", topics_with_overrides=True, unavailable_partitions=True),
    ],
)
def test_flags_that_do_not_go_together(request_: Request) -> None:
    with pytest.raises(click.UsageError):
        check_flags(request_)


def test_exactly_one_action(run) -> None:
    for arguments in ([], ["--list", "--describe"]):
        result = run("topics", *arguments)
        assert result.exit_code == 2
        assert "Command must include exactly one action" in result.output
