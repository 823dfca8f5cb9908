"""Every idempotent producer gets a number nobody else has; the cluster worker is asked once per thousand."""

from __future__ import annotations

import pytest

from kbroker.api.init_producer_id import InitProducerIdHandler
from kbroker.protocol.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse


@pytest.fixture
def handler(world) -> InitProducerIdHandler:
    return InitProducerIdHandler(world.channel)


def init(world, handler, version: int = 6, **fields):
    request = InitProducerIdRequest(**{"transactional_id": None, **fields})
    return world.send(handler.handle_init_producer_id, request, version)


def given(exchange) -> tuple[int, int, int]:
    response = exchange.response(InitProducerIdResponse)
    return response.error_code, response.producer_id, response.producer_epoch


@pytest.mark.parametrize("version", range(7))
def test_ids_come_from_one_block(world, handler, version: int) -> None:
    first = init(world, handler, version)
    (call,) = world.channel.calls
    assert (call.peer, call.name) == (0, "allocate_producer_ids")
    second = init(world, handler, version)
    assert not first.answered
    call.done({"first": 7000, "count": 1000})
    assert [given(one) for one in (first, second, init(world, handler, version))] == [
        (0, 7000, 0),
        (0, 7001, 0),
        (0, 7002, 0),
    ]
    assert len(world.channel.calls) == 1


def test_next_block_when_one_is_used_up(world, handler) -> None:
    exchanges = [init(world, handler) for _ in range(3)]
    world.channel.calls[0].done({"first": 0, "count": 2})
    assert [exchange.answered for exchange in exchanges] == [True, True, False]
    world.channel.calls[1].done({"first": 5000, "count": 2})
    assert given(exchanges[2]) == (0, 5000, 0)


@pytest.mark.parametrize("answer", [None, {"error": 56, "message": "disk"}], ids=["died", "refused"])
def test_no_block_to_be_had_is_retried_by_the_producer(world, handler, answer) -> None:
    exchange = init(world, handler)
    world.channel.calls[0].done(answer)
    assert given(exchange) == (14, -1, -1)
    again = init(world, handler)
    world.channel.calls[1].done({"first": 1, "count": 1})
    assert given(again) == (0, 1, 0)


def test_producer_that_names_its_id_gets_a_new_one(world, handler) -> None:
    exchange = init(world, handler, producer_id=3, producer_epoch=2)
    world.channel.calls[0].done({"first": 9, "count": 1})
    assert given(exchange) == (0, 9, 0)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        pytest.param({"transactional_id": "tx"}, 35, id="transactions are not served"),
        pytest.param({"transactional_id": ""}, 42, id="empty transactional id"),
        pytest.param({"producer_id": 3}, 42, id="id without epoch"),
        pytest.param({"producer_epoch": 3}, 42, id="epoch without id"),
        pytest.param({"enable2_pc": True}, 42, id="two-phase commit without a transaction"),
    ],
)
def test_refused_at_once(world, handler, fields, error: int) -> None:
    assert given(init(world, handler, **fields)) == (error, -1, -1)
    assert world.channel.calls == []
