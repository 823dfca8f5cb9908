"""server.properties is read as Java reads properties files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kbroker.config.properties import Property, parse_properties
from kbroker.errors import ConfigError


def pairs(text: str) -> list[tuple[str, str]]:
    return [(one.key, one.value) for one in parse_properties(text, "server.properties")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a=b", [("a", "b")], id="equals sign"),
        pytest.param("a:b", [("a", "b")], id="colon"),
        pytest.param("a b", [("a", "b")], id="blank"),
        pytest.param("a\t=\tb", [("a", "b")], id="blanks around the separator"),
        pytest.param("  a = b ", [("a", "b ")], id="blanks in front are dropped, at the end they stay"),
        pytest.param("a = = b", [("a", "= b")], id="only the first separator counts"),
        pytest.param("a=b=c:d", [("a", "b=c:d")], id="separators in the value"),
        pytest.param("a", [("a", "")], id="no value"),
        pytest.param("=b", [("", "b")], id="no key"),
        pytest.param("# c\n  ! c\n\n \na=b", [("a", "b")], id="comments and blank lines"),
        pytest.param("a=b # c", [("a", "b # c")], id="a hash behind a value belongs to it"),
        pytest.param("a=b,\\\n   c,\\\n\td\ne=f", [("a", "b,c,d"), ("e", "f")], id="continued lines"),
        pytest.param("a=b\\\\\nc=d", [("a", "b\\"), ("c", "d")], id="an escaped backslash continues nothing"),
        pytest.param("a=b\\\n# c\nd=e", [("a", "b# c"), ("d", "e")], id="a continuation is no comment"),
        pytest.param("# c\\\na=b", [("a", "b")], id="a comment is not continued"),
        pytest.param("a=b\\", [("a", "b")], id="continued at the end of the file"),
        pytest.param("a=\\\n\nb=c", [("a", ""), ("b", "c")], id="continued by an empty line"),
        pytest.param("a\\ b\\=c\\:d=e", [("a b=c:d", "e")], id="escaped separators in a key"),
        pytest.param("a=\\t\\n\\r\\f\\z\\\\", [("a", "\t\n\r\fz\\")], id="escapes"),
        pytest.param("a=\\u0041\\u00e9\\uD83D\\uDE00", [("a", "Aé😀")], id="unicode escapes, surrogate pairs joined"),
        pytest.param("a=b\r\nc=d\re=f", [("a", "b"), ("c", "d"), ("e", "f")], id="all kinds of line ends"),
        pytest.param("\ufeffa=b", [("a", "b")], id="a byte order mark"),
        pytest.param("a=1\na=2", [("a", "1"), ("a", "2")], id="duplicates are all told"),
    ],
)
def test_parse(text: str, expected: list[tuple[str, str]]) -> None:
    assert pairs(text) == expected


def test_line_numbers_are_those_where_the_property_starts() -> None:
    """An error names the line that the user has to look at."""
    text = "# comment\na=1\\\n  2\n\nb=3"
    assert parse_properties(text, "f") == [Property("a", "12", 2), Property("b", "3", 5)]


@pytest.mark.parametrize("text", ["a=\\u00g1", "a=\\u12", "\\uzzzz=b"])
def test_a_bad_unicode_escape_names_file_and_line(text: str) -> None:
    """Paths of Windows fall into this trap."""
    with pytest.raises(ConfigError, match=r"f line 1: .*escape"):
        parse_properties(text, "f")


def escaped(text: str, extra: str) -> str:
    """Return text as Java would store it."""
    result = []
    for character in text:
        if character in "\\" + extra:
            result.append("\\" + character)
        elif " " < character < "\x7f":
            result.append(character)
        else:
            units = character.encode("utf-16-be")
            result += [f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2)]
    return "".join(result)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.lists(st.tuples(TEXT, TEXT), max_size=5))
def test_what_java_stores_is_read_back(properties: list[tuple[str, str]]) -> None:
    """Any key and value survive, written with escapes."""
    text = "".join(f"{escaped(key, ' =:#!')}={escaped(value, ' =:#!')}\n" for key, value in properties)
    assert pairs(text) == properties


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No input makes the reader fail in another way."""
    try:
        parse_properties(text, "f")
    except ConfigError:
        pass
