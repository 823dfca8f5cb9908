"""What may be set while the broker runs, and the code and words a client is told when it may not."""

from __future__ import annotations

import logging

import pytest

from kbroker.cluster.config_rules import ConfigRules
from kbroker.config.broker_config import load_config
from kbroker.config.live_config import LiveConfig
from kbroker.errors import KafkaError
from kbroker.protocol.error_codes import ErrorCode


@pytest.fixture
def rules():
    return ConfigRules(LiveConfig(load_config(None, ("background.threads=10",), {"HOME": "/home/me"}), 0))


@pytest.mark.parametrize(
    ("broker", "name", "text", "message"),
    [
        ("0", "num.partitions", "5", "Cannot update these configs dynamically: [num.partitions]"),
        ("", "log.retention.hours", "5", "Cannot update these configs dynamically: [log.retention.hours]"),
        ("", "listeners", "PLAINTEXT://:1", "broker id must be specified: [listeners]"),
        ("0", "listeners", "PLAINTEXT://:1", "listeners are bound once"),
        ("0", "num.io.threads", "4", "cannot move to another one"),
        ("", "num.network.threads", "4", "cannot move to another one"),
        ("0", "ssl.keystore.password", "geheim", "TLS and SASL are not in this version"),
        ("0", "listener.name.lan.max.connections", "4", "settings of single listeners"),
        ("0", "log.retention.ms", "soon", "Invalid value soon for configuration log.retention.ms: expected a whole"),
        ("0", "max.connections.per.ip.overrides", "nowhere", "address:number, separated by commas"),
        ("0", "log.cleanup.policy", "shred", "Invalid value shred for configuration log.cleanup.policy"),
        ("0", "background.threads", "21", "at most double of the current value 10"),
        ("0", "background.threads", "4", "at least half"),
        ("0", "log.cleaner.threads", "0", "at least half"),
        ("0", "log.cleaner.min.compaction.lag.ms", "9223372036854775807", ""),
    ],
)
def test_what_cannot_be_set_on_a_broker_is_a_bad_request_with_its_reason(rules, broker, name, text, message):
    if not message:
        rules.check_broker(broker, {name: text}, {})
        text, name, message = "1", "log.cleaner.max.compaction.lag.ms", "conflict between configuration"
        with pytest.raises(KafkaError) as caught:
            rules.check_broker(broker, {name: text, "log.cleaner.min.compaction.lag.ms": "5"}, {})
    else:
        with pytest.raises(KafkaError) as caught:
            rules.check_broker(broker, {name: text}, {})
    assert caught.value.code == ErrorCode.INVALID_REQUEST
    assert message in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_what_is_set_already_is_not_judged_again(rules):
    """Or one old setting that a newer version refuses would hold all others up."""
    before = {"num.partitions": "5"}
    rules.check_broker("0", {**before, "log.retention.ms": "1"}, before)


def test_a_name_nobody_knows_is_taken_as_kafka_takes_it_and_told(rules, caplog):
    with caplog.at_level(logging.WARNING):
        rules.check_broker("", {"log.retention.mss": "1", "num.replica.fetchers": "2"}, {})
    assert "log.retention.mss is no key of a broker" in caplog.text
    assert "num.replica.fetchers has no effect: this version runs single brokers" in caplog.text


def test_the_clusters_key_is_not_one_brokers(rules):
    rules.check_broker("", {"min.insync.replicas": "2"}, {})
    with pytest.raises(KafkaError) as caught:
        rules.check_broker("0", {"min.insync.replicas": "2"}, {})
    assert caught.value.code == ErrorCode.INVALID_CONFIG


def test_topics_are_judged_by_what_is_in_force(rules):
    rules.check_topic({"min.compaction.lag.ms": "5"})
    rules.follow({"": {"log.cleaner.max.compaction.lag.ms": "4"}})
    with pytest.raises(KafkaError) as caught:
        rules.check_topic({"min.compaction.lag.ms": "5"})
    assert caught.value.code == ErrorCode.INVALID_CONFIG
    assert rules.unclean_leader_election_enable is False
    rules.follow({"0": {"unclean.leader.election.enable": "true"}})
    assert rules.unclean_leader_election_enable is True
