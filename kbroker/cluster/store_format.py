"""
The format of the embedded store's file, by version, and the ways from one version to the next.

    nodes    path, parent, data, version, cversion, czxid, mzxid, ctime, mtime, ephemeral_owner (0: persistent)
    state    one row: zxid, number of the last transaction; writer, the kbroker that wrote last (since format 2)
    user_version: the format's version; application_id: APPLICATION_ID

    format 1   kbroker 0.1.0
    format 2   state.writer, so that an older kbroker can say which one to start

A version counts up whenever an older kbroker would misunderstand what a newer one writes: tables, and what is in the
nodes. A newer kbroker brings an older file to its own version in one transaction, after it has kept a copy of the file
as it was; an older kbroker refuses a newer file and changes nothing (docs/decisions/0021).
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from struct import Struct

from kbroker import __version__
from kbroker.errors import StartupError

logger = logging.getLogger(__name__)

APPLICATION_ID = 0x6B62726B
"""Tells `file` and us that an SQLite file is a kbroker metadata store: "kbrk"."""

_MAGIC = b"SQLite format 3\0"
_HEADER_VERSIONS = Struct(">60xI4xI")
"""user_version and application_id in the first page of an SQLite file."""


@dataclass(frozen=True, slots=True)
class StoreFormat:
    """
    A version of the format and how to come to it.

    version     as in user_version
    schema      statements that make an empty file one of this version
    migrations  version → statements that lead from it to the next one
    """

    version: int
    schema: Sequence[str]
    migrations: Mapping[int, Sequence[str]]


CURRENT = StoreFormat(
    version=2,
    schema=(
        (
            "CREATE TABLE nodes (path TEXT PRIMARY KEY, parent TEXT NOT NULL, data BLOB NOT NULL,"
            " version INTEGER NOT NULL, cversion INTEGER NOT NULL, czxid INTEGER NOT NULL, mzxid INTEGER NOT NULL,"
            " ctime INTEGER NOT NULL, mtime INTEGER NOT NULL, ephemeral_owner INTEGER NOT NULL) WITHOUT ROWID"
        ),
        "CREATE INDEX nodes_by_parent ON nodes (parent)",
        (
            "CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), zxid INTEGER NOT NULL,"
            " writer TEXT NOT NULL DEFAULT '')"
        ),
        "INSERT INTO state (id, zxid) VALUES (1, 0)",
        "INSERT INTO nodes VALUES ('/', '', x'', 0, 0, 0, 0, 0, 0, 0)",
    ),
    migrations={1: ("ALTER TABLE state ADD COLUMN writer TEXT NOT NULL DEFAULT ''",)},
)


def refuse_newer_header(path: str, known: StoreFormat) -> None:
    """
    Raise StartupError when the file is of a newer format, before SQLite has opened it: it would change files.

    A file whose first page is still in its write-ahead log passes; `bring_up_to_date` sees what that says.
    """
    with contextlib.suppress(OSError), open(path, "rb") as file:
        header = file.read(_HEADER_VERSIONS.size)
        if len(header) == _HEADER_VERSIONS.size and header.startswith(_MAGIC):
            version, application = _HEADER_VERSIONS.unpack(header)
            if application == APPLICATION_ID and version > known.version:
                raise StartupError(_newer(path, version, known, _writer_of_file(path)))


def bring_up_to_date(connection: sqlite3.Connection, path: str, known: StoreFormat) -> bool:
    """
    Make an open file one of the format `known`, and say so if it was an older one; return whether it was empty.

    The connection holds the file exclusively, with no transaction open. Raises StartupError when the file is none of
    ours, newer, damaged, or its copy cannot be kept; sqlite3.Error. Nothing is changed then.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
        with _transaction(connection):
            for statement in known.schema:
                connection.execute(statement)
            connection.execute("UPDATE state SET writer = ?", (__version__,))
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {known.version}")
        return True
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise StartupError(f"{path}: an SQLite file, but no metadata store of kbroker; move it away")
    if version > known.version:
        raise StartupError(_newer(path, version, known, _writer(connection)))
    if version < known.version and any(step not in known.migrations for step in range(version, known.version)):
        raise StartupError(
            f"{path}: of format {version}, which kbroker {__version__} does not know; "
            f"an earlier kbroker may bring it closer to format {known.version}"
        )
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0].splitlines()[-1]
    if verdict != "ok":
        raise StartupError(f"{path}: the metadata store is damaged ({verdict}); {what_to_do(path)}")
    if version < known.version:
        _migrate(connection, path, version, known)
    elif _writer(connection) != __version__:
        connection.execute("UPDATE state SET writer = ?", (__version__,))
    return False


