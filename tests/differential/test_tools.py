"""How runs of Kafka's command-line tools are compared."""

from __future__ import annotations

import signal

from differential.tools import CALLS, Call, Ended, judge, normalised

CALL = Call("topics", "--bootstrap-server {servers} --list")


def ended(output: str = "", code: int | None = 0, errors: str = "") -> Ended:
    return Ended(code, output, errors, 1.0)


def test_the_same_lines_in_another_order_are_the_same() -> None:
    assert judge(CALL, ended("a\nb\n"), ended("b\na\n")).verdict == "same"


def test_addresses_ids_and_times_mean_nothing() -> None:
    text = "localhost:9092 AAAAAAAAAAAAAAAAAAAAAQ 2026-01-02 03:04:05"
    assert normalised(text) == ["<broker> <id> <time>"]


def test_lines_and_exit_codes_that_differ_are_told() -> None:
    found = judge(CALL, ended("a\n", 0), ended("b\n", 1))
    assert found.different == ["exit code 0, Kafka 1", "only kbroker: a", "only Kafka:   b"]


def test_a_hang_and_a_stack_trace_are_told_even_where_only_figures_are_printed() -> None:
    figures = CALL._replace(figures=True)
    assert "did not end" in judge(figures, ended(code=None), ended()).different[0]
    assert judge(figures, ended(), ended(code=None)).verdict == "allowed"
    trace = "java.lang.IllegalStateException: no\n\tat org.apache.kafka.Tool.main(Tool.java:1)\n"
    assert (
        "a stack trace: java.lang.IllegalStateException: no" in judge(figures, ended(errors=trace), ended()).different
    )
    assert judge(figures, ended(trace), ended(errors=trace)).verdict == "same"


def test_a_tool_that_is_interrupted_as_planned_ended() -> None:
    endless = Call("replica-verification", "", ends_s=1, figures=True)
    code = -int(signal.SIGINT)
    assert judge(endless, ended(code=code), ended(code=code)).verdict == "same"


def test_what_a_rule_allows_is_told_with_its_reason_and_the_rest_stays() -> None:
    acls = Call("acls", "--bootstrap-server {servers} --list")
    found = judge(acls, ended("No Authorizer is configured.\nmore\n"), ended("No Authorizer is configured on it\n"))
    assert found.different == ["only kbroker: more"]
    assert len(found.allowed) == 1
    assert judge(CALL, ended("No Authorizer is configured.\n"), ended()).verdict == "DIFFERENT"


def test_calls_are_named_as_a_person_types_them() -> None:
    assert CALL.name == "kafka-topics --list"
    assert len({call.name for call in CALLS}) == len(CALLS)
