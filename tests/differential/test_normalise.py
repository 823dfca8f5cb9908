"""What each broker makes up itself means nothing; everything else is kept."""

from __future__ import annotations

import time

from differential.normalise import Normaliser

from kbroker.protocol.api_keys import ApiKey

TOPIC_ID = "0f" * 16


def test_ids_that_a_scenario_noted_are_replaced_in_values_and_in_texts() -> None:
    normaliser = Normaliser("any", {TOPIC_ID: "<id of seen>", "member-1": "<member>"})
    answer = normaliser.answer(
        ApiKey.JOIN_GROUP, {"topic_id": TOPIC_ID, "error_message": f"no {TOPIC_ID} for member-1", "member_id": "other"}
    )
    assert answer == {
        "topic_id": "<id of seen>", "error_message": "no <id of seen> for <member>", "member_id": "other",
    }  # fmt: skip


def test_ids_that_nobody_noted_mean_nothing_but_those_that_were_sent_do() -> None:
    normaliser = Normaliser("any", {})
    assert normaliser.answer(ApiKey.METADATA, {"topic_id": TOPIC_ID}) == {"topic_id": "<id>"}
    assert normaliser.answer(ApiKey.METADATA, {"topic_id": "00" * 16}) == {"topic_id": "00" * 16}


def test_ports_and_pauses_are_ignored_but_not_that_there_are_none() -> None:
    normaliser = Normaliser("any", {})
    assert normaliser.answer(ApiKey.METADATA, {"brokers": [{"port": 9092}]}) == {"brokers": [{"port": "<port>"}]}
    assert normaliser.answer(ApiKey.METADATA, {"brokers": [{"port": -1}]}) == {"brokers": [{"port": -1}]}
    assert normaliser.answer(ApiKey.METADATA, {"throttle_time_ms": 0}) == {"throttle_time_ms": 0}


def test_offsets_are_ignored_in_the_scenario_where_they_drift_and_nowhere_else() -> None:
    answer = {"responses": [{"partition_responses": [{"base_offset": 7}]}]}
    assert Normaliser("idempotence", {}).answer(ApiKey.PRODUCE, answer) == answer
    drifting = Normaliser("produce", {}).answer(ApiKey.PRODUCE, answer)
    assert drifting["responses"][0]["partition_responses"][0]["base_offset"] == "<offset>"


def test_a_time_of_now_is_now_and_another_time_stays() -> None:
    now = int(time.time() * 1000)
    normalised = Normaliser("any", {}).answer(ApiKey.FETCH, {"timestamp": now, "other": now - 86_400_000})
    assert normalised == {"timestamp": "<now>", "other": now - 86_400_000}


def test_the_order_of_rows_means_nothing_that_of_records_does() -> None:
    normaliser = Normaliser("any", {})
    rows = [{"name": "b"}, {"name": "a"}]
    assert normaliser.answer(ApiKey.METADATA, {"topics": rows}) == {"topics": rows[::-1]}
    records = [{"offset": 5}, {"offset": 3}]
    assert normaliser.answer(ApiKey.FETCH, {"records": records}) == {"records": records}
