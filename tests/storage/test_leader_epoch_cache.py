"""Where each leader's epoch began and ended, in Kafka's file."""

from __future__ import annotations

import pytest

from kbroker.storage.leader_epoch_cache import LeaderEpochCache, read_leader_epochs


@pytest.fixture
def cache(tmp_path):
    cache = LeaderEpochCache(str(tmp_path))
    for epoch, start in [(0, 0), (2, 10), (5, 30)]:
        cache.assign(epoch, start)
    return cache


def test_the_file_is_kafkas(cache, tmp_path):
    assert (tmp_path / "leader-epoch-checkpoint").read_text() == "0\n3\n0 0\n2 10\n5 30\n"
    again = LeaderEpochCache(str(tmp_path))
    again.load()
    assert again.entries == cache.entries
    assert again.latest_epoch == 5
    assert not again.damaged


@pytest.mark.parametrize(
    ("requested", "expected"),
    [
        pytest.param(5, (5, 100), id="the current epoch ends at the log's end"),
        pytest.param(2, (2, 30), id="an earlier one where the next began"),
        pytest.param(3, (2, 30), id="one without records: the one before it"),
        pytest.param(9, (-1, -1), id="newer than all"),
        pytest.param(-1, (-1, -1), id="undefined"),
    ],
)
def test_end_offset_for(cache, requested, expected):
    assert cache.end_offset_for(requested, 100) == expected


def test_an_epoch_older_than_all_known_ended_where_they_begin(tmp_path):
    cache = LeaderEpochCache(str(tmp_path))
    assert cache.end_offset_for(3, 0) == (-1, -1)
    cache.assign(4, 7)
    assert cache.end_offset_for(3, 100) == (3, 7)


def test_truncation(cache):
    cache.truncate_from_end(30)
    assert cache.entries == [(0, 0), (2, 10)]
    cache.truncate_from_start(15)
    assert cache.entries == [(2, 15)]
    cache.truncate_from_start(15)
    cache.clear()
    assert cache.latest_epoch == -1


def test_a_later_epoch_at_an_earlier_offset_replaces_what_never_was(cache):
    cache.assign(7, 20)
    assert cache.entries == [(0, 0), (2, 10), (7, 20)]


def test_a_damaged_file_is_none(tmp_path):
    (tmp_path / "leader-epoch-checkpoint").write_text("0\n2\n1 1\n")
    assert read_leader_epochs(str(tmp_path)) is None
    cache = LeaderEpochCache(str(tmp_path))
    cache.load()
    assert cache.damaged
