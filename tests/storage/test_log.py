"""What one writer does to a log: offsets, rolls, duplicates, full disks, flushes, deletions and truncations."""

from __future__ import annotations

import errno
import os

import pytest

from kbroker.errors import KafkaError, LogDirFailed
from kbroker.protocol.record_batch import iterate_batch_headers, iterate_records, verify_crc
from kbroker.shared.partition_table import PartitionRowState
from kbroker.storage import segment as segment_module
from kbroker.storage.log_config import LogConfig
from kbroker.storage.producer_state import snapshot_offsets

SMALL = LogConfig(segment_bytes=1000, index_interval_bytes=100)
OFFSET_OUT_OF_RANGE, OUT_OF_ORDER, STORAGE_ERROR, TOO_LARGE, INCONSISTENT_TOPIC_ID = 1, 45, 56, 18, 103


def names(log, suffix=""):
    return sorted(name for name in os.listdir(log.directory) if name.endswith(suffix))


def content(log):
    parts = []
    for base_offset in log.segment_base_offsets:
        with open(f"{log.directory}/{base_offset:020d}.log", "rb") as file:
            parts.append(file.read())
    return b"".join(parts)


def offsets(log):
    return [(header.base_offset, header.last_offset) for header in iterate_batch_headers(content(log))]


def fill(log, append, batches=20, **options):
    for number in range(batches):
        append(log, 2, 1000 + number * 10, **options)


# -------------------------------------------------------------------------------------------- appending


def test_offsets_and_epoch_are_written_into_the_batches(open_log, batch, clock):
    log = open_log()
    first = log.stage(batch(3), 4, clock.wall_ms())
    second = log.stage(batch(2), 4, clock.wall_ms())
    assert (first.base_offset, first.last_offset) == (0, 2)
    assert (second.base_offset, second.last_offset) == (3, 4)
    assert first.log_append_time_ms == -1
    assert log.row().log_end_offset == 0  # nothing is visible before it is written
    assert log.write_staged() == os.path.getsize(f"{log.directory}/{0:020d}.log")
    assert log.write_staged() == 0
    for header in iterate_batch_headers(content(log)):
        verify_crc(content(log), header)
        assert header.partition_leader_epoch == 4
    assert offsets(log) == [(0, 2), (3, 4)]
    row = log.row()
    assert (row.state, row.log_end_offset, row.high_watermark, row.last_stable_offset) == (1, 5, 5, 5)
    assert (row.max_timestamp, row.offset_of_max_timestamp) == (1002, 2)
    assert row.size_bytes == row.active_size_bytes == len(content(log))


def test_a_run_of_several_batches(open_log, batch, clock):
    log = open_log()
    run = memoryview(bytearray(bytes(batch(2)) + bytes(batch(3, 2000)) + bytes(batch(1))))
    staged = log.stage(run, 0, clock.wall_ms())
    log.write_staged()
    assert (staged.base_offset, staged.last_offset) == (0, 5)
    assert offsets(log) == [(0, 1), (2, 4), (5, 5)]
    with pytest.raises(KafkaError):
        log.stage(run[:-1], 0, clock.wall_ms())


def test_log_append_time_stamps_every_record(open_log, append, clock):
    log = open_log(LogConfig(message_timestamp_type="LogAppendTime"))
    staged = append(log, 3, 5)
    assert staged.log_append_time_ms == clock.wall_ms()
    (header,) = iterate_batch_headers(content(log))
    verify_crc(content(log), header)
    assert {record.timestamp for record in iterate_records(content(log), header)} == {clock.wall_ms()}
    assert log.row().max_timestamp == clock.wall_ms()


def test_a_run_larger_than_a_segment_is_refused(open_log, append):
    log = open_log(SMALL)
    with pytest.raises(KafkaError) as caught:
        append(log, 1, value=bytes(2000))
    assert caught.value.code == TOO_LARGE
    append(log)


def test_short_writes_are_continued(open_log, batch, clock, monkeypatch):
    log = open_log()
    pwritev = os.pwritev
    monkeypatch.setattr(os, "pwritev", lambda fd, buffers, position: pwritev(fd, [bytes(buffers[0])[:7]], position))
    for _ in range(3):
        log.stage(batch(2), 0, clock.wall_ms())
    log.write_staged()
    assert offsets(log) == [(0, 1), (2, 3), (4, 5)]


def test_more_buffers_than_one_call_takes(tmp_path):
    with open(tmp_path / "file", "wb+") as file:
        segment_module.write_at(file.fileno(), [bytes([number % 256]) for number in range(3000)], 5)
        assert os.pread(file.fileno(), 3000, 5) == bytes(number % 256 for number in range(3000))


