"""Inputs from inputs: what goes wrong in readers of binary formats is a length, a count, a sign, an end too early."""

from __future__ import annotations

import random
from collections.abc import Sequence
from struct import pack_into

_INTERESTING = (-1, 0, 1, 2, 127, 128, 255, 256, 32767, 32768, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, -(2**63))
_VARINTS = (
    b"\x00",
    b"\x01",
    b"\x7f",
    b"\x80\x01",
    b"\xff\xff\xff\xff\x0f",
    b"\xff\xff\xff\xff\x7f",
    b"\x80" * 5,
    b"\xff" * 11,
)


def mutate(data: bytes, chance: random.Random, pool: Sequence[bytes], max_bytes: int = 4096) -> bytes:
    """
    Return `data` with one to four changes.

    pool       other inputs, pieces of which are spliced in
    max_bytes  the longest input made
    """
    content = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4))):
        _CHANGES[int(chance.random() * len(_CHANGES))](content, chance, pool)
    return bytes(content[:max_bytes])


def _flip_bit(content: bytearray, chance: random.Random, _pool: Sequence[bytes]) -> None:
    if content:
        content[int(chance.random() * len(content))] ^= 1 << int(chance.random() * 8)


def _set_byte(content: bytearray, chance: random.Random, _pool: Sequence[bytes]) -> None:
    if content:
        content[int(chance.random() * len(content))] = chance.choice((0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF, 0x2F))


def _set_number(content: bytearray, chance: random.Random, _pool: Sequence[bytes]) -> None:
    form, size = chance.choice(((">H", 2), (">I", 4), (">Q", 8)))
    if len(content) >= size:
        position = int(chance.random() * (len(content) - size + 1))
        pack_into(form, content, position, chance.choice(_INTERESTING) & ((1 << 8 * size) - 1))


def _add_to_byte(content: bytearray, chance: random.Random, _pool: Sequence[bytes]) -> None:
    if content:
        position = int(chance.random() * len(content))
        content[position] = (content[position] + chance.choice((-2, -1, 1, 2))) & 0xFF


def _insert_varint(content: bytearray, chance: random.Random, _pool: Sequence[bytes]) -> None:
    position = int(chance.random() * (len(content) + 1))
    content[position : position + chance.choice((0, 1, 1, 2))] = chance.choice(_VARINTS)


def _truncate(content: bytearray, chance: random.Random, _pool: Sequence[bytes]) -> None:
    del content[int(chance.random() * (len(content) + 1)) :]


def _remove(content: bytearray, chance: random.Random, _pool: Sequence[bytes]) -> None:
    position = int(chance.random() * (len(content) + 1))
    del content[position : position + chance.choice((1, 2, 4, 8))]


def _repeat(content: bytearray, chance: random.Random, _pool: Sequence[bytes]) -> None:
    position = int(chance.random() * (len(content) + 1))
    piece = content[position : position + int(chance.random() * 32)]
    content[position:position] = piece * chance.choice((1, 1, 2, 16))


def _splice(content: bytearray, chance: random.Random, pool: Sequence[bytes]) -> None:
    if pool:
        other = chance.choice(pool)
        start = int(chance.random() * (len(other) + 1))
        position = int(chance.random() * (len(content) + 1))
        content[position:] = other[start:]


_CHANGES = (_flip_bit, _set_byte, _set_number, _set_number, _add_to_byte, _insert_varint, _insert_varint, _truncate,
            _remove, _repeat, _splice)  # fmt: skip
