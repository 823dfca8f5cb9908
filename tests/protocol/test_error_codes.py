"""The codes are Kafka's."""

from __future__ import annotations

from kio.schema.errors import ErrorCode as KioErrorCode

from kbroker.protocol.error_codes import ErrorCode


def test_codes_names_and_retriability_are_kafkas() -> None:
    ours = {(code.value, code.name.lower(), code.retriable) for code in ErrorCode}
    assert ours == {(code.value, code.name, code.retriable) for code in KioErrorCode}


def test_every_code_has_a_sentence() -> None:
    assert all(code.default_message.endswith(".") for code in ErrorCode)
    assert len({code.default_message for code in ErrorCode}) == len(ErrorCode)
