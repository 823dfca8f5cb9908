"""One worker's logs over several directories: placement, restarts, deletion, upkeep, and a disk that fails alone."""

from __future__ import annotations

import errno
import os
import shutil

import pytest

from kbroker.errors import KafkaError
from kbroker.shared.partition_table import PartitionRowState
from kbroker.storage import checkpoints
from kbroker.storage.log_config import LogConfig
from kbroker.storage.log_manager import LogManager, LogManagerConfig
from kbroker.types import ZERO_UUID, TopicPartition

STORAGE_ERROR = 56
TOPIC_ID = b"i" * 16
HOUR = 3_600_000


def partition(number, topic="t"):
    return TopicPartition(topic, number)


@pytest.fixture
def dirs(tmp_path):
    paths = [str(tmp_path / name) for name in ("one", "two")]
    for path in paths:
        os.mkdir(path)
    return paths


@pytest.fixture
def make(dirs, clock):
    managers = []

    def make_(
        config=None, *, worker=0, log_dirs=None, owns=lambda _: True, was_clean=None, topic_id_of=None, **options
    ):
        log_dirs = log_dirs or dirs
        manager = LogManager(log_dirs, lambda _: config or LogConfig(), clock, worker=worker, **options)
        manager.open_all(
            owns,
            was_clean if was_clean is not None else [False] * len(log_dirs),
            topic_id_of=topic_id_of or (lambda _: ZERO_UUID),
        )
        managers.append(manager)
        return manager

    yield make_
    for manager in managers:
        for log in manager.logs.values():
            log.close_files()


def stop(manager, dirs):
    assert manager.close()
    for log_dir in dirs:
        checkpoints.end_run(log_dir)


def test_new_partitions_go_where_fewest_are(make, dirs):
    manager = make()
    for number in range(6):
        manager.create(partition(number), TOPIC_ID)
    assert [len(os.listdir(path)) for path in dirs] == [3, 3]
    assert sorted(log.log_dir_index for log in manager.logs.values()) == [0, 0, 0, 1, 1, 1]
    assert manager.create(partition(0), TOPIC_ID) is manager.logs[partition(0)]


def test_an_orderly_stop_needs_no_recovery(make, dirs, append):
    manager = make()
    for number in range(4):
        append(manager.create(partition(number), TOPIC_ID), number + 1)
    stop(manager, dirs)
    for log_dir in dirs:
        names = os.listdir(log_dir)
        assert ".kafka_cleanshutdown" in names
        assert not [name for name in names if name.endswith(".0")]  # no parts are left
        for topic_partition, offset in checkpoints.read_offset_checkpoint(
            f"{log_dir}/recovery-point-offset-checkpoint"
        ).items():
            assert offset == topic_partition.partition + 1
    was_clean = [checkpoints.begin_run(log_dir) for log_dir in dirs]
    assert was_clean == [True, True]
    manager = make(was_clean=was_clean)
    assert {key.partition: log.log_end_offset for key, log in manager.logs.items()} == {0: 1, 1: 2, 2: 3, 3: 4}


def test_stopping_an_idle_broker_writes_nothing(make, dirs, append, monkeypatch):
    manager = make()
    append(manager.create(partition(0), TOPIC_ID))
    stop(manager, dirs)
    manager = make(was_clean=[checkpoints.begin_run(log_dir) for log_dir in dirs])
    synced = []
    monkeypatch.setattr("kbroker.storage.log._sync_file", synced.append)
    assert manager.close()
    assert synced == []


