"""What one side compresses the other decompresses, in the forms real clients write, and never past the bound."""

from __future__ import annotations

import gzip
import os
import tracemalloc
import zlib

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kbroker.errors import KafkaError
from kbroker.protocol.compression import CompressionType, compress, decompress

CORRUPT_MESSAGE, MESSAGE_TOO_LARGE, UNSUPPORTED_COMPRESSION_TYPE = 2, 10, 76
CODECS = [pytest.param(codec, id=codec.name.lower()) for codec in CompressionType]
REAL_CODECS = CODECS[1:]


@pytest.mark.parametrize("codec", CODECS)
@given(data=st.binary(max_size=300), repeat=st.integers(1, 2000))
def test_data_comes_back_unchanged(codec: int, data: bytes, repeat: int) -> None:
    """Any bytes, from none to several blocks, survive the round trip."""
    plain = data * repeat
    assert decompress(codec, compress(codec, plain), len(plain)) == plain


@pytest.mark.parametrize("codec", CODECS)
def test_incompressible_data_comes_back_unchanged(codec: int) -> None:
    """Blocks that do not shrink are stored as they are."""
    plain = os.urandom(200_000)
    assert decompress(codec, memoryview(compress(codec, memoryview(plain))), 200_000) == plain


@pytest.mark.parametrize("codec", CODECS)
def test_output_past_the_bound_is_refused(codec: int) -> None:
    """One byte more than allowed is an error, not a truncated answer."""
    with pytest.raises(KafkaError) as caught:
        decompress(codec, compress(codec, bytes(100_001)), 100_000)
    assert caught.value.code == MESSAGE_TOO_LARGE


@pytest.mark.parametrize("codec", REAL_CODECS)
def test_a_bomb_does_not_use_memory(codec: int) -> None:
    """64 MiB of zeros in a few bytes cost no more than the bound allows."""
    bomb = bytes(compress(codec, bytes(64 << 20)))
    tracemalloc.start()
    try:
        with pytest.raises(KafkaError):
            decompress(codec, bomb, 1 << 20)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


@pytest.mark.parametrize("codec", REAL_CODECS)
@given(garbage=st.binary(max_size=200))
def test_garbage_is_an_error_with_a_code(codec: int, garbage: bytes) -> None:
    """Nothing but KafkaError escapes a decoder."""
    try:
        decompress(codec, garbage, 1 << 20)
    except KafkaError as error:
        assert error.code in {CORRUPT_MESSAGE, MESSAGE_TOO_LARGE}


@pytest.mark.parametrize("codec", REAL_CODECS)
def test_cut_off_data_is_corrupt(codec: int) -> None:
    """Half a block is never taken for a whole one."""
    whole = bytes(compress(codec, os.urandom(1000) * 50))
    with pytest.raises(KafkaError) as caught:
        decompress(codec, whole[: len(whole) // 2], 1 << 20)
    assert caught.value.code == CORRUPT_MESSAGE


def test_unknown_codecs_are_refused() -> None:
    """Codecs 5 to 7 exist in no Kafka."""
    for call in (lambda: compress(5, b"x"), lambda: decompress(7, b"x", 10)):
        with pytest.raises(KafkaError) as caught:
            call()
        assert caught.value.code == UNSUPPORTED_COMPRESSION_TYPE


def test_foreign_forms_are_read() -> None:
    """What other libraries write: several gzip members, bare snappy, lz4 with checksums, zstd without a size."""
    plain = b"kafka " * 30_000
    assert decompress(CompressionType.GZIP, gzip.compress(plain) + gzip.compress(b"more"), 1 << 20) == plain + b"more"
    assert decompress(CompressionType.SNAPPY, bytes(cramjam.snappy.compress_raw(plain)), 1 << 20) == plain
    assert decompress(CompressionType.LZ4, bytes(cramjam.lz4.compress(plain)), 1 << 20) == plain
    stream = cramjam.zstd.Compressor()
    stream.compress(plain)
    assert decompress(CompressionType.ZSTD, bytes(stream.finish()), 1 << 20) == plain


def test_our_forms_are_what_others_read() -> None:
    """Java reads snappy in its own framing and lz4 frames only when their blocks are independent."""
    plain = b"kafka " * 30_000
    assert bytes(compress(CompressionType.SNAPPY, plain)[:16]) == b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"
    frame = compress(CompressionType.LZ4, plain)
    assert frame[4] & 0x20
    assert bytes(cramjam.lz4.decompress(frame)) == plain
    assert zlib.decompress(compress(CompressionType.GZIP, plain), 31) == plain
