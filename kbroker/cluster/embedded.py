"""
The metadata store of a broker that stands alone: the tree in one SQLite file.

Its tables, and how they change from one kbroker to the next: `store_format`.

Durable: write-ahead log with synchronous=FULL, so what `commit` returned from is on the disk. Measured on a virtual
disk, one transaction of three nodes: 0.25 ms; rollback journal 0.33 ms; synchronous=NORMAL 0.01 ms, which loses
the last transactions with the machine's power and is not worth that.

The lock is exclusive and the kernel's: a second process is refused, a killed one leaves nothing locked.

SQLite must not cross a fork: open the store in the process that uses it.
"""

from __future__ import annotations

import os
import sqlite3
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from kbroker.clock import Clock
from kbroker.cluster.store import (
    ANY_VERSION,
    BadVersion,
    Check,
    Create,
    Delete,
    EventKind,
    NoChildrenForEphemerals,
    NodeExists,
    NoNode,
    NotEmpty,
    Operation,
    SetData,
    Stat,
    StoreUnavailable,
    WatchCallback,
    WatchEvent,
    check_path,
    parent_of,
)
from kbroker.cluster.store_format import CURRENT, StoreFormat, bring_up_to_date, refuse_newer_header, what_to_do
from kbroker.errors import StartupError

_STAT = "version, cversion, czxid, mzxid, ctime, mtime, ephemeral_owner"


@contextmanager
def damage_explained(path: str) -> Iterator[None]:
    """
    Tell what to do when what a store's nodes hold makes no sense: SQLite, without checksums, notices some damage only.

    Raises StartupError in place of what decoding such a node raises.
    """
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, NoNode) as error:
        raise StartupError(
            f"{path}: the metadata store is damaged ({type(error).__name__}: {error}); {what_to_do(path)}"
        ) from error


class _Watch:
    """One callback on one path."""

    __slots__ = ("active", "callback", "path", "persistent", "watches")

    def __init__(self, watches: dict[str, list[_Watch]], path: str, callback: WatchCallback, persistent: bool) -> None:
        self.watches = watches
        self.path = path
        self.callback = callback
        self.persistent = persistent
        self.active = True

    def cancel(self) -> None:
        """Make sure the callback is not called any more, not even for events that wait."""
        self.active = False
        self.forget()

    def forget(self) -> None:
        """Let no further event fire it."""
        watching = self.watches.get(self.path)
        if watching is not None and self in watching:
            watching.remove(self)
            if not watching:
                del self.watches[self.path]


