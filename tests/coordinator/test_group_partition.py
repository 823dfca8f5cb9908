"""A group's partition is where Apache Kafka would put it: data written by one is found by the other."""

from __future__ import annotations

import pytest

from kbroker.coordinator.group_partition import java_string_hash, partition_for


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("", 0, id="empty"),
        pytest.param("hello", 99162322, id="as in Java's documentation"),
        pytest.param("polygenelubricants", -(2**31), id="smallest int"),
        pytest.param("\U0001f600", 1772899, id="two UTF-16 units"),
    ],
)
def test_hash_is_javas(text: str, value: int) -> None:
    """The hash runs over UTF-16 units and wraps at 32 bits."""
    assert java_string_hash(text) == value


def test_partition_is_kafkas() -> None:
    """Negative hashes count by their absolute value, the smallest one as 0."""
    assert partition_for("hello", 50) == 99162322 % 50
    assert partition_for("polygenelubricants", 50) == 0
    assert java_string_hash("console-consumer") < 0
    assert partition_for("console-consumer", 50) == -java_string_hash("console-consumer") % 50