# -------------------------------------------------------------------------------------------- idempotent producers


def test_a_batch_sent_twice_is_stored_once(open_log, append):
    log = open_log()
    producer = {"producer_id": 9, "producer_epoch": 0}
    first = append(log, 2, base_sequence=0, **producer)
    append(log, 2, base_sequence=2, **producer)
    again = append(log, 2, base_sequence=0, **producer)
    assert again.duplicate
    assert (again.base_offset, again.last_offset) == (first.base_offset, first.last_offset)
    assert log.log_end_offset == 4
    with pytest.raises(KafkaError) as caught:
        append(log, 1, base_sequence=5, **producer)
    assert caught.value.code == OUT_OF_ORDER
    append(log, 1, base_sequence=4, **producer)


def test_a_run_with_a_gap_stages_nothing(open_log, batch, append, clock):
    log = open_log()
    producer = {"producer_id": 9, "producer_epoch": 0}
    run = bytes(batch(2, base_sequence=0, **producer)) + bytes(batch(2, base_sequence=3, **producer))
    with pytest.raises(KafkaError):
        log.stage(memoryview(bytearray(run)), 0, clock.wall_ms())
    assert log.write_staged() == 0
    assert not append(log, 2, base_sequence=0, **producer).duplicate


@pytest.mark.parametrize("clean", [True, False])
def test_sequences_are_known_after_a_restart(open_log, append, clean, clock):
    log = open_log(SMALL)
    for number in range(30):
        append(log, 1, clock.wall_ms(), producer_id=9, producer_epoch=0, base_sequence=number)
    log.close(clean=clean)
    log = open_log(SMALL, clean_shutdown=clean)
    assert append(log, 1, clock.wall_ms(), producer_id=9, producer_epoch=0, base_sequence=29).duplicate
    append(log, 1, clock.wall_ms(), producer_id=9, producer_epoch=0, base_sequence=30)
    assert log.log_end_offset == 31


def test_transaction_markers_and_transactional_batches_pass(open_log, append, batch, clock):
    from kbroker.protocol.record_batch import BatchBuilder

    log = open_log()
    append(log, 1, clock.wall_ms(), producer_id=9, producer_epoch=0, base_sequence=0, is_transactional=True)
    assert log.producers.entries[9].transaction_first_offset == 0
    marker = BatchBuilder(producer_id=9, producer_epoch=0, is_transactional=True, is_control=True)
    marker.append(b"\0\0\0\1", b"\0\0\0\0\0\5", clock.wall_ms())
    log.stage(memoryview(bytearray(marker.build())), 0, clock.wall_ms(), from_client=False)
    log.write_staged()
    entry = log.producers.entries[9]
    assert (entry.transaction_first_offset, entry.coordinator_epoch) == (-1, 5)
    append(log, 1, clock.wall_ms(), producer_id=9, producer_epoch=0, base_sequence=1)
    log.close(clean=False)
    log = open_log()
    assert log.producers.entries[9].coordinator_epoch == 5
    assert log.log_end_offset == log.row().last_stable_offset == 3


# -------------------------------------------------------------------------------------------- full disks


def fail_with(number, partial=0):
    pwritev = os.pwritev

    def fail(fd, buffers, position):
        if partial:
            pwritev(fd, [bytes(buffers[0])[:partial]], position)
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("partial", [0, 30])
def test_a_full_disk_leaves_the_log_as_it_was(open_log, append, batch, clock, monkeypatch, partial):
    log = open_log()
    producer = {"producer_id": 9, "producer_epoch": 0}
    append(log, 2, base_sequence=0, **producer)
    row, size = log.row(), len(content(log))
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", fail_with(errno.ENOSPC, partial))
        staged = log.stage(batch(2, base_sequence=2, **producer), 1, clock.wall_ms())
        retried = log.stage(batch(2, base_sequence=2, **producer), 1, clock.wall_ms())
        assert retried.duplicate
        with pytest.raises(KafkaError) as caught:
            log.write_staged()
    assert caught.value.code == STORAGE_ERROR
    assert log.row() == row
    assert len(content(log)) == size
    assert staged.last_offset >= log.log_end_offset  # so neither it nor its duplicate stands
    assert log.epochs.latest_epoch == 0
    staged = append(log, 2, base_sequence=2, leader_epoch=1, **producer)
    assert (staged.base_offset, staged.duplicate) == (2, False)
    assert log.epochs.entries == [(0, 0), (1, 2)]
    log.close(clean=False)
    assert open_log().log_end_offset == 4


