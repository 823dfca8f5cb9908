"""Topics made because somebody asked for them: with auto.create.topics.enable, and our own __consumer_offsets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kbroker.api.channel import CLUSTER_WORKER, CommandChannel, ExactlyOnce, Timers
from kbroker.protocol.error_codes import ErrorCode

CREATION_TIMEOUT_MS = 1_000
"""How long a client waits for a topic to be made; it asks again after LEADER_NOT_AVAILABLE."""

CreationDone = Callable[[dict[str, int]], None]
"""Called with the error code of each topic; NONE also for a topic that was there already."""


class TopicCreation:
    """Asks the cluster worker for topics on behalf of the handlers of one network worker."""

    def __init__(self, channel: CommandChannel, timers: Timers) -> None:
        self._channel = channel
        self._timers = timers

    def create(self, names: list[str], done: CreationDone, *, internal: bool = False) -> None:
        """
        Have topics made with the defaults of the broker; answer once, within CREATION_TIMEOUT_MS.

        internal  topics of the broker itself, which have settings of their own

        A topic not made in time, or whose fate is unknown because the cluster worker died, has LEADER_NOT_AVAILABLE.
        """

        def unknown() -> None:
            done(dict.fromkeys(names, int(ErrorCode.LEADER_NOT_AVAILABLE)))

        once = ExactlyOnce(self._timers, CREATION_TIMEOUT_MS, unknown)

        def answered(answer: Any) -> None:
            if not once.take():
                return
            if answer is None:
                unknown()
                return
            errors: dict[str, Any] = answer["topics"]
            done({name: _error_code(errors[name]) for name in names})

        self._channel.call(CLUSTER_WORKER, "create_topics", {"topics": names, "internal": internal}, answered)


def _error_code(result: dict[str, Any]) -> int:
    code = int(result["error"])
    return int(ErrorCode.NONE) if code == ErrorCode.TOPIC_ALREADY_EXISTS else code
