"""Names in a log directory are Kafka's, and nothing else is taken for a partition."""

from __future__ import annotations

import pytest

from kbroker.storage.paths import (
    deleted_directory_name,
    parse_deleted_directory,
    parse_partition_directory,
    parse_segment_name,
    segment_path,
)
from kbroker.types import TopicPartition


def test_segments_are_named_by_twenty_digits():
    assert segment_path("/d/t-0", 255, ".log") == "/d/t-0/00000000000000000255.log"
    assert parse_segment_name("00000000000000000255.timeindex") == (255, ".timeindex")
    assert parse_segment_name("00000000000000000255.log.deleted") == (255, ".log.deleted")
    assert parse_segment_name("leader-epoch-checkpoint") is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("orders-0", TopicPartition("orders", 0), id="plain"),
        pytest.param("a-b.c_d-12", TopicPartition("a-b.c_d", 12), id="topic with dashes and dots"),
        pytest.param("lost+found", None, id="what file systems put there"),
        pytest.param("orders", None, id="no partition"),
        pytest.param("orders-0.0123abcd-delete", None, id="deleted"),
        pytest.param("orders-0.0123abcd-future", None, id="being moved between directories"),
    ],
)
def test_parse_partition_directory(name, expected):
    assert parse_partition_directory(name) == expected


def test_a_deleted_directory_keeps_its_partition_readable_and_fits_a_file_name():
    short = deleted_directory_name(TopicPartition("orders", 3))
    assert parse_deleted_directory(short) == TopicPartition("orders", 3)
    long = deleted_directory_name(TopicPartition("x" * 249, 3))
    assert len(long) == 255
    assert parse_deleted_directory(long).partition == 3
