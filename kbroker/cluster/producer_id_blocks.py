"""
Producer ids, unique in the cluster for all time: given out in blocks of 1000 to whoever numbers producers.

    /latest_producer_id_block   {"version":1,"broker":0,"block_start":"0","block_end":"999"}   the block given out last
"""

from __future__ import annotations

import json
from typing import NamedTuple

from kbroker.cluster import nodes
from kbroker.cluster.store import BadVersion, NodeExists, Store
from kbroker.errors import KafkaError
from kbroker.protocol.error_codes import ErrorCode

BLOCK_SIZE = 1000
_LARGEST = 2**63 - 1
_ATTEMPTS = 10


class ProducerIdBlock(NamedTuple):
    """Producer ids from `first` to `last`, both included."""

    first: int
    last: int


class ProducerIdBlocks:
    """Gives blocks out, never one twice: a block is on the disk as given before anybody gets it."""

    __slots__ = ("_broker_id", "_store")

    def __init__(self, store: Store, *, broker_id: int) -> None:
        self._store = store
        self._broker_id = broker_id

    def allocate(self) -> ProducerIdBlock:
        """
        Return a block nobody had.

        Raises KafkaError (UNKNOWN_SERVER_ERROR) when the ids are used up or other brokers keep getting ahead,
        StoreUnavailable.
        """
        return self._take(0)

    def skip_to(self, producer_id: int) -> None:
        """
        Never give out an id below `producer_id` any more.

        For logs whose producers the store does not know: an id of theirs, given to a new producer, would have its
        records refused as out of sequence or taken for duplicates. Raises as `allocate`.
        """
        self._take(producer_id)

    def _take(self, at_least: int) -> ProducerIdBlock:
        store = self._store
        for _ in range(_ATTEMPTS):
            found = store.get_many([nodes.PRODUCER_ID_BLOCK])[0]
            next_id = 0 if found is None else int(json.loads(found[0])["block_end"]) + 1
            first = max(next_id, at_least)
            block = ProducerIdBlock(first, first + BLOCK_SIZE - 1)
            if block.last > _LARGEST:
                raise KafkaError(ErrorCode.UNKNOWN_SERVER_ERROR, "all producer ids are used up")
            data = nodes.encode_json(
                {
                    "version": 1,
                    "broker": self._broker_id,
                    "block_start": str(block.first),
                    "block_end": str(block.last),
                }
            )
            try:
                if found is None:
                    store.create(nodes.PRODUCER_ID_BLOCK, data)
                else:
                    store.set(nodes.PRODUCER_ID_BLOCK, data, found[1].version)
                return block
            except (BadVersion, NodeExists):
                continue  # another broker took that block
        raise KafkaError(ErrorCode.UNKNOWN_SERVER_ERROR, "other brokers keep taking the next block of producer ids")
