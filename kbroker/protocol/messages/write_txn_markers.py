"""WriteTxnMarkers (27): the transaction coordinator has the outcome written into the partitions."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, boolean, int8, int16, int32, int64, string


class WritableTxnMarkerTopic(Message):
    """One entry of `topics` in WriteTxnMarkersRequest."""

    name: str = string()
    partition_indexes: list[int] = array(int32())


class WritableTxnMarker(Message):
    """One entry of `markers` in WriteTxnMarkersRequest."""

    producer_id: int = int64()
    producer_epoch: int = int16()
    transaction_result: bool = boolean()
    topics: list[WritableTxnMarkerTopic] = array(WritableTxnMarkerTopic)
    coordinator_epoch: int = int32()
    transaction_version: int = int8(since=2)


class WriteTxnMarkersRequest(Message, api_key=27, versions=(0, 2), flexible=1):
    """What a client asks with WriteTxnMarkers."""

    markers: list[WritableTxnMarker] = array(WritableTxnMarker)


class WritableTxnMarkerPartitionResult(Message):
    """One entry of `partitions` in WriteTxnMarkersResponse."""

    partition_index: int = int32()
    error_code: int = int16()


class WritableTxnMarkerTopicResult(Message):
    """One entry of `topics` in WriteTxnMarkersResponse."""

    name: str = string()
    partitions: list[WritableTxnMarkerPartitionResult] = array(WritableTxnMarkerPartitionResult)


class WritableTxnMarkerResult(Message):
    """One entry of `markers` in WriteTxnMarkersResponse."""

    producer_id: int = int64()
    topics: list[WritableTxnMarkerTopicResult] = array(WritableTxnMarkerTopicResult)


class WriteTxnMarkersResponse(Message, api_key=27, versions=(0, 2), flexible=1):
    """What the broker answers to WriteTxnMarkers."""

    markers: list[WritableTxnMarkerResult] = array(WritableTxnMarkerResult)
