"""AlterUserScramCredentials (51): set and delete SCRAM credentials."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, bytes_, int8, int16, int32, string
from kbroker.types import Buffer


class ScramCredentialDeletion(Message):
    """One entry of `deletions` in AlterUserScramCredentialsRequest."""

    name: str = string()
    mechanism: int = int8()


class ScramCredentialUpsertion(Message):
    """One entry of `upsertions` in AlterUserScramCredentialsRequest."""

    name: str = string()
    mechanism: int = int8()
    iterations: int = int32()
    salt: Buffer = bytes_()
    salted_password: Buffer = bytes_()


class AlterUserScramCredentialsRequest(Message, api_key=51, versions=(0, 0), flexible=0):
    """What a client asks with AlterUserScramCredentials."""

    deletions: list[ScramCredentialDeletion] = array(ScramCredentialDeletion)
    upsertions: list[ScramCredentialUpsertion] = array(ScramCredentialUpsertion)


class AlterUserScramCredentialsResult(Message):
    """One entry of `results` in AlterUserScramCredentialsResponse."""

    user: str = string()
    error_code: int = int16()
    error_message: str | None = string(nullable_since=0)


class AlterUserScramCredentialsResponse(Message, api_key=51, versions=(0, 0), flexible=0):
    """What the broker answers to AlterUserScramCredentials."""

    throttle_time_ms: int = int32()
    results: list[AlterUserScramCredentialsResult] = array(AlterUserScramCredentialsResult)
