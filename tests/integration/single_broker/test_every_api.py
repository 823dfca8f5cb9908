"""Every API that a client may send is listed and answered, in every version, with something that client can read."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, ElectionType, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from kafka import KafkaAdminClient
from kafka import TopicPartition as PythonTopicPartition
from kafka.errors import SecurityDisabledError
from kafka_tools import KafkaTools
from raw_connection import RawConnection

from kbroker.protocol.api_keys import API_VERSIONS, ApiKey
from kbroker.protocol.messages.api_versions import ApiVersionsRequest
from kbroker.protocol.messages.registry import request_class
from kbroker.testing import Broker

OF_BROKERS = {
    *(ApiKey.LEADER_AND_ISR, ApiKey.STOP_REPLICA, ApiKey.UPDATE_METADATA, ApiKey.CONTROLLED_SHUTDOWN),
    *(ApiKey.VOTE, ApiKey.BEGIN_QUORUM_EPOCH, ApiKey.END_QUORUM_EPOCH, ApiKey.FETCH_SNAPSHOT, ApiKey.UPDATE_RAFT_VOTER),
    *(ApiKey.ALTER_PARTITION, ApiKey.ENVELOPE, ApiKey.ALLOCATE_PRODUCER_IDS, ApiKey.ASSIGN_REPLICAS_TO_DIRS),
    *(ApiKey.BROKER_REGISTRATION, ApiKey.BROKER_HEARTBEAT, ApiKey.CONTROLLER_REGISTRATION),
    *(ApiKey.INITIALIZE_SHARE_GROUP_STATE, ApiKey.READ_SHARE_GROUP_STATE, ApiKey.WRITE_SHARE_GROUP_STATE),
    *(ApiKey.DELETE_SHARE_GROUP_STATE, ApiKey.READ_SHARE_GROUP_STATE_SUMMARY),
}
"""What only brokers and controllers send to each other."""
OF_METRICS = {ApiKey.GET_TELEMETRY_SUBSCRIPTIONS, ApiKey.PUSH_TELEMETRY}
"""Listed by a Kafka only that has a receiver of clients' metrics: clients would begin to send them."""

# What a request needs besides its defaults, to be answered at all and at once.
FIELDS: dict[ApiKey, dict[str, Any]] = {
    ApiKey.PRODUCE: {"acks": 1},
    ApiKey.API_VERSIONS: {"client_software_name": "test", "client_software_version": "1"},
}


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker({"num.network.threads": "1", "num.io.threads": "2"}) as running:
        running.create_topic("t", 2)
        yield running


def test_what_clients_send_is_listed_and_what_is_listed_is_answered(broker: Broker) -> None:
    with RawConnection(broker.bootstrap_servers) as client:
        ranges = client.ask(ApiVersionsRequest(**FIELDS[ApiKey.API_VERSIONS]), 4).api_keys
        listed = {ApiKey(one.api_key): (one.min_version, one.max_version) for one in ranges}
        assert set(listed) == set(ApiKey) - OF_BROKERS - OF_METRICS
        for api_key, (lowest, highest) in listed.items():
            assert highest == API_VERSIONS[api_key].highest
            request = request_class(api_key)(**FIELDS.get(api_key, {}))
            for version in range(lowest, highest + 1):
                client.ask(request, version)
    assert "Traceback" not in broker.log_text()


def result_of(future: Any) -> Any:
    """Return what an admin call of one thing came to: its result, or the error it met."""
    if isinstance(future, dict):
        (future,) = future.values()
    try:
        return future.result(30)
    except KafkaException as error:
        return error.args[0]


def test_librdkafkas_administrator_reads_what_is_and_why_not(broker: Broker) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    (elected,) = result_of(admin.elect_leaders(ElectionType.PREFERRED, [TopicPartition("t", 0)])).values()
    assert elected.code() == KafkaError.ELECTION_NOT_NEEDED
    rule = AclBinding(
        ResourceType.TOPIC, "t", ResourcePatternType.LITERAL, "User:x", "*", AclOperation.READ, AclPermissionType.ALLOW
    )
    refused = result_of(admin.create_acls([rule]))
    assert (refused.code(), refused.str()) == (KafkaError.SECURITY_DISABLED, "No Authorizer is configured.")
    assert result_of(admin.describe_user_scram_credentials()) == {}
    credential = UserScramCredentialUpsertion("x", ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096), b"p", b"s")
    refused = result_of(admin.alter_user_scram_credentials([credential]))
    assert refused.code() == KafkaError.UNSUPPORTED_VERSION
    assert "SASL is not served" in refused.str()


