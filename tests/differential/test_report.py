"""What a person reads of a comparison, and when it is clean."""

from __future__ import annotations

import pytest
from differential import catalogue, report
from differential.comparison import Difference, Rule
from differential.compatibility import replaced, tools_table
from differential.runner import Outcome, Run
from differential.tools import Call, Found
from differential.wire import NoAnswer

TOLD = Rule("*", "*error_message", "own words")


def difference(step: str, version: int, path: str, ours: object, theirs: object) -> Difference:
    return Difference(("metadata", step, 3, version), path, path, ours, theirs)


def findings(*differences: Difference, versions: list[str] | None = None, ours: Run | None = None) -> report.Findings:
    run, theirs = ours or Run(), Run()
    for one in differences:
        run.outcomes[one.step] = Outcome({**run_answer(run, one), one.path: one.ours}, 0.0)
        theirs.outcomes[one.step] = Outcome({**run_answer(theirs, one), one.path: one.theirs}, 0.0)
    return report.sort_out("4.4", run, theirs, [TOLD], versions=versions or [])


def run_answer(run: Run, one: Difference) -> dict[str, object]:
    found = run.outcomes.get(one.step)
    return {} if found is None or isinstance(found.answer, NoAnswer) else found.answer


def test_what_a_rule_allows_is_counted_and_the_rest_is_told_by_place_values_and_steps() -> None:
    found = findings(
        difference("of a topic", 9, "topics.error_code", 0, 3),
        difference("of a topic", 10, "topics.error_code", 0, 3),
        difference("of a topic", 10, "topics.error_message", "a", "b"),
    )
    lines = list(report.lines_of(found, with_allowed=False))
    assert not found.is_clean
    assert any(
        "Metadata.topics.error_code: kbroker 0, Kafka 3  [2] metadata/of a topic v9,10" in line for line in lines
    )
    assert any("own words" in line for line in lines)
    assert not any("error_message" in line for line in lines)


def test_a_run_with_allowed_differences_only_is_clean() -> None:
    assert findings(difference("of a topic", 10, "topics.error_message", "a", "b")).is_clean


def test_a_scenario_that_could_not_go_on_is_not_clean() -> None:
    found = findings(ours=Run(broken={"metadata": "no leader"}))
    assert not found.is_clean
    assert any("metadata of kbroker: no leader" in line for line in report.lines_of(found, with_allowed=False))


def test_apis_and_newer_versions_that_only_kafka_serves_need_a_reason() -> None:
    ours, theirs = {0: range(14), 3: range(13)}, {0: range(3, 14), 3: range(14), 43: range(3)}
    assert report.unexplained_versions(ours, theirs, []) == [
        "Metadata: kbroker 0-12, Kafka 0-13",
        "ElectLeaders: kbroker not served, Kafka 0-2",
    ]
    assert report.unexplained_versions(ours, theirs, [3, 43]) == []


def test_what_differs_from_an_older_kafka_only_is_allowed_where_the_newer_was_asked() -> None:
    step = ("metadata", "of a topic", 3, 9)
    ours, newer = Run({step: Outcome({"a": 1, "b": 1}, 0.0)}), Run({step: Outcome({"a": 1, "b": 2}, 0.0)})
    older = Run({step: Outcome({"a": 5, "b": 5}, 0.0)})
    known = report.sort_out("4.4", ours, newer, [], versions=[]).known
    found = report.sort_out("3.9", ours, older, [], versions=[], newer=known, as_newer=TOLD)
    assert [one.path for one in found.different] == ["b"]
    assert [one.path for one in found.allowed[TOLD]] == ["a"]
    alone = report.sort_out("3.9", ours, older, [], versions=[])
    assert len(alone.different) == 2


def test_scenarios_are_chosen_by_api_and_by_name() -> None:
    assert {scenario.name for scenario in catalogue.chosen(["fetch"])} >= {"fetch", "fetch sessions"}
    assert [scenario.name for scenario in catalogue.chosen(["idempotence"])] == ["idempotence"]
    with pytest.raises(ValueError, match="nonsense"):
        catalogue.chosen(["nonsense"])


def test_the_page_tells_of_each_tool_what_differs() -> None:
    calls = [Found(Call("topics", "--list"), [], []), Found(Call("topics", "--describe"), [], ["own words"])]
    assert list(tools_table([*calls, Found(Call("acls", "--list"), [], [])]))[2:] == [
        "| kafka-topics | 2 | own words |",
        "| kafka-acls | 1 | nothing |",
    ]


def test_the_generated_part_of_a_page_is_replaced_and_the_rest_stays() -> None:
    page = "before\n<!-- a -->\nold\n<!-- b -->\nafter\n"
    assert replaced(page, "<!-- a -->", "<!-- b -->", iter(["new", "lines"])) == (
        "before\n<!-- a -->\n\nnew\nlines\n\n<!-- b -->\nafter\n"
    )
    with pytest.raises(ValueError, match="no lines"):
        replaced("nothing", "<!-- a -->", "<!-- b -->", iter([]))
