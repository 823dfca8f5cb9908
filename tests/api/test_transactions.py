"""There are no transactional ids: what is asked of one finds none."""

from __future__ import annotations

from typing import Any

import pytest

from kbroker.api.transactions import TransactionHandlers
from kbroker.protocol.api_keys import ApiKey
from kbroker.protocol.messages.add_offsets_to_txn import AddOffsetsToTxnRequest, AddOffsetsToTxnResponse
from kbroker.protocol.messages.add_partitions_to_txn import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    AddPartitionsToTxnTopic,
    AddPartitionsToTxnTransaction,
)
from kbroker.protocol.messages.describe_transactions import DescribeTransactionsRequest, DescribeTransactionsResponse
from kbroker.protocol.messages.end_txn import EndTxnRequest, EndTxnResponse
from kbroker.protocol.messages.list_transactions import ListTransactionsRequest, ListTransactionsResponse
from kbroker.protocol.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
    TxnOffsetCommitResponse,
)
from kbroker.protocol.messages.write_txn_markers import (
    WritableTxnMarker,
    WritableTxnMarkerTopic,
    WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
)

NO_MAPPING = 49


@pytest.fixture
def ask(world) -> Any:
    table = TransactionHandlers(world.view).table()
    return lambda api_key, request, version: world.send(table[api_key].handle, request, version)


@pytest.mark.parametrize("version", range(6))
@pytest.mark.parametrize(("partitions", "codes"), [(4, [NO_MAPPING, NO_MAPPING]), (2, [55, 3])])
def test_a_producer_without_transaction_adds_nothing_to_it(
    world, ask, version: int, partitions: int, codes: list[int]
) -> None:
    world.add_topic("t", partitions)
    topics = [AddPartitionsToTxnTopic(name="t", partitions=[0, 3])]
    request = AddPartitionsToTxnRequest(
        transactions=[AddPartitionsToTxnTransaction(transactional_id="x", topics=topics)],
        v3_and_below_transactional_id="x",
        v3_and_below_topics=topics,
    )
    response = ask(ApiKey.ADD_PARTITIONS_TO_TXN, request, version).response(AddPartitionsToTxnResponse)
    (topic,) = (
        response.results_by_topic_v3_and_below if version < 4 else response.results_by_transaction[0].topic_results
    )
    results = [(one.partition_index, one.partition_error_code) for one in topic.results_by_partition]
    assert (topic.name, results) == ("t", list(zip((0, 3), codes, strict=True)))


@pytest.mark.parametrize("version", range(5))
def test_nor_offsets_nor_an_end(ask, version: int) -> None:
    for name, code in (("x", NO_MAPPING), ("", 42)):
        request = AddOffsetsToTxnRequest(transactional_id=name)
        added = ask(ApiKey.ADD_OFFSETS_TO_TXN, request, version).response(AddOffsetsToTxnResponse)
        ended = ask(ApiKey.END_TXN, EndTxnRequest(transactional_id=name), version).response(EndTxnResponse)
        assert (added.error_code, ended.error_code) == (code, code)
    partitions = [TxnOffsetCommitRequestPartition(partition_index=4)]
    request = TxnOffsetCommitRequest(topics=[TxnOffsetCommitRequestTopic(name="t", partitions=partitions)])
    (topic,) = ask(ApiKey.TXN_OFFSET_COMMIT, request, version).response(TxnOffsetCommitResponse).topics
    assert [(one.partition_index, one.error_code) for one in topic.partitions] == [(4, NO_MAPPING)]


@pytest.mark.parametrize("version", range(3))
def test_markers_are_refused_for_each_partition(world, ask, version: int) -> None:
    world.add_topic("t")
    topics = [WritableTxnMarkerTopic(name=name, partition_indexes=[0]) for name in ("t", "unknown")]
    request = WriteTxnMarkersRequest(markers=[WritableTxnMarker(producer_id=8, topics=topics)])
    (marker,) = ask(ApiKey.WRITE_TXN_MARKERS, request, version).response(WriteTxnMarkersResponse).markers
    codes = [(topic.name, [one.error_code for one in topic.partitions]) for topic in marker.topics]
    assert (marker.producer_id, codes) == (8, [("t", [35]), ("unknown", [3])])


def test_none_is_described(ask) -> None:
    request = DescribeTransactionsRequest(transactional_ids=["x", ""])
    states = ask(ApiKey.DESCRIBE_TRANSACTIONS, request, 0).response(DescribeTransactionsResponse).transaction_states
    assert [(state.transactional_id, state.error_code) for state in states] == [("x", 105), ("", 42)]


@pytest.mark.parametrize(
    ("version", "filters", "unknown", "error"),
    [
        (0, {}, [], 0),
        (0, {"state_filters": ["Ongoing", "ongoing", "Odd", "Odd"]}, ["ongoing", "Odd"], 0),
        (1, {"duration_filter": 5}, [], 0),
        (2, {"transactional_id_pattern": "orders-.*"}, [], 0),
        (2, {"transactional_id_pattern": "("}, [], 128),
    ],
)
def test_none_is_listed(ask, version: int, filters: dict[str, Any], unknown: list[str], error: int) -> None:
    response = ask(ApiKey.LIST_TRANSACTIONS, ListTransactionsRequest(**filters), version).response(
        ListTransactionsResponse
    )
    assert response.transaction_states == []
    assert (response.unknown_state_filters, response.error_code) == (unknown, error)
