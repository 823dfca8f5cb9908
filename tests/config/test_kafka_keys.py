"""
The tables of keys agree with Apache Kafka's own: names, types, defaults, ranges, who may change them while a broker
runs, and how a fresh broker describes them.

tests/vectors/kafka_keys/<version>.json is what tests/java/ListKafkaKeys.java prints with the jars of that version;
described-<version>.json is what DescribeConfigs of a fresh broker of it answers, of a topic and a group without
settings, without what its own addresses and directories are. Where 3.9 and 4.4 differ, 4.4 counts. Every difference is
here, with its reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kbroker.config.broker_config import load_config
from kbroker.config.client_metrics_keys import CLIENT_METRICS_KEYS, describe_client_metrics
from kbroker.config.group_keys import GROUP_CONFIG_KEYS, describe_group
from kbroker.config.key import Key, text_of
from kbroker.config.keys import BROKER_KEYS
from kbroker.config.settings import DescribedKey
from kbroker.config.topic_config import describe_topic
from kbroker.config.topic_keys import TOPIC_KEYS

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "kafka_keys"
OLD, NEW = (json.loads((VECTORS / f"{version}.json").read_text()) for version in ("3.9.1", "4.4.0"))
DESCRIBED = json.loads((VECTORS / "described-4.4.0.json").read_text())
OURS: Mapping[str, Mapping[str, Key]] = {
    "broker": BROKER_KEYS,
    "topic": TOPIC_KEYS,
    "group": GROUP_CONFIG_KEYS,
    "client-metrics": CLIENT_METRICS_KEYS,
}
FACTS = [
    pytest.param(kind, name, {**OLD[kind], **NEW[kind]}[name], id=f"{kind} {name}")
    for kind in OURS
    for name in sorted({**OLD[kind], **NEW[kind]})
]

NOT_OURS = {
    ("topic", "internal.segment.bytes"): "Kafka's tests make small segments with it; here segment.bytes may be small",
}
ONLY_OURS = {
    "kbroker.metadata.dir": "the embedded store is kbroker's own",
    **dict.fromkeys(
        ("port", "host.name", "advertised.port", "advertised.host.name", "controller.message.queue.size",
         "quota.consumer.default", "quota.producer.default", "replica.lag.max.messages", "zookeeper.sync.time.ms"),
        "Kafka before 3.0 had it, and files of that time start",
    ),
    **dict.fromkeys(
        ("allow.everyone.if.no.acl.found", "super.users"),
        "Kafka's authorizers read it from the same file",
    ),
    **dict.fromkeys(
        ("confluent.support.customer.id", "confluent.support.metrics.enable"),
        "it stands in files of Confluent's Kafka",
    ),
}  # fmt: skip
RANGES = {
    **dict.fromkeys(
        ("log.segment.bytes", "segment.bytes"), "Kafka 3.9 allows small segments, and tests want them; 4.4 has 1 MiB"
    ),
    **dict.fromkeys(
        ("broker.id", "node.id", "socket.send.buffer.bytes", "socket.receive.buffer.bytes", "connections.max.idle.ms",
         "request.timeout.ms", "log.roll.ms", "log.roll.jitter.ms", "replica.high.watermark.checkpoint.interval.ms",
         "default.replication.factor", "group.min.session.timeout.ms", "group.max.session.timeout.ms",
         "group.initial.rebalance.delay.ms", "offset.metadata.max.bytes", "offsets.topic.compression.codec",
         "offsets.commit.required.acks"),
        "Kafka takes any number and fails later, or takes nonsense for something else; here the start says so",
    ),
}  # fmt: skip
CHOICES = {
    "group.coordinator.rebalance.protocols": "3.9 also has `unknown`",
    "metrics.recording.level": "Kafka checks it later",
    **dict.fromkeys(
        ("inter.broker.protocol.version", "log.message.format.version", "message.format.version"),
        "any version of a Kafka is fine, since none counts here",
    ),
}
NUMBERS = re.compile(r"\[(-?[\d.]+),\.\.\.(?:,(-?[\d.]+))?\]")


@pytest.mark.parametrize(("kind", "name", "fact"), FACTS)
def test_a_key_of_kafka_is_known_as_kafka_knows_it(kind: str, name: str, fact: dict[str, Any]) -> None:
    if (kind, name) in NOT_OURS:
        assert name not in OURS[kind]
        return
    key = OURS[kind].get(name)
    assert key is not None, f"Kafka has {name}"
    assert key.type.name == fact["type"]
    if key.default is None and fact["type"] == "PASSWORD":
        assert fact["default"] is None
    else:
        assert key.kafka_default in {fact["default"], None}
        assert fact["default"] == (text_of(key.default) if key.kafka_default is None else key.kafka_default)
    assert key.sensitive == (fact["type"] == "PASSWORD")
    assert key.internal == fact["internal"]
    if kind == "broker":
        assert key.update.value == fact["update"]
    else:
        assert list(key.synonyms) == fact["synonyms"]
    _check_range(key, fact["range"] or "")


def _check_range(key: Key, told: str) -> None:
    numbers = NUMBERS.fullmatch(told)
    low, high = (float(numbers[1]), float(numbers[2]) if numbers[2] else None) if numbers else (None, None)
    if key.name in RANGES:
        assert (key.minimum, key.maximum) != (low, high) or key.form[0], "this difference is gone: take it off the list"
    elif not key.form[0]:
        assert (key.minimum, key.maximum) == (low, high)
    listed = told.startswith("[") and numbers is None and not key.form[0]
    choices = {one.strip() for one in told.strip("[]").split(",")} if listed else set()
    if key.name not in CHOICES:
        assert set(key.choices) == choices


def test_every_other_key_is_here_for_a_reason() -> None:
    others = {name for kind, keys in OURS.items() for name in keys if name not in {**OLD[kind], **NEW[kind]}}
    assert others == set(ONLY_OURS)


# DescribeConfigs of a fresh broker

DIFFERENT_VALUES = {
    "advertised.listeners": "what this client is told, where Kafka 4 tells nothing",
    "broker.id": "the test's broker has no id in its file",
    "node.id": "the test's broker has no id in its file",
    "log.dir": "the default is a directory of the user's, told under log.dirs",
    "inter.broker.listener.name": "the one in force, where Kafka tells nothing",
    "metric.reporters": "classes of the Java broker",
}


def described(kind: str) -> dict[str, DescribedKey]:
    config = load_config(None, (), {"HOME": "/home/me"}).with_dynamic({}, {})
    keys = {
        "broker": lambda: config.describe({"broker.id": 1, "node.id": 1}),
        "topic": lambda: describe_topic(config.settings, config.topic_defaults, {}),
        "group": lambda: describe_group(config.settings, {}),
        "client-metrics": lambda: describe_client_metrics({}),
    }[kind]()
    return {key.name: key for key in keys}


@pytest.mark.parametrize("kind", OURS)
def test_a_fresh_broker_describes_its_keys_as_kafka_4_does(kind: str) -> None:
    ours = described(kind)
    for name, fact in DESCRIBED[kind].items():
        key = OURS[kind].get(name)
        if key is None:
            continue
        assert name in ours
        told = ours[name]
        assert (name, told.type, told.read_only, told.sensitive) == (
            name, fact["type"], fact["read_only"], fact["sensitive"],
        )  # fmt: skip
        if name in DIFFERENT_VALUES or key.kafka_default is not None:
            continue
        assert (name, told.value, told.source) == (name, fact["value"], fact["source"])
        assert (name, [[*one] for one in told.synonyms]) == (name, fact["synonyms"])


@pytest.mark.parametrize("kind", OURS)
def test_a_fresh_broker_describes_no_more_than_kafka_and_old_kafka_do(kind: str) -> None:
    more = described(kind).keys() - DESCRIBED[kind].keys()
    own_addresses = {name for name in NEW[kind] if name not in DESCRIBED[kind]}
    assert more - own_addresses - OLD[kind].keys() <= {"kbroker.metadata.dir"}