def _migrate(connection: sqlite3.Connection, path: str, version: int, known: StoreFormat) -> None:
    copy = copy_path(path, version)
    try:
        _keep_copy(connection, path, copy)
    except (OSError, sqlite3.Error) as error:
        raise StartupError(
            f"{path}: of format {version}; before it is brought to format {known.version} a copy is kept, "
            f"which cannot be written ({error}). Nothing was changed: make room and start again"
        ) from error
    with _transaction(connection):
        for step in range(version, known.version):
            for statement in known.migrations[step]:
                connection.execute(statement)
        connection.execute("UPDATE state SET writer = ?", (__version__,))
        connection.execute(f"PRAGMA user_version = {known.version}")
    logger.info(
        "%s: brought from format %d to %d of kbroker %s; the file as it was is kept as %s",
        path,
        version,
        known.version,
        __version__,
        copy,
    )


def copy_path(path: str, version: int) -> str:
    """Return where the copy of a file of that version is kept when it is brought to a newer one."""
    return f"{path}.format-{version}"


def _keep_copy(connection: sqlite3.Connection, path: str, copy: str) -> None:
    """Write the copy, whole or not at all, to the disk. Raises OSError, sqlite3.Error."""
    unfinished = f"{copy}.tmp"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(unfinished)
    try:
        with contextlib.closing(sqlite3.connect(unfinished, isolation_level=None)) as target:
            connection.backup(target)
        shutil.copymode(path, unfinished)
        _to_disk(unfinished)
        os.replace(unfinished, copy)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
        raise
    _to_disk(os.path.dirname(os.path.abspath(copy)))


def _to_disk(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _writer_of_file(path: str) -> str:
    """Return which kbroker wrote a file, without changing anything; "" when it does not say."""
    with contextlib.suppress(sqlite3.Error):
        location = f"file:{os.path.abspath(path).replace('%', '%25').replace('?', '%3f').replace('#', '%23')}"
        with contextlib.closing(sqlite3.connect(f"{location}?mode=ro&immutable=1", uri=True)) as connection:
            return _writer(connection)
    return ""


def _writer(connection: sqlite3.Connection) -> str:
    with contextlib.suppress(sqlite3.Error, TypeError, IndexError):
        return str(connection.execute("SELECT writer FROM state").fetchone()[0])
    return ""


def _newer(path: str, version: int, known: StoreFormat, writer: str) -> str:
    # Between two releases a version number says nothing about the format.
    named = writer not in {"", __version__}
    wrote = f"kbroker {writer}" if named else "a newer kbroker"
    start = f"start kbroker {writer} or newer" if named else "start the kbroker that wrote it, or a newer one"
    copy = copy_path(path, known.version)
    back = f"; to go back to the state before the upgrade, put {copy} in its place" if os.path.exists(copy) else ""
    return (
        f"{path}: written by {wrote} in format {version}, while kbroker {__version__} reads format {known.version} "
        f"at most; nothing was changed: {start}{back}"
    )


def what_to_do(path: str) -> str:
    """Return what to do about a store that is damaged."""
    return (
        f"stop the broker, move the file away together with {path}-wal, and start again: topics are found again by "
        "their directories, but their configurations are lost"
    )
