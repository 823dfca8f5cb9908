"""Producer ids, the producers of a partition, and what concerns transactions."""

from __future__ import annotations

from typing import Any

from differential.actions import Scenario, Steps
from differential.requests import append, await_coordinator, await_transactions, batch, create_topic, request
from differential.world import World
from kbroker.protocol.api_keys import ApiKey

DEFAULT_NONE_ID = bytes(16)


def producers(world: World) -> Steps:
    """DescribeProducers and what concerns transactions."""
    yield from create_topic(world, "produced", 2)
    yield from append("produced", batch(3, producer_id=500, producer_epoch=2, base_sequence=0))
    yield from await_coordinator("txn-group")
    yield from await_transactions()
    for version in world.range(ApiKey.DESCRIBE_PRODUCERS):
        for name, topic, indexes in (
            ("a partition", "produced", [0]),
            ("one without", "produced", [1]),
            ("unknown ones", "produced", [7, -1]),
            ("no partitions", "produced", []),
            ("an unknown topic", "nowhere", [0]),
            ("an empty name", "", [0]),
            ("an illegal name", "a/b", [0]),
            ("a partition twice", "produced", [0, 0]),
        ):
            rows = [{"name": topic, "partition_indexes": indexes}]
            yield world.ask(f"producers of {name}", request(ApiKey.DESCRIBE_PRODUCERS, topics=rows), version)
        yield world.ask("producers of nothing", request(ApiKey.DESCRIBE_PRODUCERS), version)
    for version in world.range(ApiKey.INIT_PRODUCER_ID):
        cases: dict[str, dict[str, Any]] = {
            "no transaction": {"transactional_id": None, "transaction_timeout_ms": 60000},
            "no transaction, no timeout": {"transactional_id": None, "transaction_timeout_ms": 0},
            "no transaction, a negative timeout": {"transactional_id": None, "transaction_timeout_ms": -1},
            "no transaction, a huge timeout": {"transactional_id": None, "transaction_timeout_ms": 2**31 - 1},
            "an empty transactional id": {"transactional_id": "", "transaction_timeout_ms": 60000},
        }
        for name, values in cases.items():
            yield world.ask(f"a producer id for {name}", request(ApiKey.INIT_PRODUCER_ID, **values), version)
        if version >= 3:
            for producer, epoch in ((5, 3), (5, -1), (-1, 3), (-2, -2), (2**63 - 1, 32767)):
                values = {
                    "transactional_id": None,
                    "transaction_timeout_ms": 60000,
                    "producer_id": producer,
                    "producer_epoch": epoch,
                }
                yield world.ask(
                    f"a producer id for {producer} {epoch}", request(ApiKey.INIT_PRODUCER_ID, **values), version
                )
    for version in world.range(ApiKey.LIST_TRANSACTIONS):
        for states in ([], ["Ongoing"], ["Nonsense"]):
            yield world.ask(
                f"transactions in {states}", request(ApiKey.LIST_TRANSACTIONS, state_filters=states), version
            )
        yield world.ask("transactions of 5", request(ApiKey.LIST_TRANSACTIONS, producer_id_filters=[5]), version)
        if version >= 1:
            yield world.ask("transactions since", request(ApiKey.LIST_TRANSACTIONS, duration_filter=1000), version)
        if version >= 2:
            for pattern in ("a.*", "", "("):
                yield world.ask(
                    f"transactions like {pattern!r}",
                    request(ApiKey.LIST_TRANSACTIONS, transactional_id_pattern=pattern),
                    version,
                )
    for version in world.range(ApiKey.DESCRIBE_TRANSACTIONS):
        for names in ([], ["never-seen"], [""], ["a", "a"]):
            yield world.ask(
                f"transactions {names}", request(ApiKey.DESCRIBE_TRANSACTIONS, transactional_ids=names), version
            )
    transaction = {"transactional_id": "never-seen", "producer_id": 5, "producer_epoch": 1}
    for version in world.range(ApiKey.ADD_OFFSETS_TO_TXN):
        yield world.ask(
            "offsets to an unknown transaction",
            request(ApiKey.ADD_OFFSETS_TO_TXN, group_id="g", **transaction),
            version,
        )
    for version in world.range(ApiKey.END_TXN):
        yield world.ask(
            "the end of an unknown transaction", request(ApiKey.END_TXN, committed=True, **transaction), version
        )
    for version in world.range(ApiKey.ADD_PARTITIONS_TO_TXN):
        if version < 4:
            old = {f"v3_and_below_{name}": value for name, value in transaction.items()}
            topics = [{"name": "produced", "partitions": [0]}, {"name": "nowhere", "partitions": [0]}]
            yield world.ask(
                "partitions to an unknown transaction",
                request(ApiKey.ADD_PARTITIONS_TO_TXN, v3_and_below_topics=topics, **old),
                version,
            )
    for version in world.range(ApiKey.TXN_OFFSET_COMMIT):
        commits = [{"partition_index": 0, "committed_offset": 1, "committed_metadata": ""}]
        topics = [{"name": "produced", "partitions": commits}]
        yield world.ask(
            "a commit in no transaction",
            request(ApiKey.TXN_OFFSET_COMMIT, group_id="txn-group", topics=topics, **transaction),
            version,
        )


SCENARIOS = (Scenario("producers", (ApiKey.DESCRIBE_PRODUCERS, ApiKey.INIT_PRODUCER_ID), producers),)
