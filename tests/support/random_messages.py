"""Messages with random content, in any version of any API."""

from __future__ import annotations

import random
from typing import Any

from kbroker.protocol.schema import Field, Message

RANGES = {
    "int8": (-128, 127),
    "int16": (-(2**15), 2**15 - 1),
    "uint16": (0, 2**16 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
}
TEXTS = ("", "a", "topic-1", "größer", "x" * 200)


def random_value(
    field: Field, version: int, chance: random.Random, *, tame: bool = False, texts: tuple[str, ...] = TEXTS
) -> Any:
    """Return a value for `field`; tame ones are such that kio accepts them as a code, a time or a duration."""
    if field.is_nullable(version) and chance.random() < 0.3:
        return None
    if field.kind in RANGES:
        low, high = RANGES[field.kind]
        return chance.randint(0, min(high, 100)) if tame else chance.choice((low, high, 0, -1 if low else 1, 12))
    if field.kind == "boolean":
        return chance.random() < 0.5
    if field.kind == "float64":
        return chance.random() * 100
    if field.kind == "uuid":
        return chance.randbytes(16)
    if field.kind == "string":
        return chance.choice(texts)
    if field.kind == "bytes":
        return chance.randbytes(chance.choice((0, 1, 126, 127, 128, 300)))
    if field.kind == "struct":
        return random_message(field.element, version, chance, tame=tame, texts=texts)
    if not isinstance(field.element, Field):
        return [
            random_message(field.element, version, chance, tame=tame, texts=texts)
            for _ in range(chance.choice((0, 1, 3)))
        ]
    count = chance.choice((0, 1, 3)) if field.element.kind == "string" else chance.choice((0, 1, 3, 126, 127))
    return [random_value(field.element, version, chance, tame=tame, texts=texts) for _ in range(count)]


def random_message(
    cls: Any, version: int, chance: random.Random, *, tame: bool = False, texts: tuple[str, ...] = TEXTS
) -> Any:
    """Return a message of `cls` with all fields of `version` filled in, and tagged ones now and then."""
    return cls(
        **{
            field.name: random_value(field, version, chance, tame=tame, texts=texts)
            for field in cls.FIELDS
            if field.in_version(version) and (not field.is_tagged(version) or chance.random() < 0.5)
        }
    )


def versions_of(cls: type[Message]) -> range:
    """Return the versions a message has."""
    assert cls.VERSIONS is not None
    return range(cls.VERSIONS[0], cls.VERSIONS[1] + 1)
