"""DescribeTransactions (65): state of transactions by transactional id."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int16, int32, int64, string


class DescribeTransactionsRequest(Message, api_key=65, versions=(0, 0), flexible=0):
    """What a client asks with DescribeTransactions."""

    transactional_ids: list[str] = array(string())


class TopicData(Message):
    """One entry of `topics` in DescribeTransactionsResponse."""

    topic: str = string()
    partitions: list[int] = array(int32())


class TransactionState(Message):
    """One entry of `transaction_states` in DescribeTransactionsResponse."""

    error_code: int = int16()
    transactional_id: str = string()
    transaction_state: str = string()
    transaction_timeout_ms: int = int32()
    transaction_start_time_ms: int = int64()
    producer_id: int = int64()
    producer_epoch: int = int16()
    topics: list[TopicData] = array(TopicData)


class DescribeTransactionsResponse(Message, api_key=65, versions=(0, 0), flexible=0):
    """What the broker answers to DescribeTransactions."""

    throttle_time_ms: int = int32()
    transaction_states: list[TransactionState] = array(TransactionState)
