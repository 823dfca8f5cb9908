"""Directories the store does not know become topics again; what is no partition, and what was deleted, does not."""

from __future__ import annotations

import os
from struct import pack
from zlib import crc32

import pytest

from kbroker.cluster.adoption import AdoptedTopic, AdoptionPlan, plan_adoption
from kbroker.metadata.image import PartitionState, TopicState
from kbroker.protocol.record_batch import BatchBuilder
from kbroker.storage.checkpoints import write_partition_metadata

A, B = b"a" * 16, b"b" * 16


@pytest.fixture
def log_dir(tmp_path):
    (tmp_path / "logs").mkdir()
    return str(tmp_path / "logs")


def partition(log_dir, name, topic_id=None, epochs=None, segment=True):
    directory = f"{log_dir}/{name}"
    os.makedirs(directory)
    if segment:
        open(f"{directory}/00000000000000000000.log", "wb").close()
    if topic_id is not None:
        write_partition_metadata(directory, topic_id)
    if epochs is not None:
        lines = "".join(f"{epoch} {offset}\n" for epoch, offset in epochs)
        with open(f"{directory}/leader-epoch-checkpoint", "w") as file:
            file.write(f"0\n{len(epochs)}\n{lines}")
    return directory


def known(name, topic_id, partitions):
    states = tuple(PartitionState(index, index, 0, 0, 0, (0,), (0,)) for index in range(partitions))
    return {name: TopicState(name, topic_id, states)}


def test_nothing_unknown_is_nothing_to_tell(log_dir):
    partition(log_dir, "a-0", A)
    assert plan_adoption([log_dir], known("a", A, 1), {}) == AdoptionPlan()


def test_a_directory_of_kafka_is_adopted(log_dir, tmp_path):
    (tmp_path / "more").mkdir()
    partition(log_dir, "a-0", A, epochs=[(0, 0), (4, 17)])
    partition(str(tmp_path / "more"), "a-2", A, epochs=[])
    partition(log_dir, "with-dashes.and_dots-0")
    partition(log_dir, "__consumer_offsets-0", B)
    plan = plan_adoption([log_dir, str(tmp_path / "more")], {}, {})
    assert plan.topics == (
        AdoptedTopic("__consumer_offsets", B, (0,), frozenset({0})),
        AdoptedTopic("a", A, (5, 0, 0), frozenset({0, 2})),
        AdoptedTopic("with-dashes.and_dots", None, (0,), frozenset({0})),
    )
    assert "adopted 3 topic(s) with 4 partition(s)" in plan.summary
    assert "__consumer_offsets, a, with-dashes.and_dots" in plan.summary
    assert "\n" not in plan.summary


def test_what_is_no_partition_is_left_alone(log_dir):
    partition(log_dir, "backup-2024", segment=False)
    partition(log_dir, "__cluster_metadata-0", A)
    partition(log_dir, "a-0.0123456789abcdef0123456789abcdef-delete", A)
    partition(log_dir, "a-0.0123456789abcdef0123456789abcdef-future", A)
    partition(log_dir, "lost+found", segment=False)
    open(f"{log_dir}/file-1", "wb").close()
    plan = plan_adoption([log_dir], {}, {})
    assert (plan.topics, plan.garbage, plan.summary) == ((), (), "")
    assert "\n" not in plan.strangers
    for told in ("backup-2024 (holds no log)", "-future (a copy", "lost+found (no partition's name)"):
        assert told in plan.strangers
    assert "__cluster_metadata" not in plan.strangers
    assert "-delete" not in plan.strangers


def test_a_segment_that_is_none_makes_no_partition(log_dir):
    """Nor does a name that only looks like a segment's."""
    for name in ("a-0/00000000000000000000.log", "b-0/application-20241125.log", "c-0/00000000000000000000.log.swp"):
        partition(log_dir, name.partition("/")[0], segment=False)
        with open(f"{log_dir}/{name}", "wb") as file:
            file.write(b"no batch " * 20)
    os.mkdir(f"{log_dir}/d-0")
    os.mkdir(f"{log_dir}/d-0/00000000000000000000.log")
    plan = plan_adoption([log_dir], {}, {})
    assert plan.topics == ()
    assert plan.strangers.count("holds no log") == 4


def test_a_valid_batch_makes_a_partition(log_dir):
    directory = partition(log_dir, "a-0", segment=False)
    builder = BatchBuilder(base_offset=7)
    builder.append(None, b"x")
    with open(f"{directory}/00000000000000000007.log", "wb") as file:
        file.write(builder.build())
    assert [topic.name for topic in plan_adoption([log_dir], {}, {}).topics] == ["a"]


def test_messages_of_old_formats_are_told(log_dir):
    directory = partition(log_dir, "a-0", A)
    body = pack(">bb", 1, 0) + pack(">q", 1000) + pack(">ii", -1, 1) + b"x"
    with open(f"{directory}/00000000000000000000.log", "wb") as file:
        file.write(pack(">qiI", 0, len(body) + 4, crc32(body)) + body)
    plan = plan_adoption([log_dir], {}, {})
    assert [topic.name for topic in plan.topics] == ["a"]
    assert "1 of them begin with messages of a format from before Kafka 0.11" in plan.summary
    assert plan.summary.count("\n") == 0


