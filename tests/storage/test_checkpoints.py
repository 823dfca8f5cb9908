"""The small files of a log directory are Kafka's, survive a crash at any point, and need no lock between workers."""

from __future__ import annotations

import os

import pytest

from kbroker.errors import StartupError
from kbroker.storage import checkpoints
from kbroker.storage.checkpoints import MetaProperties
from kbroker.types import TopicPartition

A, B, C = TopicPartition("a", 0), TopicPartition("b-c", 11), TopicPartition("gone", 1)


@pytest.fixture
def log_dir(tmp_path):
    for topic_partition in (A, B):
        (tmp_path / str(topic_partition)).mkdir()
    return str(tmp_path)


def test_offset_checkpoints_have_kafkas_format(log_dir):
    path = f"{log_dir}/recovery-point-offset-checkpoint"
    assert checkpoints.read_offset_checkpoint(path) == {}
    checkpoints.write_offset_checkpoint(path, {A: 5, B: 2**40})
    with open(path) as file:
        assert file.read() == f"0\n2\na 0 5\nb-c 11 {2**40}\n"
    assert checkpoints.read_offset_checkpoint(path) == {A: 5, B: 2**40}


@pytest.mark.parametrize("content", ["1\n0\n", "0\n2\na 0 5\n", "0\n1\na 0\n", "x"])
def test_a_checkpoint_that_makes_no_sense_names_itself(log_dir, content):
    path = f"{log_dir}/recovery-point-offset-checkpoint"
    with open(path, "w") as file:
        file.write(content)
    with pytest.raises(StartupError, match="recovery-point-offset-checkpoint"):
        checkpoints.read_offset_checkpoint(path)


def test_parts_of_the_workers_win_and_are_folded_in(log_dir):
    name = checkpoints.RECOVERY_POINT_CHECKPOINT
    checkpoints.write_offset_checkpoint(f"{log_dir}/{name}", {A: 1, B: 1, C: 1})
    checkpoints.write_offset_checkpoint(checkpoints.part_path(log_dir, name, 0), {A: 7})
    checkpoints.write_offset_checkpoint(checkpoints.part_path(log_dir, name, 1), {B: 8})
    assert checkpoints.read_merged_checkpoint(log_dir, name) == {A: 7, B: 8, C: 1}
    checkpoints.merge_checkpoints(log_dir)
    assert checkpoints.read_offset_checkpoint(f"{log_dir}/{name}") == {A: 7, B: 8}  # gone-1 has no directory
    assert sorted(os.listdir(log_dir)) == ["a-0", "b-c-11", name]


def test_an_orderly_run_leaves_the_marker_and_the_next_run_takes_it(log_dir):
    assert not checkpoints.begin_run(log_dir)
    checkpoints.write_offset_checkpoint(checkpoints.part_path(log_dir, checkpoints.LOG_START_CHECKPOINT, 3), {A: 7})
    checkpoints.end_run(log_dir, broker_epoch=42)
    with open(f"{log_dir}/.kafka_cleanshutdown") as file:
        assert file.read() == '{"version":0,"brokerEpoch":42}'
    assert checkpoints.read_clean_shutdown(log_dir) == 42
    assert checkpoints.begin_run(log_dir)
    assert checkpoints.read_clean_shutdown(log_dir) is None
    assert not checkpoints.begin_run(log_dir)


def test_the_empty_marker_of_older_kafkas_counts(log_dir):
    with open(f"{log_dir}/.kafka_cleanshutdown", "w"):
        pass
    assert checkpoints.read_clean_shutdown(log_dir) == -1
    assert checkpoints.begin_run(log_dir)


def test_partition_metadata(log_dir):
    directory = f"{log_dir}/a-0"
    assert checkpoints.read_partition_metadata(directory) is None
    checkpoints.write_partition_metadata(directory, bytes(range(16)))
    with open(f"{directory}/partition.metadata") as file:
        assert file.read() == "version: 0\ntopic_id: AAECAwQFBgcICQoLDA0ODw"
    assert checkpoints.read_partition_metadata(directory) == bytes(range(16))


@pytest.mark.parametrize(
    "properties",
    [
        pytest.param(MetaProperties(1, "4L6g3nShT-eMCtK--X86sw", 1, "rbpXlvKnQ3WHjRaGMdSzCw"), id="KRaft"),
        pytest.param(MetaProperties(0, "4L6g3nShT-eMCtK--X86sw", 1001, None), id="ZooKeeper"),
    ],
)
def test_meta_properties_are_read_as_written(log_dir, properties):
    assert checkpoints.read_meta_properties(log_dir) is None
    checkpoints.write_meta_properties(log_dir, properties)
    assert checkpoints.read_meta_properties(log_dir) == properties


def test_meta_properties_written_by_kafka(log_dir):
    with open(f"{log_dir}/meta.properties", "w") as file:
        file.write("#\n#Sat Nov 21 03:57:27 UTC 2026\ncluster.id=4L6g3nShT-eMCtK--X86sw\nversion=0\nbroker.id=3\n")
    assert checkpoints.read_meta_properties(log_dir) == MetaProperties(0, "4L6g3nShT-eMCtK--X86sw", 3, None)
    with open(f"{log_dir}/meta.properties", "w") as file:
        file.write("version=7\n")
    with pytest.raises(StartupError, match="version 7"):
        checkpoints.read_meta_properties(log_dir)


def test_a_replacement_that_fails_leaves_the_old_file(log_dir, monkeypatch):
    path = f"{log_dir}/file"
    checkpoints.replace_file(path, b"old")

    def fail(fd):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        checkpoints.replace_file(path, b"new")
    with open(path, "rb") as file:
        assert file.read() == b"old"
