"""The console tools: lines become records and records lines, with Kafka's properties."""

import click
import pytest

from kbroker.cli.command_error import CommandError
from kbroker.cli.console_consumer import LineForm, check_selection, consumer_settings
from kbroker.cli.console_producer import LineFormat

CONSUMER_FLAGS = {
    "topic": None,
    "include": None,
    "partition": None,
    "offset": None,
    "from_beginning": False,
    "group": None,
}


class Record:
    """A record as the client library gives it."""

    def __init__(self, key=b"k", value=b"v", headers=None, timestamp=(1, 123)) -> None:
        self.parts = (key, value, headers, timestamp)

    def key(self):
        return self.parts[0]

    def value(self):
        return self.parts[1]

    def headers(self):
        return self.parts[2]

    def timestamp(self):
        return self.parts[3]

    def partition(self):
        return 3

    def offset(self):
        return 42


@pytest.mark.parametrize(
    ("properties", "record", "line"),
    [
        pytest.param({}, Record(), b"v\n", id="the value alone"),
        pytest.param({"print.key": "true"}, Record(), b"k\tv\n", id="with the key"),
        pytest.param({"print.key": "true", "key.separator": ":"}, Record(), b"k:v\n", id="another separator"),
        pytest.param({"print.key": "true"}, Record(None, None), b"null\tnull\n", id="nothing is null"),
        pytest.param({"null.literal": "-"}, Record(value=None), b"-\n", id="another word for null"),
        pytest.param({"print.value": "false", "print.key": "true"}, Record(), b"k\n", id="the key alone"),
        pytest.param(
            {"print.timestamp": "true", "print.partition": "true", "print.offset": "true", "print.headers": "TRUE"},
            Record(headers=[("a", b"1"), ("b", None)]),
            b"CreateTime:123\tPartition:3\tOffset:42\ta:1,b:null\tv\n",
            id="everything",
        ),
        pytest.param({"print.timestamp": "true"}, Record(timestamp=(2, 5)), b"LogAppendTime:5\tv\n", id="append time"),
        pytest.param({"print.timestamp": "true"}, Record(timestamp=(0, -1)), b"NO_TIMESTAMP\tv\n", id="no time"),
        pytest.param({"print.headers": "true"}, Record(), b"NO_HEADERS\tv\n", id="no headers"),
        pytest.param({"line.separator": "|"}, Record(value=b"\xff"), b"\xff|", id="bytes pass as they are"),
    ],
)
def test_a_record_becomes_a_line(properties: dict[str, str], record: Record, line: bytes) -> None:
    assert LineForm.from_properties(properties).line(record) == line


def test_java_classes_are_refused_except_those_that_mean_text() -> None:
    LineForm.from_properties({"value.deserializer": "org.apache.kafka.common.serialization.StringDeserializer"})
    with pytest.raises(CommandError, match="Java classes"):
        LineForm.from_properties({"value.deserializer": "com.example.Avro"})


@pytest.mark.parametrize(
    ("properties", "line", "expected"),
    [
        pytest.param({}, "a\tb", ([], None, b"a\tb"), id="the whole line is the value"),
        pytest.param({"parse.key": "true"}, "a\tb\tc", ([], b"a", b"b\tc"), id="a key"),
        pytest.param({"parse.key": "true", "key.separator": "::"}, "a::b", ([], b"a", b"b"), id="a longer separator"),
        pytest.param({"parse.key": "true", "ignore.error": "true"}, "ab", ([], None, b"ab"), id="no key, ignored"),
        pytest.param(
            {"parse.headers": "true", "parse.key": "true"},
            "x:1,y:2\tk\tv",
            ([("x", b"1"), ("y", b"2")], b"k", b"v"),
            id="headers",
        ),
        pytest.param(
            {"parse.headers": "true", "parse.key": "true", "null.marker": "N"},
            "x:N\tN\tN",
            ([("x", None)], None, None),
            id="null",
        ),
        pytest.param({"parse.headers": "true", "null.marker": "N"}, "N\tv", ([], None, b"v"), id="no headers"),
        pytest.param({}, "ä", ([], None, "ä".encode()), id="UTF-8"),
        pytest.param({}, "", ([], None, b""), id="an empty line is an empty value"),
    ],
)
def test_a_line_becomes_a_record(properties: dict[str, str], line: str, expected: tuple) -> None:
    assert LineFormat.from_properties(properties).parse(line, 1) == expected


@pytest.mark.parametrize(
    ("properties", "line", "message"),
    [
        ({"parse.key": "true"}, "ab", "No key separator found on line number 7: 'ab'"),
        ({"parse.headers": "true"}, "ab", "No headers delimiter found on line number 7: 'ab'"),
        ({"parse.headers": "true"}, "ab\tc", "No header key separator found in pair 'ab' on line number 7"),
        ({"parse.headers": "true"}, "\udcff:1\tc", "The name of header '\\udcff' on line number 7 is no UTF-8 text"),
        ({"parse.headers": "true"}, "a\0b:1\tc", "The name of header 'a\\x00b' on line number 7 is no UTF-8 text"),
        ({"parse.headers": "true", "null.marker": "N"}, "N:1\tc", "Header keys should not be equal to the null marker"),
    ],
)
def test_lines_that_cannot_be_cut(properties: dict[str, str], line: str, message: str) -> None:
    with pytest.raises(CommandError) as caught:
        LineFormat.from_properties(properties).parse(line, 7)
    assert message in str(caught.value)


