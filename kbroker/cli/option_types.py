"""Types of options that the tools share: text for the wire, numbers as wide as the protocol's."""

from __future__ import annotations

from typing import Final

import click


class _WireText(click.ParamType):  # type: ignore[type-arg]  # it takes no argument in older versions of click
    """
    Text that is sent to a broker: UTF-8, whatever the locale has made of the bytes of the command line.

    The client library ends the process when it is given anything else.
    """

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text; fails for bytes that are no UTF-8."""
        try:
            return as_utf8(value).encode().decode()
        except UnicodeError:
            return self.fail(f"{value!a} is no UTF-8 text", param, ctx)


def as_utf8(argument: str) -> str:
    """Return an argument as UTF-8 where a locale without these letters has handed on its bytes; what is none stays."""
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


WIRE_TEXT: Final = _WireText()
INT32: Final = click.IntRange(-(2**31), 2**31 - 1)
INT64: Final = click.IntRange(-(2**63), 2**63 - 1)
PARTITION: Final = click.IntRange(0, 2**31 - 1)
