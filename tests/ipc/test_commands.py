"""What one worker packs, the other unpacks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kbroker.ipc.commands import (
    APPEND_ENTRY,
    APPEND_HEAD,
    COMMAND,
    COMPLETION_ENTRY,
    COMPLETION_HEAD,
    COMPLETION_ONE,
    MAX_APPEND_ENTRIES,
    MESSAGE,
    RING_HEAD,
    SENDER,
    CommandKind,
    ForwardedRequest,
    body_of,
    iterate_commands,
    pack_append,
    pack_command,
    pack_request,
    unpack_request,
)
from kbroker.shared.layout import RING_BYTES
from kbroker.shared.record_ring import RecordRing, region_size

HEADER = SENDER.pack(MESSAGE, 3, 7)
TEXT = st.text(max_size=40)


@given(st.integers(0, 32767), st.integers(0, 32767), TEXT, st.binary(max_size=100), st.integers(0, (1 << 64) - 1))
def test_a_forwarded_request_arrives_as_it_was_sent(
    key: int, version: int, name: str, body: bytes, number: int
) -> None:
    request = ForwardedRequest(key, version, name, "/192.0.2.1", body, 65535)
    message = HEADER + pack_command(CommandKind.HELLO, 1, b"before") + pack_request(number, request)
    first, second = iterate_commands(message)
    assert body_of(message, first) == b"before"
    assert second.command_id == number
    assert unpack_request(message, second) == request


def test_a_client_id_of_any_length_is_forwarded() -> None:
    """A cut in the middle of a character is shown, not fatal."""
    request = ForwardedRequest(1, 1, "ä" * 32767, "/::1", b"body")
    message = HEADER + pack_request(1, request)
    (command,) = iterate_commands(message)
    seen = unpack_request(message, command)
    assert seen.body == b"body"
    assert seen.client_id.startswith("ä" * 16000)


@pytest.mark.parametrize("count", [1, 2, 100])
def test_entries_of_an_append(count: int) -> None:
    entries = [(n, n << 33, n + 100) for n in range(count)]
    message = HEADER + pack_append(9, -1, 30_000, entries) + pack_command(CommandKind.REPLY, 10, b"after")
    append, after = iterate_commands(message)
    assert (append.kind, append.entries, append.command_id) == (CommandKind.APPEND, count, 9)
    assert APPEND_HEAD.unpack_from(message, append.position - COMMAND.size)[4:] == (-1, 30_000)
    first = append.position + APPEND_HEAD.size - COMMAND.size
    assert [APPEND_ENTRY.unpack_from(message, first + n * APPEND_ENTRY.size) for n in range(count)] == entries
    assert body_of(message, after) == b"after"


def test_one_completion_is_laid_out_like_many() -> None:
    assert COMPLETION_ONE.pack(5, 1, 6, 7, 8, 9) == COMPLETION_HEAD.pack(5, 1) + COMPLETION_ENTRY.pack(6, 7, 8, 9)


def test_the_answer_to_the_largest_append_fits_into_the_ring() -> None:
    ring = RecordRing(memoryview(bytearray(region_size(RING_BYTES))), RING_BYTES)
    size = RING_HEAD.size + COMPLETION_HEAD.size + MAX_APPEND_ENTRIES * COMPLETION_ENTRY.size
    assert size <= ring.max_record_bytes
