"""A bug in a handler is told to the client where its API has a place for it."""

from __future__ import annotations

import pytest

from kbroker.api.unknown_error import unknown_server_error
from kbroker.protocol.api_keys import ApiKey
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.heartbeat import HeartbeatResponse


def test_an_api_with_an_error_code_of_its_own_tells_it() -> None:
    for version in range(5):
        parts = unknown_server_error(ApiKey.HEARTBEAT, version)
        assert parts is not None
        response, _ = HeartbeatResponse.decode(b"".join(bytes(part) for part in parts), version)
        assert response.error_code == ErrorCode.UNKNOWN_SERVER_ERROR


@pytest.mark.parametrize(
    ("api_key", "version"),
    [
        pytest.param(ApiKey.PRODUCE, 9, id="only errors per partition"),
        pytest.param(ApiKey.METADATA, 12, id="only errors per topic"),
        pytest.param(ApiKey.FETCH, 6, id="the field came with version 7"),
        pytest.param(12345, 0, id="no such API"),
    ],
)
def test_an_api_without_a_place_for_it_has_no_such_answer(api_key: int, version: int) -> None:
    assert unknown_server_error(api_key, version) is None