def test_a_strangers_name_breaks_no_line(log_dir):
    os.mkdir(f"{log_dir}/a\nERROR b-0")
    os.mkdir(os.fsencode(log_dir) + b"/caf\xe9-0")
    plan = plan_adoption([log_dir], {}, {})
    assert "\n" not in plan.strangers
    plan.strangers.encode()
    assert "a\\nERROR b-0" in plan.strangers


def test_links_are_followed_only_to_logs_elsewhere(log_dir, tmp_path):
    partition(log_dir, "a-0", A)
    os.symlink(f"{log_dir}/a-0", f"{log_dir}/b-0")
    os.symlink(f"{log_dir}/a-0", f"{log_dir}/a-1")
    os.symlink("/nonexistent", f"{log_dir}/c-0")
    (tmp_path / "elsewhere").mkdir()
    os.symlink(tmp_path / "elsewhere", f"{log_dir}/d-0")
    partition(str(tmp_path), "other-disk", B)
    os.symlink(tmp_path / "other-disk", f"{log_dir}/e-0")
    plan = plan_adoption([log_dir], {}, {})
    assert {(topic.name, len(topic.leader_epochs)) for topic in plan.topics} == {("a", 1), ("e", 1)}
    assert plan.strangers.count("which lies in log.dirs itself") == 2
    assert "c-0 (a link to nowhere)" in plan.strangers
    assert "d-0 (holds no log)" in plan.strangers


def test_a_copy_of_another_topics_partition_is_left_alone(log_dir):
    partition(log_dir, "a-0", A)
    partition(log_dir, "backup-2024", A)
    plan = plan_adoption([log_dir], known("a", A, 1), {})
    assert plan.topics == ()
    assert "backup-2024 (its partition.metadata names the id of topic a)" in plan.strangers
    plan = plan_adoption([log_dir], {}, {})
    assert [topic.name for topic in plan.topics] == ["a"]
    assert "backup-2024 (its partition.metadata names the id of topic a)" in plan.strangers


def test_what_there_is_no_room_for_is_left_alone(log_dir):
    """A date is no partition number; it must not take the room of real topics, nor stop the start."""
    partition(log_dir, "dump-20241125")
    partition(log_dir, "a-2")
    plan = plan_adoption([log_dir], {}, {}, room=16_000)
    assert [topic.name for topic in plan.topics] == ["a"]
    assert "dump-20241125 (this broker has no room for 20241126 partitions)" in plan.strangers


def test_numbers_as_we_never_write_them_are_no_partitions(log_dir):
    for name in ("a-00", "a-01", "a-2147483648", "a-9999999999"):
        partition(log_dir, name)
    plan = plan_adoption([log_dir], {}, {})
    assert plan.topics == ()
    assert plan.strangers.count("no partition's name") == 4


def test_an_empty_directory_with_a_topic_id_is_a_partition(log_dir):
    partition(log_dir, "a-0", A, segment=False)
    assert [topic.name for topic in plan_adoption([log_dir], {}, {}).topics] == ["a"]


def test_a_known_topic_with_more_partitions_on_disk_grows(log_dir):
    partition(log_dir, "a-0", A)
    partition(log_dir, "a-2", A, epochs=[(1, 0)])
    plan = plan_adoption([log_dir], known("a", A, 1), {})
    assert plan.topics == (AdoptedTopic("a", A, (0, 0, 2), frozenset({2})),)


def test_directories_of_deleted_topics_are_garbage(log_dir):
    garbage = [partition(log_dir, "a-0", A), partition(log_dir, "a-1", A), partition(log_dir, "b-0", B)]
    plan = plan_adoption([log_dir], known("a", b"n" * 16, 1), {A: "a", B: "b"})
    assert plan.garbage == tuple(garbage)
    assert plan.topics == ()
    assert "3 directories of deleted topics" in plan.summary


def test_a_topic_created_again_is_not_garbage(log_dir):
    partition(log_dir, "a-0", B)
    assert plan_adoption([log_dir], known("a", B, 1), {A: "a"}) == AdoptionPlan()


def test_one_partition_in_two_places_is_one_partition(log_dir, tmp_path):
    """Which of the two is its log is told by whoever opens it."""
    partition(log_dir, "a-0", A)
    partition(str(tmp_path / "more"), "a-0", A)
    plan = plan_adoption([log_dir, str(tmp_path / "more")], {}, {})
    assert plan.topics == (AdoptedTopic("a", A, (0,), frozenset({0})),)
    assert plan_adoption([log_dir, str(tmp_path / "more")], known("a", A, 1), {}) == AdoptionPlan()


def test_of_two_topics_of_one_name_one_is_adopted(log_dir):
    """That of the store; else the one with more directories, or with the lowest partition."""
    partition(log_dir, "a-0", A)
    partition(log_dir, "a-1", B)
    plan = plan_adoption([log_dir], {}, {})
    assert plan.topics == (AdoptedTopic("a", A, (0,), frozenset({0})),)
    assert "a-1 (its partition.metadata names another id than most of topic a)" in plan.strangers
    plan = plan_adoption([log_dir], known("a", A, 1), {})
    assert plan.topics == ()
    assert "a-1 (its partition.metadata names another id than topic a has)" in plan.strangers
    partition(log_dir, "a-2", B)
    (topic,) = plan_adoption([log_dir], {}, {}).topics
    assert (topic.topic_id, topic.found) == (B, {1, 2})