def test_a_disk_that_fails_takes_the_log_offline(open_log, append, monkeypatch, tmp_path):
    log = open_log()
    append(log)
    monkeypatch.setattr(os, "pwritev", fail_with(errno.EIO))
    with pytest.raises(LogDirFailed) as caught:
        append(log)
    assert caught.value.directory == str(tmp_path)
    assert log.row().state == PartitionRowState.OFFLINE
    with pytest.raises(KafkaError) as refused:
        append(log)
    assert refused.value.code == STORAGE_ERROR


def test_a_full_disk_at_a_roll_is_told_to_all_who_staged(open_log, batch, append, clock, monkeypatch):
    log = open_log(SMALL)
    fill(log, append, 3)
    end = log.log_end_offset
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", fail_with(errno.ENOSPC))
        log.stage(batch(1), 0, clock.wall_ms())
        with pytest.raises(KafkaError):
            log.stage(batch(1, value=bytes(800)), 0, clock.wall_ms())
        with pytest.raises(KafkaError):
            log.write_staged()
    assert log.log_end_offset == end
    append(log, 1, value=bytes(800))
    assert log.log_end_offset == end + 1


def test_a_full_disk_when_making_the_next_segment(open_log, append, monkeypatch):
    log = open_log(SMALL)
    fill(log, append, 3)
    before = log.row()
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", lambda *arguments: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
        with pytest.raises(KafkaError) as caught:
            log.roll()
    assert caught.value.code == STORAGE_ERROR
    assert log.row() == before
    fill(log, append, 30)
    assert offsets(log)[-1] == (64, 65)


# -------------------------------------------------------------------------------------------- rolling


def test_segments_roll_by_size_and_hold_everything(open_log, append):
    log = open_log(SMALL)
    fill(log, append, 50)
    bases = log.segment_base_offsets
    assert len(bases) > 4
    assert all(os.path.getsize(f"{log.directory}/{base:020d}.log") <= 1000 for base in bases)
    assert offsets(log) == [(number * 2, number * 2 + 1) for number in range(50)]
    assert snapshot_offsets(log.directory) == bases[1:]
    assert log.row().size_bytes == len(content(log))


def test_a_sealed_segments_time_index_ends_with_its_largest_timestamp(open_log, append):
    log = open_log(SMALL)
    append(log, 1, 5000)
    append(log, 1, 400)
    log.roll()
    with open(f"{log.directory}/{0:020d}.timeindex", "rb") as file:
        assert file.read() == (5000).to_bytes(8, "big") + (0).to_bytes(4, "big")


def test_segments_roll_by_record_time(open_log, append):
    log = open_log(LogConfig(segment_ms=1000))
    append(log, 1, 10_000)
    append(log, 1, 11_000)
    assert log.segment_base_offsets == [0]
    append(log, 1, 11_001)
    assert log.segment_base_offsets == [0, 2]


def test_segments_without_timestamps_roll_by_the_clock(open_log, append, clock):
    log = open_log(LogConfig(segment_ms=1000))
    append(log, 1, -1)
    clock.advance(1000)
    append(log, 1, -1)
    clock.advance(1)
    append(log, 1, -1)
    assert log.segment_base_offsets == [0, 2]


def test_segments_roll_when_an_index_is_full(open_log, append):
    log = open_log(LogConfig(index_interval_bytes=0, segment_index_bytes=80))
    fill(log, append, 40)
    for base_offset in log.segment_base_offsets:
        assert os.path.getsize(f"{log.directory}/{base_offset:020d}.timeindex") <= 80
    assert len(log.segment_base_offsets) > 3


def test_a_segment_holds_only_offsets_its_index_can_express(open_log, batch, clock):
    log = open_log(replicated=True)
    for base_offset in (0, 2**31 - 1, 2**31, 2**33):
        log.stage_replicated(batch(1, base_offset=base_offset, partition_leader_epoch=0), clock.wall_ms())
        log.write_staged()
    assert log.segment_base_offsets == [0, 2**31, 2**33]
    log.close(clean=False)
    assert open_log(replicated=True).log_end_offset == 2**33 + 1


def test_an_empty_segment_is_not_rolled(open_log):
    log = open_log()
    log.roll()
    assert log.segment_base_offsets == [0]


# -------------------------------------------------------------------------------------------- replication


