"""A batch sent twice is stored once; a gap in a producer's sequence is refused; snapshots carry that over a restart."""

from __future__ import annotations

import pytest

from kbroker.errors import KafkaError
from kbroker.storage.producer_state import (
    MAX_SEQUENCE,
    ProducerState,
    decode_snapshot,
    encode_snapshot,
    load_newest_snapshot,
)

OUT_OF_ORDER, INVALID_EPOCH, FENCED = 45, 47, 52


def append(state, sequence, *, epoch=0, count=1, offset=0, timestamp=1000, check=True, transactional=False):
    state.append(7, epoch, sequence, count - 1, offset, timestamp, transactional=transactional, check=check)


def test_the_last_five_batches_are_recognised():
    state = ProducerState()
    for number in range(7):
        append(state, number * 2, count=2, offset=number * 2)
    assert state.find_duplicate(7, 0, 2, 1) is None  # the second batch of seven: forgotten
    assert state.find_duplicate(7, 0, 4, 1).last_offset == 5
    assert state.find_duplicate(7, 0, 12, 1).last_offset == 13
    assert state.find_duplicate(7, 0, 12, 0) is None  # same beginning, other length
    assert state.find_duplicate(7, 1, 12, 1) is None  # other epoch
    assert state.find_duplicate(8, 0, 12, 1) is None


@pytest.mark.parametrize(
    ("epoch", "sequence", "code"),
    [
        pytest.param(5, 10, None, id="the next sequence"),
        pytest.param(5, 11, OUT_OF_ORDER, id="a gap"),
        pytest.param(5, 3, OUT_OF_ORDER, id="an old one that is no duplicate"),
        pytest.param(6, 0, None, id="a new epoch begins with 0"),
        pytest.param(6, 10, OUT_OF_ORDER, id="a new epoch begins with nothing else"),
        pytest.param(4, 10, INVALID_EPOCH, id="an older epoch: a zombie"),
    ],
)
def test_sequences_of_a_known_producer(epoch, sequence, code):
    state = ProducerState()
    append(state, 0, epoch=5, count=10)
    if code is None:
        append(state, sequence, epoch=epoch)
        return
    with pytest.raises(KafkaError) as caught:
        append(state, sequence, epoch=epoch)
    assert caught.value.code == code


def test_an_unknown_producer_may_begin_anywhere():
    """Its earlier batches may have been deleted by retention; it cannot know."""
    state = ProducerState()
    append(state, 4711)
    append(state, 4712)


def test_sequences_wrap_around():
    state = ProducerState()
    append(state, MAX_SEQUENCE - 1, count=2)
    append(state, 0)
    append(state, 1, count=3)
    other = ProducerState()
    append(other, MAX_SEQUENCE, count=3)  # MAX, 0, 1
    append(other, 2)


def test_an_appended_batch_can_be_taken_back():
    state = ProducerState()
    append(state, 0)
    before = state.entries[7]
    append(state, 1)
    state.restore(7, before)
    append(state, 1)
    state.restore(7, None)
    assert state.entries == {}


def test_producers_expire_unless_a_transaction_is_open():
    state = ProducerState()
    append(state, 0, timestamp=1000)
    state.append(8, 0, 0, 0, 5, 1000, transactional=True, check=True)
    assert state.expire(1999, 1000) == 0
    assert state.expire(2000, 1000) == 1
    assert list(state.entries) == [8]
    state.append_marker(8, 0, 3, 1500, check=True)
    assert state.entries[8].transaction_first_offset == -1
    assert state.expire(2500, 1000) == 1


def test_markers_of_an_older_coordinator_are_refused():
    state = ProducerState()
    state.append_marker(7, 1, 3, 1000, check=True)
    with pytest.raises(KafkaError) as caught:
        state.append_marker(7, 1, 2, 1000, check=True)
    assert caught.value.code == FENCED
    append(state, 0, epoch=1)


def test_snapshots_keep_what_is_needed_to_go_on():
    state = ProducerState()
    append(state, 0, count=10, offset=100, timestamp=5)
    append(state, 10, count=5, offset=110, timestamp=6)
    state.append(9, 3, MAX_SEQUENCE, 1, 115, 7, transactional=True, check=True)
    entries = decode_snapshot(encode_snapshot(state))
    assert entries[7].batches == state.entries[7].batches[-1:]
    assert entries[9] == state.entries[9]
    assert entries[7].epoch == 0
    assert entries[7].last_timestamp == 6


def test_the_snapshot_format_is_kafkas():
    """Written by Kafka 3.9's own layout: version, CRC-32C, count, then 46 bytes per producer."""
    state = ProducerState()
    append(state, 3, epoch=1, count=2, offset=10, timestamp=1000)
    content = encode_snapshot(state)
    assert content[:2] == b"\0\1"
    assert content[6:] == bytes.fromhex(
        "00000001" "0000000000000007" "0001" "00000004" "000000000000000b" "00000001"
        "00000000000003e8" "ffffffff" "ffffffffffffffff"
    )  # fmt: skip


@pytest.mark.parametrize("position", [0, 3, 9, 20])
def test_a_damaged_snapshot_is_noticed(position):
    state = ProducerState()
    append(state, 0)
    content = bytearray(encode_snapshot(state))
    content[position] ^= 1
    with pytest.raises(ValueError, match="snapshot"):
        decode_snapshot(bytes(content))
    with pytest.raises(ValueError, match=r"cut off|checksum"):
        decode_snapshot(encode_snapshot(state)[:-1])


def test_the_newest_sound_snapshot_is_loaded(tmp_path):
    state = ProducerState()
    append(state, 0)
    for offset in (10, 20, 30, 40):
        (tmp_path / f"{offset:020d}.snapshot").write_bytes(encode_snapshot(state))
    (tmp_path / f"{30:020d}.snapshot").write_bytes(b"\0\1damaged")
    loaded = ProducerState()
    assert load_newest_snapshot(str(tmp_path), loaded, 0, 35)
    assert loaded.map_end_offset == 20
    assert loaded.entries == state.entries
    assert sorted(path.name[18:20] for path in tmp_path.iterdir()) == ["10", "20"]  # later and damaged ones are gone
