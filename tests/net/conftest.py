"""Connections over socket pairs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from connection_room import Room

from kbroker.ipc.event_loop import EventLoop


@pytest.fixture
def room() -> Iterator[Room]:
    loop = EventLoop()
    room = Room(loop)
    yield room
    room.close()
    loop.close()
