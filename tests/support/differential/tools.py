"""
Kafka's own command-line tools run against both brokers, one after the other: what they print and how they end compared.

A tool must end in time, without a stack trace, and print the same lines to standard output; their order means nothing.
What differs on purpose stands in ALLOWED with its reason.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

from apache_kafka import CURRENT, tool_command

from differential.brokers import Running

TIME_LIMIT_S: Final = 60.0
_TOPIC: Final = "tools"


class Call(NamedTuple):
    """
    One run of a tool.

    arguments  {servers}, {log_dir} and {files} stand for what each broker has; a name in FILES becomes its path
    lines      what it reads from standard input
    ends_s     seconds after which a tool that would run forever is interrupted; 0: it ends by itself
    figures    what it prints are measurements: only how it ends is compared
    """

    tool: str
    arguments: str
    lines: tuple[str, ...] = ()
    ends_s: float = 0.0
    figures: bool = False

    @property
    def name(self) -> str:
        """What a person would type."""
        return f"kafka-{self.tool} {self.arguments.replace('--bootstrap-server {servers}', '').strip()}".strip()


FILES: Final = {
    "offsets.json": {"version": 1, "partitions": [{"topic": _TOPIC, "partition": 0, "offset": 1}]},
    "beyond.json": {"version": 1, "partitions": [{"topic": _TOPIC, "partition": 0, "offset": 1_000_000}]},
    "move.json": {"version": 1, "topics": [{"topic": _TOPIC}]},
    "plan.json": {
        "version": 1,
        "partitions": [{"topic": _TOPIC, "partition": 0, "replicas": [1], "log_dirs": ["any"]}],
    },
    "elect.json": {"partitions": [{"topic": _TOPIC, "partition": 0}]},
}
"""What tools read from files."""

_AT: Final = "--bootstrap-server {servers}"

CALLS: Final = (
    Call("topics", f"{_AT} --create --topic {_TOPIC} --partitions 3 --config retention.ms=86400000"),
    Call("topics", f"{_AT} --create --topic {_TOPIC}"),
    Call("topics", f"{_AT} --create --topic {_TOPIC} --if-not-exists"),
    Call("topics", f"{_AT} --create --topic a/b"),
    Call("topics", f"{_AT} --create --topic two --replication-factor 2"),
    Call("topics", f"{_AT} --list"),
    Call("topics", f"{_AT} --describe"),
    Call("topics", f"{_AT} --describe --topic {_TOPIC} --unavailable-partitions"),
    Call("topics", f"{_AT} --describe --topic nowhere"),
    Call("topics", f"{_AT} --alter --topic {_TOPIC} --partitions 4"),
    Call("topics", f"{_AT} --alter --topic {_TOPIC} --partitions 2"),
    Call("console-producer", f"{_AT} --topic {_TOPIC}"
        " --reader-property parse.key=true --reader-property key.separator=:",
         ("a:1", "b:2", "c:3", "d:4")),
    Call("console-consumer", f"{_AT} --topic {_TOPIC} --from-beginning --max-messages 4 --timeout-ms 20000"
        " --group readers"
         " --formatter-property print.key=true --formatter-property print.partition=true"
         " --formatter-property print.offset=true"),
    Call("verifiable-producer", f"{_AT} --topic {_TOPIC} --max-messages 10", figures=True),
    Call("verifiable-consumer", f"{_AT} --topic {_TOPIC} --group-id verifiers --max-messages 10"
        " --reset-policy earliest",
         figures=True),
    Call("producer-perf-test", f"--topic {_TOPIC} --num-records 2000 --record-size 100 --throughput -1"
         " --bootstrap-server {servers}", figures=True),
    Call("consumer-perf-test", f"{_AT} --topic {_TOPIC} --num-records 1000 --timeout 20000", figures=True),
    Call("e2e-latency", f"{_AT} --topic {_TOPIC} --num-records 20 --producer-acks all --record-size 20", figures=True),
    Call("get-offsets", f"{_AT} --topic {_TOPIC} --time earliest"),
    Call("get-offsets", f"{_AT} --topic {_TOPIC} --time -3 --topic-partitions {_TOPIC}:0", figures=True),
    Call("get-offsets", f"{_AT} --topic nowhere"),
    Call("consumer-groups", f"{_AT} --list"),
    Call("consumer-groups", f"{_AT} --list --state"),
    Call("consumer-groups", f"{_AT} --describe --group readers --state"),
    Call("consumer-groups", f"{_AT} --describe --group readers --members"),
    Call("consumer-groups", f"{_AT} --describe --group readers", figures=True),
    Call("consumer-groups", f"{_AT} --describe --group never-seen"),
    Call("consumer-groups", f"{_AT} --reset-offsets --group readers --topic {_TOPIC} --to-earliest --execute"),
    Call("consumer-groups", f"{_AT} --delete-offsets --group readers --topic {_TOPIC}"),
    Call("consumer-groups", f"{_AT} --delete --group readers"),
    Call("consumer-groups", f"{_AT} --delete --group never-seen"),
    Call("groups", f"{_AT} --list"),
    Call("share-groups", f"{_AT} --list"),
    Call("share-groups", f"{_AT} --describe --group never-seen"),
    Call("streams-groups", f"{_AT} --list"),
    Call("streams-groups", f"{_AT} --describe --group never-seen"),
    Call("configs", f"{_AT} --describe --entity-type topics --entity-name {_TOPIC}"),
    Call("configs", f"{_AT} --alter --entity-type topics --entity-name {_TOPIC} --add-config segment.ms=60000"),
    Call("configs", f"{_AT} --alter --entity-type topics --entity-name {_TOPIC} --add-config no.such.key=1"),
    Call("configs", f"{_AT} --alter --entity-type topics --entity-name {_TOPIC} --delete-config segment.ms"),
    Call("configs", f"{_AT} --describe --entity-type topics --entity-name nowhere"),
    Call("configs", f"{_AT} --alter --entity-type brokers --entity-name 1 --add-config log.retention.ms=5000000"),
    Call("configs", f"{_AT} --describe --entity-type brokers --entity-name 1"),
    Call("configs", f"{_AT} --alter --entity-type brokers --entity-default --add-config message.max.bytes=2000000"),
    Call("configs", f"{_AT} --describe --entity-type brokers --entity-default"),
    Call("configs", f"{_AT} --alter --entity-type brokers --entity-name 1 --delete-config log.retention.ms"),
    Call("configs", f"{_AT} --alter --entity-type brokers --entity-default --delete-config message.max.bytes"),
    Call("configs", f"{_AT} --describe --entity-type brokers --entity-name 1 --all", figures=True),
    Call("configs", f"{_AT} --describe --entity-type broker-loggers --entity-name 1", figures=True),
    Call("configs", f"{_AT} --describe --entity-type users"),
    Call("configs", f"{_AT} --describe --entity-type clients"),
    Call("configs", f"{_AT} --describe --entity-type ips"),
    Call("configs", f"{_AT} --describe --entity-type groups"),
    Call("configs", f"{_AT} --describe --entity-type client-metrics"),
    Call("client-metrics", f"{_AT} --list"),
    Call("client-metrics", f"{_AT} --describe"),
    Call("log-dirs", f"{_AT} --describe --topic-list {_TOPIC}", figures=True),
    Call("acls", f"{_AT} --list"),
    Call("acls", f"{_AT} --add --allow-principal User:a --operation Read --topic {_TOPIC}"),
    Call("leader-election", f"{_AT} --election-type preferred --all-topic-partitions"),
    Call("leader-election", f"{_AT} --election-type preferred --topic {_TOPIC} --partition 0"),
    Call("leader-election", f"{_AT} --election-type unclean --topic {_TOPIC} --partition 0"),
    Call("leader-election", f"{_AT} --election-type preferred --path-to-json-file elect.json"),
    Call("reassign-partitions", f"{_AT} --list"),
    Call("reassign-partitions", f"{_AT} --generate --broker-list 1 --topics-to-move-json-file move.json"),
    Call("reassign-partitions", f"{_AT} --execute --reassignment-json-file plan.json"),
    Call("reassign-partitions", f"{_AT} --verify --reassignment-json-file plan.json"),
    Call("reassign-partitions", f"{_AT} --cancel --reassignment-json-file plan.json"),
    Call("broker-api-versions", f"{_AT}", figures=True),
    Call("cluster", f"cluster-id {_AT}"),
    Call("cluster", f"list-endpoints {_AT}"),
    Call("cluster", f"unregister {_AT} --id 9"),
    Call("features", f"{_AT} describe"),
    Call("features", f"{_AT} upgrade --feature planets=1"),
    Call("metadata-quorum", f"{_AT} describe --status", figures=True),
    Call("metadata-quorum", f"{_AT} describe --replication", figures=True),
    Call("transactions", f"{_AT} list"),
    Call("transactions", f"{_AT} describe --transactional-id never-seen"),
    Call("transactions", f"{_AT} describe-producers --topic {_TOPIC} --partition 0", figures=True),
    Call("transactions", f"{_AT} find-hanging --broker-id 1"),
    Call("delegation-tokens", f"{_AT} --describe"),
    Call("delete-records", f"{_AT} --offset-json-file offsets.json"),
    Call("delete-records", f"{_AT} --offset-json-file beyond.json"),
    Call("replica-verification", "--broker-list {servers} --report-interval-ms 1000", ends_s=6, figures=True),
    Call("dump-log", f"--files {{log_dir}}/{_TOPIC}-0/00000000000000000000.log --print-data-log", figures=True),
    Call("topics", f"{_AT} --delete --topic {_TOPIC}"),
    Call("topics", f"{_AT} --delete --topic nowhere"),
)  # fmt: skip


class Allowed(NamedTuple):
    """A difference that is meant: in calls whose name contains `call`, lines that `line` matches, and why."""

    call: str
    line: str
    reason: str


_OWN_WORDS = "texts for people are kbroker's own words"

ALLOWED: Final = (
    Allowed("kafka-topics --create", r"Error while executing topic command", _OWN_WORDS),
    Allowed("kafka-share-groups --describe", r"Error: Executing share group command", _OWN_WORDS),
    Allowed("kafka-streams-groups --describe", r"Error: Executing streams group command", _OWN_WORDS),
    Allowed("kafka-acls", r"No Authorizer is configured", _OWN_WORDS),
    Allowed("kafka-features upgrade", r"Could not upgrade planets", _OWN_WORDS),
    Allowed("kafka-features describe", r"only Kafka: +Feature: ", "levels of KRaft's features are not kept"),
)
"""Texts are compared even so: another error than Kafka's begins otherwise."""

