"""
The metadata store: a tree of small nodes with ZooKeeper's semantics, whatever keeps it.

A path is "/" or "/name/name…". A node has data (a few kB, JSON by convention), a version that counts its changes, and
children. An ephemeral node lives as long as the session that made it, and has no children. A sequential node's name
gets a number of ten digits that grows with each child its parent ever had or lost. `commit` does several operations at
once or none of them.

Watches. A watch fires when what it watches changes; its callback is not called then, but by `deliver_events()`, which
the owner of the store calls when `fileno()` is readable, on its own loop: no callback ever runs within a call that
changes the tree, nor on another thread. A one-shot watch ends with its first event.

    StoreError                  names the path
    ├── NoNode
    ├── NodeExists
    ├── BadVersion              the node changed since it was read
    ├── NotEmpty                a node with children cannot be deleted
    ├── NoChildrenForEphemerals
    └── StoreUnavailable        nothing was changed; the medium or the connection failed
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from kbroker.errors import KbrokerError

ANY_VERSION = -1
"""Stands for "whatever the version is" wherever a version is expected."""


class StoreError(KbrokerError):
    """An operation was refused; nothing was changed."""

    explanation = "refused"

    def __init__(self, path: str, detail: str = "") -> None:
        super().__init__(f"{path}: {detail or self.explanation}")
        self.path = path


class NoNode(StoreError):
    """There is no such node, or no parent to create it under."""

    explanation = "no such node"


class NodeExists(StoreError):
    """There is such a node already."""

    explanation = "the node exists already"


class BadVersion(StoreError):
    """The node has another version than expected."""

    explanation = "the node changed in the meantime"


class NotEmpty(StoreError):
    """The node has children."""

    explanation = "the node has children"


class NoChildrenForEphemerals(StoreError):
    """An ephemeral node cannot have children."""

    explanation = "an ephemeral node cannot have children"


class StoreUnavailable(StoreError):
    """The store could not be reached or written."""

    explanation = "the metadata store cannot be written"


@dataclass(frozen=True, slots=True)
class Stat:
    """
    What a node is apart from its data.

    version          how often the data was set
    cversion         how often children came or went
    czxid, mzxid     number of the transaction that created it, that last set its data; they grow over the whole store
    ctime, mtime     when that was, milliseconds since 1970
    ephemeral_owner  session it belongs to, 0 for a persistent node
    """

    version: int
    cversion: int
    czxid: int
    mzxid: int
    ctime: int
    mtime: int
    ephemeral_owner: int


@dataclass(frozen=True, slots=True)
class Create:
    """Create a node; its result is the path, with the number of a sequential node."""

    path: str
    data: bytes = b""
    ephemeral: bool = False
    sequential: bool = False


@dataclass(frozen=True, slots=True)
class SetData:
    """Replace a node's data; its result is the new Stat."""

    path: str
    data: bytes
    version: int = ANY_VERSION


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a node without children; its result is None."""

    path: str
    version: int = ANY_VERSION


@dataclass(frozen=True, slots=True)
class Check:
    """Change nothing, but fail the transaction unless the node exists with that version; its result is None."""

    path: str
    version: int = ANY_VERSION


Operation = Create | SetData | Delete | Check


class EventKind(Enum):
    """What happened to a watched node."""

    CREATED = "created"
    CHANGED = "changed"
    DELETED = "deleted"
    CHILDREN = "children"
    """A child came or went."""


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """What a watch tells; the node may have changed again since, so read it."""

    kind: EventKind
    path: str


WatchCallback = Callable[[WatchEvent], None]


class Watch(Protocol):
    """A watch that is set."""

    def cancel(self) -> None:
        """Make sure the callback is not called any more, not even for events that wait."""


class Store(Protocol):
    """
    The store as the cluster worker uses it; one thread.

    Every method may raise StoreUnavailable, and ValueError for a path that is none.
    """

    @property
    def session_id(self) -> int:
        """The session ephemeral nodes belong to."""

    def create(self, path: str, data: bytes = b"", *, ephemeral: bool = False, sequential: bool = False) -> str:
        """Create a node and return its path. Raises NodeExists, NoNode (the parent), NoChildrenForEphemerals."""

    def ensure(self, *paths: str) -> None:
        """Create persistent nodes and their parents, without data, where they do not exist; all at once."""

    def get(self, path: str) -> tuple[bytes, Stat]:
        """Return a node's data and Stat. Raises NoNode."""

    def get_many(self, paths: Sequence[str]) -> list[tuple[bytes, Stat] | None]:
        """Return data and Stat of each node, None where there is none, in the order asked for."""

    def set(self, path: str, data: bytes, version: int = ANY_VERSION) -> Stat:
        """Replace a node's data. Raises NoNode, BadVersion."""

    def delete(self, path: str, version: int = ANY_VERSION) -> None:
        """Delete a node. Raises NoNode, BadVersion, NotEmpty."""

    def children(self, path: str) -> list[str]:
        """Return the names of a node's children, sorted. Raises NoNode."""

    def exists(self, path: str) -> Stat | None:
        """Return a node's Stat, None when there is none."""

    def commit(self, operations: Sequence[Operation]) -> list[str | Stat | None]:
        """
        Do all operations, in order, or none; return their results.

        An operation sees what the ones before it did. Raises what the first failing operation would have raised.
        """

    def watch_data(self, path: str, callback: WatchCallback, *, persistent: bool = False) -> Watch:
        """Watch a node's creation, data and deletion; it need not exist."""

    def watch_children(self, path: str, callback: WatchCallback, *, persistent: bool = False) -> Watch:
        """Watch the coming and going of a node's children, and its deletion; it need not exist."""

    def fileno(self) -> int:
        """Return a descriptor that is readable while events wait for `deliver_events`."""

    def deliver_events(self) -> int:
        """Call the callbacks of all events that wait, oldest first; return how many."""

    def close(self) -> None:
        """End the session: its ephemeral nodes vanish. Closing twice is harmless."""


def parent_of(path: str) -> str:
    """Return the path of a node's parent; "/" for nodes below the root."""
    return path[: path.rindex("/")] or "/"


def check_path(path: str) -> None:
    """Raise ValueError unless `path` is the path of a node."""
    if path == "/":
        return
    if not path.startswith("/"):
        raise ValueError(f"{path!r}: a path starts with /")
    for name in path[1:].split("/"):
        if name in {"", ".", ".."} or "\0" in name:
            raise ValueError(f"{path!r}: {name!r} is no name of a node")
