"""
The APIs of transactions, before transactions are served: there are no transactional ids, and questions about them find
none. A producer learns it earlier, from FindCoordinator and InitProducerId.

    AddPartitionsToTxn AddOffsetsToTxn EndTxn TxnOffsetCommit    no producer id belongs to the transactional id
    DescribeTransactions ListTransactions                        not found, none
    WriteTxnMarkers                                              refused: what ends a transaction comes later

An empty transactional id is told for what it is, and so is a partition that does not exist.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from kbroker.api.cluster_view import ClusterView
from kbroker.api.handler import Handler, answering
from kbroker.protocol.api_keys import ApiKey
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.add_offsets_to_txn import AddOffsetsToTxnRequest, AddOffsetsToTxnResponse
from kbroker.protocol.messages.add_partitions_to_txn import (
    AddPartitionsToTxnPartitionResult,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    AddPartitionsToTxnResult,
    AddPartitionsToTxnTopic,
    AddPartitionsToTxnTopicResult,
)
from kbroker.protocol.messages.describe_transactions import (
    DescribeTransactionsRequest,
    DescribeTransactionsResponse,
    TransactionState,
)
from kbroker.protocol.messages.end_txn import EndTxnRequest, EndTxnResponse
from kbroker.protocol.messages.list_transactions import ListTransactionsRequest, ListTransactionsResponse
from kbroker.protocol.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
)
from kbroker.protocol.messages.write_txn_markers import (
    WritableTxnMarkerPartitionResult,
    WritableTxnMarkerResult,
    WritableTxnMarkerTopicResult,
    WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
)

_NO_MAPPING: Final = ErrorCode.INVALID_PRODUCER_ID_MAPPING
_STATES: Final = frozenset(
    {
        "Empty",
        "Ongoing",
        "PrepareCommit",
        "PrepareAbort",
        "CompleteCommit",
        "CompleteAbort",
        "PrepareEpochFence",
        "Dead",
    }
)
"""What a transaction may be, by the names that ListTransactions filters by."""


def _add_offsets(request: AddOffsetsToTxnRequest) -> AddOffsetsToTxnResponse:
    return AddOffsetsToTxnResponse(error_code=_no_mapping(request.transactional_id))


def _end(request: EndTxnRequest) -> EndTxnResponse:
    return EndTxnResponse(error_code=_no_mapping(request.transactional_id))


def _no_mapping(transactional_id: str) -> ErrorCode:
    return _NO_MAPPING if transactional_id else ErrorCode.INVALID_REQUEST


def _commit_offsets(request: TxnOffsetCommitRequest) -> TxnOffsetCommitResponse:
    return TxnOffsetCommitResponse(
        topics=[
            TxnOffsetCommitResponseTopic(
                name=topic.name,
                partitions=[
                    TxnOffsetCommitResponsePartition(partition_index=asked.partition_index, error_code=_NO_MAPPING)
                    for asked in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )


def _describe(request: DescribeTransactionsRequest) -> DescribeTransactionsResponse:
    return DescribeTransactionsResponse(
        transaction_states=[
            TransactionState(
                error_code=ErrorCode.TRANSACTIONAL_ID_NOT_FOUND if transactional_id else ErrorCode.INVALID_REQUEST,
                transactional_id=transactional_id,
            )
            for transactional_id in request.transactional_ids
        ]
    )


def _list(request: ListTransactionsRequest) -> ListTransactionsResponse:
    response = ListTransactionsResponse(
        unknown_state_filters=[name for name in dict.fromkeys(request.state_filters) if name not in _STATES]
    )
    try:
        re.compile(request.transactional_id_pattern or "")
    except (re.error, OverflowError, RecursionError):
        response.error_code = ErrorCode.INVALID_REGULAR_EXPRESSION
    return response


class TransactionHandlers:
    """Answers what is asked about transactions."""

    def __init__(self, view: ClusterView) -> None:
        self._view = view

    def table(self) -> Mapping[int, Handler]:
        """Return the handlers by API key."""
        return {
            ApiKey.ADD_PARTITIONS_TO_TXN: answering(AddPartitionsToTxnRequest, self._add_partitions),
            ApiKey.ADD_OFFSETS_TO_TXN: answering(AddOffsetsToTxnRequest, _add_offsets),
            ApiKey.END_TXN: answering(EndTxnRequest, _end),
            ApiKey.WRITE_TXN_MARKERS: answering(WriteTxnMarkersRequest, self._write_markers),
            ApiKey.TXN_OFFSET_COMMIT: answering(TxnOffsetCommitRequest, _commit_offsets),
            ApiKey.DESCRIBE_TRANSACTIONS: answering(DescribeTransactionsRequest, _describe),
            ApiKey.LIST_TRANSACTIONS: answering(ListTransactionsRequest, _list),
        }

    def _add_partitions(self, request: AddPartitionsToTxnRequest) -> AddPartitionsToTxnResponse:
        return AddPartitionsToTxnResponse(
            results_by_transaction=[
                AddPartitionsToTxnResult(
                    transactional_id=transaction.transactional_id, topic_results=self._not_added(transaction.topics)
                )
                for transaction in request.transactions
            ],
            results_by_topic_v3_and_below=self._not_added(request.v3_and_below_topics),
        )

    def _not_added(self, topics: list[AddPartitionsToTxnTopic]) -> list[AddPartitionsToTxnTopicResult]:
        """Answer partitions of one transaction: with one that does not exist, the others are not even tried."""
        partition = self._view.image.partition
        complete = all(partition(topic.name, index) is not None for topic in topics for index in topic.partitions)
        known = _NO_MAPPING if complete else ErrorCode.OPERATION_NOT_ATTEMPTED
        return [
            AddPartitionsToTxnTopicResult(
                name=topic.name,
                results_by_partition=[
                    AddPartitionsToTxnPartitionResult(
                        partition_index=index,
                        partition_error_code=(
                            ErrorCode.UNKNOWN_TOPIC_OR_PARTITION if partition(topic.name, index) is None else known
                        ),
                    )
                    for index in topic.partitions
                ],
            )
            for topic in topics
        ]

    def _write_markers(self, request: WriteTxnMarkersRequest) -> WriteTxnMarkersResponse:
        return WriteTxnMarkersResponse(
            markers=[
                WritableTxnMarkerResult(
                    producer_id=marker.producer_id,
                    topics=[
                        WritableTxnMarkerTopicResult(
                            name=topic.name,
                            partitions=[
                                WritableTxnMarkerPartitionResult(
                                    partition_index=index, error_code=self._marker_error(topic.name, index)
                                )
                                for index in topic.partition_indexes
                            ],
                        )
                        for topic in marker.topics
                    ],
                )
                for marker in request.markers
            ]
        )

    def _marker_error(self, name: str, index: int) -> ErrorCode:
        known = self._view.image.partition(name, index) is not None
        return ErrorCode.UNSUPPORTED_VERSION if known else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
