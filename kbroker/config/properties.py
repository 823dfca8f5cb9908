r"""
Reading Java properties files, the format of server.properties.

A logical line is `key=value`, `key:value` or `key value`; it may continue over several natural lines that end in an
odd number of backslashes (white space at the start of the next line is dropped). Lines whose first non-blank character
is `#` or `!` are comments. Escapes: \t \n \r \f, \uXXXX (pairs of surrogates are joined), and a backslash before
anything else is dropped. A `#` further right belongs to the value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from kbroker.errors import ConfigError

_BLANKS = " \t\f"
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_HALF_CHARACTER = re.compile("[\ud800-\udc7f\udd00-\udfff]")
_LINE_END = re.compile(r"\r\n|\n|\r")


class Property(NamedTuple):
    """A key and its value as read, and the number of the line where they start (from 1)."""

    key: str
    value: str
    line: int


def parse_properties(text: str, file_name: str) -> list[Property]:
    r"""
    Return the properties of a file in order, duplicates included.

    text       the file's content
    file_name  for messages

    Raises ConfigError when a \u escape is cut off or not hexadecimal.
    """
    found = []
    for number, line in _logical_lines(text):
        key, value = _split(line)
        try:
            found.append(Property(_unescape(key), _unescape(value), number))
        except ValueError as error:
            raise ConfigError(f"{file_name} line {number}: {error}") from None
    return found


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield (number of the first natural line, joined line) without comments and blank lines."""
    pending = ""
    start = 0
    for number, natural in enumerate(_LINE_END.split(text.removeprefix("\ufeff")), 1):
        line = natural.lstrip(_BLANKS)
        if not start:
            if not line or line[0] in "#!":
                continue
            start = number
        backslashes = len(line) - len(line.rstrip("\\"))
        if backslashes % 2:
            pending += line[:-1]
            continue
        if pending + line:
            yield start, pending + line
        pending = ""
        start = 0
    if pending:
        yield start, pending


def _split(line: str) -> tuple[str, str]:
    """Split at the first unescaped separator; one of `=` and `:` may be surrounded by blanks."""
    position = 0
    while position < len(line) and line[position] not in _BLANKS + "=:":
        position += 2 if line[position] == "\\" else 1
    key = line[:position]
    rest = line[position:].lstrip(_BLANKS)
    if rest[:1] in {"=", ":"}:
        rest = rest[1:].lstrip(_BLANKS)
    return key, rest


def _unescape(text: str) -> str:
    """Return `text` with its escapes resolved; raises ValueError for a bad unicode escape."""
    if "\\" not in text:
        return text
    parts = []
    position = 0
    while position < len(text):
        character = text[position]
        position += 1
        if character != "\\":
            parts.append(character)
            continue
        escape = text[position : position + 1]
        position += 1
        if escape == "u":
            digits = text[position : position + 4]
            if not re.fullmatch(r"[0-9a-fA-F]{4}", digits):
                raise ValueError(f"'\\u{digits}' is no \\uXXXX escape; a literal backslash is written '\\\\'")
            parts.append(chr(int(digits, 16)))
            position += 4
        else:
            parts.append(_ESCAPES.get(escape, escape))
    # Java keeps UTF-16: two escapes may stand for one character. What is left of halves, apart from bytes that were no
    # UTF-8 (kbroker.config.settings), stands for none.
    joined = "".join(parts).encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    return _HALF_CHARACTER.sub("\ufffd", joined)
