"""
Finding the aborted transactions of segments again: after a crash, or when an index was lost or damaged.

The transactions that are open where a segment begins are in the producers' snapshot of that offset, or of an earlier
one from which the batches tell the rest; each abort marker then ends one, and is an entry of its segment's .txnindex.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Sequence

from kbroker.protocol.record_batch import CONTROL_FLAG, TRANSACTIONAL_FLAG
from kbroker.storage.checkpoints import replace_file
from kbroker.storage.file_batches import FileBatch
from kbroker.storage.paths import SNAPSHOT_SUFFIX, TRANSACTION_INDEX_SUFFIX, parse_segment_name, segment_path
from kbroker.storage.producer_state import decode_snapshot, snapshot_offsets
from kbroker.storage.recovery import Progress, no_progress, read_marker, walk_from
from kbroker.storage.segment import Segment
from kbroker.storage.transaction_index import (
    AbortedTransaction,
    encode_transaction_index,
    read_transaction_index,
)

logger = logging.getLogger(__name__)

_ABORT = 0
_COMMIT = 1


def mend_transaction_indexes(directory: str, segments: Sequence[Segment], progress: Progress = no_progress) -> None:
    """
    Make the transaction indexes anew of segments that were walked and hold markers, or whose index is unsound.

    Costs one listing of the directory when there are no transactions. Raises OSError.
    """
    parsed = (parse_segment_name(name) for name in os.listdir(directory))
    indexed = {found[0] for found in parsed if found is not None and found[1] == TRANSACTION_INDEX_SUFFIX}
    wanting: set[int] = set()
    for segment in segments:
        base_offset = segment.base_offset
        if segment.holds_markers is not None:
            if segment.holds_markers:
                wanting.add(base_offset)
            elif base_offset in indexed:
                os.unlink(segment.path(TRANSACTION_INDEX_SUFFIX))
            segment.holds_markers = None
        elif base_offset in indexed:
            try:
                read_transaction_index(directory, base_offset)
            except ValueError as error:
                logger.warning("%s: %s; found anew", segment.path(TRANSACTION_INDEX_SUFFIX), error)
                wanting.add(base_offset)
    if wanting:
        _find_anew(directory, segments, wanting, progress)


def _find_anew(directory: str, segments: Sequence[Segment], wanting: set[int], progress: Progress) -> None:
    start_offset, open_transactions = _open_transactions(directory, min(wanting))
    for number, segment in enumerate(segments):
        if number + 1 < len(segments) and segments[number + 1].base_offset <= start_offset:
            continue
        aborted: list[AbortedTransaction] = []
        fd = os.open(segment.path(), os.O_RDONLY | os.O_CLOEXEC)
        try:
            for batch in walk_from(segment, fd, start_offset, progress):
                if batch.producer_id >= 0 and batch.base_offset >= start_offset:
                    _follow(batch, fd, open_transactions, aborted)
        finally:
            os.close(fd)
        if segment.base_offset in wanting:
            path = segment.path(TRANSACTION_INDEX_SUFFIX)
            if aborted:
                replace_file(path, encode_transaction_index(aborted), durable=False)
            else:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)


def _open_transactions(directory: str, offset: int) -> tuple[int, dict[int, int]]:
    """Return (offset, first offset by producer id) of the transactions open at the newest snapshot up to `offset`."""
    for found in reversed(snapshot_offsets(directory)):
        if found <= offset:
            with contextlib.suppress(FileNotFoundError, ValueError):
                with open(segment_path(directory, found, SNAPSHOT_SUFFIX), "rb") as file:
                    entries = decode_snapshot(file.read())
                return found, {
                    producer_id: entry.transaction_first_offset
                    for producer_id, entry in entries.items()
                    if entry.transaction_first_offset >= 0
                }
    return 0, {}


def _follow(batch: FileBatch, fd: int, open_transactions: dict[int, int], aborted: list[AbortedTransaction]) -> None:
    if not batch.attributes & CONTROL_FLAG:
        if batch.attributes & TRANSACTIONAL_FLAG:
            open_transactions.setdefault(batch.producer_id, batch.base_offset)
        return
    marker = read_marker(os.pread(fd, batch.size_bytes, batch.position))
    if marker is None or marker.kind not in {_ABORT, _COMMIT}:
        return
    first_offset = open_transactions.pop(batch.producer_id, None)
    if marker.kind == _ABORT and first_offset is not None:
        stable = min(open_transactions.values(), default=batch.last_offset + 1)
        aborted.append(AbortedTransaction(batch.producer_id, first_offset, batch.last_offset, stable))
