"""What a producer is told of a partition whose batch is refused: the records to blame, and where the log starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kbroker.errors import KafkaError
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.produce_layout import ProduceResult, Refusal
from kbroker.protocol.record_batch import (
    RecordRefused,
    RefusedRecord,
    find_refused_records,
    read_batch_header,
)

_BEFORE_THE_LOG: Final = frozenset(
    {
        ErrorCode.CORRUPT_MESSAGE,
        ErrorCode.MESSAGE_TOO_LARGE,
        ErrorCode.RECORD_LIST_TOO_LARGE,
        ErrorCode.KAFKA_STORAGE_ERROR,
        ErrorCode.UNSUPPORTED_COMPRESSION_TYPE,
        ErrorCode.INVALID_TXN_STATE,
    }
)
"""Refusals of a partition that this broker leads which do not tell, as Kafka's do not, where its log starts."""
_SHOWN: Final = 3
"""Refused records that the message for a person shows; the answer names all of them."""


class Refused(KafkaError):
    """
    A refusal with what is known of it.

    log_start_offset  of the partition; -1: not told
    records           (number, reason) of each record to blame
    """

    def __init__(self, code: int, message: str, log_start_offset: int, records: Sequence[tuple[int, str]] = ()) -> None:
        super().__init__(code, message)
        self.log_start_offset = log_start_offset
        self.records = records


def explained(
    error: KafkaError,
    records: memoryview,
    log_start_offset: int,
    *,
    keys_required: bool,
    earliest_timestamp: int | None,
    latest_timestamp: int | None,
) -> Refused:
    """
    Return a refusal with all that is known of it.

    error             what was found wrong first
    records           the batch, whose header can be read when a record is to blame
    log_start_offset  of the partition
    keys_required, earliest_timestamp, latest_timestamp  as find_refused_records takes them
    """
    if error.code in _BEFORE_THE_LOG:
        log_start_offset = -1
    refused: list[RefusedRecord] = []
    if isinstance(error, RecordRefused):
        refused = find_refused_records(
            records,
            read_batch_header(records, 0),
            keys_required=keys_required,
            earliest_timestamp=earliest_timestamp,
            latest_timestamp=latest_timestamp,
        )
    if not refused:
        return Refused(error.code, error.message, log_start_offset)
    # A wrong timestamp outweighs a missing key, as in Kafka.
    code = max(refused, key=lambda record: record.error_code == ErrorCode.INVALID_TIMESTAMP).error_code
    shown = "; ".join(f"record {record.number}: {record.reason}" for record in refused[:_SHOWN])
    more = f"; and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
    return Refused(
        code,
        f"the batch is refused because of its records: {shown}{more}",
        log_start_offset,
        [(record.number, record.reason) for record in refused],
    )


def refused_result(index: int, error: KafkaError) -> ProduceResult:
    """Return what is answered for the partition of number `index`."""
    if isinstance(error, Refused):
        refusal = Refusal(error.message, error.records)
        return ProduceResult(index, error.code, log_start_offset=error.log_start_offset, refusal=refusal)
    return ProduceResult(index, error.code, refusal=Refusal(error.message) if error.message else None)