def test_workers_share_a_directory(make, dirs, append):
    """Each opens its own partitions; together they leave Kafka's one file."""
    workers = [make(worker=number, owns=lambda key, number=number: key.partition % 2 == number) for number in (0, 1)]
    for number in range(4):
        append(workers[number % 2].create(partition(number), TOPIC_ID), 5)
    for worker in workers:
        assert worker.close()
    for log_dir in dirs:
        checkpoints.end_run(log_dir)
    merged = {}
    for log_dir in dirs:
        merged |= checkpoints.read_offset_checkpoint(f"{log_dir}/recovery-point-offset-checkpoint")
        assert checkpoints.begin_run(log_dir)
    assert merged == {partition(number): 5 for number in range(4)}
    again = make(owns=lambda key: key.partition == 3, was_clean=[True, True])
    assert list(again.logs) == [partition(3)]


def test_a_worker_killed_and_reborn_recovers(make, append, clock):
    manager = make()
    log = manager.create(partition(0), TOPIC_ID)
    append(log, 3)
    log.flush()
    append(log, 2)
    clock.advance(60_000)
    manager.tick(clock.wall_ms())
    for log in manager.logs.values():
        log.close_files()
    log = make().logs[partition(0)]
    assert (log.log_end_offset, log.recovery_point) == (5, 3)


def test_deleted_partitions_are_removed_after_the_delay(make, append, clock, dirs):
    manager = make(LogConfig(file_delete_delay_ms=1000))
    append(manager.create(partition(0), TOPIC_ID))
    manager.delete(partition(0))
    manager.delete(partition(0))
    assert manager.logs == {}
    clock.advance(999)
    manager.tick(clock.wall_ms())
    assert [name for path in dirs for name in os.listdir(path) if name.endswith("-delete")]
    clock.advance(1)
    manager.tick(clock.wall_ms())
    assert not [name for path in dirs for name in os.listdir(path) if name.endswith("-delete")]


def test_a_deletion_interrupted_by_a_restart_is_finished(make, append, clock, dirs):
    manager = make()
    append(manager.create(partition(0), TOPIC_ID))
    manager.delete(partition(0))
    manager = make()
    assert manager.logs == {}
    clock.advance(60_000)
    manager.tick(clock.wall_ms())
    assert not [name for path in dirs for name in os.listdir(path) if name.endswith("-delete")]


def test_a_recreated_topic_does_not_inherit_its_recovery_point(make, append, clock, dirs):
    """Else the new log's batches below it would never be checked after a crash."""
    manager = make(log_dirs=dirs[:1])
    log = manager.create(partition(0), TOPIC_ID)
    for _ in range(10):
        append(log)
    stop(manager, dirs[:1])
    checkpoints.begin_run(dirs[0])
    manager = make(log_dirs=dirs[:1], was_clean=[True])
    manager.delete(partition(0))
    append(manager.create(partition(0), b"j" * 16))
    assert checkpoints.read_merged_checkpoint(dirs[0], checkpoints.RECOVERY_POINT_CHECKPOINT) == {partition(0): 0}


@pytest.mark.parametrize("opened", [True, False])
def test_another_topic_of_the_same_name_is_set_aside(make, append, dirs, opened):
    """The old one was deleted while the broker was down; its data stays for a person to look at."""
    manager = make(log_dirs=dirs[:1])
    append(manager.create(partition(0), TOPIC_ID), 5)
    stop(manager, dirs[:1])
    manager = make(log_dirs=dirs[:1], owns=lambda _: opened, was_clean=[checkpoints.begin_run(dirs[0])])
    log = manager.create(partition(0), b"j" * 16, is_new=False)
    assert (log.topic_id, log.log_end_offset) == (b"j" * 16, 0)
    append(log, 1)
    (stray,) = [name for name in os.listdir(dirs[0]) if name.endswith("-stray")]
    assert checkpoints.read_partition_metadata(f"{dirs[0]}/{stray}") == TOPIC_ID
    assert list(make(log_dirs=dirs[:1]).logs) == [partition(0)]
    assert checkpoints.read_merged_checkpoint(dirs[0], checkpoints.RECOVERY_POINT_CHECKPOINT) == {partition(0): 0}