class EmbeddedStore:
    """
    A Store in an SQLite file.

    path          the file; created when missing, with its directory
    clock         for the times in Stat
    store_format  what the file shall be of; an older one is brought to it

    Raises StartupError when the file cannot be used: it names the file and what to do.
    """

    __slots__ = (
        "_child_watches",
        "_clock",
        "_connection",
        "_data_watches",
        "_event_fd",
        "_events",
        "_fired",
        "_now_ms",
        "_path",
        "_zxid",
        "session_id",
    )

    def __init__(self, path: str, *, clock: Clock, store_format: StoreFormat = CURRENT) -> None:
        refuse_newer_header(path, store_format)
        self._path = path
        self._clock = clock
        self._now_ms = 0
        self._data_watches: dict[str, list[_Watch]] = {}
        self._child_watches: dict[str, list[_Watch]] = {}
        self._fired: list[WatchEvent] = []
        self._events: deque[tuple[_Watch, WatchEvent]] = deque()
        try:
            os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
            self._connection: sqlite3.Connection | None = sqlite3.connect(path, isolation_level=None, timeout=0)
        except (OSError, sqlite3.Error) as error:
            raise StartupError(
                f"{path}: the metadata store cannot be opened ({error}); make its directory writable"
            ) from error
        self._event_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        try:
            self._zxid = self._open(self._connection, store_format)
        except BaseException:
            self._release()
            raise
        # Sessions only need to differ from those whose ephemeral nodes may still be there, and all of these are gone.
        self.session_id = self._zxid + 1

    def _open(self, connection: sqlite3.Connection, store_format: StoreFormat) -> int:
        """Make the file ready for use; return its last transaction's number."""
        path = self._path
        damaged = what_to_do(path)
        try:
            # Before the first access: with it, the write-ahead log needs no shared memory file.
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA temp_store = MEMORY")
            if bring_up_to_date(connection, path, store_format):
                return 0
            connection.execute("BEGIN IMMEDIATE")
            zxid: int = connection.execute("SELECT zxid FROM state").fetchone()[0]
            if connection.execute("DELETE FROM nodes WHERE ephemeral_owner != 0").rowcount:
                zxid += 1
                connection.execute("UPDATE state SET zxid = ?", (zxid,))
            connection.execute("COMMIT")
            return zxid
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "")
            if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
                raise StartupError(f"{path}: in use by another process; stop the broker that runs on it") from error
            if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")):
                raise StartupError(
                    f"{path}: the metadata store cannot be written ({error}); make file and directory writable"
                ) from error
            if name.startswith(("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_NOMEM")):
                raise StartupError(
                    f"{path}: the metadata store cannot be used ({error}); check the disk and its free space"
                ) from error
            raise StartupError(f"{path}: the metadata store cannot be read ({error}); {damaged}") from error
        except (TypeError, IndexError, ValueError) as error:
            raise StartupError(f"{path}: the metadata store is incomplete; {damaged}") from error

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreUnavailable("/", "the metadata store is closed")
        return self._connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Do all of the block or nothing, and fire watches only for what was done."""
        connection = self._opened()
        before = self._zxid
        self._now_ms = self._clock.wall_ms()
        self._fired.clear()
        try:
            connection.execute("BEGIN IMMEDIATE")
            self._zxid += 1
            yield connection
            connection.execute("UPDATE state SET zxid = ?", (self._zxid,))
            connection.execute("COMMIT")
        except BaseException as error:
            self._zxid = before
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise StoreUnavailable(self._path, f"the metadata store cannot be written: {error}") from error
            raise
        self._fire()

    def create(self, path: str, data: bytes = b"", *, ephemeral: bool = False, sequential: bool = False) -> str:
        """Create a node and return its path. Raises NodeExists, NoNode (the parent), NoChildrenForEphemerals."""
        with self._transaction() as connection:
            return self._create(connection, Create(path, data, ephemeral, sequential))

    def ensure(self, *paths: str) -> None:
        """Create persistent nodes and their parents, without data, where they do not exist; all at once."""
        missing: set[str] = set()
        for path in paths:
            check_path(path)
            while path != "/" and path not in missing and self.exists(path) is None:
                missing.add(path)
                path = parent_of(path)
        if missing:
            # A parent's path is shorter, so it comes first.
            self.commit([Create(path) for path in sorted(missing, key=len)])

    def get(self, path: str) -> tuple[bytes, Stat]:
        """Return a node's data and Stat. Raises NoNode."""
        check_path(path)
        found = self._select(path)
        if found is None:
            raise NoNode(path)
        return found

    def get_many(self, paths: Sequence[str]) -> list[tuple[bytes, Stat] | None]:
        """Return data and Stat of each node, None where there is none, in the order asked for."""
        return [self._select(path) for path in paths]

    def set(self, path: str, data: bytes, version: int = ANY_VERSION) -> Stat:
        """Replace a node's data. Raises NoNode, BadVersion."""
        with self._transaction() as connection:
            return self._set(connection, SetData(path, data, version))

    def delete(self, path: str, version: int = ANY_VERSION) -> None:
        """Delete a node. Raises NoNode, BadVersion, NotEmpty."""
        with self._transaction() as connection:
            self._delete(connection, Delete(path, version))

    def children(self, path: str) -> list[str]:
        """Return the names of a node's children, sorted. Raises NoNode."""
        check_path(path)
        skip = 1 if path == "/" else len(path) + 1
        names = [
            child[skip:] for (child,) in self._read("SELECT path FROM nodes WHERE parent = ? ORDER BY path", (path,))
        ]
        if not names and self._select(path) is None:
            raise NoNode(path)
        return names

    def exists(self, path: str) -> Stat | None:
        """Return a node's Stat, None when there is none."""
        check_path(path)
        found = self._select(path)
        return None if found is None else found[1]

    def commit(self, operations: Sequence[Operation]) -> list[str | Stat | None]:
        """
        Do all operations, in order, or none; return their results.

        An operation sees what the ones before it did. Raises what the first failing operation would have raised.
        """
        results: list[str | Stat | None] = []
        with self._transaction() as connection:
            for operation in operations:
                match operation:
                    case Create():
                        results.append(self._create(connection, operation))
                    case SetData():
                        results.append(self._set(connection, operation))
                    case Delete():
                        self._delete(connection, operation)
                        results.append(None)
                    case Check():
                        self._expect(operation.path, operation.version)
                        results.append(None)
        return results

    def watch_data(self, path: str, callback: WatchCallback, *, persistent: bool = False) -> _Watch:
        """Watch a node's creation, data and deletion; it need not exist."""
        return self._watch(self._data_watches, path, callback, persistent)

    def watch_children(self, path: str, callback: WatchCallback, *, persistent: bool = False) -> _Watch:
        """Watch the coming and going of a node's children, and its deletion; it need not exist."""
        return self._watch(self._child_watches, path, callback, persistent)

    def fileno(self) -> int:
        """Return a descriptor that is readable while events wait for `deliver_events`."""
        return self._event_fd

    def deliver_events(self) -> int:
        """
        Call the callbacks of all events that wait, oldest first; return how many.

        Events that the callbacks cause wait for the next call, so a callback that writes cannot hold the loop up.
        """
        try:
            os.eventfd_read(self._event_fd)
        except BlockingIOError:
            return 0
        due, self._events = self._events, deque()
        delivered = 0
        for watch, event in due:
            if watch.active:
                watch.active = watch.persistent
                delivered += 1
                watch.callback(event)
        return delivered

    def close(self) -> None:
        """End the session: its ephemeral nodes vanish. Closing twice is harmless."""
        if self._connection is None:
            return
        try:
            if self._read("SELECT 1 FROM nodes WHERE ephemeral_owner != 0 LIMIT 1", ()):
                with self._transaction() as connection:
                    connection.execute("DELETE FROM nodes WHERE ephemeral_owner != 0")
        except StoreUnavailable:
            pass  # the next open removes them
        finally:
            self._release()

    def _release(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            os.close(self._event_fd)
            self._event_fd = -1

    def _read(self, query: str, arguments: tuple[object, ...]) -> list[tuple[str]]:
        try:
            return self._opened().execute(query, arguments).fetchall()
        except sqlite3.Error as error:
            raise StoreUnavailable(self._path, f"the metadata store cannot be read: {error}") from error

    def _select(self, path: str) -> tuple[bytes, Stat] | None:
        try:
            row = self._opened().execute(f"SELECT data, {_STAT} FROM nodes WHERE path = ?", (path,)).fetchone()  # noqa: S608
        except sqlite3.Error as error:
            raise StoreUnavailable(self._path, f"the metadata store cannot be read: {error}") from error
        return None if row is None else (row[0], Stat(*row[1:]))

    def _expect(self, path: str, version: int) -> Stat:
        """Return the Stat of a node that must exist with that version."""
        check_path(path)
        found = self._select(path)
        if found is None:
            raise NoNode(path)
        stat = found[1]
        if version not in (ANY_VERSION, stat.version):
            raise BadVersion(path, f"version {version} expected, but it is {stat.version}: changed in the meantime")
        return stat

    def _create(self, connection: sqlite3.Connection, operation: Create) -> str:
        path = operation.path
        check_path(path)
        if path == "/":
            raise NodeExists(path)
        parent = parent_of(path)
        above = self._select(parent)
        if above is None:
            raise NoNode(parent, f"no such node, so {path} cannot be created")
        if above[1].ephemeral_owner:
            raise NoChildrenForEphemerals(parent)
        if operation.sequential:
            path = f"{path}{above[1].cversion:010d}"
        try:
            connection.execute(
                "INSERT INTO nodes VALUES (?, ?, ?, 0, 0, ?, ?, ?, ?, ?)",
                (
                    path,
                    parent,
                    operation.data,
                    self._zxid,
                    self._zxid,
                    self._now_ms,
                    self._now_ms,
                    self.session_id if operation.ephemeral else 0,
                ),
            )
        except sqlite3.IntegrityError:
            raise NodeExists(path) from None
        connection.execute("UPDATE nodes SET cversion = cversion + 1 WHERE path = ?", (parent,))
        self._fired.append(WatchEvent(EventKind.CREATED, path))
        return path

    def _set(self, connection: sqlite3.Connection, operation: SetData) -> Stat:
        stat = self._expect(operation.path, operation.version)
        connection.execute(
            "UPDATE nodes SET data = ?, version = ?, mzxid = ?, mtime = ? WHERE path = ?",
            (operation.data, stat.version + 1, self._zxid, self._now_ms, operation.path),
        )
        self._fired.append(WatchEvent(EventKind.CHANGED, operation.path))
        return Stat(
            stat.version + 1,
            stat.cversion,
            stat.czxid,
            self._zxid,
            stat.ctime,
            self._now_ms,
            stat.ephemeral_owner,
        )

    def _delete(self, connection: sqlite3.Connection, operation: Delete) -> None:
        path = operation.path
        self._expect(path, operation.version)
        if path == "/":
            raise ValueError("/: the root cannot be deleted")
        if connection.execute("SELECT 1 FROM nodes WHERE parent = ? LIMIT 1", (path,)).fetchone():
            raise NotEmpty(path)
        connection.execute("DELETE FROM nodes WHERE path = ?", (path,))
        connection.execute("UPDATE nodes SET cversion = cversion + 1 WHERE path = ?", (parent_of(path),))
        self._fired.append(WatchEvent(EventKind.DELETED, path))

    def _watch(self, watches: dict[str, list[_Watch]], path: str, callback: WatchCallback, persistent: bool) -> _Watch:
        check_path(path)
        watch = _Watch(watches, path, callback, persistent)
        watches.setdefault(path, []).append(watch)
        return watch

    def _fire(self) -> None:
        """Queue an event for each watch that what was just committed concerns."""
        queued = len(self._events)
        for event in self._fired:
            self._queue(self._data_watches, event)
            if event.kind is not EventKind.CHANGED:
                if event.kind is EventKind.DELETED:
                    self._queue(self._child_watches, event)
                self._queue(self._child_watches, WatchEvent(EventKind.CHILDREN, parent_of(event.path)))
        self._fired.clear()
        if len(self._events) > queued:
            os.eventfd_write(self._event_fd, 1)

    def _queue(self, watches: dict[str, list[_Watch]], event: WatchEvent) -> None:
        for watch in list(watches.get(event.path, ())):
            self._events.append((watch, event))
            if not watch.persistent:
                watch.forget()
