"""
Configurations that change while the broker runs: they hold at once, in every worker, in those that are forked later,
and after a restart; and clients see where each value comes from.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    ResourceType,
)
from raw_connection import RawConnection
from waiting import eventually

from kbroker.protocol.headers import encode_response_header
from kbroker.protocol.messages import incremental_alter_configs
from kbroker.protocol.messages.api_versions import ApiVersionsRequest
from kbroker.protocol.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResource,
    DescribeConfigsResponse,
)
from kbroker.testing import Broker

SET, DELETE = AlterConfigOpType.SET, AlterConfigOpType.DELETE
FOR_ALL = ""
LOGGER = 8


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    overrides = {
        "num.network.threads": "2",
        "num.io.threads": "2",
        "log.retention.check.interval.ms": "100",
        "log.retention.hours": "100",
    }
    with Broker(overrides) as broker:
        yield broker


class Told(NamedTuple):
    """A key as a client sees it."""

    value: str
    source: ConfigSource


def alter(broker: Broker, name: str, *, kind: ResourceType = ResourceType.BROKER, **values: str | None) -> None:
    """Set keys (underscores for dots), delete those that are None; raises what the broker answers."""
    entries = [
        ConfigEntry(key.replace("_", "."), value or "", incremental_operation=DELETE if value is None else SET)
        for key, value in values.items()
    ]
    # librdkafka sends what concerns one broker to that broker, and takes no empty name.
    resource = ConfigResource(kind, name, incremental_configs=entries)
    for future in broker.admin().incremental_alter_configs([resource]).values():
        future.result(20)


def alter_for_all(broker: Broker, **values: str | None) -> None:
    """Do the same for the defaults of all brokers."""
    config = incremental_alter_configs.AlterableConfig
    answer = ask_to_alter(
        broker,
        4,
        FOR_ALL,
        [
            config(name=key.replace("_", "."), config_operation=0 if value is not None else 1, value=value)
            for key, value in values.items()
        ],
    )
    assert answer == (0, None)


def ask_to_alter(broker: Broker, kind: int, name: str, configs: list) -> tuple[int, str | None]:
    resource = incremental_alter_configs.AlterConfigsResource(resource_type=kind, resource_name=name, configs=configs)
    request = incremental_alter_configs.IncrementalAlterConfigsRequest(resources=[resource])
    with RawConnection(broker.bootstrap_servers) as connection:
        connection.send(request, 1)
        data = connection.receive()
    response, _ = incremental_alter_configs.IncrementalAlterConfigsResponse.decode(
        data, 1, len(encode_response_header(request.API_KEY, 1, 0))
    )
    (result,) = response.responses
    return result.error_code, result.error_message


def described(broker: Broker, kind: ResourceType, name: str, key: str) -> Told:
    (future,) = broker.admin().describe_configs([ConfigResource(kind, name)]).values()
    entry = future.result(20)[key]
    return Told(entry.value, ConfigSource(entry.source))


def produce(broker: Broker, topic: str, size: int) -> int | None:
    """Produce one record of that size; return the code of its failure, None when it was taken."""
    codes: list[int | None] = []
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "message.max.bytes": 2_000_000})
    producer.produce(topic, b"x" * size, on_delivery=lambda error, _: codes.append(error and error.code()))
    producer.flush(20)
    (code,) = codes
    return code


def broker_id(broker: Broker) -> str:
    return str(next(iter(broker.admin().list_topics(timeout=20).brokers)))


def kill_workers(broker: Broker) -> None:
    for worker in ("net-0", "net-1", "io-0", "io-1", "cluster"):
        broker.wait_worker_back(worker, broker.kill_worker(worker))


def test_topics_inherit_what_is_set_at_once_in_workers_forked_later_and_after_a_restart(broker: Broker) -> None:
    broker.create_topic("inherits", 4)
    broker.create_topic("own", 4, config={"max.message.bytes": "100000"})
    assert produce(broker, "inherits", 50_000) is None
    alter_for_all(broker, message_max_bytes="10000", log_retention_ms="3600000")
    here = broker_id(broker)

    def holds() -> None:
        for _ in range(4):  # both network workers, and all partitions
            assert produce(broker, "inherits", 50_000) == KafkaError.MSG_SIZE_TOO_LARGE
            assert produce(broker, "own", 50_000) is None
        dynamic = ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG
        assert described(broker, ResourceType.TOPIC, "inherits", "max.message.bytes") == ("10000", dynamic)
        assert described(broker, ResourceType.BROKER, here, "message.max.bytes") == ("10000", dynamic)

    holds()
    alter(broker, here, message_max_bytes="9000")
    told = ("9000", ConfigSource.DYNAMIC_BROKER_CONFIG)
    assert described(broker, ResourceType.TOPIC, "inherits", "max.message.bytes") == told
    alter(broker, here, message_max_bytes=None)
    kill_workers(broker)
    holds()
    broker.restart(clean=False)
    holds()
    alter_for_all(broker, message_max_bytes=None)
    assert produce(broker, "inherits", 50_000) is None
    told = ("1048588", ConfigSource.DEFAULT_CONFIG)
    assert described(broker, ResourceType.TOPIC, "inherits", "max.message.bytes") == told


def test_logs_that_are_open_keep_what_the_new_retention_says(broker: Broker) -> None:
    broker.create_topic("kept", 1)
    broker.create_topic("own-retention", 1, config={"retention.bytes": "-1"})
    for topic in ("kept", "own-retention"):
        for _ in range(3):
            assert produce(broker, topic, 100_000) is None
    alter_for_all(broker, log_segment_bytes="150000", log_retention_bytes="50000")
    for topic in ("kept", "own-retention"):
        assert produce(broker, topic, 100_000) is None  # rolls, by the new size

    def start_offset(topic: str) -> int:
        consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "looks"})
        try:
            return consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=20, cached=False)[0]
        finally:
            consumer.close()

    eventually(lambda: start_offset("kept") == 3)
    assert start_offset("own-retention") == 0
    alter_for_all(broker, log_segment_bytes=None, log_retention_bytes=None)


def test_limits_of_connections_change_at_once(broker: Broker) -> None:
    def is_served() -> bool:
        with contextlib.suppress(ConnectionError), RawConnection(broker.bootstrap_servers) as connection:
            connection.send(ApiVersionsRequest(), 0)
            return bool(connection.receive())
        return False

    here = broker_id(broker)
    assert is_served()
    with RawConnection(broker.bootstrap_servers) as admin:  # who has a connection keeps it
        alter(broker, here, max_connections_per_ip="0")
        assert not is_served()
        log = broker.log_text()
        assert "max.connections.per.ip" in log
        config = incremental_alter_configs.AlterableConfig(name="max.connections.per.ip", config_operation=1)
        resource = incremental_alter_configs.AlterConfigsResource(resource_type=4, resource_name=here, configs=[config])
        admin.send(incremental_alter_configs.IncrementalAlterConfigsRequest(resources=[resource]), 1)
        assert admin.receive()
    assert is_served()


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("num_io_threads", "3", "cannot move to another one while the broker runs"),
        ("num_partitions", "3", "Cannot update these configs dynamically: [num.partitions]"),
        ("log_retention_ms", "soon", "Invalid value soon for configuration log.retention.ms"),
    ],
)
def test_what_cannot_change_is_refused_with_its_reason(broker: Broker, key: str, value: str, reason: str) -> None:
    with pytest.raises(KafkaException) as caught:
        alter(broker, broker_id(broker), **{key: value})
    error = caught.value.args[0]
    assert (error.code(), reason in error.str()) == (KafkaError.INVALID_REQUEST, True)


def test_levels_of_loggers_change_in_every_worker_and_in_those_forked_later(broker: Broker) -> None:
    here = broker_id(broker)
    config = incremental_alter_configs.AlterableConfig

    def level(logger: str) -> str | None:
        with RawConnection(broker.bootstrap_servers) as connection:
            resource = DescribeConfigsResource(resource_type=LOGGER, resource_name=here, configuration_keys=[logger])
            connection.send(DescribeConfigsRequest(resources=[resource]), 4)
            data = connection.receive()
        response, _ = DescribeConfigsResponse.decode(data, 4, len(encode_response_header(32, 4, 0)))
        return response.results[0].configs[0].value

    assert level("kbroker.net.acceptor") == "INFO"
    change = [config(name="kbroker.net", config_operation=0, value="ERROR")]
    assert ask_to_alter(broker, LOGGER, here, change) == (0, None)
    assert {level("kbroker.net.acceptor") for _ in range(8)} == {"ERROR"}
    kill_workers(broker)
    assert {level("kbroker.net.acceptor") for _ in range(8)} == {"ERROR"}
    code, message = ask_to_alter(broker, LOGGER, here, [config(name="root", config_operation=1)])
    assert (code, message) == (42, "Removing the log level of the root logger is not allowed")
    assert ask_to_alter(broker, LOGGER, here, [config(name="kbroker.net", config_operation=1)]) == (0, None)
    assert level("kbroker.net.acceptor") == "INFO"
    assert ask_to_alter(broker, LOGGER, here, change) == (0, None)
    broker.restart()
    assert level("kbroker.net.acceptor") == "INFO"