def test_a_follower_keeps_its_leaders_offsets_and_epochs(open_log, batch, clock):
    log = open_log(replicated=True)
    run = bytes(batch(2, base_offset=10, partition_leader_epoch=3)) + bytes(
        batch(2, base_offset=15, partition_leader_epoch=4)
    )
    assert log.stage_replicated(memoryview(bytearray(run)), clock.wall_ms()) == 17
    log.write_staged()
    assert offsets(log) == [(10, 11), (15, 16)]
    assert log.epochs.entries == [(3, 10), (4, 15)]
    assert log.row().high_watermark == 0
    assert log.update_high_watermark(99)
    assert not log.update_high_watermark(17)
    assert log.row().high_watermark == 17
    with pytest.raises(KafkaError) as caught:
        log.stage_replicated(batch(1, base_offset=16), clock.wall_ms())
    assert caught.value.code == OFFSET_OUT_OF_RANGE


# -------------------------------------------------------------------------------------------- flushing


def test_a_flush_moves_the_recovery_point(open_log, append):
    log = open_log(SMALL)
    fill(log, append, 20)
    assert log.unflushed_records == 40
    assert log.rolled_unflushed
    plan = log.flush_plan(sealed_only=True)
    active = log.row().active_base_offset
    fill(log, append, 1)  # the log goes on while the plan runs elsewhere
    plan.run()
    log.flushed(plan)
    assert log.recovery_point == active
    log.flushed(log.flush_plan(sealed_only=True))
    assert not log.rolled_unflushed
    log.flush()
    assert log.recovery_point == log.log_end_offset


def test_a_plan_overtaken_by_a_truncation_proves_nothing(open_log, append):
    log = open_log()
    fill(log, append, 20)
    plan = log.flush_plan()
    plan.run()
    log.truncate_to(10)
    fill(log, append, 20)
    log.flushed(plan)
    assert log.recovery_point == 0


def test_flush_is_due_by_records_and_by_time(open_log, append, clock):
    log = open_log(LogConfig(flush_messages=4, flush_ms=1000))
    assert not log.flush_due(clock.wall_ms() + 5000)  # nothing to flush
    append(log, 3)
    assert not log.flush_due(clock.wall_ms())
    assert log.flush_due(clock.wall_ms() + 1000)
    append(log, 1)
    assert log.flush_due(clock.wall_ms())


# -------------------------------------------------------------------------------------------- deleting, cutting


def test_retention_by_time_moves_the_log_start(open_log, append, clock):
    log = open_log(LogConfig(segment_bytes=1000, retention_ms=10_000, file_delete_delay_ms=500))
    fill(log, append, 20)
    old = log.segment_base_offsets
    append(log, 1, clock.wall_ms())  # so much newer that it begins a segment
    version = log.segments_version
    deleted = log.delete_old_segments(clock.wall_ms())
    assert deleted == len(old)
    assert log.log_start_offset == log.segment_base_offsets[0]
    assert log.segments_version != version
    assert log.epochs.entries == [(0, log.log_start_offset)]
    assert {pending.due_ms for pending in log.pending_deletes} == {clock.wall_ms() + 500}
    assert sorted(os.path.basename(pending.path) for pending in log.pending_deletes) == names(log, ".deleted")
    assert log.delete_old_segments(clock.wall_ms()) == 0


def test_the_active_segment_ages_too(open_log, append, clock):
    log = open_log(LogConfig(retention_ms=10_000))
    append(log, 3)
    assert log.delete_old_segments(clock.wall_ms()) == 1
    assert (log.log_start_offset, log.log_end_offset, log.segment_base_offsets) == (3, 3, [3])
    assert log.row().max_timestamp == -1
    assert append(log, 1, clock.wall_ms()).base_offset == 3


def test_retention_by_size(open_log, append):
    log = open_log(LogConfig(segment_bytes=1000, retention_ms=-1, retention_bytes=2500))
    fill(log, append, 50)
    log.delete_old_segments(0)
    assert 2500 <= log.row().size_bytes < 3500


def test_records_are_deleted_up_to_an_offset(open_log, append):
    log = open_log(SMALL)
    fill(log, append, 50)
    assert log.advance_log_start(31)
    assert not log.advance_log_start(30)
    assert log.row().log_start_offset == 31
    log.delete_old_segments(0)
    assert log.segment_base_offsets[0] <= 31 < log.segment_base_offsets[1]
    with pytest.raises(KafkaError) as caught:
        log.advance_log_start(101)
    assert caught.value.code == OFFSET_OUT_OF_RANGE
    assert log.advance_log_start(-1)
    assert log.log_start_offset == 100
    log.close()
    assert open_log(SMALL, clean_shutdown=True, log_start_offset=100).log_start_offset == 100


