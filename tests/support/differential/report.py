"""What a comparison found, in lines that a person can read."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from differential.comparison import Difference, Known, Rule, compare_runs
from differential.runner import Run, StepId
from differential.world import Versions
from kbroker.protocol.api_keys import ApiKey
from kbroker.protocol.messages import registry

_WIDTH: Final = 200
_STEPS_SHOWN: Final = 4
_LONG_NUMBER: Final = re.compile(r"\b\d{6,}\b")
_REPETITION: Final = re.compile(r" \(\d+\)$")


class Findings(NamedTuple):
    """
    What became of a run against one version of Kafka.

    allowed    the differences by the rule that allows them
    different  the others
    broken     scenarios that could not go on, with the reason
    known      for comparing with an older Kafka
    """

    version: str
    requests: int
    same: int
    allowed: dict[Rule, list[Difference]]
    different: list[Difference]
    versions: list[str]
    broken: list[str]
    known: Known

    @property
    def is_clean(self) -> bool:
        """Whether nothing was found that is not allowed."""
        return not self.different and not self.versions and not self.broken


def sort_out(
    version: str,
    ours: Run,
    theirs: Run,
    rules: Sequence[Rule],
    *,
    versions: list[str],
    newer: Known | None = None,
    as_newer: Rule | None = None,
) -> Findings:
    """
    Return the findings of two runs.

    version   what rules know Kafka's by
    versions  lines about versions that only Kafka serves
    newer     what comparing with a newer Kafka gave; `as_newer` allows what differs from this one only
    """
    same, found = compare_runs(ours, theirs)
    allowed: dict[Rule, list[Difference]] = defaultdict(list)
    different = []
    for difference in found:
        name = api_name(difference.step[2])
        rule = next((rule for rule in rules if rule.allows(difference, name, version)), None)
        if rule is None and newer is not None and newer.agrees(difference):
            rule = as_newer
        if rule is None:
            different.append(difference)
        else:
            allowed[rule].append(difference)
    broken = [f"{name} of kbroker: {reason}" for name, reason in ours.broken.items()]
    broken += [f"{name} of Kafka: {reason}" for name, reason in theirs.broken.items()]
    places: dict[StepId, list[str]] = defaultdict(list)
    for one in found:
        if not one.path.endswith("error_message"):
            places[one.step].append(one.where)
    known = Known(frozenset(ours.outcomes) & frozenset(theirs.outcomes), places)
    return Findings(version, len(theirs.outcomes), same, dict(allowed), different, versions, broken, known)


def api_name(api: int) -> str:
    """Return Kafka's name of an API, its number when it has none."""
    return registry.api_name(api) if api in ApiKey._value2member_map_ else str(api)


def unexplained_versions(ours: Versions, theirs: Versions, explained: Iterable[int]) -> list[str]:
    """
    Return a line for each API that Kafka serves in versions that kbroker lacks, and for which no reason is given.

    explained  APIs with a reason
    """
    known = set(explained)
    lines = []
    for api, versions in sorted(theirs.items()):
        own = ours.get(api)
        if api not in known and (own is None or own[-1] < versions[-1]):
            lines.append(f"{api_name(api)}: kbroker {span(own)}, Kafka {span(versions)}")
    return lines


def span(versions: range | None) -> str:
    """Return versions as people write them."""
    if not versions:
        return "not served"
    return str(versions[0]) if len(versions) == 1 else f"{versions[0]}-{versions[-1]}"


def lines_of(findings: Findings, *, with_allowed: bool) -> Iterator[str]:
    """Yield the report; `with_allowed`: each allowed difference, not only how many a rule allows."""
    allowed = sum(len(found) for found in findings.allowed.values())
    yield (
        f"Apache Kafka {findings.version}: {findings.requests:,} requests, {findings.same:,} answered the same; "
        f"{allowed:,} differences allowed, {len(findings.different):,} not"
    )
    for line in findings.broken:
        yield f"  BROKEN  {line}"
    for line in findings.versions:
        yield f"  DIFFERENT  versions of {line}"
    for line in grouped(findings.different):
        yield f"  DIFFERENT  {line}"
    for rule, found in sorted(findings.allowed.items(), key=lambda item: -len(item[1])):
        yield f"  allowed {len(found):5,}: {rule.reason}"
        if with_allowed:
            for line in grouped(found):
                yield f"      {line}"


def grouped(found: Sequence[Difference]) -> Iterator[str]:
    """Yield one line per place and pair of values, with the steps that show it."""
    groups: dict[tuple[str, str, str], list[Difference]] = defaultdict(list)
    for difference in found:
        place = f"{api_name(difference.step[2])}.{difference.path}".rstrip(".")
        groups[place, _brief(difference.ours), _brief(difference.theirs)].append(difference)
    for (place, ours, theirs), members in sorted(groups.items()):
        yield f"{place}: kbroker {ours}, Kafka {theirs}  [{len(members)}] {_steps(members)}"


def _brief(value: Any) -> str:
    text = _LONG_NUMBER.sub("N", repr(value))
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"


def _steps(members: Sequence[Difference]) -> str:
    versions: dict[str, set[int]] = defaultdict(set)
    for member in members:
        scenario, name, _, version = member.step
        versions[f"{scenario}/{_REPETITION.sub('', name)}"].add(version)
    shown = [f"{step} v{','.join(map(str, sorted(versions[step])))}" for step in list(versions)[:_STEPS_SHOWN]]
    return "; ".join(shown) + (f"; … {len(versions) - _STEPS_SHOWN} more" if len(versions) > _STEPS_SHOWN else "")
