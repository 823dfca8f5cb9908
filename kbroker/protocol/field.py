"""One line of a message's field table, as the code generator reads it; written with the functions of schema."""

from __future__ import annotations

from typing import Any, ClassVar, Final

LATEST: Final = 0x7FFF
"""Upper end of an open version range."""

NEVER: Final = 0x8000
"""FLEXIBLE_SINCE of messages that have no flexible version; `since` of what never comes."""

EMPTY_LIST: Final = object()
"""Stands for a default that must be a new list for each message."""

NEW_STRUCT: Final = object()
"""Stands for a default that must be a new struct for each message."""


class Tabled:
    """What has a field table: schema.Message, as far as the generator needs to know it."""

    __slots__ = ()

    FIELDS: ClassVar[tuple[Field, ...]]
    FLEXIBLE_SINCE: ClassVar[int]


class Field:
    """
    A field: its kind, the versions that carry it, and what it holds by default.

    kind     "int32", "string", …, "array" or "struct"
    element  what an array or a struct field consists of: a field without name, or a message class
    """

    __slots__ = ("default", "element", "kind", "name", "nullable_since", "since", "tag", "tagged_since", "until")

    def __init__(
        self,
        kind: str,
        since: int,
        until: int,
        nullable_since: int,
        default: Any,
        tag: int,
        tagged_since: int,
        element: Field | type[Tabled] | None = None,
    ) -> None:
        self.kind = kind
        self.since = since
        self.until = until
        self.nullable_since = nullable_since
        self.default = default
        self.tag = tag
        self.tagged_since = tagged_since if tag >= 0 else NEVER
        self.element = element
        self.name = ""

    def in_version(self, version: int) -> bool:
        """Return whether `version` carries the field."""
        return self.since <= version <= self.until

    def is_tagged(self, version: int) -> bool:
        """Return whether `version` carries it in the tagged section."""
        return version >= self.tagged_since

    def is_nullable(self, version: int) -> bool:
        """Return whether None is allowed in `version`."""
        return version >= self.nullable_since
