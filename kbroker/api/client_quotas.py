"""
DescribeClientQuotas (48), AlterClientQuotas (49): nobody has a quota, and none can be given yet.

Filters and changes are checked as Kafka checks them, so that a mistake is told as a mistake; to take a quota away that
is not there is fine; to set one is refused with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kbroker.api.handler import Handler, answering
from kbroker.errors import KafkaError
from kbroker.protocol.api_keys import ApiKey
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages import alter_client_quotas
from kbroker.protocol.messages.alter_client_quotas import (
    AlterClientQuotasRequest,
    AlterClientQuotasResponse,
    RequestEntryData,
    ResponseEntryData,
)
from kbroker.protocol.messages.describe_client_quotas import (
    ComponentData,
    DescribeClientQuotasRequest,
    DescribeClientQuotasResponse,
)

_EXACT, _DEFAULT, _ANY = 0, 1, 2
"""How a filter names an entity: by its name, the default of its type, whoever has a quota."""

_IP: Final = "ip"
_OF_USERS: Final = frozenset(
    {"producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate"}
)
_OF_ADDRESSES: Final = frozenset({"connection_creation_rate"})
_KEYS: Final[Mapping[str, frozenset[str]]] = {"user": _OF_USERS, "client-id": _OF_USERS, _IP: _OF_ADDRESSES}
"""The quotas that each type of entity may have."""
_WHOLE: Final = frozenset({"producer_byte_rate", "consumer_byte_rate", "connection_creation_rate"})
"""Quotas that are whole numbers."""


def _describe(request: DescribeClientQuotasRequest) -> DescribeClientQuotasResponse:
    try:
        _check_filter(request.components)
    except KafkaError as error:
        return DescribeClientQuotasResponse(error_code=error.code, error_message=error.message, entries=None)
    return DescribeClientQuotasResponse(error_message="")


def _check_filter(components: list[ComponentData]) -> None:
    types: set[str] = set()
    for component in components:
        entity_type = component.entity_type
        if not entity_type:
            raise KafkaError(ErrorCode.INVALID_REQUEST, "A type of entity is empty.")
        if entity_type in types:
            raise KafkaError(ErrorCode.INVALID_REQUEST, f"The filter names entities of type {entity_type} twice.")
        types.add(entity_type)
        if component.match_type not in (_EXACT, _DEFAULT, _ANY):
            raise KafkaError(ErrorCode.INVALID_REQUEST, f"There is no match type {component.match_type}.")
        if (component.match_type == _EXACT) != (component.match is not None):
            raise KafkaError(ErrorCode.INVALID_REQUEST, "A name goes with an exact match, and with no other.")
        if entity_type not in _KEYS:
            raise KafkaError(ErrorCode.UNSUPPORTED_VERSION, f"There are no quotas for entities of type {entity_type}.")
    if _IP in types and len(types) > 1:
        raise KafkaError(ErrorCode.INVALID_REQUEST, "Addresses do not go together with users or client ids.")


def _alter(request: AlterClientQuotasRequest) -> AlterClientQuotasResponse:
    return AlterClientQuotasResponse(entries=[_altered(entry) for entry in request.entries])


def _altered(entry: RequestEntryData) -> ResponseEntryData:
    result = ResponseEntryData(
        error_message=None,
        entity=[
            alter_client_quotas.EntityData(entity_type=entity.entity_type, entity_name=entity.entity_name)
            for entity in entry.entity
        ],
    )
    try:
        _check_change(entry)
    except KafkaError as error:
        result.error_code = error.code
        result.error_message = error.message
    return result


def _check_change(entry: RequestEntryData) -> None:
    types = {entity.entity_type for entity in entry.entity}
    if not types:
        raise KafkaError(ErrorCode.INVALID_REQUEST, "A quota needs an entity that it is for.")
    for entity_type in sorted(types):
        if entity_type not in _KEYS:
            raise KafkaError(ErrorCode.INVALID_REQUEST, f"There are no quotas for entities of type {entity_type}.")
    if _IP in types and len(types) > 1:
        raise KafkaError(ErrorCode.INVALID_REQUEST, "Addresses do not go together with users or client ids.")
    keys = _KEYS[next(iter(types))]
    for change in entry.ops:
        if change.key not in keys:
            raise KafkaError(ErrorCode.INVALID_REQUEST, f"There is no quota {change.key} for these entities.")
        if change.remove:
            continue
        if not change.value > 0:
            raise KafkaError(ErrorCode.INVALID_REQUEST, f"Quota {change.key} must be larger than 0.")
        if change.key in _WHOLE and change.value % 1:
            raise KafkaError(ErrorCode.INVALID_REQUEST, f"Quota {change.key} must be a whole number.")
    if any(not change.remove for change in entry.ops):
        raise KafkaError(
            ErrorCode.UNSUPPORTED_VERSION, "Client quotas are not served in this version of the broker: none was set."
        )


HANDLERS: Final[Mapping[int, Handler]] = {
    ApiKey.DESCRIBE_CLIENT_QUOTAS: answering(DescribeClientQuotasRequest, _describe),
    ApiKey.ALTER_CLIENT_QUOTAS: answering(AlterClientQuotasRequest, _alter),
}
