"""Directories the store does not know become topics again; what is no partition, and what was deleted, does not."""

from __future__ import annotations

import os

import pytest

from kbroker.cluster.adoption import AdoptedTopic, AdoptionPlan, plan_adoption
from kbroker.errors import StartupError
from kbroker.metadata.image import PartitionState, TopicState
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
    assert plan_adoption([log_dir], {}, {}) == AdoptionPlan()


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


def test_one_partition_in_two_places_is_explained(log_dir, tmp_path):
    partition(log_dir, "a-0", A)
    partition(str(tmp_path / "more"), "a-0", A)
    with pytest.raises(StartupError, match=r"more/a-0 and .*logs/a-0 both hold partition 0 of topic a"):
        plan_adoption([log_dir, str(tmp_path / "more")], {}, {})
    with pytest.raises(StartupError, match="both hold"):
        plan_adoption([log_dir, str(tmp_path / "more")], known("a", A, 1), {})


def test_two_topics_of_one_name_are_explained(log_dir):
    partition(log_dir, "a-0", A)
    partition(log_dir, "a-1", B)
    with pytest.raises(StartupError, match=r"different topic ids for topic a"):
        plan_adoption([log_dir], {}, {})
    with pytest.raises(StartupError, match=r"a-1 belongs to another topic a"):
        plan_adoption([log_dir], known("a", A, 1), {})
