"""Aborted and open transactions of a log, however it came to us: indexed, recovered, or with a damaged index."""

from __future__ import annotations

import os
from struct import pack

import pytest

from kbroker.errors import KafkaError
from kbroker.protocol.record_batch import BatchBuilder
from kbroker.storage.log_config import LogConfig
from kbroker.storage.log_reader import LogReader
from kbroker.storage.transaction_index import (
    AbortedTransaction,
    decode_transaction_index,
    encode_transaction_index,
)

SEGMENT_BYTES = 1000


class Writer:
    """Puts batches of transactions into a log as a leader's fetcher would."""

    def __init__(self, log):
        self.log = log

    def data(self, producer_id, count=1, size=10):
        offset = self.log.log_end_offset
        builder = BatchBuilder(
            base_offset=offset,
            producer_id=producer_id,
            producer_epoch=0,
            base_sequence=0,
            is_transactional=True,
            partition_leader_epoch=0,
        )
        for _ in range(count):
            builder.append(None, b"x" * size, 1000)
        return self._write(builder, offset)

    def marker(self, producer_id, *, commit):
        offset = self.log.log_end_offset
        builder = BatchBuilder(
            base_offset=offset,
            producer_id=producer_id,
            producer_epoch=0,
            is_transactional=True,
            is_control=True,
            partition_leader_epoch=0,
        )
        builder.append(pack(">hh", 0, commit), pack(">hi", 0, 3), 1000)
        return self._write(builder, offset)

    def _write(self, builder, offset):
        self.log.stage_replicated(memoryview(bytearray(builder.build())), 1000)
        self.log.write_staged()
        return offset


def aborted(log, offset=0, upper=None):
    row = log.row()
    upper = row.last_stable_offset if upper is None else upper
    reader = LogReader(log.directory)
    piece = reader.read(row, offset, 1 << 20, upper)
    return [] if piece is None else reader.aborted_transactions(offset, piece, upper)


def test_what_is_written_is_read(tmp_path):
    entries = [AbortedTransaction(7, 1, 5, 2), AbortedTransaction(8, 2, 9, 10)]
    content = encode_transaction_index(entries)
    assert len(content) == 68
    assert decode_transaction_index(content, 0) == entries
    for damaged in (content[:-1], content[34:] + content[:34], b"\0\1" + content[2:]):
        with pytest.raises(ValueError):
            decode_transaction_index(damaged, 0)


def test_open_transactions_bound_what_is_stable(open_log, clock):
    log = open_log()
    writer = Writer(log)
    writer.data(1)
    writer.marker(1, commit=True)
    first_open = writer.data(2)
    writer.data(3)
    writer.marker(3, commit=True)
    row = log.row()
    assert (row.last_stable_offset, row.high_watermark) == (first_open, 5)
    log.advance_log_start(first_open + 1)
    assert log.row().last_stable_offset == first_open + 1
    log.close()
    reopened = open_log(clean_shutdown=True, log_start_offset=0)
    assert reopened.row().last_stable_offset == first_open
    Writer(reopened).marker(2, commit=False)
    assert reopened.row().last_stable_offset == reopened.row().high_watermark == 6


@pytest.mark.parametrize("loss", ["crash", "no indexes", "damaged index", "no snapshots"])
def test_aborted_transactions_are_found_again(open_log, loss):
    config = LogConfig(segment_bytes=SEGMENT_BYTES)
    log = open_log(config)
    writer = Writer(log)
    across = writer.data(9, size=400)
    expected = []
    for producer_id in range(1, 7):
        first = writer.data(producer_id, size=200)
        last = writer.marker(producer_id, commit=producer_id % 2 == 0)
        if producer_id % 2:
            expected.append((producer_id, first, last))
    last = writer.marker(9, commit=False)
    expected.append((9, across, last))
    assert len(log.segment_base_offsets) > 2
    if loss == "crash":
        log.close_files()
        log = open_log(config)
    else:
        log.close()
        # Indexes as an orderly stop leaves them.
        log = open_log(config)
        log.close()
        for name in os.listdir(log.directory):
            path = f"{log.directory}/{name}"
            if loss == "no indexes" and name.endswith(("index",)):
                os.unlink(path)
            elif loss == "damaged index" and name.endswith(".txnindex"):
                with open(path, "ab") as file:
                    file.write(b"torn")
            elif loss == "no snapshots" and name.endswith(("index", ".snapshot")):
                os.unlink(path)
        log = open_log(config, clean_shutdown=True, recovery_point=log.log_end_offset)
    found = aborted(log)
    touched = [(entry.producer_id, entry.first_offset, entry.last_offset) for entry in found]
    assert sorted(touched) == sorted(expected)
    assert found[-1].last_stable_offset == last + 1
    assert found[0].last_stable_offset == across
    assert [entry.producer_id for entry in aborted(log, offset=last)] == [9]
    assert log.row().last_stable_offset == log.row().high_watermark


def test_an_index_without_markers_goes(open_log, append):
    log = open_log()
    append(log)
    log.close_files()
    path = f"{log.directory}/00000000000000000000.txnindex"
    with open(path, "wb") as file:
        file.write(encode_transaction_index([AbortedTransaction(1, 0, 5, 6)]))
    log = open_log()
    assert not os.path.exists(path)
    assert aborted(log) == []


def test_an_unsound_index_is_no_reason_to_serve_what_was_aborted(open_log, append):
    log = open_log()
    append(log)
    with open(f"{log.directory}/00000000000000000000.txnindex", "wb") as file:
        file.write(b"no index")
    with pytest.raises(KafkaError, match="damaged transaction index"):
        aborted(log)


def test_many_aborted_transactions_are_told_with_the_slice_they_touch(open_log):
    log = open_log()
    writer = Writer(log)
    for producer_id in range(300):
        writer.data(producer_id)
        writer.marker(producer_id, commit=False)
    log.close_files()
    log = open_log()
    row = log.row()
    reader = LogReader(log.directory)
    piece = reader.read(row, 0, 2000, row.last_stable_offset)
    found = reader.aborted_transactions(0, piece, row.last_stable_offset)
    assert 5 < len(found) < 100
    assert [entry.producer_id for entry in found] == list(range(len(found)))