_NORMALISED: Final = (
    (re.compile(r"(?:localhost|127\.0\.0\.1):\d+"), "<broker>"),
    (re.compile(r"\b[A-Za-z0-9_-]{22}\b"), "<id>"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}"), "<uuid>"),
    (re.compile(r"/[^\s\"',]*/(?:data|kafka-data)\b"), "<log dir>"),
    (re.compile(r"\[?\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[.,]?\d*\]?"), "<time>"),
    (re.compile(r"\b(perf-consumer|test-group)-\d+"), r"\1"),
    (re.compile(r"(127\.0\.0\.1\s+)\d+"), r"\1<port>"),
    (re.compile(r"\s+"), " "),
)
_TRACE: Final = re.compile(r"^\s+at [\w.$/]+\(|^Exception in thread", re.MULTILINE)


class Ended(NamedTuple):
    """How a tool ended and what it printed; `code` None: it did not end in time."""

    code: int | None
    output: str
    errors: str
    seconds: float

    @property
    def has_trace(self) -> bool:
        """Whether a stack trace was printed."""
        return _TRACE.search(self.output + self.errors) is not None


class Found(NamedTuple):
    """What comparing one call gave: lines about differences, and reasons of those that are allowed."""

    call: Call
    different: list[str]
    allowed: list[str]

    @property
    def is_clean(self) -> bool:
        """Whether nothing differs that is not allowed."""
        return not self.different

    @property
    def verdict(self) -> str:
        """What it comes to, in a word."""
        return "DIFFERENT" if self.different else "allowed" if self.allowed else "same"


