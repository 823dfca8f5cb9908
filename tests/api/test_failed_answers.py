"""What was refused is told in words, whatever the API; what was granted is not."""

from __future__ import annotations

from kbroker.api.failed_answers import failures
from kbroker.protocol.api_keys import ApiKey
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.fetch import FetchableTopicResponse, FetchResponse, PartitionData
from kbroker.protocol.messages.heartbeat import HeartbeatResponse
from kbroker.protocol.messages.metadata import MetadataResponse, MetadataResponseTopic
from kbroker.protocol.schema import Message


def told(message: Message, version: int) -> str:
    assert message.API_KEY is not None
    return failures(message.API_KEY, version, message.encode_parts(version))


def test_an_error_of_the_whole_answer() -> None:
    assert told(HeartbeatResponse(error_code=ErrorCode.REBALANCE_IN_PROGRESS), 4) == "REBALANCE_IN_PROGRESS"


def test_errors_of_parts_are_told_with_what_they_are_about() -> None:
    topics = [
        MetadataResponseTopic(name="there"),
        MetadataResponseTopic(name="missing", error_code=ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        MetadataResponseTopic(name="a/b", error_code=ErrorCode.INVALID_TOPIC_EXCEPTION),
    ]
    assert told(MetadataResponse(topics=topics), 9) == (
        "UNKNOWN_TOPIC_OR_PARTITION (missing), INVALID_TOPIC_EXCEPTION (a/b)"
    )


def test_many_errors_are_counted() -> None:
    partitions = [
        PartitionData(partition_index=number, error_code=ErrorCode.OFFSET_OUT_OF_RANGE, records=None)
        for number in range(20)
    ]
    message = FetchResponse(responses=[FetchableTopicResponse(topic="orders", partitions=partitions)])
    words = told(message, 11)
    assert words.startswith("OFFSET_OUT_OF_RANGE (orders, 0), OFFSET_OUT_OF_RANGE (orders, 1), ")
    assert words.endswith(" and 15 more")


def test_what_is_fine_or_cannot_be_read_is_not_told() -> None:
    assert told(MetadataResponse(topics=[MetadataResponseTopic(name="there")]), 9) == ""
    assert failures(ApiKey.METADATA, 9, [b"\xff"]) == ""
    assert failures(9999, 0, [b"\x00\x01"]) == ""
    assert failures(ApiKey.METADATA, 9, []) == ""


def test_codes_that_nobody_has_named() -> None:
    assert told(HeartbeatResponse(error_code=31_000), 4) == "error 31000"
