"""RemoveRaftVoter (81): remove a voter from the controller quorum."""

from __future__ import annotations

from kbroker.protocol.schema import Message, int16, int32, string, uuid
from kbroker.types import Uuid


class RemoveRaftVoterRequest(Message, api_key=81, versions=(0, 0), flexible=0):
    """What a client asks with RemoveRaftVoter."""

    cluster_id: str | None = string(nullable_since=0)
    voter_id: int = int32()
    voter_directory_id: Uuid = uuid()


class RemoveRaftVoterResponse(Message, api_key=81, versions=(0, 0), flexible=0):
    """What the broker answers to RemoveRaftVoter."""

    throttle_time_ms: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable_since=0)
