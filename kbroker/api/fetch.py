"""
Fetch: what the rows say is there is sent straight from the files; what is not there yet is waited for.

No other process is asked. A row of shared memory tells how far a partition may be read, its index where to start, and
the answer is a slice of the file that sendfile will send. With less than min_bytes at hand the request waits in the
purgatory, watched under its partitions' rows, until an owner says "advanced" or max_wait has passed.

KIP-74: the first batch of the first partition that has any goes out whole, even past the limits, so that a consumer
with small limits makes progress.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from kbroker.api.cluster_view import ClusterView
from kbroker.api.fetch_session import FetchedPartition, FetchSession, FetchSessionCache, PartitionKey
from kbroker.api.log_readers import LogReaders
from kbroker.api.request import RequestContext
from kbroker.errors import KafkaError
from kbroker.ipc.event_loop import EventLoop, Timer
from kbroker.metadata.image import PartitionState, TopicState
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.fetch import (
    AbortedTransaction,
    EpochEndOffset,
    FetchableTopicResponse,
    FetchRequest,
    FetchResponse,
    PartitionData,
)
from kbroker.purgatory.delayed_operation import DelayedOperation
from kbroker.purgatory.purgatory import Purgatory
from kbroker.shared.partition_table import PartitionRow
from kbroker.storage.leader_epoch_cache import end_offset_for, read_leader_epochs
from kbroker.storage.log_reader import FileSlice

VERSIONS = (4, 18)
logger = logging.getLogger(__name__)

_READ_COMMITTED = 1
_EMPTY = b""


class _Read:
    """What reading one partition gave."""

    __slots__ = ("data", "row", "size_bytes")

    def __init__(self, data: PartitionData, row: PartitionRow | None, size_bytes: int) -> None:
        self.data = data
        self.row = row
        self.size_bytes = size_bytes


class _DelayedFetch(DelayedOperation):
    """A fetch that waits for data."""

    __slots__ = ("fetch", "handler")

    def __init__(self, handler: FetchHandler, fetch: _Fetch, deadline_ms: int) -> None:
        super().__init__(deadline_ms)
        self.handler = handler
        self.fetch = fetch

    def try_complete(self) -> bool:
        """Complete when there is enough, or an error to tell."""
        handler = self.handler
        if not handler.anything_new(self.fetch):
            return False
        reads = handler.read_all(self.fetch)
        if handler.enough(self.fetch, reads):
            self.fetch.reads = reads
            return self.force_complete()
        return False

    def on_complete(self) -> None:
        """Answer with what there is by now."""
        fetch = self.fetch
        if fetch.reads is None:
            fetch.reads = self.handler.read_all(fetch)
        self.handler.unpark(self)
        self.handler.answer(fetch)


class _Fetch:
    """One Fetch request while it is served."""

    __slots__ = ("context", "incremental", "partitions", "reads", "request", "rows", "session")

    def __init__(
        self,
        context: RequestContext,
        request: FetchRequest,
        session: FetchSession | None,
        partitions: OrderedDict[PartitionKey, FetchedPartition],
        *,
        incremental: bool,
    ) -> None:
        self.context = context
        self.request = request
        self.session = session
        self.partitions = partitions
        self.incremental = incremental
        self.reads: list[tuple[PartitionKey, FetchedPartition, _Read]] | None = None
        # Rows to watch, with the bound each was read up to: anything beyond is new.
        self.rows: dict[int, int] = {}


class FetchHandler:
    """
    Handles Fetch requests of one network worker.

    interest   this worker's bytes in shared memory: 1 tells the owners that somebody waits for the row
    max_bytes  fetch.max.bytes: the broker's own bound on a response
    """

    def __init__(
        self,
        loop: EventLoop,
        view: ClusterView,
        readers: LogReaders,
        interest: memoryview,
        sessions: FetchSessionCache,
        max_bytes: int,
    ) -> None:
        self._loop = loop
        self._view = view
        self._readers = readers
        self._interest = interest
        self._sessions = sessions
        self._max_bytes = max_bytes
        self._purgatory: Purgatory[int] = Purgatory()
        self._timer: Timer | None = None
        self._parked: dict[_DelayedFetch, None] = {}

    def handle(self, context: RequestContext) -> None:
        """Answer a Fetch request, now or when there is something."""
        version = context.api_version
        request = context.decode(FetchRequest)
        try:
            session, partitions, incremental = self._sessions.partitions(request, version, self._loop.now_ms)
        except KafkaError as error:
            context.respond(FetchResponse(error_code=error.code))
            return
        fetch = _Fetch(context, request, session, partitions, incremental=incremental)
        fetch.reads = self.read_all(fetch)
        if request.max_wait_ms <= 0 or not partitions or self.enough(fetch, fetch.reads):
            self.answer(fetch)
            return
        fetch.reads = None
        operation = _DelayedFetch(self, fetch, self._loop.now_ms + request.max_wait_ms)
        # The interest before the purgatory's second check: an owner that publishes after that check sees it.
        for row in fetch.rows:
            self._interest[row] = 1
        if self._purgatory.try_complete_else_watch(operation, fetch.rows):
            self._lose_interest(fetch.rows)
        else:
            self._parked[operation] = None
            context.abandoned = lambda: self._abandon(operation)
            self._arm()

    def advanced(self, rows: Iterable[int]) -> None:
        """Look again at what waits for `rows`: their owners have published."""
        purgatory = self._purgatory
        for row in rows:
            purgatory.check(row)
            if not purgatory.watched(row):
                self._interest[row] = 0

    def image_changed(self) -> None:
        """Look again at everything that waits: leaders or topics may have changed."""
        self.advanced({row for operation in self._parked for row in operation.fetch.rows})

    def complete_all(self) -> None:
        """Answer everything that waits with what there is: the broker stops."""
        for operation in list(self._parked):
            operation.force_complete()
            self._purgatory.cancel(operation)

    # --- reading ----------------------------------------------------------------------------------------------------

    def read_all(self, fetch: _Fetch) -> list[tuple[PartitionKey, FetchedPartition, _Read]]:
        """Read every partition of a fetch, within its limits."""
        request = fetch.request
        remaining = min(request.max_bytes, self._max_bytes)
        nothing_yet = True
        reads = []
        fetch.rows = {}
        for key, partition in fetch.partitions.items():
            read = self._read(fetch, partition, remaining, at_least_one=nothing_yet)
            if read.size_bytes:
                nothing_yet = False
                remaining = max(0, remaining - read.size_bytes)
            reads.append((key, partition, read))
        return reads

    def _read(self, fetch: _Fetch, partition: FetchedPartition, remaining: int, *, at_least_one: bool) -> _Read:
        committed = fetch.request.isolation_level == _READ_COMMITTED
        aborted: list[AbortedTransaction] | None = [] if committed else None
        try:
            topic, state = self._find(fetch, partition)
            row = self._readers.row(state)
            upper = row.last_stable_offset if committed else row.high_watermark
            fetch.rows[state.row] = upper
            offset = partition.fetch_offset
            if not row.log_start_offset <= offset <= row.log_end_offset:
                raise KafkaError(ErrorCode.OFFSET_OUT_OF_RANGE)
            reader = self._readers.reader(topic, state, row)
            diverging = None
            if partition.last_fetched_epoch >= 0:
                epochs = read_leader_epochs(reader.directory) or []
                epoch, end_offset = end_offset_for(epochs, partition.last_fetched_epoch, row.log_end_offset)
                if epoch < 0 or end_offset < 0:
                    raise KafkaError(ErrorCode.OFFSET_OUT_OF_RANGE)
                if epoch < partition.last_fetched_epoch or end_offset < offset:
                    diverging = EpochEndOffset(epoch=epoch, end_offset=end_offset)
            piece: FileSlice | None = None
            max_bytes = min(remaining, partition.max_bytes)
            if diverging is None and offset < upper and (max_bytes > 0 or at_least_one):
                try:
                    piece = reader.read(row, offset, max_bytes, upper, at_least_one=at_least_one)
                except KafkaError as error:
                    raise self._why_not_read(state, offset, error) from error
                if committed and piece is not None:
                    aborted = [
                        AbortedTransaction(producer_id=entry.producer_id, first_offset=entry.first_offset)
                        for entry in reader.aborted_transactions(offset, piece, upper)
                    ]
        except KafkaError as error:
            return _failed(partition, error.code)
        except OSError as error:
            # Its owner meets the same disk and takes the log directory offline; until then a reader tells for itself.
            logger.warning("%r-%d cannot be read: %s", partition.topic, partition.index, error)
            return _failed(partition, ErrorCode.KAFKA_STORAGE_ERROR)
        data = PartitionData(
            partition_index=partition.index,
            high_watermark=row.high_watermark,
            last_stable_offset=row.last_stable_offset,
            log_start_offset=row.log_start_offset,
            diverging_epoch=diverging,
            aborted_transactions=aborted,
            records=_EMPTY if piece is None else piece,
        )
        return _Read(data, row, 0 if piece is None else piece.size_bytes)

    def _why_not_read(self, state: PartitionState, offset: int, error: KafkaError) -> KafkaError:
        """
        Return what to answer for an offset that a reader did not find, though the row had it.

        Retention may have taken it meanwhile. If not, somebody else has taken the file: a consumer that is told "out of
        range" would go on elsewhere, and never come back to these records.
        """
        row = self._readers.row(state)
        if error.code == ErrorCode.OFFSET_OUT_OF_RANGE and row.log_start_offset <= offset <= row.log_end_offset:
            return KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, f"offset {offset} is in the log, but not in its files")
        return error

    def _find(self, fetch: _Fetch, partition: FetchedPartition) -> tuple[TopicState, PartitionState]:
        view = self._view
        name = partition.topic
        if isinstance(name, bytes):
            topic = view.topic_by_id(name)
            if topic is None:
                raise KafkaError(ErrorCode.UNKNOWN_TOPIC_ID)
        else:
            topic = view.topic(name)
            if topic is None:
                raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        if not 0 <= partition.index < len(topic.partitions):
            raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        state = topic.partitions[partition.index]
        if state.leader != view.broker_id:
            raise KafkaError(ErrorCode.NOT_LEADER_OR_FOLLOWER)
        epoch = partition.current_leader_epoch
        if epoch >= 0 and epoch != state.leader_epoch:
            raise KafkaError(
                ErrorCode.FENCED_LEADER_EPOCH if epoch < state.leader_epoch else ErrorCode.UNKNOWN_LEADER_EPOCH
            )
        request = fetch.request
        replica_id = request.replica_state.replica_id if request.replica_state is not None else request.replica_id
        if replica_id >= 0 and replica_id not in state.replicas:
            raise KafkaError(ErrorCode.NOT_LEADER_OR_FOLLOWER)
        return topic, state

    def anything_new(self, fetch: _Fetch) -> bool:
        """Return whether any partition's bound has moved since it was read."""
        committed = fetch.request.isolation_level == _READ_COMMITTED
        for partition in fetch.partitions.values():
            try:
                _, state = self._find(fetch, partition)
                row = self._readers.row(state)
            except KafkaError:
                return True
            upper = row.last_stable_offset if committed else row.high_watermark
            if fetch.rows.get(state.row) != upper or row.log_start_offset > partition.fetch_offset:
                return True
        return False

    def enough(self, fetch: _Fetch, reads: list[tuple[PartitionKey, FetchedPartition, _Read]]) -> bool:
        """Return whether a fetch is to be answered at once: enough bytes, or something to tell."""
        total = 0
        for _, _, read in reads:
            if read.data.error_code or read.data.diverging_epoch is not None:
                return True
            total += read.size_bytes
        return total >= fetch.request.min_bytes

    # --- answering --------------------------------------------------------------------------------------------------

    def answer(self, fetch: _Fetch) -> None:
        """Send what was read."""
        fetch.context.abandoned = None
        session = fetch.session
        topics: list[FetchableTopicResponse] = []
        topic: FetchableTopicResponse | None = None
        current: str | bytes | None = None
        for key, partition, read in fetch.reads or ():
            data = read.data
            if fetch.incremental and not _changed(partition, data, read.size_bytes):
                continue
            if session is not None:
                partition.high_watermark = data.high_watermark if not data.error_code else -1
                partition.last_stable_offset = data.last_stable_offset
                partition.log_start_offset = data.log_start_offset
                if read.size_bytes:
                    # Who got data is served last the next time, so that limits starve nobody.
                    session.partitions.move_to_end(key)
            if topic is None or partition.topic != current:
                current = partition.topic
                if isinstance(current, bytes):
                    topic = FetchableTopicResponse(topic_id=current, partitions=[])
                else:
                    topic = FetchableTopicResponse(topic=current, partitions=[])
                topics.append(topic)
            topic.partitions.append(data)
        session_id = 0 if session is None else session.session_id
        fetch.context.respond(FetchResponse(session_id=session_id, responses=topics))

    # --- waiting ----------------------------------------------------------------------------------------------------

    def _lose_interest(self, rows: Iterable[int]) -> None:
        watched = self._purgatory.watched
        for row in rows:
            if not watched(row):
                self._interest[row] = 0

    def unpark(self, operation: _DelayedFetch) -> None:
        """Forget a fetch that is being answered."""
        self._parked.pop(operation, None)

    def _abandon(self, operation: _DelayedFetch) -> None:
        self.unpark(operation)
        self._purgatory.cancel(operation)
        self._lose_interest(operation.fetch.rows)

    def _arm(self) -> None:
        """Have the loop wake us when the next wait runs out."""
        deadline = self._purgatory.next_deadline_ms()
        if deadline is None:
            return
        if self._timer is not None:
            if self._timer.callback is not None and self._timer.deadline_ms <= deadline:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._expire)

    def _expire(self) -> None:
        self._purgatory.advance(self._loop.now_ms)
        self._arm()


_NOT_THERE: Final = (int(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION), int(ErrorCode.UNKNOWN_TOPIC_ID))


def _failed(partition: FetchedPartition, code: int) -> _Read:
    data = PartitionData(
        partition_index=partition.index,
        error_code=code,
        high_watermark=-1,
        # As Kafka: no list where a partition that is there could not be read.
        aborted_transactions=[] if code in _NOT_THERE else None,
        records=_EMPTY,
    )
    return _Read(data, None, 0)


def _changed(partition: FetchedPartition, data: PartitionData, size_bytes: int) -> bool:
    return bool(
        size_bytes
        or data.error_code
        or data.diverging_epoch is not None
        or data.high_watermark != partition.high_watermark
        or data.last_stable_offset != partition.last_stable_offset
        or data.log_start_offset != partition.log_start_offset
    )
