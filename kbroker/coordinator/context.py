"""
What the parts of a coordinator share: groups, timers, and the two ways out, replies and records.

The rule of writing: a decision that must survive is written first and takes effect when the write is known to stand.
`write` hands the records to the log and calls `on_done` once, at once or later. Effects of a partition's writes happen
in the order of its log, because completions come in that order. So the state is always what a replay of the log up to
the last completed write would give, and a write that fails leaves nothing to undo.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kbroker.coordinator.group import Group
from kbroker.coordinator.group_offsets import GroupOffsets
from kbroker.errors import KafkaError
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.record_batch import BatchBuilder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kbroker.coordinator.group_config import GroupConfig
    from kbroker.coordinator.records import CoordinatorRecord
    from kbroker.protocol.schema import Message
    from kbroker.purgatory.timing_wheel import TimingWheel

    Append = Callable[[int, bytes, Callable[[int], None]], None]
    """append(partition, batch, on_committed): on_committed gets an ErrorCode, NONE when the batch is committed."""
    Reply = Callable[[int, Message], None]
    """reply(token, response)"""


class CoordinatorContext:
    """
    The shared state of a worker's coordinators.

    partitions  those that are loaded
    groups      the groups of the loaded partitions
    now_ms      time of the event being handled, for timers
    wall_ms     the same moment as milliseconds since 1970, for what is written
    """

    __slots__ = ("_append", "config", "groups", "now_ms", "partitions", "reply", "wall_ms", "wheel")

    def __init__(self, config: GroupConfig, wheel: TimingWheel, append: Append, reply: Reply) -> None:
        self.config = config
        self.wheel = wheel
        self.reply = reply
        self._append = append
        self.groups: dict[str, Group] = {}
        self.partitions: set[int] = set()
        self.now_ms = 0
        self.wall_ms = 0

    def new_group(self, group_id: str, partition: int) -> Group:
        """Return a group that is not yet known to anybody."""
        return Group(group_id, partition, GroupOffsets())

    def write(self, partition: int, records: Sequence[CoordinatorRecord], on_done: Callable[[int], None]) -> None:
        """
        Write `records` and call `on_done` with ErrorCode.NONE when all are committed, else with the first error.

        Nothing to write is done at once.
        """
        batches = list(self._batches(records))
        if not batches:
            on_done(ErrorCode.NONE)
            return
        remaining = len(batches)
        first_error: int = ErrorCode.NONE

        def on_committed(error_code: int) -> None:
            nonlocal remaining, first_error
            remaining -= 1
            if error_code != ErrorCode.NONE and first_error == ErrorCode.NONE:
                first_error = error_code
            if remaining == 0:
                on_done(first_error)

        for batch in batches:
            try:
                self._append(partition, batch, on_committed)
            except KafkaError as error:
                on_committed(error.code)

    def _batches(self, records: Sequence[CoordinatorRecord]) -> Iterator[bytes]:
        config = self.config
        builder: BatchBuilder | None = None
        for key, value in records:
            if builder is None:
                builder = BatchBuilder(compression=config.offsets_topic_compression_codec)
            builder.append(key, value, self.wall_ms)
            if builder.size_bytes >= config.offsets_max_batch_bytes:
                yield builder.build()
                builder = None
        if builder is not None:
            yield builder.build()
