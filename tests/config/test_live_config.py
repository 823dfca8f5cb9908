"""A process's configuration follows what is set on this broker and on all, and on no other."""

from __future__ import annotations

import logging

from kbroker.config.broker_config import load_config
from kbroker.config.live_config import LiveConfig


def test_it_follows_what_concerns_this_broker(caplog):
    live = LiveConfig(load_config(None, ("max.connections=5",), {"HOME": "/home/me"}), 3)
    assert not live.follow({"4": {"max.connections": "9"}})
    assert live.current.sockets.max_connections == 5
    assert live.follow({"": {"max.connections": "6"}})
    assert live.follow({"": {"max.connections": "6"}, "3": {"max.connections": "7"}})
    assert not live.follow({"": {"max.connections": "6"}, "3": {"max.connections": "7"}, "4": {}})
    assert live.current.sockets.max_connections == 7
    assert live.with_configs({}).sockets.max_connections == 5
    assert live.follow({})
    assert live.current.sockets.max_connections == 5
    with caplog.at_level(logging.WARNING):
        live.follow({"": {"max.connections": "many"}})
    assert "max.connections=many does not count" in caplog.text
