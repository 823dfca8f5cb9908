"""A newer kbroker brings an older store to its format, whole or not at all; an older one leaves a newer one alone."""

from __future__ import annotations

import logging
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import tarfile
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
from data_directories import VECTORS

from kbroker import __version__
from kbroker.clock import ManualClock
from kbroker.cluster import nodes, store_format
from kbroker.cluster.embedded import EmbeddedStore
from kbroker.cluster.store_format import CURRENT, copy_path
from kbroker.errors import StartupError

NEXT = replace(
    CURRENT,
    version=CURRENT.version + 1,
    migrations={**CURRENT.migrations, CURRENT.version: ("CREATE TABLE later (x)", "INSERT INTO later VALUES (1)")},
)
"""What a later kbroker might have."""

FORMAT_1 = """
    CREATE TABLE nodes (path TEXT PRIMARY KEY, parent TEXT NOT NULL, data BLOB NOT NULL, version INTEGER NOT NULL,
        cversion INTEGER NOT NULL, czxid INTEGER NOT NULL, mzxid INTEGER NOT NULL, ctime INTEGER NOT NULL,
        mtime INTEGER NOT NULL, ephemeral_owner INTEGER NOT NULL) WITHOUT ROWID;
    CREATE INDEX nodes_by_parent ON nodes (parent);
    CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), zxid INTEGER NOT NULL);
    INSERT INTO state VALUES (1, 7);
    INSERT INTO nodes VALUES ('/', '', x'', 0, 1, 0, 0, 0, 0, 0);
    INSERT INTO nodes VALUES ('/kept', '/', x'6461', 3, 0, 5, 6, 11, 12, 0);
    PRAGMA application_id = 1801613931;
    PRAGMA user_version = 1;
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Return the path of a store as kbroker 0.1.0 made it."""
    path = str(tmp_path / "store.sqlite")
    connection = sqlite3.connect(path)
    connection.executescript(FORMAT_1)
    connection.close()
    return path


def opened(path: str, known: store_format.StoreFormat = CURRENT) -> EmbeddedStore:
    return EmbeddedStore(path, clock=ManualClock(), store_format=known)


def dump(path: str) -> list[str]:
    connection = sqlite3.connect(path)
    lines = list(connection.iterdump())
    connection.close()
    return lines


def version_of(path: str) -> int:
    connection = sqlite3.connect(path)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    return int(version)


def files(directory: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in directory.iterdir()}


def test_an_older_store_is_migrated_and_a_copy_is_kept_and_one_line_says_so(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    os.chmod(path, 0o640)
    before = dump(path)
    with caplog.at_level(logging.INFO):
        store = opened(path)
    assert store.get("/kept")[0] == b"da"
    assert store.get("/kept")[1].mzxid == 6
    store.close()
    copy = copy_path(path, 1)
    assert dump(copy) == before
    assert os.stat(copy).st_mode & 0o777 == 0o640
    assert version_of(copy) == 1
    (record,) = caplog.records
    assert record.getMessage() == (
        f"{path}: brought from format 1 to 2 of kbroker {__version__}; the file as it was is kept as {copy}"
    )
    caplog.clear()
    with caplog.at_level(logging.INFO):
        opened(path).close()
    assert not caplog.records
    assert version_of(path) == CURRENT.version


def test_a_store_of_several_formats_ago_goes_through_all_of_them(path: str) -> None:
    opened(path, NEXT).close()
    assert version_of(path) == NEXT.version
    assert 'INSERT INTO "later" VALUES(1);' in dump(path)
    assert version_of(copy_path(path, 1)) == 1


def test_a_migrated_store_is_like_a_new_one(path: str, tmp_path: Path) -> None:
    new = str(tmp_path / "new.sqlite")
    tables = []
    for each in (path, new):
        opened(each).close()
        connection = sqlite3.connect(each)
        tables.append([connection.execute(f"PRAGMA table_info({table})").fetchall() for table in ("nodes", "state")])
        connection.close()
    assert tables[0] == tables[1]


@pytest.mark.parametrize("killed", [False, True], ids=["closed", "killed"])
def test_a_newer_store_is_refused_in_one_line_and_not_touched(tmp_path: Path, killed: bool) -> None:
    path = str(tmp_path / "store.sqlite")
    opened(path).close()
    if killed:
        # What the newer kbroker wrote last is still in the write-ahead log, and nobody closed it.
        code = "opened(path, NEXT).create('/x'); os.kill(os.getpid(), 9)"
        assert _elsewhere(path, code) == -signal.SIGKILL
    else:
        opened(path, NEXT).close()
    before = files(tmp_path)
    with pytest.raises(StartupError) as caught:
        opened(path)
    message = str(caught.value)
    assert "\n" not in message
    assert f"{path}: written by a newer kbroker in format {NEXT.version}, while kbroker {__version__} reads" in message
    assert "nothing was changed: start the kbroker that wrote it" in message
    assert f"to go back to the state before the upgrade, put {copy_path(path, CURRENT.version)} in its place" in message
    after = files(tmp_path)
    if killed:
        # SQLite may have moved the log into the file: the same content.
        assert version_of(path) == NEXT.version
    else:
        assert after == before
    opened(path, NEXT).close()


def test_an_older_kbroker_names_the_one_to_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "store#%1?.sqlite")
    with monkeypatch.context() as patch:
        patch.setattr(store_format, "__version__", "9.8.7")
        opened(path, NEXT).close()
    with pytest.raises(
        StartupError, match=r"written by kbroker 9\.8\.7 in format \d+.*start kbroker 9\.8\.7 or newer$"
    ):
        opened(path)


