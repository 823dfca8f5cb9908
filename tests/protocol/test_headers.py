"""Request headers of every kind are read, strange ones as far as possible; response headers fit the request."""

from __future__ import annotations

import pytest

from kbroker.errors import MalformedMessage
from kbroker.protocol.headers import (
    RequestHeader,
    decode_request_header,
    decode_response_header,
    encode_request_header,
    encode_response_header,
)


def test_a_header_of_a_plain_version_ends_after_the_client_id() -> None:
    wire = bytes.fromhex("0000 0008 00000005 0002 6162 ff")
    assert decode_request_header(wire) == RequestHeader(0, 8, 5, "ab", 12)


def test_a_header_of_a_flexible_version_has_a_tagged_section() -> None:
    wire = bytes.fromhex("0000 0009 00000005 0002 6162 00 ff")
    assert decode_request_header(wire) == RequestHeader(0, 9, 5, "ab", 13)
    tagged = bytes.fromhex("0000 0009 00000005 0002 6162 01 63 02 aabb ff")
    assert decode_request_header(tagged) == RequestHeader(0, 9, 5, "ab", 17)


def test_a_header_may_stand_anywhere_and_the_client_id_be_null_or_empty() -> None:
    for client_id in (None, "", "größer"):
        wire = b"???" + encode_request_header(3, 12, -1, client_id) + b"body"
        header = decode_request_header(memoryview(wire), 3)
        assert header == RequestHeader(3, 12, -1, client_id, len(wire) - 4)


def test_controlled_shutdown_version_0_has_no_client_id() -> None:
    wire = encode_request_header(7, 0, 9, "ignored") + bytes.fromhex("00000001")
    assert decode_request_header(wire) == RequestHeader(7, 0, 9, None, 8)
    assert decode_request_header(wire[:8]) == RequestHeader(7, 0, 9, None, 8)
    assert decode_request_header(encode_request_header(7, 1, 9, "c")) == RequestHeader(7, 1, 9, "c", 11)


def test_unknown_apis_and_versions_still_tell_what_to_answer_to() -> None:
    assert decode_request_header(bytes.fromhex("7fff 0001 00000005 0001 61 0102"))[:4] == (0x7FFF, 1, 5, "a")
    assert decode_request_header(bytes.fromhex("0012 0063 00000005 0001 61 00"))[:4] == (18, 99, 5, "a")
    assert decode_request_header(bytes.fromhex("0012 0063 00000005"))[:4] == (18, 99, 5, None)
    assert decode_request_header(bytes.fromhex("0012 0063 00000005 0007 61"))[:4] == (18, 99, 5, None)
    assert decode_request_header(bytes.fromhex("ffff ffff 00000005 0001 ff"))[:4] == (-1, -1, 5, None)
    assert decode_request_header(bytes.fromhex("0000 ffff 00000005 ffff"))[:4] == (0, -1, 5, None)


def test_cut_off_headers_are_malformed() -> None:
    whole = encode_request_header(1, 12, 7, "client")
    for end in range(len(whole)):
        with pytest.raises(MalformedMessage):
            decode_request_header(whole[:end])
    plain = encode_request_header(1, 4, 7, "client")
    for end in range(len(plain)):
        with pytest.raises(MalformedMessage):
            decode_request_header(plain[:end])


def test_a_client_id_that_is_not_utf_8_is_read_with_what_stands_for_unreadable_bytes() -> None:
    plain = decode_request_header(bytes.fromhex("0000 0008 00000005 0002 61ff 77"))
    assert (plain.client_id, plain.body_position) == ("a\N{REPLACEMENT CHARACTER}", 12)
    flexible = decode_request_header(bytes.fromhex("0000 0009 00000005 0001 ff 01 05 02 aabb 77"))
    assert (flexible.client_id, flexible.body_position) == ("\N{REPLACEMENT CHARACTER}", 16)
    with pytest.raises(MalformedMessage):
        decode_request_header(bytes.fromhex("0000 0008 00000005 0005 ff"))


def test_a_client_id_of_negative_length_is_malformed() -> None:
    with pytest.raises(MalformedMessage):
        decode_request_header(bytes.fromhex("0000 0009 00000005 0000 ffffffffff01"))


def test_response_headers_have_tags_in_flexible_versions_but_never_for_api_versions() -> None:
    assert encode_response_header(0, 8, 5) == bytes.fromhex("00000005")
    assert encode_response_header(0, 9, 5) == bytes.fromhex("00000005 00")
    assert encode_response_header(18, 4, -5) == bytes.fromhex("fffffffb")
    assert encode_response_header(18, 0x7FFF, -5) == bytes.fromhex("fffffffb"), "in no version, however new"
    assert encode_response_header(12345, 9, 5) == bytes.fromhex("00000005")
    assert encode_response_header(18, 0x7FFF, 5) == bytes.fromhex("00000005")
    assert encode_response_header(17, 0x7FFF, 5) == bytes.fromhex("00000005")


def test_response_headers_come_back() -> None:
    for key, version in ((0, 8), (0, 9), (18, 4)):
        wire = encode_response_header(key, version, -77)
        assert decode_response_header(b"?" + wire, 1, key, version) == (-77, len(wire) + 1)
        with pytest.raises(MalformedMessage):
            decode_response_header(wire[:-1], 0, key, version)
