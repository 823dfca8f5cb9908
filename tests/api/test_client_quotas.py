"""Nobody has a quota; mistakes are told as Kafka tells them, and to set a quota is refused with the reason."""

from __future__ import annotations

from typing import Any

import pytest

from kbroker.api.client_quotas import HANDLERS
from kbroker.protocol.api_keys import ApiKey
from kbroker.protocol.messages.alter_client_quotas import (
    AlterClientQuotasRequest,
    AlterClientQuotasResponse,
    EntityData,
    OpData,
    RequestEntryData,
)
from kbroker.protocol.messages.describe_client_quotas import (
    ComponentData,
    DescribeClientQuotasRequest,
    DescribeClientQuotasResponse,
)

EXACT, DEFAULT, ANY = 0, 1, 2
USER, IP = ("user", ANY, None), ("ip", ANY, None)


@pytest.mark.parametrize("version", range(2))
@pytest.mark.parametrize(
    ("components", "error"),
    [
        pytest.param([], 0, id="everybody"),
        pytest.param([("user", EXACT, "ann"), ("client-id", DEFAULT, None)], 0, id="a user's client"),
        pytest.param([IP], 0, id="addresses"),
        pytest.param([("user", EXACT, None)], 42, id="exactly nobody"),
        pytest.param([("user", ANY, "ann")], 42, id="anybody of a name"),
        pytest.param([("user", 7, None)], 42, id="no such match"),
        pytest.param([USER, USER], 42, id="a type twice"),
        pytest.param([USER, IP], 42, id="users at addresses"),
        pytest.param([("", ANY, None)], 42, id="no type"),
        pytest.param([("planet", ANY, None)], 35, id="no such type"),
    ],
)
def test_quotas_are_asked_for(world, version: int, components: list[Any], error: int) -> None:
    request = DescribeClientQuotasRequest(
        components=[ComponentData(entity_type=kind, match_type=how, match=name) for kind, how, name in components]
    )
    exchange = world.send(HANDLERS[ApiKey.DESCRIBE_CLIENT_QUOTAS].handle, request, version)
    response = exchange.response(DescribeClientQuotasResponse)
    assert response.error_code == error
    assert response.entries == (None if error else [])
    assert bool(response.error_message) == bool(error)


@pytest.mark.parametrize("version", range(2))
@pytest.mark.parametrize(
    ("types", "key", "value", "error"),
    [
        pytest.param(["user", "client-id"], "producer_byte_rate", 1024.0, 35, id="comes later"),
        pytest.param(["user"], "producer_byte_rate", None, 0, id="taken away"),
        pytest.param(["user"], "request_percentage", 0.5, 35, id="half a percent"),
        pytest.param([], "producer_byte_rate", 1024.0, 42, id="for nobody"),
        pytest.param(["planet"], "producer_byte_rate", 1024.0, 42, id="no such type"),
        pytest.param(["user", "ip"], "producer_byte_rate", 1024.0, 42, id="users at addresses"),
        pytest.param(["user"], "connection_creation_rate", 5.0, 42, id="not for users"),
        pytest.param(["ip"], "connection_creation_rate", 1.5, 42, id="half a connection"),
        pytest.param(["user"], "producer_byte_rate", -1.0, 42, id="negative"),
        pytest.param(["user"], "producer_byte_rate", float("nan"), 42, id="no number"),
    ],
)
def test_quotas_are_to_be_changed(
    world, version: int, types: list[str], key: str, value: float | None, error: int
) -> None:
    entity = [EntityData(entity_type=kind, entity_name="x") for kind in types]
    change = OpData(key=key, value=value or 0.0, remove=value is None)
    request = AlterClientQuotasRequest(entries=[RequestEntryData(entity=entity, ops=[change])])
    exchange = world.send(HANDLERS[ApiKey.ALTER_CLIENT_QUOTAS].handle, request, version)
    (result,) = exchange.response(AlterClientQuotasResponse).entries
    assert result.error_code == error
    assert [one.entity_type for one in result.entity] == types
    assert bool(result.error_message) == bool(error)
