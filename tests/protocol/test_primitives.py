"""Variable-length integers: known encodings, both directions, bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kbroker.protocol.primitives import (
    PackersByCount,
    UnpackersByCount,
    read_unsigned_varint,
    read_varint,
    read_varlong,
    skip_tagged_fields,
    unsigned_varint,
    varint,
)


@pytest.mark.parametrize(
    ("value", "wire"), [(0, "00"), (1, "01"), (127, "7f"), (128, "8001"), (300, "ac02"), (2**32 - 1, "ffffffff0f")]
)
def test_unsigned_varints_have_kafkas_encoding(value: int, wire: str) -> None:
    assert unsigned_varint(value).hex() == wire
    assert read_unsigned_varint(b"?" + bytes.fromhex(wire) + b"?", 1) == (value, 1 + len(wire) // 2)


@pytest.mark.parametrize(("value", "wire"), [(0, "00"), (-1, "01"), (1, "02"), (-64, "7f"), (64, "8001")])
def test_zigzag_varints_have_kafkas_encoding(value: int, wire: str) -> None:
    assert varint(value).hex() == wire
    assert read_varint(bytes.fromhex(wire), 0) == (value, len(wire) // 2)


@given(st.integers(0, 2**32 - 1))
def test_unsigned_varints_come_back(value: int) -> None:
    assert read_unsigned_varint(unsigned_varint(value), 0)[0] == value


@given(st.integers(-(2**31), 2**31 - 1))
def test_varints_come_back(value: int) -> None:
    assert read_varint(varint(value), 0)[0] == value


@given(st.integers(-(2**63), 2**63 - 1))
def test_varlongs_come_back(value: int) -> None:
    assert read_varlong(varint(value), 0)[0] == value


def test_overlong_varints_are_refused() -> None:
    with pytest.raises(ValueError, match="longer than 5"):
        read_unsigned_varint(b"\x80\x80\x80\x80\x80\x00", 0)
    with pytest.raises(ValueError, match="32 bits"):
        read_unsigned_varint(b"\xff\xff\xff\xff\x10", 0)
    with pytest.raises(ValueError, match="longer than 10"):
        read_varlong(b"\x80" * 10 + b"\x00", 0)
    with pytest.raises(ValueError, match="64 bits"):
        read_varlong(b"\xff" * 9 + b"\x02", 0)


def test_cut_off_varints_are_refused() -> None:
    for read in (read_unsigned_varint, read_varint, read_varlong):
        with pytest.raises(IndexError):
            read(b"\x80\x80", 0)


def test_tagged_sections_are_skipped_whole() -> None:
    assert skip_tagged_fields(b"\0", 0) == 1
    assert skip_tagged_fields(b"?\2\5\1x\7\0?", 1) == 7
    with pytest.raises(IndexError):
        skip_tagged_fields(b"\1\5\2x", 0)


def test_packers_and_unpackers_by_count_agree() -> None:
    unpackers = UnpackersByCount("i")
    for count in (0, 1, 126, 127, 600):
        values = list(range(count))
        compact = PackersByCount("i", compact=True)[count](count + 1, *values)
        plain = PackersByCount("i", compact=False)[count](count, *values)
        assert compact[len(unsigned_varint(count + 1)) :] == plain[4:]
        assert list(unpackers[count](plain, 4)) == values
