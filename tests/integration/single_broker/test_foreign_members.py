"""Members of groups that speak no consumer's language: the broker keeps any bytes, and our tools live with them."""

from __future__ import annotations

import random
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator

import pytest
from command_line import kbroker, run_kbroker
from raw_connection import RawConnection
from waiting import eventually

from kbroker.protocol.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from kbroker.protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from kbroker.protocol.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment
from kbroker.testing import Broker

GARBAGE = {
    "nothing": b"",
    "one byte": b"\x01",
    "a version alone": b"\0\0",
    "a version from the future": b"\x7f\xff" + b"\xff" * 40,
    "a negative version": b"\xff\xff" + b"\0" * 40,
    "more topics than memory": b"\0\0\x7f\xff\xff\xff",
    "a negative number of topics": b"\0\0\xff\xff\xff\xf0",
    "a topic that is no UTF-8": b"\0\0\0\0\0\x01\0\x04\xff\xfe\xfd\xfc\0\0\0\x01\0\0\0\0\xff\xff\xff\xff",
    "a topic with control letters": b"\0\0\0\0\0\x01\0\x04a\n\x1b[\0\0\0\x01\0\0\0\0\xff\xff\xff\xff",
    "a partition below zero": b"\0\0\0\0\0\x01\0\x01t\0\0\0\x01\xff\xff\xff\x00\xff\xff\xff\xff",
    "noise": random.Random(7).randbytes(5000),
}


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker({"group.initial.rebalance.delay.ms": "0"}) as broker:
        broker.create_topic("t")
        # The topic of offsets comes into being when the first coordinator is asked for.
        run_kbroker("consumer-groups", "--describe", "--group", "any", "--bootstrap-server", broker.bootstrap_servers)
        yield broker


def join(connection: RawConnection, group: str, content: bytes, protocol_type: str = "consumer") -> str:
    """Make a member whose metadata and assignment are `content`; return its id."""
    answer = connection.ask(
        JoinGroupRequest(
            group_id=group,
            session_timeout_ms=30_000,
            rebalance_timeout_ms=30_000,
            protocol_type=protocol_type,
            protocols=[JoinGroupRequestProtocol(name="range", metadata=content)],
        ),
        3,
    )
    assert answer.error_code == 0
    member = answer.member_id
    assignments = [SyncGroupRequestAssignment(member_id=member, assignment=content)]
    sync = SyncGroupRequest(
        group_id=group, generation_id=answer.generation_id, member_id=member, assignments=assignments
    )
    assert connection.ask(sync, 2).error_code == 0
    return member


def commit(connection: RawConnection, group: str, offset: int) -> None:
    """Commit an offset of partition 0 of topic `t`, as a consumer without a group does."""
    partition = OffsetCommitRequestPartition(partition_index=0, committed_offset=offset, committed_metadata="\0\x1b")
    topics = [OffsetCommitRequestTopic(name="t", partitions=[partition])]
    answer = connection.ask(OffsetCommitRequest(group_id=group, topics=topics), 7)
    assert answer.topics[0].partitions[0].error_code == 0


def test_groups_with_foreign_members_are_listed_and_described(broker: Broker) -> None:
    at = ("--bootstrap-server", broker.bootstrap_servers)
    groups = {f"foreign {name}": content for name, content in GARBAGE.items()}
    with RawConnection(broker.bootstrap_servers) as connection:
        members = [join(connection, group, content) for group, content in groups.items()]
        assert groups.keys() <= set(kbroker("consumer-groups", "--list", *at).splitlines())
        described = kbroker("consumer-groups", "--describe", "--all-groups", "--members", "--verbose", *at)
        assert [described.count(member) for member in members] == [1] * len(members)
        for view in ("--offsets", "--state"):
            described = kbroker("consumer-groups", "--describe", "--all-groups", view, *at)
            assert [group for group in groups if group not in described] == []


def test_groups_of_other_protocols_are_no_consumer_groups(broker: Broker) -> None:
    at = ("--bootstrap-server", broker.bootstrap_servers)
    with RawConnection(broker.bootstrap_servers) as connection:
        join(connection, "connect-cluster", b"\0\x01", "connect")
        assert "connect-cluster" not in kbroker("consumer-groups", "--list", *at).splitlines()
        refused = run_kbroker("consumer-groups", "--describe", "--group", "connect-cluster", *at)
    assert refused.returncode == 1
    assert "GroupId connect-cluster is not a consumer group (connect)." in refused.stdout


def test_names_with_control_letters_stay_in_their_line(broker: Broker) -> None:
    at = ("--bootstrap-server", broker.bootstrap_servers)
    host, _, port = broker.bootstrap_servers.rpartition(":")
    client = b"a\nb\x1b[31m\0"
    join_group = JoinGroupRequest(
        group_id="odd\ngröup",
        session_timeout_ms=30_000,
        rebalance_timeout_ms=30_000,
        protocol_type="consumer",
        protocols=[JoinGroupRequestProtocol(name="range", metadata=b"\xff")],
    ).encode(3)
    with socket.create_connection((host, int(port)), 30) as stream:
        frame = struct.pack(">hhih", 11, 3, 1, len(client)) + client + join_group
        stream.sendall(struct.pack(">i", len(frame)) + frame)
        assert stream.recv(4)
        assert "odd\\x0agröup" in kbroker("consumer-groups", "--list", *at).splitlines()
        lines = kbroker("consumer-groups", "--describe", "--group", "odd\ngröup", "--members", *at).splitlines()
        assert len(lines) == 3
        assert "a\\x0ab\\x1b[31m\\x00" in lines[2]


def test_offsets_of_a_group_are_deleted(broker: Broker) -> None:
    at = ("--bootstrap-server", broker.bootstrap_servers)
    with RawConnection(broker.bootstrap_servers) as connection:
        commit(connection, "forgetful", 0)
    output = kbroker("consumer-groups", "--delete-offsets", "--group", "forgetful", "--topic", "t", *at)
    assert output.splitlines()[-1].split() == ["t", "0", "Successful"]
    assert run_kbroker("consumer-groups", "--describe", "--group", "forgetful", *at).stdout.count(" 0 ") == 0


def test_the_console_consumer_leads_a_group_with_a_foreign_member(broker: Broker) -> None:
    """It assigns partitions to what it understands; it neither ends nor takes the group with it."""
    at = ("--bootstrap-server", broker.bootstrap_servers)
    group, topic = "led", "led"
    broker.create_topic(topic)
    command = [sys.executable, "-m", "kbroker", "console-consumer", *at, "--topic", topic, "--group", group]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*command, "--from-beginning", "--max-messages", "1"], text=True, **pipes) as consumer:
        eventually(lambda: _state(at, group) == "Stable", "the consumer to lead its group")
        with RawConnection(broker.bootstrap_servers) as connection:
            connection.send(
                JoinGroupRequest(
                    group_id=group,
                    session_timeout_ms=6000,
                    rebalance_timeout_ms=6000,
                    protocol_type="consumer",
                    protocols=[JoinGroupRequestProtocol(name="range", metadata=GARBAGE["noise"])],
                ),
                3,
            )
            assert connection.receive()
        kbroker("console-producer", *at, "--topic", topic, lines=["read all the same"])
        output, messages = consumer.communicate(timeout=60)
    assert (consumer.returncode, output) == (0, "read all the same\n"), messages


def _state(at: tuple[str, ...], group: str) -> str:
    lines = run_kbroker("consumer-groups", "--describe", "--state", "--group", group, *at).stdout.splitlines()
    return lines[-1].split()[-2] if len(lines) > 1 else ""
