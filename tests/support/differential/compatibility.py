"""The page docs/compatibility.md: what kbroker serves, and what differs from Apache Kafka on purpose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from apache_kafka import PROJECT

from differential.report import Findings, api_name, span
from differential.rules import UNSERVED
from differential.tools import Found
from differential.world import Versions

PAGE: Final = "docs/compatibility.md"
_SERVED: Final = ("<!-- served APIs: written by scripts/differential --write-docs -->", "<!-- end of served APIs -->")
_TOOLS: Final = (
    "<!-- tools: written by scripts/differential --tools --write-docs -->",
    "<!-- end of tools -->",
)
_DIFFERENCES: Final = (
    "<!-- differences: written by scripts/differential --write-docs -->",
    "<!-- end of differences -->",
)


def write(found: Sequence[Findings], served: Versions) -> None:
    """Write the generated parts of the page anew; the rest of it stays."""
    path = PROJECT / PAGE
    text = path.read_text()
    text = replaced(text, *_SERVED, served_table(served))
    text = replaced(text, *_DIFFERENCES, differences(found))
    path.write_text(text)


def write_tools(found: Sequence[Found]) -> None:
    """Write the part of the page about Kafka's command-line tools anew."""
    path = PROJECT / PAGE
    path.write_text(replaced(path.read_text(), *_TOOLS, tools_table(found)))


def tools_table(found: Sequence[Found]) -> Iterator[str]:
    """Yield what became of Kafka's command-line tools."""
    yield "| tool | calls | what differs |"
    yield "|---|---|---|"
    for tool in dict.fromkeys(one.call.tool for one in found):
        calls = [one for one in found if one.call.tool == tool]
        reasons = dict.fromkeys(reason for one in calls for reason in one.allowed)
        different = sum(not one.is_clean for one in calls)
        told = [*reasons, *([f"{different} calls differ"] if different else [])]
        yield f"| kafka-{tool} | {len(calls)} | {'; '.join(told) or 'nothing'} |"


def replaced(text: str, begin: str, end: str, lines: Iterator[str]) -> str:
    """Return the text with what stands between two lines replaced. Raises ValueError when one of them is missing."""
    before, found, rest = text.partition(f"{begin}\n")
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise ValueError(f"{PAGE} has no lines {begin} and {end}")
    inner = "\n".join(lines)
    return f"{before}{begin}\n\n{inner}\n\n{end}{after}"


def served_table(served: Versions) -> Iterator[str]:
    """Yield the table of served APIs."""
    yield "| API | key | versions |"
    yield "|---|---|---|"
    for api, versions in sorted(served.items()):
        yield f"| {api_name(api)} | {api} | {span(versions)} |"


def differences(found: Sequence[Findings]) -> Iterator[str]:
    """Yield what differs on purpose, most frequent first, and how it was found."""
    for findings in found:
        yield (
            f"- against Apache Kafka {findings.version}: {findings.requests:,} requests, {findings.same:,} answered "
            f"the same field by field, {sum(map(len, findings.allowed.values())):,} differences of the kinds below"
        )
    yield ""
    reasons: dict[str, tuple[int, set[str]]] = {}
    for findings in found:
        for rule, differing in findings.allowed.items():
            count, apis = reasons.get(rule.reason, (0, set()))
            reasons[rule.reason] = count + len(differing), apis | {api_name(one.step[2]) for one in differing}
    yield "| difference | where |"
    yield "|---|---|"
    for reason, (_, apis) in sorted(reasons.items(), key=lambda item: -item[1][0]):
        where = "many APIs" if len(apis) > 6 else ", ".join(sorted(apis))
        yield f"| {reason} | {where} |"
    yield ""
    yield "Not served, or not in all of Kafka's versions:"
    yield ""
    yield "| API | why |"
    yield "|---|---|"
    for api, reason in UNSERVED.items():
        yield f"| {api_name(api)} | {reason} |"