def test_a_log_left_over_from_a_full_disk_is_opened_where_it_lies(make, append, dirs):
    os.mkdir(f"{dirs[1]}/t-0")
    manager = make(owns=lambda _: False)
    assert manager.create(partition(0), TOPIC_ID).directory == f"{dirs[1]}/t-0"
    assert os.listdir(dirs[0]) == []


def test_of_two_directories_of_a_partition_the_one_with_records_is_its_log(make, append, dirs, caplog):
    first = make(log_dirs=dirs[1:])
    append(first.create(partition(0), TOPIC_ID), 3)
    stop(first, dirs[1:])
    os.mkdir(f"{dirs[0]}/t-0")
    log = make().create(partition(0), TOPIC_ID, is_new=False)
    assert (log.directory, log.log_end_offset) == (f"{dirs[1]}/t-0", 3)
    assert os.listdir(f"{dirs[0]}/t-0") == []
    assert f"left alone: {dirs[0]}/t-0" in caplog.text


def test_a_partition_with_records_in_two_directories_is_not_served_until_one_is_gone(make, append, dirs):
    """The others are."""
    for path in dirs:
        manager = make(log_dirs=[path])
        append(manager.create(partition(0), TOPIC_ID), 1)
        stop(manager, [path])
    manager = make()
    assert manager.create(partition(1), TOPIC_ID).log_end_offset == 0
    with pytest.raises(KafkaError, match=f"{dirs[0]}/t-0 and {dirs[1]}/t-0 both hold its log") as caught:
        manager.create(partition(0), TOPIC_ID, is_new=False)
    assert caught.value.code == STORAGE_ERROR
    os.rename(f"{dirs[0]}/t-0", f"{dirs[0]}/away")
    assert manager.create(partition(0), TOPIC_ID, is_new=False).log_end_offset == 1


def test_a_directory_of_another_topic_beside_the_log_keeps_its_place(make, append, dirs):
    for path, topic_id in zip(dirs, (b"j" * 16, TOPIC_ID), strict=True):
        manager = make(log_dirs=[path])
        append(manager.create(partition(0), topic_id), 1)
        stop(manager, [path])
    before = sorted(os.listdir(f"{dirs[0]}/t-0"))
    manager = make(topic_id_of=lambda _: TOPIC_ID)
    assert manager.create(partition(0), TOPIC_ID, is_new=False).directory == f"{dirs[1]}/t-0"
    assert sorted(os.listdir(f"{dirs[0]}/t-0")) == before


def test_what_lies_where_a_new_partition_should_is_left_alone(make, dirs, tmp_path):
    """Another log directory takes it; without one the partition waits until somebody moves the thing away."""
    os.mkdir(f"{dirs[0]}/t-0")
    open(f"{dirs[0]}/t-0/notes.txt", "w").close()
    (tmp_path / "elsewhere").mkdir()
    os.symlink(tmp_path / "elsewhere", f"{dirs[0]}/t-1")
    assert make(topic_id_of=lambda _: None).create(partition(0), TOPIC_ID).directory == f"{dirs[1]}/t-0"
    alone = make(log_dirs=dirs[:1], topic_id_of=lambda _: None)
    for number in (0, 1):
        with pytest.raises(KafkaError, match=f"t-{number} is in the way of a new partition"):
            alone.create(partition(number), TOPIC_ID)
    assert os.listdir(f"{dirs[0]}/t-0") == ["notes.txt"]
    assert os.listdir(tmp_path / "elsewhere") == []
    os.unlink(f"{dirs[0]}/t-1")
    assert alone.create(partition(1), TOPIC_ID).log_end_offset == 0


def test_partitions_of_unknown_topics_are_not_opened(make, dirs):
    os.mkdir(f"{dirs[0]}/ghost-0")
    assert make(topic_id_of=lambda _: None).logs == {}
    assert os.listdir(f"{dirs[0]}/ghost-0") == []


