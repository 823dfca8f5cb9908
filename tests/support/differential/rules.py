"""The differences that are meant, each with the reason that a user reads."""

from __future__ import annotations

from typing import Any, Final

from differential.comparison import MISSING, Rule


def _both_speak(ours: Any, theirs: Any) -> bool:
    return bool(ours and theirs) and isinstance(ours, str) and isinstance(theirs, str)


def _only_ours(ours: Any, theirs: Any) -> bool:
    return isinstance(ours, str) and not theirs


def _empty_row(ours: Any, theirs: Any) -> bool:
    return theirs is MISSING and isinstance(ours, dict) and [] in ours.values()


RULES: Final = (
    Rule("*", "*error_message", "texts for people are kbroker's own words", _both_speak),
    Rule("*", "*error_message", "kbroker says why where Kafka says nothing", _only_ours),
    Rule(
        "*/no partitions v*",
        "*",
        "a topic named with no partitions comes back with none; Kafka leaves it out of the answer",
        _empty_row,
    ),
)

UNSERVED: Final[dict[int, str]] = {}
"""APIs that kbroker does not serve, or not in the newest versions, and why."""
