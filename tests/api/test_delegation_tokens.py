"""Nobody is authenticated on a PLAINTEXT listener, so nobody gets, keeps or sees a delegation token."""

from __future__ import annotations

import pytest

from kbroker.api.delegation_tokens import HANDLERS
from kbroker.protocol.api_keys import API_VERSIONS, ApiKey
from kbroker.protocol.messages.registry import request_class, response_class

NOT_ALLOWED = 64


@pytest.mark.parametrize(
    "api_key",
    [
        ApiKey.CREATE_DELEGATION_TOKEN,
        ApiKey.RENEW_DELEGATION_TOKEN,
        ApiKey.EXPIRE_DELEGATION_TOKEN,
        ApiKey.DESCRIBE_DELEGATION_TOKEN,
    ],
)
def test_requests_are_not_allowed(world, api_key: ApiKey) -> None:
    lowest, highest, _ = API_VERSIONS[api_key]
    for version in range(lowest, highest + 1):
        exchange = world.send(HANDLERS[api_key].handle, request_class(api_key)(), version)
        assert exchange.response(response_class(api_key)).error_code == NOT_ALLOWED


def test_who_asked_for_a_token_is_nobody_in_particular(world) -> None:
    api_key = ApiKey.CREATE_DELEGATION_TOKEN
    response = world.send(HANDLERS[api_key].handle, request_class(api_key)(), 3).response(response_class(api_key))
    assert (response.principal_type, response.principal_name, response.token_id) == ("User", "ANONYMOUS", "")
