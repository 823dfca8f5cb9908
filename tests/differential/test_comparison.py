"""What counts as the same answer, and what rules allow."""

from __future__ import annotations

from differential.comparison import MISSING, Difference, Rule, compare_outcomes, compare_runs
from differential.runner import Outcome, Run
from differential.wire import NoAnswer

STEP = ("topics", "of a topic", 3, 12)


def differences(ours: object, theirs: object) -> list[Difference]:
    return list(compare_outcomes(STEP, Outcome(ours, 0.0), Outcome(theirs, 0.0)))


def test_equal_answers_give_nothing() -> None:
    answer = {"topics": [{"name": "a", "error_code": 0}], "controller_id": 1}
    assert differences(answer, answer) == []


def test_a_field_that_differs_is_told_with_its_place_and_both_values() -> None:
    (found,) = differences({"topics": [{"name": "a", "error_code": 0}]}, {"topics": [{"name": "a", "error_code": 3}]})
    assert (found.path, found.where, found.ours, found.theirs) == ("topics.error_code", "topics[a].error_code", 0, 3)


def test_rows_are_matched_by_their_names_not_by_their_places() -> None:
    ours = {"topics": [{"name": "a", "error_code": 0}, {"name": "b", "error_code": 3}]}
    theirs = {"topics": [{"name": "b", "error_code": 3}]}
    (found,) = differences(ours, theirs)
    assert found.ours == {"name": "a", "error_code": 0}
    assert found.theirs is MISSING


def test_rows_with_one_name_twice_are_matched_by_their_places() -> None:
    row = {"partition_index": 0, "error_code": 0}
    (found,) = differences({"partitions": [row, row]}, {"partitions": [row]})
    assert found.ours == row


def test_a_number_is_no_boolean_and_nothing_is_not_the_empty_text() -> None:
    assert len(differences({"a": 1}, {"a": True})) == 1
    assert len(differences({"a": None}, {"a": ""})) == 1


def test_a_closed_connection_differs_from_an_answer_and_from_silence() -> None:
    (found,) = differences(NoAnswer.CLOSED, {"topics": [{"error_code": 42}]})
    assert found.ours == "the connection is closed"
    assert found.theirs == "an answer, errors [42]"
    assert len(differences(NoAnswer.CLOSED, NoAnswer.TIMED_OUT)) == 1
    assert differences(NoAnswer.CLOSED, NoAnswer.CLOSED) == []


def test_texts_that_differ_in_numbers_only_are_the_same() -> None:
    assert differences({"error_message": "partition 3 of 7"}, {"error_message": "partition 4 of 9"}) == []
    assert len(differences({"name": "a3"}, {"name": "a4"})) == 1


def test_a_step_that_only_one_broker_was_asked_is_a_difference() -> None:
    ours, theirs = Run({STEP: Outcome({"a": 1}, 0.0)}), Run()
    same, found = compare_runs(ours, theirs)
    assert same == 0
    assert len(found) == 1


def test_a_rule_allows_its_steps_fields_versions_and_values_and_no_others() -> None:
    rule = Rule("topics/of * v1?", "Metadata.topics.error_code", "because", lambda ours, _: ours == 0, ("4.4",))
    difference = Difference(STEP, "topics.error_code", "", 0, 3)
    assert rule.allows(difference, "Metadata", "4.4")
    assert not rule.allows(difference, "Metadata", "3.9")
    assert not rule.allows(difference, "Produce", "4.4")
    assert not rule.allows(difference._replace(ours=1), "Metadata", "4.4")
    assert not rule.allows(difference._replace(step=("topics", "of a topic", 3, 9)), "Metadata", "4.4")
