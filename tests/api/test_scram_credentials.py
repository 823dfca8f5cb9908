"""Nobody has SCRAM credentials; what is impossible is told as Kafka tells it, and none can be set."""

from __future__ import annotations

from typing import Any

import pytest

from kbroker.api.scram_credentials import HANDLERS
from kbroker.protocol.api_keys import ApiKey
from kbroker.protocol.messages.alter_user_scram_credentials import (
    AlterUserScramCredentialsRequest,
    AlterUserScramCredentialsResponse,
    ScramCredentialDeletion,
    ScramCredentialUpsertion,
)
from kbroker.protocol.messages.describe_user_scram_credentials import (
    DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse,
    UserName,
)


def described(world: Any, users: list[str] | None) -> Any:
    names = None if users is None else [UserName(name=name) for name in users]
    handle = HANDLERS[ApiKey.DESCRIBE_USER_SCRAM_CREDENTIALS].handle
    exchange = world.send(handle, DescribeUserScramCredentialsRequest(users=names), 0)
    return exchange.response(DescribeUserScramCredentialsResponse)


def altered(world: Any, **changes: Any) -> list[tuple[str, int]]:
    handle = HANDLERS[ApiKey.ALTER_USER_SCRAM_CREDENTIALS].handle
    response = world.send(handle, AlterUserScramCredentialsRequest(**changes), 0).response(
        AlterUserScramCredentialsResponse
    )
    assert all(result.error_message for result in response.results)
    return [(result.user, result.error_code) for result in response.results]


@pytest.mark.parametrize("users", [None, []])
def test_of_all_users_there_are_none(world, users: list[str] | None) -> None:
    response = described(world, users)
    assert (response.error_code, response.results) == (0, [])


def test_of_users_by_name_none_is_found(world) -> None:
    response = described(world, ["ann", "bob", "bob"])
    assert [(result.user, result.error_code) for result in response.results] == [("ann", 91), ("bob", 92)]


def test_what_is_not_there_cannot_be_deleted(world) -> None:
    deletions = [
        ScramCredentialDeletion(name="ann", mechanism=1),
        ScramCredentialDeletion(name="bob", mechanism=9),
        ScramCredentialDeletion(name="", mechanism=1),
    ]
    assert altered(world, deletions=deletions) == [("ann", 91), ("bob", 33), ("", 93)]


def test_a_credential_is_not_taken_as_it_would_be_of_no_use(world) -> None:
    upsertions = [
        ScramCredentialUpsertion(name="ann", mechanism=2, iterations=4096),
        ScramCredentialUpsertion(name="bob", mechanism=2, iterations=5),
        ScramCredentialUpsertion(name="cid", mechanism=0, iterations=4096),
    ]
    assert altered(world, upsertions=upsertions) == [("ann", 35), ("bob", 93), ("cid", 33)]


def test_of_a_user_named_more_than_once_the_first_mistake_is_told(world) -> None:
    upsertion = ScramCredentialUpsertion(name="ann", mechanism=1, iterations=4096)
    assert altered(world, upsertions=[upsertion, upsertion]) == [("ann", 92)]
    deletion = ScramCredentialDeletion(name="ann", mechanism=1)
    assert altered(world, deletions=[deletion], upsertions=[upsertion]) == [("ann", 91)]
