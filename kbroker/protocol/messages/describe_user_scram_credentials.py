"""DescribeUserScramCredentials (50): which SCRAM credentials users have, without the secrets."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, int8, int16, int32, string


class UserName(Message):
    """One entry of `users` in DescribeUserScramCredentialsRequest."""

    name: str = string()


class DescribeUserScramCredentialsRequest(Message, api_key=50, versions=(0, 0), flexible=0):
    """What a client asks with DescribeUserScramCredentials."""

    users: list[UserName] | None = array(UserName, nullable_since=0)


class CredentialInfo(Message):
    """One entry of `credential_infos` in DescribeUserScramCredentialsResponse."""

    mechanism: int = int8()
    iterations: int = int32()


class DescribeUserScramCredentialsResult(Message):
    """One entry of `results` in DescribeUserScramCredentialsResponse."""

    user: str = string()
    error_code: int = int16()
    error_message: str | None = string(nullable_since=0)
    credential_infos: list[CredentialInfo] = array(CredentialInfo)


class DescribeUserScramCredentialsResponse(Message, api_key=50, versions=(0, 0), flexible=0):
    """What the broker answers to DescribeUserScramCredentials."""

    throttle_time_ms: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable_since=0)
    results: list[DescribeUserScramCredentialsResult] = array(DescribeUserScramCredentialsResult)