def test_kafka_pythons_administrator_reads_what_is_and_why_not(broker: Broker) -> None:
    """And the producers of a partition are those that wrote to it."""
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "enable.idempotence": True})
    for _ in range(3):
        producer.produce("t", b"v", partition=0)
        producer.flush(30)
    partitions = [PythonTopicPartition("t", index) for index in range(2)]
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    try:
        described = admin.describe_producers(partitions)
        (wrote,) = described[partitions[0]].active_producers
        assert (wrote.producer_epoch, wrote.last_sequence, wrote.current_transaction_start_offset) == (0, 2, -1)
        assert abs(wrote.last_timestamp / 1000 - time.time()) < 600
        assert described[partitions[1]].active_producers == []
        assert admin.list_partition_reassignments() == {}
        assert admin.alter_partition_reassignments({partitions[0]: [0]}) == {partitions[0]: None}
        assert admin.alter_replica_log_dirs({("t", 0, 0): str(broker.log_dirs[0])})
        assert admin.list_transactions() == {0: []}
        (metadata,) = admin.describe_metadata_quorum()["topics"]
        assert metadata["partitions"][0]["leader_id"] == 0
        with pytest.raises(SecurityDisabledError, match="No Authorizer is configured"):
            admin.describe_acls(_any_rule())
    finally:
        admin.close()


def _any_rule() -> Any:
    from kafka.admin import (
        ACLFilter,
        ACLOperation,
        ACLPermissionType,
        ACLResourcePatternType,
        ResourcePatternFilter,
        ResourceType,
    )

    anything = ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY)
    return ACLFilter(None, "*", ACLOperation.ANY, ACLPermissionType.ANY, anything)


def test_a_consumer_of_the_new_group_protocol_is_told_at_once(broker: Broker) -> None:
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "g", "group.protocol": "consumer"})
    consumer.subscribe(["t"])
    begun = time.monotonic()
    error = None
    while error is None and time.monotonic() - begun < 30:
        message = consumer.poll(1)
        error = None if message is None else message.error()
    consumer.close()
    assert error is not None
    assert error.code() == KafkaError._FATAL
    assert "API version not supported: ConsumerGroupHeartbeat" in error.str()


def test_a_client_that_wants_to_authenticate_is_told_at_once(broker: Broker) -> None:
    errors: list[KafkaError] = []
    credentials = {"sasl.mechanism": "PLAIN", "sasl.username": "u", "sasl.password": "p"}
    producer = Producer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "security.protocol": "SASL_PLAINTEXT",
            "error_cb": errors.append,
            "log_level": 0,
            **credentials,
        }
    )
    begun = time.monotonic()
    while not errors and time.monotonic() - begun < 30:
        producer.poll(0.1)
    assert "not valid in current SASL state" in errors[0].str()


@pytest.mark.java
@pytest.mark.timeout(240)
def test_kafkas_tools_read_what_is_and_why_not(broker: Broker) -> None:
    tools = KafkaTools("4.4")
    servers = ("--bootstrap-server", broker.bootstrap_servers)
    elected = tools.run("leader-election", *servers, "--election-type", "UNCLEAN", "--topic", "t", "--partition", "0")
    assert "Valid replica already elected for partitions t-0" in elected
    quorum = tools.run("metadata-quorum", *servers, "describe", "--status")
    assert "LeaderId:               0" in quorum
    rules = tools.run("acls", *servers, "--list", fails=True)
    assert "SecurityDisabledException: No Authorizer is configured." in rules
    quota = ("--alter", "--entity-type", "clients", "--entity-name", "c", "--add-config", "producer_byte_rate=1024")
    assert "Client quotas are not served in this version" in tools.run("configs", *servers, *quota, fails=True)
    missing = tools.run("consumer-groups", *servers, "--describe", "--group", "raeders", fails=True)
    assert "Group raeders not found." in missing


@pytest.mark.java
@pytest.mark.timeout(240)
def test_javas_consumer_of_the_new_group_protocol_is_told_at_once(broker: Broker) -> None:
    # Kafka 4's tools come without a logger; 3.9's show what was wrong.
    tools = KafkaTools("3.9")
    command = tools.command(
        "console-consumer",
        *("--bootstrap-server", broker.bootstrap_servers, "--topic", "t"),
        *("--consumer-property", "group.protocol=consumer"),
    )
    # Without a time limit of its own: it must end by itself.
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert "UnsupportedVersionException" in done.stderr
    assert "set group.protocol=classic" in done.stderr
