"""
Who this broker is, and how the cluster learns of it.

The identity, cluster id and broker id, is kept in `meta.properties` of each log directory and in the metadata store.
Whatever is missing in one place is taken from the others, so a data directory of Apache Kafka (of either kind) and a
lost metadata store both just start. What contradicts is explained, with the file and the ways out, and nothing is
written.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from kbroker.clock import Clock
from kbroker.cluster import nodes
from kbroker.cluster.controller import new_uuid
from kbroker.cluster.embedded import EmbeddedStore, damage_explained
from kbroker.cluster.store import Create, Delete, Operation, SetData, Store
from kbroker.errors import StartupError
from kbroker.metadata.image import BrokerState
from kbroker.storage.checkpoints import (
    META_PROPERTIES,
    MetaProperties,
    encode_uuid,
    read_meta_properties,
    write_meta_properties,
)

logger = logging.getLogger(__name__)

NOT_CONFIGURED = -1
FIRST_BROKER_ID = 0
"""The id of a broker that nobody gave one."""

_Value = TypeVar("_Value", int, str)


@dataclass(frozen=True, slots=True)
class BrokerRegistration:
    """
    Who this broker is.

    cluster_id  Kafka's text form, 22 characters
    """

    broker_id: int
    cluster_id: str


def settle_identity(
    log_dirs: Sequence[str], configured_broker_id: int, store_path: str, *, clock: Clock
) -> BrokerRegistration:
    """
    Return who this broker is, and see to it that log directories and store say so from now on.

    log_dirs              those that can be written
    configured_broker_id  broker.id or node.id; NOT_CONFIGURED: whatever is on record, FIRST_BROKER_ID when nothing is
    store_path            the embedded store's file; opened and closed again, so call this before any fork

    Raises StartupError when two of them contradict, or a file cannot be read; OSError.
    """
    on_disk = {log_dir: read_meta_properties(log_dir) for log_dir in log_dirs}
    store = EmbeddedStore(store_path, clock=clock)
    try:
        with damage_explained(store_path):
            stored_cluster_id, stored_broker_id = _stored_identity(store)
        registration = _reconcile(
            {f"{log_dir}/{META_PROPERTIES}": found for log_dir, found in on_disk.items() if found is not None},
            configured_broker_id,
            store_path,
            stored_cluster_id,
            stored_broker_id,
        )
        if (stored_cluster_id, stored_broker_id) != (registration.cluster_id, registration.broker_id):
            _store_identity(store, registration)
    finally:
        store.close()
    known = [found for found in on_disk.values() if found is not None]
    for log_dir, found in on_disk.items():
        completed = _completed(found, registration, known)
        if completed != found:
            write_meta_properties(log_dir, completed)
    return registration


def _stored_identity(store: Store) -> tuple[str | None, int | None]:
    cluster, identity = store.get_many([nodes.CLUSTER_ID, nodes.IDENTITY])
    return (
        None if cluster is None else nodes.decode_cluster_id(cluster[0]),
        None if identity is None else nodes.decode_identity(identity[0]),
    )


def _store_identity(store: Store, registration: BrokerRegistration) -> None:
    store.ensure(nodes.CLUSTER_ID, nodes.IDENTITY)
    store.commit(
        [
            SetData(nodes.CLUSTER_ID, nodes.encode_cluster_id(registration.cluster_id)),
            SetData(nodes.IDENTITY, nodes.encode_identity(registration.broker_id)),
        ]
    )


def _reconcile(
    files: Mapping[str, MetaProperties],
    configured_broker_id: int,
    store_path: str,
    stored_cluster_id: str | None,
    stored_broker_id: int | None,
) -> BrokerRegistration:
    """Return the one identity that all on record agree on. Raises StartupError naming two that do not."""
    cluster_id = _agreed(
        "cluster.id",
        {path: found.cluster_id for path, found in files.items() if found.cluster_id is not None},
        lambda one, other: (
            f"{one} and {other} are of different clusters; log.dirs may only name directories of one: "
            "take the foreign one out of log.dirs, or delete its meta.properties if its logs belong here"
        ),
    )
    file_with_cluster = next((path for path, found in files.items() if found.cluster_id is not None), "")
    if cluster_id is not None and stored_cluster_id is not None and cluster_id != stored_cluster_id:
        raise StartupError(
            f"{file_with_cluster} says cluster.id={cluster_id}, but the metadata store {store_path} is of cluster "
            f"{stored_cluster_id}. If the logs are what counts, move the store away: their topics are found again by "
            "their directories. If the store is, point log.dirs at its own directories"
        )
    broker_id = _agreed(
        "broker.id",
        {path: found.node_id for path, found in files.items() if found.node_id is not None},
        lambda one, other: (
            f"{one} and {other} are of different brokers; log.dirs may only name directories of one: "
            "take the foreign one out of log.dirs, or delete its meta.properties if its logs belong here"
        ),
    )
    file_with_broker = next((path for path, found in files.items() if found.node_id is not None), "")
    if broker_id is not None and stored_broker_id is not None and broker_id != stored_broker_id:
        raise StartupError(
            f"{file_with_broker} is of broker {broker_id}, but the metadata store {store_path} is of broker "
            f"{stored_broker_id}. If the logs are what counts, move the store away: their topics are found again by "
            "their directories. If the store is, point log.dirs at its own directories"
        )
    recorded = stored_broker_id if broker_id is None else broker_id
    if recorded is not None and configured_broker_id not in (NOT_CONFIGURED, recorded):
        where = file_with_broker if broker_id is not None else f"the metadata store {store_path}"
        raise StartupError(
            f"broker.id={configured_broker_id} is configured, but {where} is of broker {recorded}. "
            f"Set broker.id={recorded} (or leave it out) to go on with this data, or point log.dirs at another, empty "
            "directory for a new broker"
        )
    if recorded is None:
        recorded = FIRST_BROKER_ID if configured_broker_id == NOT_CONFIGURED else configured_broker_id
    return BrokerRegistration(recorded, cluster_id or stored_cluster_id or encode_uuid(new_uuid()))


def _agreed(name: str, values: Mapping[str, _Value], explain: Callable[[str, str], str]) -> _Value | None:
    """Return the value that all files have, None when there is no file. Raises StartupError when two differ."""
    agreed: tuple[str, _Value] | None = None
    for path, value in values.items():
        if agreed is None:
            agreed = (path, value)
        elif agreed[1] != value:
            raise StartupError(explain(f"{agreed[0]} ({name}={agreed[1]})", f"{path} ({name}={value})"))
    return None if agreed is None else agreed[1]


def _completed(
    found: MetaProperties | None, registration: BrokerRegistration, known: Sequence[MetaProperties]
) -> MetaProperties:
    """
    Return what a directory's meta.properties shall say.

    A directory that has one keeps its form, and a new one gets the form of the others, so that the Apache Kafka that
    wrote them can read them again; the very first gets the form of KRaft.
    """
    if found is not None:
        return replace(found, cluster_id=registration.cluster_id, node_id=registration.broker_id)
    version = known[0].version if known else 1
    wants_directory_id = version == 1 or any(other.directory_id is not None for other in known)
    return MetaProperties(
        version,
        registration.cluster_id,
        registration.broker_id,
        encode_uuid(new_uuid()) if wants_directory_id else None,
    )


def register(store: Store, registration: BrokerRegistration, broker: BrokerState, *, clock: Clock) -> None:
    """
    Make the broker known: its ephemeral node under /brokers/ids, and /cluster/id where it is missing.

    broker  its real endpoints; a host may be empty, see Endpoint

    Replaces the registration of an earlier life of this broker. Raises StoreError.
    """
    store.ensure(nodes.BROKER_IDS)
    if store.exists(nodes.CLUSTER_ID) is None:
        _store_identity(store, registration)
    path = nodes.broker_path(broker.broker_id)
    operations: list[Operation] = []
    if store.exists(path) is not None:
        operations.append(Delete(path))
    operations.append(Create(path, nodes.encode_broker(broker, clock.wall_ms()), ephemeral=True))
    store.commit(operations)
    logger.debug(
        "Broker %d of cluster %s is registered, pid %d", broker.broker_id, registration.cluster_id, os.getpid()
    )
