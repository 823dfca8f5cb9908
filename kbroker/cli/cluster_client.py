"""The tools' way to the right broker of a cluster: any, the controller, a group's coordinator, a partition's leader."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

from kbroker.cli.broker_connection import BrokerConnection, Security, Unreachable, error_text
from kbroker.cli.command_error import CommandError
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.metadata import MetadataRequest, MetadataRequestTopic

if TYPE_CHECKING:
    from kbroker.protocol.schema import Message

_PAUSE_S = 0.1
_PASSING = frozenset({
    ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
    ErrorCode.NOT_COORDINATOR,
    ErrorCode.NOT_CONTROLLER,
    ErrorCode.LEADER_NOT_AVAILABLE,
})  # fmt: skip
"""What is better in a moment, and may then be another broker's business."""


def parse_servers(servers: str) -> list[tuple[str, int]]:
    """Return (host, port) of each server of a list; raises CommandError for what is none."""
    result = []
    for server in servers.split(","):
        host, colon, port = server.strip().rpartition(":")
        if not colon or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65536:
            raise CommandError(f"--bootstrap-server {servers}: expected host:port")
        result.append((host.strip("[]"), int(port)))
    return result


def open_any(servers: str, security: Security) -> BrokerConnection:
    """
    Return a connection to the first of the servers that answers.

    Raises CommandError naming each address with its reason, and what to do.
    """
    problems = []
    for host, port in parse_servers(servers):
        try:
            return BrokerConnection.open(host, port, security)
        except Unreachable as error:
            problems.append((f"{host}:{port}", str(error)))
    what = "; ".join(f"{address}: {reason}" for address, reason in problems)
    hint = ""
    if any(reason == "connection refused" for _, reason in problems):
        hint = ". Is the broker running? Start one with: kbroker start"
    raise CommandError(f"cannot connect to {what}{hint}")


class ClusterClient:
    """
    Connections to the brokers of a cluster, each made when it is first needed.

    timeout_s  for each answer, and for as long as a cluster may say "not now"
    """

    def __init__(self, servers: str, security: Security, timeout_s: float) -> None:
        self._security = security
        self._timeout_s = timeout_s
        self._any = open_any(servers, security)
        self._nodes: dict[int, BrokerConnection] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._any.close()
        for connection in self._nodes.values():
            connection.close()

    def speaks(self, api_key: int) -> bool:
        """Return whether the brokers serve an API."""
        return self._any.speaks(api_key)

    def call(self, request: Message, *, highest: int | None = None) -> Any:
        """Return the answer of any broker; raises CommandError as BrokerConnection.call."""
        return self._any.call(request, self._timeout_s, highest=highest)

    def call_node(self, node: Any, request: Message, *, highest: int | None = None) -> Any:
        """Return the answer of one broker (node_id, host and port of it); raises CommandError."""
        return self._connection(node).call(request, self._timeout_s, highest=highest)

    def metadata(self, topics: Iterable[str] | None = None, *, create: bool = False) -> Any:
        """
        Return the cluster's brokers and topics (MetadataResponse).

        topics  names; None: all
        create  let the broker make a topic that is missing, if it makes topics by itself
        """
        asked = None if topics is None else [MetadataRequestTopic(name=name) for name in topics]
        return self.call(MetadataRequest(topics=asked, allow_auto_topic_creation=create))

    def call_controller(self, request: Message, error_of: Callable[[Any], int], *, highest: int | None = None) -> Any:
        """
        Return the controller's answer.

        error_of  an answer → the code that says whether it has to be asked again
        """
        return self._until_it_passes(self._controller, request, error_of, highest)

    def call_coordinator(
        self, group: str, request: Message, error_of: Callable[[Any], int], *, highest: int | None = None
    ) -> Any:
        """Return the answer of a group's coordinator; `error_of` as above."""
        return self._until_it_passes(lambda: self.coordinator(group), request, error_of, highest)

    def coordinator(self, group: str) -> Any:
        """Return the node that coordinates a group: node_id, host and port. Raises CommandError when there is none."""
        from kbroker.protocol.messages.find_coordinator import FindCoordinatorRequest  # noqa: PLC0415 - for groups only

        deadline_s = time.monotonic() + self._timeout_s
        while True:
            # Version 4 asks for several keys; one is all we want.
            found = self.call(FindCoordinatorRequest(key=group), highest=3)
            if not found.error_code:
                return found
            if found.error_code not in _PASSING or time.monotonic() >= deadline_s:
                raise CommandError(error_text(found.error_code, found.error_message))
            time.sleep(_PAUSE_S)

    def _controller(self) -> Any:
        metadata = self.metadata(())
        for node in metadata.brokers:
            if node.node_id == metadata.controller_id:
                return node
        return None

    def _until_it_passes(
        self, find: Callable[[], Any], request: Message, error_of: Callable[[Any], int], highest: int | None
    ) -> Any:
        deadline_s = time.monotonic() + self._timeout_s
        while True:
            node = find()
            connection = self._any if node is None else self._connection(node)
            answer = connection.call(request, self._timeout_s, highest=highest)
            if error_of(answer) not in _PASSING or time.monotonic() >= deadline_s:
                return answer
            time.sleep(_PAUSE_S)

    def _connection(self, node: Any) -> BrokerConnection:
        connection = self._nodes.get(node.node_id)
        if connection is None:
            if f"{node.host}:{node.port}" == self._any.address:
                connection = self._any
            else:
                try:
                    connection = BrokerConnection.open(node.host, node.port, self._security)
                except Unreachable as error:
                    raise CommandError(
                        f"broker {node.node_id} is advertised as {node.host}:{node.port}, but there: {error} "
                        "(advertised.listeners)"
                    ) from None
            self._nodes[node.node_id] = connection
        return connection


def first_error(codes: Sequence[int]) -> int:
    """Return the first code that is an error, 0 when none is."""
    return next((code for code in codes if code), 0)
