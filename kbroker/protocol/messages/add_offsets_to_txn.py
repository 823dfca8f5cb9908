"""AddOffsetsToTxn (25): a group's offsets take part in a transaction."""

from __future__ import annotations

from kbroker.protocol.schema import Message, int16, int32, int64, string


class AddOffsetsToTxnRequest(Message, api_key=25, versions=(0, 4), flexible=3):
    """What a client asks with AddOffsetsToTxn."""

    transactional_id: str = string()
    producer_id: int = int64()
    producer_epoch: int = int16()
    group_id: str = string()


class AddOffsetsToTxnResponse(Message, api_key=25, versions=(0, 4), flexible=3):
    """What the broker answers to AddOffsetsToTxn."""

    throttle_time_ms: int = int32()
    error_code: int = int16()
