"""Every API that a client may send, in every version: empty, cut off, too long, with huge counts, strange headers."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from differential.actions import Ask, Scenario, Steps
from differential.requests import await_coordinator, await_transactions, request
from differential.world import World
from kbroker.protocol.api_keys import API_VERSIONS, ApiKey
from kbroker.protocol.messages import registry

BETWEEN_BROKERS = {
    ApiKey.LEADER_AND_ISR,
    ApiKey.STOP_REPLICA,
    ApiKey.UPDATE_METADATA,
    ApiKey.CONTROLLED_SHUTDOWN,
    ApiKey.WRITE_TXN_MARKERS,
    ApiKey.VOTE,
    ApiKey.BEGIN_QUORUM_EPOCH,
    ApiKey.END_QUORUM_EPOCH,
    ApiKey.ALTER_PARTITION,
    ApiKey.ENVELOPE,
    ApiKey.FETCH_SNAPSHOT,
    ApiKey.BROKER_REGISTRATION,
    ApiKey.BROKER_HEARTBEAT,
    ApiKey.ALLOCATE_PRODUCER_IDS,
    ApiKey.CONTROLLER_REGISTRATION,
    ApiKey.ASSIGN_REPLICAS_TO_DIRS,
    ApiKey.UPDATE_RAFT_VOTER,
    ApiKey.INITIALIZE_SHARE_GROUP_STATE,
    ApiKey.READ_SHARE_GROUP_STATE,
    ApiKey.WRITE_SHARE_GROUP_STATE,
    ApiKey.DELETE_SHARE_GROUP_STATE,
    ApiKey.READ_SHARE_GROUP_STATE_SUMMARY,
}
"""What no client sends: asked once each, with nothing in it."""

_SILENT = {ApiKey.PRODUCE}
"""Empty requests of these have acks 0."""


_LAST_OF_CLIENTS: dict[int, int] = {ApiKey.ADD_PARTITIONS_TO_TXN: 3}
"""Later versions are for brokers, which are left without an answer."""


def _client_apis() -> Iterator[int]:
    return (key for key in API_VERSIONS if key not in BETWEEN_BROKERS)


def _versions(world: World, api: int) -> Iterator[int]:
    return (version for version in world.range(api) if version <= _LAST_OF_CLIENTS.get(api, version))


def _empty(api: int) -> Any:
    values: dict[str, Any] = {}
    if api == ApiKey.METADATA:
        values["allow_auto_topic_creation"] = False
    if api == ApiKey.FETCH:
        values["max_wait_ms"] = 0
    return request(api, **values)


def _await_coordinators() -> Steps:
    for group in ("a", "b", "c", "d"):  # one on each partition of the four
        yield from await_coordinator(group)
    yield from await_transactions()


def empty_requests(world: World) -> Steps:
    """Each API and version with all fields at their defaults."""
    yield from _await_coordinators()
    for api in _client_apis():
        for version in _versions(world, api):
            yield world.ask("all fields at their defaults", _empty(api), version, silent=api in _SILENT)


def broken_bodies(world: World) -> Steps:
    """Each API and version: no body, part of one, bytes after it, counts that are null or huge, unknown tags."""
    yield from _await_coordinators()
    for api in _client_apis():
        silent = api in _SILENT
        name = registry.api_name(api)
        for version in _versions(world, api):
            body = _empty(api).encode(version)
            yield Ask(f"{name}: a body of no bytes", api, version, b"", silent=silent)
            yield Ask(f"{name}: a body without its last byte", api, version, body[:-1], silent=silent)
            yield Ask(f"{name}: four bytes after the body", api, version, body + b"\0\0\0\0", silent=silent)
            yield Ask(f"{name}: a body of 0xff", api, version, b"\xff" * (len(body) + 8), silent=silent)
            yield Ask(f"{name}: a body of 0x7f", api, version, b"\x7f" * (len(body) + 8), silent=silent)
            if version >= API_VERSIONS[api].flexible_since:
                tagged = body[:-1] + b"\x01\x63\x03abc"
                yield Ask(f"{name}: a tagged field 99", api, version, tagged, silent=silent)
                yield Ask(
                    f"{name}: a tagged field that is cut off", api, version, body[:-1] + b"\x01\x63\x7f", silent=silent
                )
                twice = body[:-1] + b"\x02\x63\x01a\x63\x01b"
                yield Ask(f"{name}: a tagged field twice", api, version, twice, silent=silent)


def unknown_versions(world: World) -> Steps:
    """Each API in versions that nobody has, and APIs that nobody has."""
    for api in _client_apis():
        for version in (-1, world.latest(api) + 20, 32767):
            yield Ask("a version that does not exist", api, version, b"\0\0\0\0")
    for api in (-1, 4711, 32767):
        yield Ask("an API that does not exist", api, 0, b"\0\0\0\0")
    for api in sorted(BETWEEN_BROKERS):
        version = API_VERSIONS[api].highest
        yield Ask("an API between brokers", api, version, registry.request_class(api)().encode(version))


def headers(_world: World) -> Steps:
    """Headers and lengths that no client sends."""
    versions_body = request(ApiKey.API_VERSIONS, client_software_name="a", client_software_version="1").encode(3)
    api = ApiKey.API_VERSIONS
    plain = struct.pack(">hhi", api, 0, 1)
    yield Ask("no client id", api, 0, b"", client_id=None)
    yield Ask("an empty client id", api, 0, b"", client_id="")
    yield Ask("a client id of 30,000 bytes", api, 0, b"", client_id="x" * 30_000)
    yield Ask("a client id with blanks and slashes", api, 3, versions_body, client_id="a b/c\n")
    yield Ask("a client id that is not UTF-8", api, 0, b"", frame=plain + b"\0\2\xff\xfe")
    yield Ask("a client id that is cut off", api, 0, b"", frame=plain + b"\0\x20ab")
    yield Ask("a client id of length -2", api, 0, b"", frame=plain + b"\xff\xfe")
    yield Ask("a header that ends after the correlation id", api, 0, b"", frame=plain)
    yield Ask("a header of three bytes", api, 0, b"", frame=b"\0\x12\0")
    yield Ask("a frame of no bytes", api, 0, b"", frame=b"")
    yield Ask("a length of -1", api, 0, b"", frame=b"", size=-1)
    yield Ask("a length of 2 GiB", api, 0, b"", frame=b"", size=2**31 - 1)
    yield Ask("a length over socket.request.max.bytes", api, 0, b"", frame=b"", size=104857601)
    yield Ask("a negative correlation id", api, 0, b"", frame=struct.pack(">hhihs", api, 0, -7, 1, b"a"))
    tagged = struct.pack(">hhihs", api, 3, 9, 1, b"a") + b"\x01\x05\x02xy" + versions_body
    yield Ask("a tagged field in the header", api, 3, b"", frame=tagged)
    for text in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 40):
        yield Ask(f"what begins with {text[:3]!r}", api, 0, b"", frame=text[4:], size=int.from_bytes(text[:4], "big"))


def api_versions(world: World) -> Steps:
    """ApiVersions with names that are checked."""
    for version in world.range(ApiKey.API_VERSIONS):
        for name, software, number in (
            ("a usual name", "apache-kafka-java", "4.4.0"),
            ("no software name", "", "1"),
            ("no software version", "a", ""),
            ("a software name with a blank", "a b", "1"),
            ("a software name that starts with a dot", ".a", "1"),
            ("a software version with a slash", "a", "1/2"),
            ("a long software name", "a" * 300, "1"),
        ):
            asked = request(ApiKey.API_VERSIONS, client_software_name=software, client_software_version=number)
            yield world.ask(name, asked, version)


ALL = tuple(int(key) for key in API_VERSIONS)

SCENARIOS = (
    Scenario("empty requests", ALL, empty_requests),
    Scenario("broken bodies", ALL, broken_bodies),
    Scenario("unknown versions", ALL, unknown_versions),
    Scenario("headers", (ApiKey.API_VERSIONS,), headers),
    Scenario("api versions", (ApiKey.API_VERSIONS,), api_versions),
)