def test_separators_may_not_collide() -> None:
    with pytest.raises(CommandError, match=r"null\.marker and key\.separator may not be equal"):
        LineFormat.from_properties({"key.separator": ":", "null.marker": ":"})
    with pytest.raises(CommandError, match="may not be equal"):
        LineFormat.from_properties({"headers.separator": "\t"})


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"topic": "t", "include": "t"},
        {"include": "t", "partition": 0},
        {"topic": "t", "offset": "3"},
        {"topic": "t", "partition": 0, "offset": "3", "from_beginning": True},
        {"topic": "t", "partition": 0, "offset": "soon"},
        {"topic": "t", "partition": 0, "offset": "-3"},
        {"topic": "t", "partition": 0, "offset": str(2**63)},
        {"topic": "t", "partition": 0, "group": "g"},
    ],
)
def test_consumer_flags_that_do_not_go_together(given: dict) -> None:
    with pytest.raises(click.UsageError):
        check_selection({**CONSUMER_FLAGS, **given})


def select(**given):
    return check_selection({**CONSUMER_FLAGS, "topic": "t", **given})


def test_settings_of_the_consumer() -> None:
    settings = consumer_settings(select(), {}, "read_uncommitted")
    assert settings["auto.offset.reset"] == "latest"
    assert settings["group.id"].startswith("console-consumer-")
    assert settings["enable.auto.commit"] == "false"
    settings = consumer_settings(select(group="g", from_beginning=True), {}, "read_committed")
    assert (settings["group.id"], settings["auto.offset.reset"]) == ("g", "earliest")
    assert "enable.auto.commit" not in settings
    assert consumer_settings(select(), {"auto.offset.reset": "smallest"}, "x")["auto.offset.reset"] == "earliest"


def test_a_record_beside_empty_partitions_is_not_kept_waiting_by_a_fetch_of_those() -> None:
    """A fetch that leaves before all offsets are known blocks the next for as long as it may wait."""
    assert consumer_settings(select(), {}, "x")["fetch.wait.max.ms"] <= 100
    assert consumer_settings(select(), {"fetch.wait.max.ms": "700"}, "x")["fetch.wait.max.ms"] == "700"


def test_settings_that_contradict_flags() -> None:
    with pytest.raises(CommandError, match="please remove one option"):
        consumer_settings(select(from_beginning=True), {"auto.offset.reset": "latest"}, "x")
    with pytest.raises(CommandError, match="do not match"):
        consumer_settings(select(group="g"), {"group.id": "h"}, "x")


def test_produce_and_consume(run, mock_servers: str) -> None:
    """The whole way, through a broker's protocol."""
    at = ("--bootstrap-server", mock_servers)
    keyed = ("--property", "parse.key=true", "--property", "key.separator=:")
    result = run("console-producer", "--topic", "both", "--timeout", "5", *at, *keyed, stdin=b"k:one\nk:two\r\nk:last")
    assert (result.exit_code, result.output) == (0, "")
    result = run(
        "console-consumer", "--include", "bo.h", "--from-beginning", "--max-messages", "3", "--timeout-ms", "20000",
        "--property", "print.key=true", *at,
    )  # fmt: skip
    assert result.exit_code == 0
    assert result.stdout == "k\tone\nk\ttwo\nk\tlast\n"
    assert result.stderr == "Processed a total of 3 messages\n"


def test_one_partition_from_an_offset(run, mock_servers: str) -> None:
    at = ("--bootstrap-server", mock_servers)
    run("console-producer", "--topic", "single", "--sync", *at, stdin=b"".join(b"%d\n" % n for n in range(30)))
    first = run(
        "console-consumer", "--topic", "single", "--partition", "0", "--offset", "0", "--max-messages", "1", *at
    )
    assert first.exit_code == 0
    assert len(first.stdout.splitlines()) == 1
    missing = run("console-consumer", "--topic", "single", "--partition", "99", *at)
    assert missing.exit_code == 1
    assert str(missing.exception) == "topic single has no partition 99"


def test_a_pattern_the_library_cannot_use(run, mock_servers: str) -> None:
    result = run("console-consumer", "--include", "(", "--bootstrap-server", mock_servers)
    assert result.exit_code == 1
    assert str(result.exception) == "--include (: the client library cannot use this expression"


