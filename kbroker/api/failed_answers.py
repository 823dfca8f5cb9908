"""What was refused to a client, in words for the log: found in an answer by its table, whatever API it is of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kbroker.errors import KafkaError, MalformedMessage
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.registry import response_class
from kbroker.protocol.schema import Message, Payload

_MOST_NAMED = 5
_IDENTIFIERS = (
    *("name", "topic", "topic_name", "resource_name", "group_id", "key", "member_id", "topic_id"),
    *("partition", "partition_index", "index"),
)
"""Fields that say what an error beside or below them is about."""


def failures(api_key: int, api_version: int, parts: Sequence[Payload]) -> str:
    """
    Return the errors in an encoded answer: "UNKNOWN_TOPIC_OR_PARTITION (orders, 3)"; "" when there are none.

    parts  as `RequestContext.parts`; an answer with a part that lies in a file is one with records, and not looked at

    Costs as much as decoding the answer; for debugging.
    """
    pieces = [part for part in parts if isinstance(part, (bytes, bytearray, memoryview))]
    if len(pieces) < len(parts) or not pieces:
        return ""
    try:
        message, _ = response_class(api_key).decode(b"".join(pieces), api_version)
    except (KafkaError, MalformedMessage, LookupError, TypeError):
        return ""
    found = list(dict.fromkeys(_errors(message, ())))
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return ", ".join(found[:_MOST_NAMED]) + more


def _errors(message: Message, above: tuple[str, ...]) -> Iterator[str]:
    about = (
        *above,
        *(
            str(value)
            for name in _IDENTIFIERS
            if isinstance(value := getattr(message, name, None), (str, int)) and value not in {"", None}
        ),
    )
    for field in message.FIELDS:
        value = getattr(message, field.name)
        if field.name == "error_code" and value:
            yield _named(value) + (f" ({', '.join(about)})" if about else "")
        elif isinstance(value, Message):
            yield from _errors(value, about)
        elif isinstance(value, list):
            for one in value:
                if isinstance(one, Message):
                    yield from _errors(one, about)


def _named(code: int) -> str:
    try:
        return ErrorCode(code).name
    except ValueError:
        return f"error {code}"
