"""UpdateRaftVoter (82): update endpoints and versions of a voter of the controller quorum."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int16, int32, string, struct, uint16, uuid
from kbroker.types import Uuid


class Listener(Message):
    """One entry of `listeners` in UpdateRaftVoterRequest."""

    name: str = string()
    host: str = string()
    port: int = uint16()


class KRaftVersionFeature(Message):
    """The `kraft_version_feature` of UpdateRaftVoterRequest."""

    min_supported_version: int = int16()
    max_supported_version: int = int16()


class UpdateRaftVoterRequest(Message, api_key=82, versions=(0, 0), flexible=0):
    """What a client asks with UpdateRaftVoter."""

    cluster_id: str | None = string(nullable_since=0)
    current_leader_epoch: int = int32()
    voter_id: int = int32()
    voter_directory_id: Uuid = uuid()
    listeners: list[Listener] = array(Listener)
    kraft_version_feature: KRaftVersionFeature = struct(KRaftVersionFeature)


class CurrentLeader(Message):
    """The `current_leader` of UpdateRaftVoterResponse."""

    leader_id: int = int32(default=-1)
    leader_epoch: int = int32(default=-1)
    host: str = string()
    port: int = int32()


class UpdateRaftVoterResponse(Message, api_key=82, versions=(0, 0), flexible=0):
    """What the broker answers to UpdateRaftVoter."""

    throttle_time_ms: int = int32()
    error_code: int = int16()
    current_leader: CurrentLeader | None = struct(CurrentLeader, tag=0)
