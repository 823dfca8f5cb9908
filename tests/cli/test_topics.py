"""`kbroker topics` prints and refuses what kafka-topics does."""

import click
import pytest

from kbroker.cli.command_error import BrokerRefused, CommandError
from kbroker.cli.topic_admin import ConfigEntry, Topic, TopicPartition, topic_id_text
from kbroker.cli.topics import Request, check_flags, describe_lines, parse_replica_assignment
from kbroker.cli.topics import run as run_request
from kbroker.protocol.error_codes import ErrorCode


def partition(number: int, leader=0, replicas=(0,), isr=(0,)):
    return TopicPartition(number, leader, replicas, isr)


def entry(name: str, value: str, is_default: bool):
    return ConfigEntry(name, value, is_default)


class FakeAdmin:
    """Topics in memory, with the methods of TopicAdmin."""

    def __init__(self, *names: str) -> None:
        self.topics = {name: (partition(0),) for name in names}
        self.asked = []

    def names(self):
        return sorted(self.topics)

    def describe(self, names):
        return [Topic(name, "AAAAAAAAAAAAAAAAAAAABw", self.topics[name]) for name in names], {0}

    def configs(self, names):
        return {name: {"segment.bytes": entry("segment.bytes", "1073741824", False)} for name in names}

    def create(self, topic):
        self.asked.append(topic)
        if topic.name in self.topics:
            raise BrokerRefused(ErrorCode.TOPIC_ALREADY_EXISTS, f"Topic '{topic.name}' already exists.")
        self.topics[topic.name] = tuple(partition(number) for number in range(max(1, topic.partitions)))

    def add_partitions(self, name, count, assignment=None):
        self.asked.append((name, count, assignment))

    def delete(self, names):
        for name in names:
            del self.topics[name]


def test_describe_prints_kafkas_two_line_forms(capsys) -> None:
    assert run_request(FakeAdmin("test"), Request("describe", topic="test")) == 0
    assert capsys.readouterr().out == (
        "Topic: test\tTopicId: AAAAAAAAAAAAAAAAAAAABw\tPartitionCount: 1\tReplicationFactor: 1\t"
        "Configs: segment.bytes=1073741824\n"
        "\tTopic: test\tPartition: 0\tLeader: 0\tReplicas: 0\tIsr: 0\tElr: N/A\tLastKnownElr: N/A\n"
    )


def test_topic_ids_are_written_as_kafka_writes_them() -> None:
    assert topic_id_text(b"\xff" * 16) == "_____________________w"
    assert topic_id_text(bytes(16)) == ""


DESCRIBED = Topic("t", "", (partition(0), partition(1, leader=None, replicas=(0, 1), isr=()), partition(2, leader=9)))
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


def test_describe_says_none_for_no_leader() -> None:
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
    assert (admin.asked[0].partitions, admin.asked[0].replication_factor) == (3, 1)
    assert admin.asked[0].config == {"a": "b"}


def test_create_leaves_numbers_that_are_not_given_to_the_broker() -> None:
    admin = FakeAdmin()
    run_request(admin, Request("create", topic="test"))
    assert (admin.asked[0].partitions, admin.asked[0].replication_factor) == (-1, -1)


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
    assert admin.asked == [("test", 4, None)]
    assert run_request(admin, Request("alter", topic="test", partitions=2, replica_assignment="0,1")) == 0
    assert admin.asked[1] == ("test", 2, [[1]])
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