def test_only_what_is_left_of_logs_is_removed(make, dirs, clock, tmp_path):
    mark = "0123456789abcdef0123456789abcdef"
    for name in (f"t-0.{mark}-delete", f"t-1.{mark}-delete", "t-2.abc-delete", f"t-3.{mark}-stray"):
        os.mkdir(f"{dirs[0]}/{name}")
    open(f"{dirs[0]}/t-1.{mark}-delete/notes.txt", "w").close()
    (tmp_path / "elsewhere").mkdir()
    os.symlink(tmp_path / "elsewhere", f"{dirs[0]}/t-4.{mark}-delete")
    manager = make()
    clock.advance(HOUR)
    manager.tick(clock.wall_ms())
    assert sorted(os.listdir(dirs[0])) == [
        f"t-1.{mark}-delete",
        "t-2.abc-delete",
        f"t-3.{mark}-stray",
        f"t-4.{mark}-delete",
    ]
    assert os.path.isdir(tmp_path / "elsewhere")


def test_strangers_files_in_a_partitions_directory_stay(make, append, dirs):
    manager = make(log_dirs=dirs[:1])
    append(manager.create(partition(0), TOPIC_ID), 2)
    stop(manager, dirs[:1])
    strange = ("notes.tmp", "old.deleted", "application-20241125.log", "a.swap", "b.cleaned", "sub")
    for name in strange:
        os.mkdir(f"{dirs[0]}/t-0/{name}")
    assert make(log_dirs=dirs[:1]).create(partition(0), TOPIC_ID, is_new=False).log_end_offset == 2
    assert set(strange) <= set(os.listdir(f"{dirs[0]}/t-0"))


def test_what_is_no_partition_is_left_alone(make, dirs):
    for name in ("lost+found", "t-0.abc-future", "notes"):
        os.mkdir(f"{dirs[0]}/{name}")
    assert make().logs == {}
    assert len(os.listdir(dirs[0])) == 3


# -------------------------------------------------------------------------------------------- upkeep


def test_retention_runs_when_due_and_tells_what_changed(make, append, clock):
    manager = make(LogConfig(retention_ms=HOUR), intervals=LogManagerConfig(retention_check_interval_ms=5000))
    old, new = (manager.create(partition(number), TOPIC_ID) for number in (0, 1))
    append(old, 1, clock.wall_ms() - 2 * HOUR)
    append(new, 1, clock.wall_ms())
    clock.advance(4999)
    assert manager.tick(clock.wall_ms()) == []
    clock.advance(1)
    assert manager.tick(clock.wall_ms()) == [old]
    assert old.row().log_start_offset == 1
    clock.advance(5000)
    assert manager.tick(clock.wall_ms()) == []


class SetClock:
    """A clock whose wall time was set, as NTP does after a boot."""

    def __init__(self) -> None:
        self.now_ms = 1_700_000_000_000
        self.set_by_ms = 0

    def wall_ms(self) -> int:
        return self.now_ms + self.set_by_ms

    def monotonic_ms(self) -> int:
        return self.now_ms


@pytest.mark.parametrize("set_by_ms", [-HOUR, HOUR], ids=["back", "forward"])
def test_a_clock_that_is_set_neither_puts_work_off_nor_brings_it_forward(dirs, append, set_by_ms):
    clock = SetClock()
    flushed = []
    config = LogConfig(flush_ms=1000, file_delete_delay_ms=60_000)
    manager = LogManager(
        [str(path) for path in dirs], lambda _: config, clock, background=lambda job, done: (job(), done(None))
    )
    log = manager.create(partition(0), TOPIC_ID)
    manager.create(partition(1), TOPIC_ID)
    manager.delete(partition(1))
    clock.set_by_ms = set_by_ms
    append(log, 3)
    manager.tick(clock.wall_ms())
    flushed.append(log.recovery_point)
    clock.now_ms += 30_000
    manager.tick(clock.wall_ms())
    flushed.append(log.recovery_point)
    assert flushed == [0, 3]
    assert [name for path in dirs for name in os.listdir(path) if name.endswith("-delete")]
    clock.now_ms += 30_000
    manager.tick(clock.wall_ms())
    assert not [name for path in dirs for name in os.listdir(path) if name.endswith("-delete")]
    manager.close()


