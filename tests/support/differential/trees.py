"""Answers as plain values, which can be compared, shown and written down."""

from __future__ import annotations

from typing import Any

from kbroker.errors import KafkaError, KbrokerError
from kbroker.protocol.api_keys import ApiKey
from kbroker.protocol.field import Field
from kbroker.protocol.headers import decode_response_header
from kbroker.protocol.messages import registry
from kbroker.protocol.record_batch import BatchHeader, iterate_records, read_batch_header
from kbroker.protocol.schema import Message

Tree = dict[str, Any]
"""A message: field name → number, text, bytes as hexadecimal text, list or Tree."""


def decode_answer(frame: bytes, api: int, version: int) -> tuple[Message | None, Tree]:
    """
    Return the answer in a frame, decoded and as a tree.

    What does not fit the table of its version is (None, {"undecodable": …}), bytes after the end stand under
    "trailing_bytes". ApiVersions in a version that the broker lacks is answered in version 0.
    """
    try:
        cls = registry.response_class(api)
    except KeyError:
        return None, {"undecodable": f"unknown api {api}"}
    for tried in (version, 0) if api == ApiKey.API_VERSIONS else (version,):
        try:
            _, position = decode_response_header(frame, 0, api, tried)
            message, end = cls.decode(frame, tried, position)
        except (KbrokerError, ValueError) as error:
            reason = str(error)
            continue
        if end != len(frame) and tried != 0:
            reason = f"{len(frame) - end} bytes after the end"
            continue
        tree = tree_of(message, tried)
        if tried != version:
            tree["answered_in_version"] = tried
        if end != len(frame):
            tree["trailing_bytes"] = len(frame) - end
        return message, tree
    return None, {"undecodable": reason}


def tree_of(message: Message, version: int) -> Tree:
    """Return a message's fields of one version."""
    return {
        field.name: _value(field, getattr(message, field.name), version)
        for field in message.FIELDS
        if field.in_version(version) and not (field.is_tagged(version) and _is_default(field, message))
    }


def _is_default(field: Field, message: Message) -> bool:
    value = getattr(message, field.name)
    return value is None or value == [] or (not isinstance(value, Message) and value == field.default)


def _value(field: Field, value: Any, version: int) -> Any:
    if value is None:
        return None
    if field.kind == "array":
        element = field.element
        if isinstance(element, Field):
            return [_value(element, one, version) for one in value]
        return [tree_of(one, version) for one in value]
    if field.kind == "struct":
        return tree_of(value, version)
    if field.kind == "uuid":
        return bytes(value).hex()
    if field.kind == "bytes":
        return records_tree(bytes(value)) if field.name == "records" else bytes(value).hex()
    return value


def records_tree(data: bytes) -> Any:
    """Return record batches as trees; what is none of format 2 stays bytes."""
    batches: list[Tree] = []
    position = 0
    while position < len(data):
        try:
            header = read_batch_header(data, position)
            batches.append(_batch_tree(data, header))
        except KafkaError:
            batches.append({"bytes": data[position : position + 200].hex(), "size": len(data) - position})
            break
        position += header.size_bytes
    return batches


def _batch_tree(data: bytes, header: BatchHeader) -> Tree:
    tree: Tree = {
        name: value for name, value in header._asdict().items() if name not in {"position", "crc", "size_bytes"}
    }
    tree["records"] = [
        {
            "offset": record.offset,
            "timestamp": record.timestamp,
            "key": None if record.key is None else bytes(record.key).hex(),
            "value": None if record.value is None else bytes(record.value).hex(),
            "headers": [[name, None if value is None else bytes(value).hex()] for name, value in record.headers],
        }
        for record in iterate_records(data, header)
    ]
    return tree
