"""An entry of the table of served APIs, and how the ones that need nothing but the request are made."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from kbroker.api.request import RequestContext
from kbroker.protocol.api_keys import API_VERSIONS
from kbroker.protocol.schema import Message

Request = TypeVar("Request", bound=Message)


class Handler(NamedTuple):
    """Who answers an API, and in which versions."""

    min_version: int
    max_version: int
    handle: Callable[[RequestContext], None]


def answering(request_class: type[Request], answer: Callable[[Request], Message]) -> Handler:
    """Return the handler of an API, in all versions of its tables, whose response follows from the request alone."""
    api_key = request_class.API_KEY
    assert api_key is not None
    versions = API_VERSIONS[api_key]

    def handle(context: RequestContext) -> None:
        context.respond(answer(context.decode(request_class)))

    return Handler(versions.lowest, versions.highest, handle)
