"""
The records of __consumer_offsets, in Kafka's own binary form.

Key and value start with their version as int16. The key's version tells what the record is about:

    0, 1  the offset a group committed for a partition    key: group, topic, partition
    2     a classic group: generation, protocol, members  key: group
    3..   groups of newer protocols: not ours, skipped

A record without value deletes what the key names. Written are the versions that Apache Kafka 3.9 writes: offsets as
version 3, or as version 1 when the client itself set a retention, groups as version 3. Read are all up to 4.
"""

from __future__ import annotations

from struct import Struct
from struct import error as struct_error
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from kbroker.errors import KafkaError, MalformedMessage
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.schema import Message, array, bytes_, int32, int64, string

if TYPE_CHECKING:
    from kbroker.types import Buffer

_VERSION = Struct(">h")
_OFFSET_KEY_VERSION = 1
_OFFSET_VALUE_VERSION = 3
_OFFSET_VALUE_VERSION_WITH_EXPIRY = 1
_GROUP_KEY_VERSION = 2
_GROUP_VALUE_VERSION = 3

MessageT = TypeVar("MessageT", bound=Message)


class OffsetCommitKey(Message, versions=(0, 1)):
    """Which committed offset a record is about."""

    group: str = string()
    topic: str = string()
    partition: int = int32()


class OffsetCommitValue(Message, versions=(0, 4), flexible=4):
    """A committed offset; timestamps in milliseconds, -1: none."""

    offset: int = int64()
    leader_epoch: int = int32(since=3, default=-1)
    metadata: str = string()
    commit_timestamp: int = int64()
    expire_timestamp: int = int64(since=1, until=1, default=-1)


class GroupMetadataKey(Message, versions=(2, 2)):
    """Which group a record is about."""

    group: str = string()


class MemberMetadata(Message):
    """A member as the group's record keeps it: for the protocol chosen, with its assignment."""

    member_id: str = string()
    group_instance_id: str | None = string(since=3, nullable_since=3, default=None)
    client_id: str = string()
    client_host: str = string()
    rebalance_timeout: int = int32(since=1, default=-1)
    session_timeout: int = int32()
    subscription: Buffer = bytes_()
    assignment: Buffer = bytes_()


class GroupMetadataValue(Message, versions=(0, 4), flexible=4):
    """A group as it was when its generation became stable, or empty."""

    protocol_type: str = string()
    generation: int = int32()
    protocol: str | None = string(nullable_since=0, default=None)
    leader: str | None = string(nullable_since=0, default=None)
    current_state_timestamp: int = int64(since=2, default=-1)
    members: list[MemberMetadata] = array(MemberMetadata)


class CoordinatorRecord(NamedTuple):
    """Key and value as they go into a batch; value None is a tombstone."""

    key: bytes
    value: bytes | None


def offset_key(group_id: str, topic: str, partition: int) -> bytes:
    """Return the key of a committed offset."""
    key = OffsetCommitKey(group=group_id, topic=topic, partition=partition)
    return _VERSION.pack(_OFFSET_KEY_VERSION) + key.encode(_OFFSET_KEY_VERSION)


def offset_value(value: OffsetCommitValue) -> bytes:
    """Return the value of a committed offset."""
    version = _OFFSET_VALUE_VERSION if value.expire_timestamp < 0 else _OFFSET_VALUE_VERSION_WITH_EXPIRY
    return _VERSION.pack(version) + value.encode(version)


def group_key(group_id: str) -> bytes:
    """Return the key of a group."""
    return _VERSION.pack(_GROUP_KEY_VERSION) + GroupMetadataKey(group=group_id).encode(_GROUP_KEY_VERSION)


def group_value(value: GroupMetadataValue) -> bytes:
    """Return the value of a group."""
    return _VERSION.pack(_GROUP_VALUE_VERSION) + value.encode(_GROUP_VALUE_VERSION)


def read_key(key: Buffer) -> OffsetCommitKey | GroupMetadataKey | None:
    """
    Return what a record is about; None for kinds this coordinator does not know, which are to be skipped.

    Raises KafkaError(CORRUPT_MESSAGE) for a key of a known kind that cannot be read.
    """
    version = _version(key)
    if version in {0, _OFFSET_KEY_VERSION}:
        return _decode(OffsetCommitKey, key, version)
    if version == _GROUP_KEY_VERSION:
        return _decode(GroupMetadataKey, key, version)
    return None


def read_offset_value(value: Buffer) -> OffsetCommitValue:
    """Return a committed offset; raises KafkaError(CORRUPT_MESSAGE) for what is none or of a later version."""
    return _decode(OffsetCommitValue, value, _version(value))


def read_group_value(value: Buffer) -> GroupMetadataValue:
    """Return a group; raises KafkaError(CORRUPT_MESSAGE) for what is none or of a later version."""
    return _decode(GroupMetadataValue, value, _version(value))


def _version(content: Buffer) -> int:
    try:
        return int(_VERSION.unpack_from(content)[0])
    except struct_error as error:
        raise KafkaError(ErrorCode.CORRUPT_MESSAGE, "coordinator record without version") from error


def _decode(kind: type[MessageT], content: Buffer, version: int) -> MessageT:
    try:
        return kind.decode(content, version, 2)[0]
    except (MalformedMessage, KafkaError) as error:
        raise KafkaError(ErrorCode.CORRUPT_MESSAGE, f"coordinator record: {error}") from error