def test_a_line_that_cannot_be_cut_ends_the_producer(run, mock_servers: str) -> None:
    """What came before is sent; the exit code tells of the failure."""
    at = ("--bootstrap-server", mock_servers)
    result = run("console-producer", "--topic", "cut", "--property", "parse.key=true", *at, stdin=b"k\tv\nnothing\n")
    assert result.exit_code == 1
    assert "No key separator found on line number 2" in result.stderr


def test_old_names_of_the_broker(run, mock_servers: str) -> None:
    """--broker-list is honoured; --zookeeper is explained and not asked."""
    result = run("console-producer", "--topic", "old", "--broker-list", mock_servers, stdin=b"x\n")
    assert result.exit_code == 0
    result = run("topics", "--list", "--zookeeper", "localhost:2181", "--bootstrap-server", mock_servers)
    assert result.exit_code == 0
    assert "old" in result.stdout.split()
    assert "--zookeeper localhost:2181 is not used" in result.stderr


def test_settings_only_java_knows_are_named_and_left_out(run, mock_servers: str) -> None:
    result = run(
        "console-producer", "--topic", "java", "--bootstrap-server", mock_servers,
        "--producer-property", "key.serializer.encoding=UTF-8", stdin=b"x\n",
    )  # fmt: skip
    assert result.exit_code == 0
    assert "key.serializer.encoding is unknown to the client library and is left out" in result.stderr


def test_properties_that_no_reader_or_formatter_has_are_told(run, mock_servers: str) -> None:
    at = ("--bootstrap-server", mock_servers)
    result = run("console-producer", "--topic", "told", "--property", "parse.keys=true", *at, stdin=b"k\tv\n")
    assert result.exit_code == 0
    assert "--property parse.keys is unknown and is left out; did you mean parse.key?" in result.stderr
    result = run(
        "console-consumer", "--topic", "told", "--partition", "0", "--max-messages", "0", *at,
        "--property", "print.kye=true", "--property", "value.deserializer.encoding=x", "--property", "zzz=1",
        "--property", "value.deserializer=org.apache.kafka.common.serialization.StringDeserializer",
    )  # fmt: skip
    assert result.stderr == (
        "kbroker: --property print.kye is unknown and is left out; did you mean print.key?\n"
        "kbroker: --property zzz is unknown and is left out\n"
        "Processed a total of 0 messages\n"
    )


def test_a_record_that_is_too_large_does_not_take_the_others_with_it(run, mock_servers: str) -> None:
    at = ("--topic", "large", "--bootstrap-server", mock_servers)
    result = run("console-producer", *at, stdin=b"before\n" + b"x" * 2_000_000 + b"\nafter\n")
    assert result.exit_code == 1
    assert "with key: null, value: 2000000 bytes with error: Message size too large" in result.stderr
    found: list[str] = []
    for partition in range(4):
        read = run(
            "console-consumer", "--partition", str(partition), "--offset", "earliest", "--timeout-ms", "500", *at
        )
        found += read.stdout.split()
    assert sorted(found) == ["after", "before"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("console-consumer", "--topic", "t", "--group", "\udcff"),
        ("console-consumer", "--topic", "\udcff"),
        ("console-consumer", "--topic", "t", "--partition", str(2**31)),
        ("console-producer", "--topic", "\udcff"),
        ("consumer-groups", "--describe", "--group", "\udcff"),
        ("consumer-groups", "--reset-offsets", "--group", "g", "--topic", "t", "--to-offset", str(2**63)),
        ("topics", "--create", "--topic", "\udcff"),
        ("topics", "--create", "--topic", "t", "--config", "a=\udcff"),
        ("topics", "--create", "--topic", "t", "--partitions", str(2**31)),
    ],
    ids=ascii,
)
def test_what_the_protocol_cannot_carry_is_refused_before_anybody_is_asked(run, arguments: tuple[str, ...]) -> None:
    result = run(*arguments, "--bootstrap-server", "127.0.0.1:1")
    assert result.exit_code == 2
    assert "Invalid value for" in result.output


def test_settings_that_are_no_text_do_not_reach_the_library(run, mock_servers: str) -> None:
    """It ends the process over them."""
    for setting in ("client.id=\udcff", "group.id=\udcff"):
        at = ("--bootstrap-server", mock_servers, "--consumer-property", setting)
        result = run("console-consumer", "--topic", "t", *at)
        assert "is no UTF-8 text" in str(result.exception)


def test_arguments_that_a_locale_could_not_read_are_utf8_all_the_same(run, mock_servers: str) -> None:
    name = "gr\u00fc\u00dfe".encode().decode("ascii", "surrogateescape")
    result = run("topics", "--describe", "--topic", name, "--bootstrap-server", mock_servers)
    assert "Topic 'gr\u00fc\u00dfe' does not exist" in result.output


def test_files_that_are_no_text_are_told(run, tmp_path) -> None:
    path = tmp_path / "noise"
    path.write_bytes(b"a=\xff\xfe")
    result = run("topics", "--list", "--command-config", str(path))
    assert str(result.exception) == f"cannot read {path}: it is no UTF-8 text"
