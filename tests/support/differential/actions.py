"""What a scenario does: generators of these, sent to one broker after the other in the same order."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, NamedTuple

from kbroker.protocol.schema import Message

MAIN = "main"
"""The connection of all steps that name no other."""


@dataclass(frozen=True, slots=True)
class Ask:
    """
    A request whose outcome is compared.

    name        what it is about, unique within its scenario together with api and version
    api         key of the API, a number that need not exist
    version     of the request, need not exist
    body        what follows the header, as it goes over the wire
    frame       all that follows the length; None: header and body
    size        what the length says; None: the truth
    client_id   of the header
    connection  the name of a connection, opened when first used
    silent      no answer may come: one that comes to the next request says that there was none
    wait        False: only sent, the outcome is fetched by a Receive
    """

    name: str
    api: int
    version: int
    body: bytes
    frame: bytes | None = None
    size: int | None = None
    client_id: str | None = "differential"
    connection: str = MAIN
    silent: bool = False
    wait: bool = True


@dataclass(frozen=True, slots=True)
class Receive:
    """The outcome of the Ask that was sent on the connection without waiting."""

    connection: str


@dataclass(frozen=True, slots=True)
class Until:
    """
    A request that is repeated until its answer is as wanted; not compared. Prepares what comes after it.

    gives_up  a broker that never answers so is asked the rest all the same
    """

    request: Message
    version: int
    wanted: Callable[[Any], bool]
    what: str
    gives_up: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """Let the time pass that both brokers need for something, in seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Close:
    """Close a connection."""

    connection: str


Action = Ask | Receive | Until | Pause | Close
Reply = Any
"""The decoded answer, None when there is none."""

Steps = Generator[Action, Reply, Any]


class Scenario(NamedTuple):
    """A named course of steps; `apis` are those that it is about, for choosing."""

    name: str
    apis: tuple[int, ...]
    steps: Callable[..., Steps]
