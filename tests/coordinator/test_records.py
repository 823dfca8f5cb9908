"""Records of __consumer_offsets have Kafka's bytes, in the versions Kafka 3.9 writes, and older ones are read."""

from __future__ import annotations

import pytest

from kbroker.coordinator.records import (
    GroupMetadataKey,
    GroupMetadataValue,
    MemberMetadata,
    OffsetCommitKey,
    OffsetCommitValue,
    group_key,
    group_value,
    offset_key,
    offset_value,
    read_group_value,
    read_key,
    read_offset_value,
)
from kbroker.errors import KafkaError

EPOCH = "00000007"
STAMP = "0000018bcfe56800"


def test_keys_have_kafkas_bytes() -> None:
    """Version first, then strings with two-byte lengths."""
    assert offset_key("g", "t", 3).hex() == "000100016700017400000003"
    assert group_key("g").hex() == "0002000167"
    assert read_key(offset_key("g", "t", 3)) == OffsetCommitKey(group="g", topic="t", partition=3)
    assert read_key(group_key("g")) == GroupMetadataKey(group="g")


def test_an_offset_is_written_as_version_3() -> None:
    """Offset, leader epoch, metadata, commit timestamp."""
    value = OffsetCommitValue(offset=5, leader_epoch=7, metadata="m", commit_timestamp=1_700_000_000_000)
    assert offset_value(value).hex() == "00030000000000000005" + EPOCH + "00016d" + STAMP
    assert read_offset_value(offset_value(value)) == value


def test_an_offset_with_its_own_retention_is_written_as_version_1() -> None:
    """Only version 1 has a place for the expiry."""
    value = OffsetCommitValue(offset=5, metadata="", commit_timestamp=1, expire_timestamp=2)
    assert offset_value(value).hex() == "00010000000000000005000000000000000000010000000000000002"
    assert read_offset_value(offset_value(value)) == value


def test_a_group_is_written_as_version_3() -> None:
    """Protocol type, generation, protocol, leader, time of the state, members."""
    member = MemberMetadata(
        member_id="a",
        group_instance_id=None,
        client_id="c",
        client_host="/h",
        rebalance_timeout=1,
        session_timeout=2,
        subscription=b"s",
        assignment=b"",
    )
    value = GroupMetadataValue(
        protocol_type="consumer",
        generation=4,
        protocol="range",
        leader="a",
        current_state_timestamp=9,
        members=[member],
    )
    assert group_value(value).hex() == (
        "0003" + "0008" + b"consumer".hex() + "00000004" + "0005" + b"range".hex() + "000161" + "0000000000000009"
        "00000001"
        "000161"
        "ffff"
        "000163"
        "00022f68"
        "00000001"
        "00000002"
        "00000001"
        "73"
        "00000000"
    )
    assert read_group_value(group_value(value)) == value


@pytest.mark.parametrize("version", [0, 1, 2, 3, 4])
def test_older_and_newer_values_are_read(version: int) -> None:
    """Versions 0 to 4 may lie in a log that another broker wrote."""
    prefix = version.to_bytes(2, "big")
    group = GroupMetadataValue(protocol_type="consumer", generation=4, protocol="range", leader="a")
    assert read_group_value(prefix + group.encode(version)).generation == 4
    offset = OffsetCommitValue(offset=5, metadata="m", commit_timestamp=1)
    assert read_offset_value(prefix + offset.encode(version)).offset == 5


def test_unknown_keys_are_skipped() -> None:
    """Groups of newer protocols have their own kinds of record."""
    assert read_key(b"\x00\x03\x00\x01g") is None


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda: read_key(b"\x00"), id="no version"),
        pytest.param(lambda: read_key(b"\x00\x01\x00\x05ab"), id="key cut off"),
        pytest.param(lambda: read_offset_value(b"\x00\x09abc"), id="value of the future"),
        pytest.param(lambda: read_group_value(b"\x00\x03\x00"), id="value cut off"),
    ],
)
def test_damage_has_a_code(read: object) -> None:
    """A record that cannot be read is CORRUPT_MESSAGE, whatever is wrong with it."""
    with pytest.raises(KafkaError) as caught:
        read()  # type: ignore[operator]
    assert caught.value.code == 2
