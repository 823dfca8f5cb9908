"""What a scenario knows of the broker it talks to."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from differential.actions import MAIN, Ask
from differential.wire import Connection, NoAnswer
from kbroker.protocol.api_keys import ApiKey
from kbroker.protocol.headers import encode_request_header
from kbroker.protocol.messages import registry
from kbroker.protocol.messages.api_versions import ApiVersionsRequest
from kbroker.protocol.schema import Message

Versions = Mapping[int, range]


def served_versions(address: str) -> dict[int, range]:
    """Return the versions of each API that a broker says it serves."""
    connection = Connection(address)
    connection.send(encode_request_header(18, 0, 1, "differential") + ApiVersionsRequest().encode(0))
    frame = connection.receive()
    connection.close()
    if isinstance(frame, NoAnswer):
        raise ConnectionError(f"{address}: ApiVersions: {frame.value}")
    answer, _ = registry.response_class(18).decode(frame, 0, 4)
    return {row.api_key: range(row.min_version, row.max_version + 1) for row in answer.api_keys}  # type: ignore[attr-defined]


def common_versions(ours: Versions, theirs: Versions) -> dict[int, range]:
    """Return the versions of each API that both serve; where one lacks the API, those of the other."""
    common = {}
    for api in {*ours, *theirs}:
        one, other = ours.get(api), theirs.get(api)
        if one is not None and other is not None:
            common[api] = range(max(one.start, other.start), min(one.stop, other.stop))
        else:
            common[api] = one or other or range(0)
    produce = theirs.get(ApiKey.PRODUCE)
    if produce is not None and ApiKey.OFFSET_COMMIT in theirs and theirs[ApiKey.OFFSET_COMMIT].start > 0:
        # Kafka 4 lists what old librdkafka wants to see, but answers only from 3 on (KIP-896).
        common[ApiKey.PRODUCE] = range(3, common[ApiKey.PRODUCE].stop)
    return common


class World:
    """
    One broker during a run.

    versions  of each API, those that both brokers serve; where one of them lacks the API, those of the other
    symbols   values that each broker makes up itself, and what stands for them in the comparison
    """

    def __init__(self, address: str, versions: Versions) -> None:
        self.address = address
        self.versions = versions
        self.symbols: dict[str, str] = {}

    def note(self, value: str | bytes, symbol: str) -> None:
        """Let `symbol` stand for a value that differs from broker to broker; a uuid in each way it is written."""
        if isinstance(value, bytes):
            self.symbols[value.hex()] = symbol
            self.symbols[base64.urlsafe_b64encode(value).rstrip(b"=").decode()] = symbol
        elif value:
            self.symbols[value] = symbol

    def range(self, api: int) -> range:
        """Return the versions to try of an API that our tables describe."""
        known = registry.request_class(api).VERSIONS
        assert known is not None
        served = self.versions.get(api, range(known[1], known[1] + 1))
        return range(max(served.start, known[0]), min(served.stop, known[1] + 1))

    def latest(self, api: int) -> int:
        """Return the highest of them."""
        return self.range(api)[-1]

    def ask(self, name: str, request: Message, version: int | None = None, **options: Any) -> Ask:
        """Return the action that asks for something; `version` None: the highest."""
        api = request.API_KEY
        assert api is not None
        chosen = self.latest(api) if version is None else version
        return Ask(name, api, chosen, request.encode(chosen), **options)

    def send(self, name: str, request: Message, version: int | None = None, *, connection: str = MAIN) -> Ask:
        """Return the action that only sends the request."""
        return self.ask(name, request, version, connection=connection, wait=False)
