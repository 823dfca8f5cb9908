"""
Fetch sessions (KIP-227): a client names its partitions once, then only what changed.

A session lives in the network worker that made it. A client that comes back through another worker is told
FETCH_SESSION_ID_NOT_FOUND, which every client answers with a full fetch.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Iterable

from kbroker.errors import KafkaError
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.fetch import FetchPartition, FetchRequest

NO_SESSION = 0
INITIAL_EPOCH = 0
FINAL_EPOCH = -1
_EVICTABLE_AFTER_MS = 120_000

PartitionKey = tuple[str | bytes, int]
"""Topic name, or its id from v13 on, and partition index."""


class FetchedPartition:
    """
    What one partition's fetch asks for, and what the client was last told.

    high_watermark, last_stable_offset, log_start_offset  as last sent; -1 before the first answer
    """

    __slots__ = (
        "current_leader_epoch",
        "fetch_offset",
        "high_watermark",
        "index",
        "last_fetched_epoch",
        "last_stable_offset",
        "log_start_offset",
        "max_bytes",
        "topic",
    )

    def __init__(self, topic: str | bytes, asked: FetchPartition) -> None:
        self.topic = topic
        self.index = asked.partition
        self.high_watermark = -1
        self.last_stable_offset = -1
        self.log_start_offset = -1
        self.update(asked)

    def update(self, asked: FetchPartition) -> None:
        """Take over what the client asks now."""
        self.fetch_offset = asked.fetch_offset
        self.max_bytes = asked.partition_max_bytes
        self.current_leader_epoch = asked.current_leader_epoch
        self.last_fetched_epoch = asked.last_fetched_epoch


class FetchSession:
    """
    One client's partitions, in the order they are served: who got data goes to the end.

    epoch  the epoch the next request must carry
    """

    __slots__ = ("epoch", "last_used_ms", "partitions", "session_id", "uses_topic_ids")

    def __init__(self, session_id: int, now_ms: int, *, uses_topic_ids: bool) -> None:
        self.session_id = session_id
        self.epoch = 1
        self.last_used_ms = now_ms
        self.uses_topic_ids = uses_topic_ids
        self.partitions: OrderedDict[PartitionKey, FetchedPartition] = OrderedDict()


def asked_partitions(request: FetchRequest, version: int) -> Iterable[tuple[PartitionKey, FetchPartition]]:
    """Yield the partitions a request names."""
    for topic in request.topics:
        name: str | bytes = topic.topic_id if version >= 13 else topic.topic
        for partition in topic.partitions:
            yield (name, partition.partition), partition


class FetchSessionCache:
    """
    The sessions of one network worker.

    max_slots  max.incremental.fetch.session.cache.slots; 0: no sessions
    """

    def __init__(self, max_slots: int) -> None:
        self._max_slots = max_slots
        self._sessions: OrderedDict[int, FetchSession] = OrderedDict()

    def __len__(self) -> int:
        """Return how many sessions there are."""
        return len(self._sessions)

    def partitions(
        self, request: FetchRequest, version: int, now_ms: int
    ) -> tuple[FetchSession | None, OrderedDict[PartitionKey, FetchedPartition], bool]:
        """
        Return (session or None, the partitions to serve in order, whether the answer may leave out what did not
        change).

        Raises KafkaError: FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH, FETCH_SESSION_TOPIC_ID_ERROR.
        """
        session_id = request.session_id
        epoch = request.session_epoch
        if epoch in (INITIAL_EPOCH, FINAL_EPOCH):
            if session_id != NO_SESSION:
                self._sessions.pop(session_id, None)
            partitions = OrderedDict(
                (key, FetchedPartition(key[0], asked)) for key, asked in asked_partitions(request, version)
            )
            session = None
            if epoch == INITIAL_EPOCH and version >= 7 and partitions:
                session = self._create(now_ms, uses_topic_ids=version >= 13)
                if session is not None:
                    session.partitions = partitions
            return session, partitions, False
        session = self._sessions.get(session_id)
        if session is None:
            raise KafkaError(ErrorCode.FETCH_SESSION_ID_NOT_FOUND)
        if session.epoch != epoch:
            raise KafkaError(ErrorCode.INVALID_FETCH_SESSION_EPOCH)
        if session.uses_topic_ids != (version >= 13):
            raise KafkaError(ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR)
        self._update(session, request, version)
        if not session.partitions:
            # Nothing left to remember: the client is told session 0 and starts anew when it has partitions again.
            del self._sessions[session_id]
            return None, session.partitions, False
        session.epoch = 1 if epoch == 0x7FFFFFFF else epoch + 1
        session.last_used_ms = now_ms
        self._sessions.move_to_end(session_id)
        return session, session.partitions, True

    @staticmethod
    def _update(session: FetchSession, request: FetchRequest, version: int) -> None:
        partitions = session.partitions
        for key, asked in asked_partitions(request, version):
            known = partitions.get(key)
            if known is None:
                partitions[key] = FetchedPartition(key[0], asked)
            else:
                known.update(asked)
        for forgotten in request.forgotten_topics_data:
            name: str | bytes = forgotten.topic_id if version >= 13 else forgotten.topic
            for index in forgotten.partitions:
                partitions.pop((name, index), None)

    def _create(self, now_ms: int, *, uses_topic_ids: bool) -> FetchSession | None:
        sessions = self._sessions
        if len(sessions) >= self._max_slots:
            if not sessions:
                return None
            oldest = next(iter(sessions.values()))
            if now_ms - oldest.last_used_ms < _EVICTABLE_AFTER_MS:
                return None
            del sessions[oldest.session_id]
        session_id = random.randint(1, 0x7FFFFFFF)
        while session_id in sessions:
            session_id = random.randint(1, 0x7FFFFFFF)
        session = FetchSession(session_id, now_ms, uses_topic_ids=uses_topic_ids)
        sessions[session_id] = session
        return session