def test_going_back_with_the_copy(path: str) -> None:
    older = replace(CURRENT, version=1, migrations={})
    opened(path).close()
    os.replace(copy_path(path, 1), path)
    assert version_of(path) == 1
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT data FROM nodes WHERE path = '/kept'").fetchone() == (b"da",)
    connection.close()
    assert older.version == 1
    opened(path).close()
    assert version_of(path) == CURRENT.version


def test_a_format_that_nobody_knows_any_more(path: str) -> None:
    before = dump(path)
    with pytest.raises(StartupError, match=r"of format 1, which kbroker .* does not know"):
        opened(path, replace(CURRENT, migrations={}))
    assert dump(path) == before


def _elsewhere(path: str, code: str, size_limit: int | None = None) -> int:
    """Run code with this module's names in another process; return its exit code."""
    program = textwrap.dedent("""
        import importlib.util, os, signal, sqlite3, sys
        spec = importlib.util.spec_from_file_location("test_store_format", sys.argv[1])
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        globals().update(vars(module))
        path = sys.argv[2]
        exec(sys.argv[3])
    """)

    def limit() -> None:
        if size_limit is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size_limit, size_limit))

    return subprocess.run(
        [sys.executable, "-c", program, __file__, path, code],
        check=False,
        preexec_fn=limit,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "support"), "PYTHONDONTWRITEBYTECODE": "1"},
    ).returncode


_KILLED_AT = """
number = {number}
real_connect, real_replace, real_fsync = sqlite3.connect, os.replace, os.fsync

def step():
    global number
    number -= 1
    if not number:
        os.kill(os.getpid(), signal.SIGKILL)

class Connection(sqlite3.Connection):
    def execute(self, *arguments):
        step()
        result = super().execute(*arguments)
        step()
        return result

def counted(real):
    def call(*arguments):
        step()
        real(*arguments)
        step()
    return call

sqlite3.connect = lambda *arguments, **keywords: real_connect(*arguments, factory=Connection, **keywords)
os.replace, os.fsync = counted(real_replace), counted(real_fsync)
opened(path, NEXT)
"""


def test_a_migration_cut_short_by_sigkill_has_happened_or_not_and_the_next_start_goes_on(
    path: str, tmp_path: Path
) -> None:
    """Killed before and after every step of it, in turn."""
    original = Path(path).read_bytes()
    before = dump(path)
    number = 1
    versions = []
    while True:
        for left in tmp_path.iterdir():
            left.unlink()
        Path(path).write_bytes(original)
        code = _elsewhere(path, _KILLED_AT.format(number=number))
        if code == 0:
            break
        assert code == -signal.SIGKILL
        versions.append(version_of(path))
        copy = copy_path(path, 1)
        if versions[-1] == 1:
            assert dump(path) == before
        else:
            assert dump(copy) == before
        store = opened(path, NEXT)
        assert store.get("/kept")[0] == b"da"
        store.close()
        assert dump(copy) == before
        assert not os.path.exists(f"{copy}.tmp")
        # The odd steps are right after the even ones: one of each pair will do once it is known that all are passed.
        number += 3
    assert set(versions) == {1, NEXT.version}
    assert len(versions) > 5


def test_a_disk_without_room_for_the_copy_changes_nothing(path: str, tmp_path: Path) -> None:
    before = dump(path)
    report = tmp_path / "report"
    report.touch()
    code = f"""
try:
    opened(path)
except StartupError as error:
    os.write(os.open({str(report)!r}, os.O_WRONLY), str(error).encode())
"""
    assert _elsewhere(path, code, size_limit=8192) == 0
    said = report.read_text()
    assert said.startswith(
        f"{path}: of format 1; before it is brought to format 2 a copy is kept, which cannot be written"
    )
    assert "Nothing was changed: make room and start again" in said
    assert dump(path) == before
    assert sorted(name for name in os.listdir(tmp_path) if ".format" in name) == []


@pytest.mark.parametrize("archive", sorted(VECTORS.glob("*.tar.gz")), ids=lambda path: path.name)
def test_the_store_of_each_release_is_read(archive: Path, tmp_path: Path) -> None:
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path, [one for one in tar.getmembers() if one.name.startswith("kbroker-metadata")])
    store = opened(str(tmp_path / "kbroker-metadata.sqlite"))
    assert nodes.decode_topic(store.get(nodes.topic_path("orders"))[0]).replicas == {0: (0,), 1: (0,), 2: (0,)}
    store.close()
