"""From the log of a __consumer_offsets partition back to its groups."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from kbroker.coordinator.group import ClientInfo, Group, GroupState, Member
from kbroker.coordinator.group_offsets import GroupOffsets
from kbroker.coordinator.offset_store import from_record
from kbroker.coordinator.records import (
    GroupMetadataValue,
    OffsetCommitKey,
    read_group_value,
    read_key,
    read_offset_value,
)
from kbroker.protocol.record_batch import iterate_batch_headers, iterate_records

if TYPE_CHECKING:
    from kbroker.protocol.record_batch import BatchHeader, Record
    from kbroker.types import Buffer

_CONTROL_KEY = Struct(">hh")
_ABORT = 0
_COMMIT = 1
_NOT_TRANSACTIONAL = -1


class Replay:
    """The state of a partition's log up to the batch added last."""

    __slots__ = ("_groups", "_offsets")

    def __init__(self) -> None:
        self._groups: dict[str, GroupMetadataValue] = {}
        self._offsets: dict[str, GroupOffsets] = {}

    def add(self, batches: Buffer) -> None:
        """
        Take in record batches, in the order of the log; a batch cut off at the end is left out.

        Raises KafkaError(CORRUPT_MESSAGE) for records that cannot be read, or are of a later version than is known.
        """
        for header in iterate_batch_headers(batches):
            if header.is_control:
                self._end_transaction(batches, header)
                continue
            producer_id = header.producer_id if header.is_transactional else _NOT_TRANSACTIONAL
            for record in iterate_records(batches, header):
                self._add_record(record, producer_id)

    def groups(self, partition: int) -> list[Group]:
        """Return the groups of the partition; those with members are Stable, the others Empty."""
        found = []
        for group_id in {**self._groups, **self._offsets}:
            offsets = self._offsets.get(group_id)
            value = self._groups.get(group_id)
            if value is not None or (offsets is not None and not offsets.is_empty):
                group = Group(group_id, partition, GroupOffsets() if offsets is None else offsets)
                if value is not None:
                    _restore(group, value)
                found.append(group)
        return found

    def _end_transaction(self, batches: Buffer, header: BatchHeader) -> None:
        for record in iterate_records(batches, header):
            if record.key is None or len(record.key) < _CONTROL_KEY.size:
                continue
            kind = _CONTROL_KEY.unpack_from(record.key)[1]
            if kind in {_ABORT, _COMMIT}:
                for offsets in self._offsets.values():
                    offsets.complete_transaction(header.producer_id, committed=kind == _COMMIT)

    def _add_record(self, record: Record, producer_id: int) -> None:
        if record.key is None:
            return
        key = read_key(record.key)
        if key is None:
            return
        if isinstance(key, OffsetCommitKey):
            self._add_offset(key, record.value, producer_id)
        elif record.value is None:
            self._groups.pop(key.group, None)
        else:
            # The value's byte fields would keep the whole log in memory.
            self._groups[key.group] = read_group_value(bytes(record.value))

    def _add_offset(self, key: OffsetCommitKey, value: Buffer | None, producer_id: int) -> None:
        place = (key.topic, key.partition)
        if value is None:
            offsets = self._offsets.get(key.group)
            if offsets is not None:
                offsets.remove(place)
            return
        offsets = self._offsets.setdefault(key.group, GroupOffsets())
        committed = from_record(read_offset_value(value))
        if producer_id == _NOT_TRANSACTIONAL:
            offsets.put(place, committed)
        else:
            offsets.put_pending(producer_id, place, committed)


def _restore(group: Group, value: GroupMetadataValue) -> None:
    group.protocol_type = value.protocol_type or None
    group.generation_id = value.generation
    group.protocol_name = value.protocol
    group.state = GroupState.STABLE if value.members else GroupState.EMPTY
    group.current_state_timestamp_ms = None if value.current_state_timestamp < 0 else value.current_state_timestamp
    protocol_type = value.protocol_type
    for entry in value.members:
        timeout_ms = entry.session_timeout if entry.rebalance_timeout < 0 else entry.rebalance_timeout
        member = Member(
            entry.member_id,
            entry.group_instance_id,
            ClientInfo(entry.client_id, entry.client_host),
            rebalance_timeout_ms=timeout_ms,
            session_timeout_ms=entry.session_timeout,
            protocols=() if value.protocol is None else ((value.protocol, bytes(entry.subscription)),),
            assignment=bytes(entry.assignment),
        )
        group.add(member, protocol_type)
    if value.leader in group.members:
        group.leader_id = value.leader
    group.subscribed_topics = group.compute_subscribed_topics()