@pytest.mark.parametrize("offset", [0, 1, 2, 33, 50, 98, 99])
def test_truncation_leaves_what_is_below(open_log, append, offset, clock):
    log = open_log(SMALL)
    for number in range(50):
        append(log, 2, clock.wall_ms() + number, producer_id=9, producer_epoch=0, base_sequence=number * 2)
    log.flush()
    version = log.segments_version
    assert log.truncate_to(offset)
    kept = [(first, last) for first, last in ((n * 2, n * 2 + 1) for n in range(50)) if last < offset]
    assert offsets(log) == kept
    row = log.row()
    assert row.log_end_offset == row.high_watermark == log.recovery_point == offset
    assert row.segments_version != version
    assert row.max_timestamp == (clock.wall_ms() + kept[-1][0] // 2 + 1 if kept else -1)
    if kept:
        assert log.producers.entries[9].batches[-1].last_sequence == kept[-1][1]
    else:
        assert log.producers.entries == {}
    assert append(log, 2).base_offset == offset
    log.close(clean=False)
    assert open_log(SMALL).log_end_offset == offset + 2


def test_truncating_past_the_end_does_nothing(open_log, append):
    log = open_log()
    append(log)
    assert not log.truncate_to(1)


def test_starting_afresh_at_another_offset(open_log, append, clock):
    log = open_log(SMALL)
    fill(log, append, 20)
    log.truncate_fully_and_start_at(1000)
    row = log.row()
    assert (row.log_start_offset, row.high_watermark, row.log_end_offset, row.size_bytes) == (1000, 1000, 1000, 0)
    assert append(log).base_offset == 1000
    assert log.epochs.entries == [(0, 1000)]


def test_a_deleted_partition_is_renamed(open_log, append, tmp_path):
    log = open_log()
    append(log)
    log.delete()
    (pending,) = log.pending_deletes
    (name,) = os.listdir(tmp_path)
    assert pending.path == f"{tmp_path}/{name}"
    assert name.startswith("t-0.")
    assert name.endswith("-delete")


def test_a_directory_belongs_to_one_topic_id(open_log):
    open_log(topic_id=b"a" * 16).close()
    assert open_log().topic_id == b"a" * 16
    with pytest.raises(KafkaError) as caught:
        open_log(topic_id=b"b" * 16)
    assert caught.value.code == INCONSISTENT_TOPIC_ID


def test_the_timestamp_type_can_change(open_log, append, clock):
    log = open_log()
    assert append(log).log_append_time_ms == -1
    log.update_config(LogConfig(message_timestamp_type="LogAppendTime"))
    assert append(log).log_append_time_ms == clock.wall_ms()


def test_a_leader_epoch_begins_where_the_log_ends(open_log, append):
    log = open_log()
    append(log, 3)
    log.begin_leader_epoch(4)
    log.begin_leader_epoch(4)
    assert log.row().leader_epoch == 4
    assert log.epochs.end_offset_for(0, log.log_end_offset) == (0, 3)
    append(log, 1, leader_epoch=4)
    assert log.epochs.entries == [(0, 0), (4, 3)]


def test_a_preallocated_segment_gives_its_space_back(open_log, append):
    config = LogConfig(segment_bytes=1000, preallocate=True)
    log = open_log(config)
    append(log, 2)
    assert os.path.getsize(f"{log.directory}/{0:020d}.log") == 1000
    log.roll()
    assert os.path.getsize(f"{log.directory}/{0:020d}.log") < 1000
    append(log, 2)
    log.close_files()  # killed: the rest of the file is zeros
    log = open_log(config)
    assert log.log_end_offset == 4
    append(log, 2)
    log.close()
    assert offsets(log) == [(0, 1), (2, 3), (4, 5)]


def test_a_zombies_marker_is_refused_where_this_broker_leads(open_log, append, clock):
    from kbroker.protocol.record_batch import BatchBuilder

    log = open_log()
    append(log, 1, clock.wall_ms(), producer_id=9, producer_epoch=3, base_sequence=0, is_transactional=True)
    marker = BatchBuilder(producer_id=9, producer_epoch=2, is_transactional=True, is_control=True)
    marker.append(b"\0\0\0\1", b"\0\0\0\0\0\5", clock.wall_ms())
    with pytest.raises(KafkaError):
        log.stage(memoryview(bytearray(marker.build())), 0, clock.wall_ms(), from_client=False)
    assert log.write_staged() == 0
