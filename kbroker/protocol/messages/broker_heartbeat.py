"""BrokerHeartbeat (63): a broker shows the controller that it lives."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, boolean, int16, int32, int64, uuid
from kbroker.types import Uuid


class BrokerHeartbeatRequest(Message, api_key=63, versions=(0, 2), flexible=0):
    """What a client asks with BrokerHeartbeat."""

    broker_id: int = int32()
    broker_epoch: int = int64(default=-1)
    current_metadata_offset: int = int64()
    want_fence: bool = boolean()
    want_shut_down: bool = boolean()
    offline_log_dirs: list[Uuid] = array(uuid(), since=1, tag=0)
    cordoned_log_dirs: list[Uuid] | None = array(uuid(), since=2, nullable_since=2, tag=1, default=None)


class BrokerHeartbeatResponse(Message, api_key=63, versions=(0, 2), flexible=0):
    """What the broker answers to BrokerHeartbeat."""

    throttle_time_ms: int = int32()
    error_code: int = int16()
    is_caught_up: bool = boolean()
    is_fenced: bool = boolean(default=True)
    should_shut_down: bool = boolean()