def test_flushes_happen_in_the_background(make, append, clock):
    jobs = []
    manager = make(LogConfig(flush_ms=1000), background=lambda job, done: jobs.append((job, done)))
    log = manager.create(partition(0), TOPIC_ID)
    append(log, 3)
    clock.advance(2000)
    manager.tick(clock.wall_ms())
    clock.advance(2000)
    manager.tick(clock.wall_ms())
    ((job, done),) = jobs  # one at a time per log
    append(log, 1)
    job()
    assert log.recovery_point == 0
    done(None)
    assert log.recovery_point == 3


def test_sealed_segments_are_flushed_without_being_asked(make, append, clock):
    manager = make(LogConfig(segment_bytes=1000))
    log = manager.create(partition(0), TOPIC_ID)
    for _ in range(30):
        append(log, 2)
    clock.advance(1000)
    manager.tick(clock.wall_ms())
    assert 0 < log.recovery_point == log.row().active_base_offset


def test_a_checkpoint_is_written_only_when_it_changed(make, append, clock, dirs, monkeypatch):
    manager = make(log_dirs=dirs[:1])
    append(manager.create(partition(0), TOPIC_ID))
    written = []
    monkeypatch.setattr(
        "kbroker.storage.log_manager.write_offset_checkpoint", lambda path, offsets, durable: written.append(path)
    )
    for _ in range(3):
        clock.advance(HOUR)
        manager.tick(clock.wall_ms())
    assert sorted(map(os.path.basename, written)) == [
        "recovery-point-offset-checkpoint.0",
        "replication-offset-checkpoint.0",
    ]


def test_the_log_start_survives_where_no_segment_tells_it(make, append, dirs):
    manager = make()
    log = manager.create(partition(0), TOPIC_ID)
    append(log, 10)
    log.advance_log_start(4)
    stop(manager, dirs)
    manager = make(was_clean=[checkpoints.begin_run(log_dir) for log_dir in dirs])
    assert manager.logs[partition(0)].log_start_offset == 4


def test_expired_producers_are_forgotten(make, append, clock):
    manager = make(LogConfig(producer_id_expiration_ms=1000))
    log = manager.create(partition(0), TOPIC_ID)
    append(log, 1, clock.wall_ms(), producer_id=9, producer_epoch=0, base_sequence=0)
    clock.advance(600_000)
    manager.tick(clock.wall_ms())
    assert log.producers.entries == {}


# -------------------------------------------------------------------------------------------- failing disks


def test_a_failing_disk_goes_offline_alone(make, append, dirs):
    manager = make()
    logs = [manager.create(partition(number), TOPIC_ID) for number in range(4)]
    failed = manager.fail_dir(0, OSError(5, "Input/output error"))
    assert {log.log_dir_index for log in failed} == {0}
    assert manager.fail_dir(0, OSError(5, "again")) == []
    assert manager.offline_dirs == [dirs[0]]
    for log in logs:
        if log in failed:
            assert log.row().state == PartitionRowState.OFFLINE
            with pytest.raises(KafkaError) as caught:
                append(log)
            assert caught.value.code == STORAGE_ERROR
        else:
            append(log)
    assert manager.create(partition(9), TOPIC_ID).log_dir_index == 1
    with pytest.raises(KafkaError) as caught:
        manager.create(partition(10), TOPIC_ID, is_new=False)  # it may lie in the directory that is offline
    assert caught.value.code == STORAGE_ERROR
    assert not manager.close()  # not an orderly stop


