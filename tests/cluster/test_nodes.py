"""Nodes look as Apache Kafka writes them, and what Kafka wrote is understood."""

from __future__ import annotations

import json

from kbroker.cluster import nodes
from kbroker.metadata.image import BrokerState, Endpoint


def test_a_broker_is_registered_as_kafka_does():
    broker = BrokerState(1, (Endpoint("PLAINTEXT", "PLAINTEXT", "localhost", 18091),))
    assert json.loads(nodes.encode_broker(broker, 1795229702541)) == {
        "features": {},
        "listener_security_protocol_map": {"PLAINTEXT": "PLAINTEXT"},
        "endpoints": ["PLAINTEXT://localhost:18091"],
        "jmx_port": -1,
        "port": 18091,
        "host": "localhost",
        "version": 5,
        "timestamp": "1795229702541",
    }


def test_any_broker_survives_its_node():
    broker = BrokerState(
        7,
        (
            Endpoint("EXTERNAL", "SASL_SSL", "Kafka.Example.org", 9093),
            Endpoint("V6", "PLAINTEXT", "fe80::1%eth0", 9092),
            Endpoint("ANY", "PLAINTEXT", "", 9094),
        ),
        "rack-1",
    )
    assert nodes.decode_broker(7, nodes.encode_broker(broker, 0)) == broker


def test_brokers_of_older_kafkas_are_understood():
    oldest = b'{"version":1,"host":"h","port":9092,"jmx_port":-1,"timestamp":"1"}'
    assert nodes.decode_broker(1, oldest) == BrokerState(1, (Endpoint("PLAINTEXT", "PLAINTEXT", "h", 9092),))
    third = b'{"version":3,"host":"h","port":9092,"endpoints":["SASL_PLAINTEXT://h:9093"],"rack":"r"}'
    assert nodes.decode_broker(1, third) == BrokerState(
        1, (Endpoint("SASL_PLAINTEXT", "SASL_PLAINTEXT", "h", 9093),), "r"
    )


def test_a_topic_is_written_and_read_as_kafka_does():
    data = (
        b'{"partitions":{"0":[2,1],"1":[1,2]},"topic_id":"5NpuWWmDRsGRFMsO5xypyA","adding_replicas":{},'
        b'"removing_replicas":{},"version":3}'
    )
    assignment = nodes.decode_topic(data)
    assert assignment.replicas == {0: (2, 1), 1: (1, 2)}
    assert nodes.encode_topic(assignment.topic_id, [(2, 1), (1, 2)]) == data
    old = nodes.decode_topic(b'{"version":1,"partitions":{"10":[1],"9":[2]}}')
    assert (old.topic_id, old.replicas) == (None, {10: (1,), 9: (2,)})


def test_a_state_is_written_and_read_as_kafka_does():
    data = b'{"controller_epoch":1,"leader":2,"version":1,"leader_epoch":0,"isr":[2,1]}'
    state = nodes.decode_state(data)
    assert state == nodes.LeaderState(2, 0, (2, 1), 1)
    assert nodes.encode_state(state) == data


def test_a_configuration_is_written_and_read_as_kafka_does():
    data = b'{"version":1,"config":{"retention.ms":"3600000"}}'
    assert nodes.decode_config(data) == {"retention.ms": "3600000"}
    assert nodes.encode_config({"retention.ms": "3600000"}) == data
    assert nodes.decode_config(b"") == {}
