"""What an IO worker tells of the producers of a partition of its own: the answer to the call "describe_producers"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kbroker.io_workers.dispatch import OwnedPartition
from kbroker.protocol.error_codes import ErrorCode
from kbroker.types import TopicPartition


def describe_producers(partitions: Mapping[int, OwnedPartition], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return {"error", "producers": [the fields of DescribeProducers, by name]}.

    partitions  this worker's, by row
    arguments   "row", "topic", "partition"

    NOT_LEADER_OR_FOLLOWER for a partition that is not this worker's, KAFKA_STORAGE_ERROR while it is offline.
    """
    owned = partitions.get(arguments["row"])
    if owned is None:
        return {"error": int(ErrorCode.NOT_LEADER_OR_FOLLOWER), "producers": []}
    log = owned.log
    if log is None or log.topic_partition != TopicPartition(arguments["topic"], arguments["partition"]):
        return {"error": int(ErrorCode.KAFKA_STORAGE_ERROR), "producers": []}
    return {
        "error": int(ErrorCode.NONE),
        "producers": [
            {
                "producer_id": producer_id,
                "producer_epoch": entry.epoch,
                "last_sequence": entry.batches[-1].last_sequence if entry.batches else -1,
                "last_timestamp": entry.last_timestamp,
                "coordinator_epoch": entry.coordinator_epoch,
                "current_txn_start_offset": entry.transaction_first_offset,
            }
            for producer_id, entry in log.producers.entries.items()
        ],
    }