def test_a_directory_that_cannot_be_read_goes_offline_at_the_start(make, dirs, append, monkeypatch):
    manager = make()
    for number in range(2):
        append(manager.create(partition(number), TOPIC_ID))
    lost = manager.logs[partition(0)].log_dir_index
    listdir = os.listdir

    def fail(path):
        if path == dirs[lost]:
            raise OSError(5, "Input/output error")
        return listdir(path)

    monkeypatch.setattr(os, "listdir", fail)
    manager = make()
    assert manager.offline_dirs == [dirs[lost]]
    assert list(manager.logs) == [partition(1)]


def test_a_flush_that_fails_takes_the_directory_offline(make, append, clock, monkeypatch):
    manager = make(LogConfig(flush_messages=1))
    log = manager.create(partition(0), TOPIC_ID)
    append(log)

    def fail(fd):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("kbroker.storage.log._sync_file", fail)
    outcome = []
    manager.flush_in_background(log, log.flush_plan(), outcome.append)
    assert outcome == [False]
    assert manager.tick(clock.wall_ms()) == [log]
    assert log.row().state == PartitionRowState.OFFLINE
    assert log.recovery_point == 0


def test_no_directory_left(make):
    manager = make()
    for index in (0, 1):
        manager.fail_dir(index, OSError(5, "Input/output error"))
    with pytest.raises(KafkaError) as caught:
        manager.create(partition(0), TOPIC_ID)
    assert caught.value.code == STORAGE_ERROR
    assert manager.tick(10**15) == []


def test_much_retention_is_spread_over_several_ticks(make, append, clock, monkeypatch):
    """Appends go on in between."""
    manager = make(LogConfig(retention_ms=HOUR))
    for number in range(5):
        append(manager.create(partition(number), TOPIC_ID), 1, clock.wall_ms() - 2 * HOUR)
    delete = type(manager.logs[partition(0)]).delete_old_segments

    def slow(log, now_ms):
        clock.advance(15)
        return delete(log, now_ms)

    monkeypatch.setattr("kbroker.storage.log.Log.delete_old_segments", slow)
    clock.advance(HOUR)
    changed = [len(manager.tick(clock.wall_ms())) for _ in range(4)]
    assert changed == [2, 2, 1, 0]


# ------------------------------------------------------------------------------- what concerns less than a directory