def compare(ours: Running, theirs: Running, say: Callable[[str], None]) -> list[Found]:
    """Run all calls against both brokers at the same time, in order; return what was found for each."""
    found = []
    with tempfile.TemporaryDirectory(prefix="kbroker-tools-") as directory, ThreadPoolExecutor(2) as pool:
        for name, content in FILES.items():
            (Path(directory) / name).write_text(json.dumps(content))
        for call in CALLS:
            running = [pool.submit(run, call, broker, Path(directory)) for broker in (ours, theirs)]
            mine, other = (one.result() for one in running)
            found.append(judge(call, mine, other))
            verdict = (
                "same"
                if found[-1].is_clean and not found[-1].allowed
                else "allowed"
                if found[-1].is_clean
                else "DIFFERENT"
            )
            say(f"{verdict:9} {call.name}  ({mine.seconds:.1f} s, Kafka {other.seconds:.1f} s)")
    return found


def run(call: Call, broker: Running, directory: Path) -> Ended:
    """Run a tool against a broker."""
    filled = call.arguments.format(servers=broker.address, log_dir=broker.log_dir)
    arguments = [str(directory / word) if word in FILES else word for word in filled.split()]
    begun = time.monotonic()
    process = subprocess.Popen(
        tool_command(CURRENT, call.tool, *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    text = "".join(f"{line}\n" for line in call.lines)
    try:
        output, errors = process.communicate(text, timeout=call.ends_s or TIME_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT if call.ends_s else signal.SIGKILL)
        try:
            output, errors = process.communicate(timeout=TIME_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            output, errors = process.communicate()
            return Ended(None, output, errors, time.monotonic() - begun)
        return Ended(process.returncode if call.ends_s else None, output, errors, time.monotonic() - begun)
    return Ended(process.returncode, output, errors, time.monotonic() - begun)


def judge(call: Call, ours: Ended, theirs: Ended) -> Found:
    """Return where the two runs of a call differ."""
    different: list[str] = []
    if theirs.code is None and ours.code is not None:
        return Found(call, [], [f"Kafka itself did not end within {TIME_LIMIT_S:.0f} s"])
    if ours.code is None and theirs.code is not None:
        different.append(f"did not end within {TIME_LIMIT_S:.0f} s")
    elif ours.code != theirs.code:
        different.append(f"exit code {ours.code}, Kafka {theirs.code}")
    if ours.has_trace and not theirs.has_trace:
        different.append(f"a stack trace: {_first_line(ours.errors or ours.output)}")
    if not call.figures:
        mine, other = Counter(normalised(ours.output)), Counter(normalised(theirs.output))
        different += [f"only kbroker: {line}" for line in (mine - other).elements()]
        different += [f"only Kafka:   {line}" for line in (other - mine).elements()]
    kept, allowed = [], []
    for line in different:
        rule = next((rule for rule in ALLOWED if rule.call in call.name and re.search(rule.line, line)), None)
        if rule is None:
            kept.append(line)
        else:
            allowed.append(rule.reason)
    return Found(call, kept, list(dict.fromkeys(allowed)))


def _first_line(text: str) -> str:
    return next((line for line in text.splitlines() if "Exception" in line or "Error" in line), text[:200])


def normalised(text: str) -> list[str]:
    """Return the lines of an output without what each broker makes up itself."""
    lines = []
    for line in text.splitlines():
        for pattern, symbol in _NORMALISED:
            line = pattern.sub(symbol, line)
        if line.strip() and not _TRACE.search(line):
            lines.append(line.strip())
    return lines


def lines_of(found: Sequence[Found], *, with_allowed: bool) -> Iterator[str]:
    """Yield the report."""
    verdicts = Counter(one.verdict for one in found)
    told = ", ".join(f"{verdicts[word]} {word}" for word in ("same", "allowed", "DIFFERENT"))
    yield f"Apache Kafka {CURRENT}'s tools: {len(found)} calls, {told}"
    for one in found:
        for line in one.different:
            yield f"  DIFFERENT  {one.call.name}: {line}"
        if with_allowed:
            for reason in one.allowed:
                yield f"  allowed    {one.call.name}: {reason}"
