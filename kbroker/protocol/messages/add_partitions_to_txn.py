"""AddPartitionsToTxn (24): partitions take part in a transaction; several transactions from version 4."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, boolean, int16, int32, int64, string


class AddPartitionsToTxnTopic(Message):
    """One entry of `topics` in AddPartitionsToTxnRequest."""

    name: str = string()
    partitions: list[int] = array(int32())


class AddPartitionsToTxnTransaction(Message):
    """One entry of `transactions` in AddPartitionsToTxnRequest."""

    transactional_id: str = string(since=4)
    producer_id: int = int64(since=4)
    producer_epoch: int = int16(since=4)
    verify_only: bool = boolean(since=4, default=False)
    topics: list[AddPartitionsToTxnTopic] = array(AddPartitionsToTxnTopic, since=4)


class AddPartitionsToTxnRequest(Message, api_key=24, versions=(0, 5), flexible=3):
    """What a client asks with AddPartitionsToTxn."""

    transactions: list[AddPartitionsToTxnTransaction] = array(AddPartitionsToTxnTransaction, since=4)
    v3_and_below_transactional_id: str = string(until=3)
    v3_and_below_producer_id: int = int64(until=3)
    v3_and_below_producer_epoch: int = int16(until=3)
    v3_and_below_topics: list[AddPartitionsToTxnTopic] = array(AddPartitionsToTxnTopic, until=3)


class AddPartitionsToTxnPartitionResult(Message):
    """One entry of `results_by_partition` in AddPartitionsToTxnResponse."""

    partition_index: int = int32()
    partition_error_code: int = int16()


class AddPartitionsToTxnTopicResult(Message):
    """One entry of `topic_results` in AddPartitionsToTxnResponse."""

    name: str = string()
    results_by_partition: list[AddPartitionsToTxnPartitionResult] = array(AddPartitionsToTxnPartitionResult)


class AddPartitionsToTxnResult(Message):
    """One entry of `results_by_transaction` in AddPartitionsToTxnResponse."""

    transactional_id: str = string(since=4)
    topic_results: list[AddPartitionsToTxnTopicResult] = array(AddPartitionsToTxnTopicResult, since=4)


class AddPartitionsToTxnResponse(Message, api_key=24, versions=(0, 5), flexible=3):
    """What the broker answers to AddPartitionsToTxn."""

    throttle_time_ms: int = int32()
    error_code: int = int16(since=4)
    results_by_transaction: list[AddPartitionsToTxnResult] = array(AddPartitionsToTxnResult, since=4)
    results_by_topic_v3_and_below: list[AddPartitionsToTxnTopicResult] = array(AddPartitionsToTxnTopicResult, until=3)