@pytest.fixture
def refuse(monkeypatch):
    """Have the system refuse to open files for writing whose path ends so, with an error number; 0: no more."""
    refused = {}
    really_open = os.open

    def open_(path, flags, *arguments, **options):
        for ending, number in refused.items():
            if number and str(path).endswith(ending) and flags & (os.O_RDWR | os.O_WRONLY):
                raise OSError(number, os.strerror(number), path)
        return really_open(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", open_)
    return refused


def test_a_fault_of_one_partitions_file_takes_only_that_log_offline_until_it_can_be_opened(make, append, dirs, refuse):
    manager = make(log_dirs=dirs[:1])
    for number in (0, 1):
        append(manager.create(partition(number), TOPIC_ID), 2)
        manager.logs[partition(number)].close_files()
    refuse["t-0/00000000000000000000.log"] = errno.EACCES
    with pytest.raises(KafkaError, match="give the broker's user access") as caught:
        append(manager.logs[partition(0)])
    assert caught.value.code == STORAGE_ERROR
    assert manager.logs[partition(0)].row().state == PartitionRowState.OFFLINE
    append(manager.logs[partition(1)])
    assert manager.offline_dirs == []
    refuse.clear()
    log = manager.create(partition(0), TOPIC_ID, is_new=False)
    assert (log.row().state, log.log_end_offset) == (PartitionRowState.ONLINE, 2)
    append(log)


def test_deleted_records_stay_deleted_when_a_log_is_opened_again_after_a_fault(make, append, dirs, refuse):
    """Also while the checkpoint does not tell of them yet."""
    manager = make(log_dirs=dirs[:1])
    log = manager.create(partition(0), TOPIC_ID)
    append(log, 5)
    log.advance_log_start(3)
    log.close_files()
    refuse["t-0/00000000000000000000.log"] = errno.EACCES
    with pytest.raises(KafkaError):
        append(log)
    refuse.clear()
    log = manager.create(partition(0), TOPIC_ID, is_new=False)
    assert (log.log_start_offset, log.log_end_offset) == (3, 5)


def test_a_log_that_could_not_be_checked_makes_no_orderly_stop(make, append, dirs, refuse):
    """The next start would take what a crash left of it for whole."""
    manager = make(log_dirs=dirs[:1])
    append(manager.create(partition(0), TOPIC_ID))
    manager.close()
    refuse["t-0/00000000000000000000.log"] = errno.EACCES
    manager = make(log_dirs=dirs[:1])
    assert partition(0) not in manager.logs
    assert not manager.close()
    refuse.clear()
    assert make(log_dirs=dirs[:1]).close()


def test_a_log_that_is_offline_makes_no_orderly_stop(make, append, dirs, refuse):
    """It was not flushed."""
    manager = make(log_dirs=dirs[:1])
    log = manager.create(partition(0), TOPIC_ID)
    append(log)
    log.close_files()
    refuse["t-0/00000000000000000000.log"] = errno.EACCES
    with pytest.raises(KafkaError):
        append(log)
    assert not manager.close()


def test_a_log_that_nobody_has_touched_since_an_orderly_stop_hinders_none(make, append, dirs):
    for path in dirs:
        manager = make(log_dirs=[path])
        append(manager.create(partition(0), TOPIC_ID), 1)
        stop(manager, [path])
    assert make(was_clean=[True, True]).close()
    assert not make(was_clean=[True, False]).close()


def test_a_shortage_of_descriptors_is_met_with_those_of_idle_logs(make, append, dirs, monkeypatch):
    manager = make(log_dirs=dirs[:1])
    for number in range(4):
        append(manager.create(partition(number), TOPIC_ID))
    really_open, room = os.open, [0]

    def open_(*arguments, **options):
        if not room[0]:
            raise OSError(errno.EMFILE, "Too many open files")
        room[0] -= 1
        return really_open(*arguments, **options)

    close_files = type(manager.logs[partition(0)]).close_files

    def freed(log):
        was_open = close_files(log)
        room[0] += 10 * was_open
        return was_open

    manager.logs[partition(3)].close_files()
    monkeypatch.setattr("kbroker.storage.log.Log.close_files", freed)
    monkeypatch.setattr(os, "open", open_)
    append(manager.logs[partition(3)])
    room[0] = 0
    assert manager.create(partition(4), TOPIC_ID).log_end_offset == 0
    room[0] = 0
    for log in manager.logs.values():
        close_files(log)
    with pytest.raises(KafkaError, match="ulimit"):
        append(manager.logs[partition(1)])
    room[0] = 100
    append(manager.logs[partition(1)])
    assert manager.offline_dirs == []


def test_a_file_that_may_grow_no_larger_is_followed_by_a_new_segment(make, append, dirs, monkeypatch):
    manager = make(log_dirs=dirs[:1])
    log = manager.create(partition(0), TOPIC_ID)
    append(log, 3)
    pwritev = os.pwritev

    def limited(fd, buffers, position):
        if position:
            raise OSError(errno.EFBIG, "File too large")
        return pwritev(fd, buffers, position)

    monkeypatch.setattr(os, "pwritev", limited)
    with pytest.raises(KafkaError, match="files grow larger"):
        append(log)
    append(log)
    assert log.segment_base_offsets == [0, 3]
    assert (log.row().state, log.log_end_offset) == (PartitionRowState.ONLINE, 4)


def test_a_log_whose_file_was_removed_is_offline_until_the_restart(make, append, dirs, clock):
    """What it acknowledged is gone; to go on with an empty log would tell nobody."""
    manager = make(log_dirs=dirs[:1])
    for number in (0, 1):
        append(manager.create(partition(number), TOPIC_ID))
    shutil.rmtree(f"{dirs[0]}/t-0")
    clock.advance(1000)
    assert manager.tick(clock.wall_ms()) == [manager.logs[partition(0)]]
    with pytest.raises(KafkaError, match="removed under the broker"):
        manager.create(partition(0), TOPIC_ID, is_new=False)
    append(manager.logs[partition(1)])
    assert manager.offline_dirs == []
    assert not os.path.exists(f"{dirs[0]}/t-0")


def test_a_directory_that_was_removed_is_offline_and_not_made_anew(make, append, dirs, clock):
    manager = make(log_dirs=dirs[:1])
    append(manager.create(partition(0), TOPIC_ID))
    shutil.rmtree(dirs[0])
    with pytest.raises(KafkaError):
        manager.create(partition(1), TOPIC_ID)
    assert not os.path.exists(dirs[0])
    assert manager.offline_dirs == dirs[:1]
    assert manager.tick(clock.wall_ms()) == [manager.logs[partition(0)]]


def test_a_checkpoint_that_cannot_be_written_is_tried_again(make, append, dirs, clock, refuse, caplog):
    manager = make(log_dirs=dirs[:1])
    append(manager.create(partition(0), TOPIC_ID))
    refuse["replication-offset-checkpoint.0.tmp"] = errno.EISDIR
    clock.advance(60_000)
    assert manager.tick(clock.wall_ms()) == []
    assert "replication-offset-checkpoint of log directory" in caplog.text
    assert manager.offline_dirs == []
    refuse.clear()
    clock.advance(60_000)
    manager.tick(clock.wall_ms())
    assert checkpoints.read_merged_checkpoint(dirs[0], checkpoints.REPLICATION_CHECKPOINT) == {partition(0): 1}


def test_something_else_in_a_checkpoints_place_takes_no_directory_down(make, append, dirs, caplog):
    manager = make(log_dirs=dirs[:1])
    append(manager.create(partition(0), TOPIC_ID), 2)
    stop(manager, dirs[:1])
    os.mkdir(f"{dirs[0]}/recovery-point-offset-checkpoint.7")
    manager = make(log_dirs=dirs[:1], was_clean=[True])
    assert manager.logs[partition(0)].log_end_offset == 2
    assert manager.offline_dirs == []
    assert "going on without it" in caplog.text


def test_a_flush_that_a_deletion_overtook_is_no_fault(make, append, dirs, caplog):
    flushes = []
    manager = make(log_dirs=dirs[:1], background=lambda _job, done: flushes.append(done))
    log = manager.create(partition(0), TOPIC_ID)
    append(log)
    manager.flush_in_background(log, log.flush_plan())
    manager.delete(partition(0))
    again = manager.create(partition(0), TOPIC_ID)
    flushes[0](FileNotFoundError(errno.ENOENT, "No such file or directory"))
    assert manager.tick(0) == []
    assert again.state == PartitionRowState.ONLINE
    assert "not flushed" not in caplog.text


def test_a_flush_without_descriptors_is_tried_again(make, append, clock, dirs, monkeypatch):
    manager = make(LogConfig(flush_messages=1), log_dirs=dirs[:1])
    log = manager.create(partition(0), TOPIC_ID)
    append(log)
    really_open = os.open

    def refused(*_arguments, **_options):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "open", refused)
    outcome = []
    manager.flush_in_background(log, log.flush_plan(), outcome.append)
    assert (outcome, manager.offline_dirs, log.row().state) == ([False], [], PartitionRowState.ONLINE)
    monkeypatch.setattr(os, "open", really_open)
    clock.advance(1000)
    manager.tick(clock.wall_ms())
    assert log.recovery_point == 1
