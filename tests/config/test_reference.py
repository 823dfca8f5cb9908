"""The configuration reference says what the tables of keys say: all of it, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from kbroker.config.group_keys import GROUP_CONFIG_KEYS
from kbroker.config.keys import BROKER_KEYS
from kbroker.config.reference import reference
from kbroker.config.topic_keys import TOPIC_KEYS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"


def test_the_page_is_what_the_tables_make_it() -> None:
    assert PAGE.read_text() == reference(), "run scripts/fix: the tables of keys have changed"


def test_every_key_has_a_row() -> None:
    rows = re.findall(r"^\| `(?:topic: |group: |subscription: )?([^`]+)` \|", reference(), re.MULTILINE)
    assert {*BROKER_KEYS, *TOPIC_KEYS, *GROUP_CONFIG_KEYS} - set(rows) == set()


def test_every_row_has_all_its_cells() -> None:
    """A bar in a text would begin a cell of its own."""
    table: int | None = None
    for line in reference().splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else None
        assert table is None or cells is None or cells == table, line
        table = cells
