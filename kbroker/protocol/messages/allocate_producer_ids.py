"""AllocateProducerIds (67): a broker gets a block of producer ids."""

from __future__ import annotations

from kbroker.protocol.schema import Message, int16, int32, int64


class AllocateProducerIdsRequest(Message, api_key=67, versions=(0, 0), flexible=0):
    """What a client asks with AllocateProducerIds."""

    broker_id: int = int32()
    broker_epoch: int = int64(default=-1)


class AllocateProducerIdsResponse(Message, api_key=67, versions=(0, 0), flexible=0):
    """What the broker answers to AllocateProducerIds."""

    throttle_time_ms: int = int32()
    error_code: int = int16()
    producer_id_start: int = int64()
    producer_id_len: int = int32()
