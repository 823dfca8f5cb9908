"""All scenarios, in the order in which they are played."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from differential.actions import Scenario
from differential.report import api_name
from differential.scenarios import (
    administration,
    configs,
    frames,
    groups,
    newer_groups,
    offsets,
    produce,
    records,
    security,
    topics,
    transactions,
)

SCENARIOS: Final[Sequence[Scenario]] = (
    *topics.SCENARIOS,
    *produce.SCENARIOS,
    *records.SCENARIOS,
    *groups.SCENARIOS,
    *offsets.SCENARIOS,
    *configs.SCENARIOS,
    *administration.SCENARIOS,
    *security.SCENARIOS,
    *transactions.SCENARIOS,
    *newer_groups.SCENARIOS,
    *frames.SCENARIOS,
)


def chosen(only: Sequence[str]) -> list[Scenario]:
    """
    Return the scenarios whose name or one of whose APIs is named, case ignored; all when nothing is.

    Raises ValueError for a name that is neither.
    """
    wanted = {name.lower() for name in only}
    names = {scenario: {scenario.name, *(api_name(api).lower() for api in scenario.apis)} for scenario in SCENARIOS}
    known = set().union(*names.values())
    if unknown := wanted - known:
        raise ValueError(f"neither an API nor a scenario: {', '.join(sorted(unknown))}; --list tells what there is")
    return [scenario for scenario in SCENARIOS if not wanted or wanted & names[scenario]]
