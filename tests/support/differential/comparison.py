"""Two outcomes of the same step: the same, different in an allowed way, or different."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from differential.runner import Outcome, Run, StepId
from differential.trees import Tree
from differential.wire import NoAnswer

_REPETITION = re.compile(r" \(\d+\)$")
_KEY = re.compile(r"\bconfigs\[([^\]]*)\]")
_NUMBER = re.compile(r"\d+")


class Difference(NamedTuple):
    """
    One place where the answers to one step differ.

    path  fields from the top, without numbers of list elements; "" for the answer as a whole
    ours, theirs  what kbroker and Kafka have there; MISSING for an element or a field that is not there
    """

    step: StepId
    path: str
    where: str
    ours: Any
    theirs: Any


class Missing:
    """Stands for what one of the two lacks."""

    def __repr__(self) -> str:
        return "(none)"


MISSING = Missing()


class Rule(NamedTuple):
    """
    A difference that is meant.

    steps   `scenario/step` it may be in, * for anything
    paths   `Api.path` as in Difference, * for anything
    reason  why, for a user who reads the list
    when    of the two values; None: any
    against  Kafka's versions that it is about
    keys    configuration keys that it is about; none: any
    """

    steps: str
    paths: str
    reason: str
    when: Any = None
    against: tuple[str, ...] = ("3.9", "4.4")
    keys: frozenset[str] = frozenset()

    def allows(self, difference: Difference, api_name: str, against: str) -> bool:
        """Whether it is about this difference."""
        scenario, name, _, version = difference.step
        step = _REPETITION.sub("", name)
        return (
            against in self.against
            and fnmatchcase(f"{scenario}/{step} v{version}", self.steps)
            and fnmatchcase(f"{api_name}.{difference.path}" if difference.path else api_name, self.paths)
            and (not self.keys or _key(difference) in self.keys)
            and (self.when is None or self.when(difference.ours, difference.theirs))
        )


class Known(NamedTuple):
    """What comparing with a newer Kafka gave: the steps it was asked, and where it differed."""

    asked: frozenset[StepId]
    different: Mapping[StepId, Sequence[str]]

    def agrees(self, difference: Difference) -> bool:
        """Whether kbroker and the newer Kafka say the same where kbroker and the older one do not."""
        return difference.step in self.asked and not any(
            _overlap(where, difference.where) for where in self.different.get(difference.step, ())
        )


def _overlap(one: str, other: str) -> bool:
    """Whether one place is the other, or holds it."""
    return one.startswith(other) or other.startswith(one)


def _key(difference: Difference) -> str | None:
    """Return the configuration key that a difference is about."""
    found = _KEY.search(difference.where)
    return found[1] if found else None


def compare_runs(ours: Run, theirs: Run) -> tuple[int, list[Difference]]:
    """Return how many steps gave the same, and all differences."""
    same = 0
    found: list[Difference] = []
    for step in dict.fromkeys([*theirs.outcomes, *ours.outcomes]):
        mine, other = ours.outcomes.get(step), theirs.outcomes.get(step)
        if mine is None or other is None:
            name = "kbroker" if mine is None else "Kafka"
            found.append(
                Difference(step, "", "", _shown(mine), f"{_shown(other)} (not asked of {name}: the scenario ended)")
            )
            continue
        differences = list(compare_outcomes(step, mine, other))
        found += differences
        same += not differences
    return same, found


def _shown(outcome: Outcome | None) -> Any:
    return MISSING if outcome is None else outcome.answer


def compare_outcomes(step: StepId, ours: Outcome, theirs: Outcome) -> Iterator[Difference]:
    """Yield where the outcomes of a step differ."""
    if isinstance(ours.answer, NoAnswer) or isinstance(theirs.answer, NoAnswer):
        if ours.answer != theirs.answer:
            yield Difference(step, "", "", _brief(ours.answer), _brief(theirs.answer))
        return
    yield from _compare(step, "", "", ours.answer, theirs.answer)


def _brief(answer: Tree | NoAnswer) -> Any:
    """Return what tells most of an answer that stands against none: its error codes."""
    if isinstance(answer, NoAnswer):
        return answer.value
    codes = sorted(set(_codes(answer)))
    return f"an answer, errors {codes}" if codes else "an answer"


def _codes(value: Any) -> Iterator[int]:
    if isinstance(value, dict):
        for name, one in value.items():
            if name == "error_code":
                yield one
            else:
                yield from _codes(one)
    elif isinstance(value, list):
        for one in value:
            yield from _codes(one)


def _compare(step: StepId, path: str, where: str, ours: Any, theirs: Any) -> Iterator[Difference]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in dict.fromkeys([*theirs, *ours]):
            inner = f"{path}.{name}" if path else name
            yield from _compare(
                step, inner, f"{where}.{name}" if where else name, ours.get(name, MISSING), theirs.get(name, MISSING)
            )
    elif isinstance(ours, list) and isinstance(theirs, list):
        yield from _compare_lists(step, path, where, ours, theirs)
    elif (ours != theirs or type(ours) is not type(theirs)) and not _same_text(path, ours, theirs):
        yield Difference(step, path, where, ours, theirs)


def _same_text(path: str, ours: Any, theirs: Any) -> bool:
    """Whether two messages for people differ in nothing but numbers."""
    if not path.endswith("error_message") or not isinstance(ours, str) or not isinstance(theirs, str):
        return False
    return _NUMBER.sub("0", ours) == _NUMBER.sub("0", theirs)


def _compare_lists(
    step: StepId, path: str, where: str, ours: Sequence[Any], theirs: Sequence[Any]
) -> Iterator[Difference]:
    labels = _labels(ours), _labels(theirs)
    if labels[0] is None or labels[1] is None:
        for index in range(max(len(ours), len(theirs))):
            mine = ours[index] if index < len(ours) else MISSING
            other = theirs[index] if index < len(theirs) else MISSING
            yield from _compare(step, path, f"{where}[{index}]", mine, other)
        return
    mine_by, theirs_by = dict(zip(labels[0], ours, strict=True)), dict(zip(labels[1], theirs, strict=True))
    for label in dict.fromkeys([*theirs_by, *mine_by]):
        yield from _compare(step, path, f"{where}[{label}]", mine_by.get(label, MISSING), theirs_by.get(label, MISSING))


_LABELS = (
    "name",
    "config_name",
    "topic",
    "topic_name",
    "api_key",
    "topic_id",
    "resource_type",
    "resource_name",
    "group_id",
    "key",
    "partition_index",
    "partition",
    "index",
    "user",
    "node_id",
)


def _labels(elements: Sequence[Any]) -> list[Any] | None:
    """Return what names each element of a list, None when nothing does; plain values name themselves."""
    if not elements:
        return []
    if not all(isinstance(element, dict) for element in elements):
        labels = [str(element) for element in elements]
    else:
        names = [name for name in _LABELS if name in elements[0]]
        if len(names) > 1 and "topic_id" in names:
            names.remove("topic_id")
        if not names:
            return None
        labels = [", ".join(str(element.get(name)) for name in names) for element in elements]
    return labels if len(set(labels)) == len(labels) else None
