"""AddRaftVoter (80): add a voter to the controller quorum."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, boolean, int16, int32, string, uint16, uuid
from kbroker.types import Uuid


class Listener(Message):
    """One entry of `listeners` in AddRaftVoterRequest."""

    name: str = string()
    host: str = string()
    port: int = uint16()


class AddRaftVoterRequest(Message, api_key=80, versions=(0, 1), flexible=0):
    """What a client asks with AddRaftVoter."""

    cluster_id: str | None = string(nullable_since=0)
    timeout_ms: int = int32()
    voter_id: int = int32()
    voter_directory_id: Uuid = uuid()
    listeners: list[Listener] = array(Listener)
    ack_when_committed: bool = boolean(since=1, default=True)


class AddRaftVoterResponse(Message, api_key=80, versions=(0, 1), flexible=0):
    """What the broker answers to AddRaftVoter."""

    throttle_time_ms: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable_since=0)
